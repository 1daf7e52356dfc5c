"""One event type for everything that happened to a lead, read from Lofty's five kinds of records. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from hashlib import sha256
from typing import Any, Literal, get_args

from lofty_mcp.models.base import Id, Json, Line, Moment, Prose, Upstream, iso

Kind = Literal["site", "call", "text", "email", "note", "task", "system"]
KINDS: tuple[Kind, ...] = get_args(Kind)
COLUMNS = ("at", "kind", "text")
EXTRA_COLUMNS = (
    *("direction", "outcome", "logged", "due", "finished", "by", "pinned", "note_id", "task_id", "message_id"),
)

_CHANNELS: tuple[tuple[str, Kind], ...] = (("mail", "email"), ("text", "text"), ("sms", "text"), ("call", "call"))
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Event:
    """Something that happened, with a key that stays the same from call to call."""

    at: datetime | None
    kind: Kind
    key: str
    text: str
    extra: dict[str, Any]
    refers: frozenset[str] = frozenset()
    """Ids of other records that tell the same; some accounts mix communications into the change log (quirk 15)."""

    @property
    def place(self) -> tuple[datetime, str, str]:
        """Where the event stands in the one order of all events, newest last."""
        return (self.at or _LONG_AGO, self.kind, self.key)

    def cells(self, zone: tzinfo) -> dict[str, Any]:
        """The event as a row of the timeline."""
        return {"at": iso(self.at, zone), "kind": self.kind, "text": self.text, **self.extra}


class Listing(Upstream):
    """The property of a site activity."""

    street_address: Line | None = None
    city: Line | None = None


class SiteActivity(Upstream):
    """A row of `GET /v1.0/leads/{id}/activities`; it has no id."""

    type: Line | None = None
    text: Prose | None = None
    page_name: Line | None = None
    scheduled_date: Line | None = None
    listing: Listing | None = None
    created: Moment | None = None


class Communication(Upstream):
    """A row of `GET /v2.0/leads/{id}/activities`; one logged by hand has `communicationType` Logged."""

    id: Id | None = None
    activity_time: Moment | None = None
    channel: Line | None = None
    communication_type: Line | None = None
    direction: Line | None = None
    calling_outcome: Line | None = None
    email_event_type: Line | None = None
    email_subject: Line | None = None
    lead_phone_number: Line | None = None
    note: Prose | None = None


class Note(Upstream):
    """A note; `note_id` is the id for paths, `id` that of the timeline (quirk 13)."""

    id: Id | None = None
    note_id: Id | None = None
    content: Prose | None = None
    create_time: Moment | None = None
    creator_name: Line | None = None
    is_pin: bool | None = None
    delete_flag: bool | None = None


class Task(Upstream):
    """A task or appointment of a lead (`TaskResponseV2`)."""

    id: Id | None = None
    type: Line | None = None
    content: Prose | None = None
    subject: Line | None = None
    start_at: Moment | None = None
    end_at: Moment | None = None
    finish_flag: bool | None = None
    create_time: Moment | None = None
    assigned_user: Line | None = None


class SystemLog(Upstream):
    """A row of a lead's change log (`SystemLogResponse`)."""

    id: Id | None = None
    ref_id: Id | None = None
    timeline_type_desc: Line | None = None
    timeline_time: Moment | None = None
    create_time: Moment | None = None
    from_type: int | None = None
    from_first_name: Line | None = None
    from_last_name: Line | None = None
    content: Json | None = None


def site_events(pages: Sequence[Sequence[dict[str, Any]]]) -> list[Event]:
    """Site activities; equal rows of one page are several events, of several pages one that the pages share."""
    most: Counter[str] = Counter()
    models: dict[str, SiteActivity] = {}
    for page in pages:
        found = [SiteActivity.model_validate(row) for row in page]
        counts = Counter(_fingerprint(model) for model in found)
        models |= {_fingerprint(model): model for model in found}
        most |= counts
    return [_site(models[key], f"{key}:{n}") for key, count in most.items() for n in range(count)]


def communication_events(rows: Sequence[dict[str, Any]]) -> list[Event]:
    """Calls, texts and e-mails."""
    return [_communication(Communication.model_validate(row)) for row in rows]


def note_events(rows: Sequence[dict[str, Any]]) -> list[Event]:
    """Notes that are not deleted."""
    notes = [Note.model_validate(row) for row in rows]
    return [
        Event(
            note.create_time,
            "note",
            note.note_id or note.id or _fingerprint(note),
            note.content or "",
            {"by": note.creator_name, "pinned": note.is_pin or None, "note_id": note.note_id},
        )
        for note in notes
        if not note.delete_flag
    ]


def task_events(rows: Sequence[dict[str, Any]], zone: tzinfo) -> list[Event]:
    """Tasks, placed at their creation: the only time of theirs that never changes."""
    tasks = [Task.model_validate(row) for row in rows]
    return [
        Event(
            task.create_time or task.start_at or task.end_at,
            "task",
            task.id or _fingerprint(task),
            ": ".join(part for part in (task.type, task.content or task.subject) if part),
            {
                "due": iso(task.end_at or task.start_at, zone),
                "finished": bool(task.finish_flag),
                "by": task.assigned_user,
                "task_id": task.id,
            },
        )
        for task in tasks
    ]


def system_events(rows: Sequence[dict[str, Any]]) -> list[Event]:
    """The change log."""
    logs = [SystemLog.model_validate(row) for row in rows]
    return [
        Event(
            log.timeline_time or log.create_time,
            "system",
            log.id or _fingerprint(log),
            _log_text(log),
            _actor(log),
            frozenset(number for number in (log.id, log.ref_id) if number),
        )
        for log in logs
    ]


def _site(row: SiteActivity, key: str) -> Event:
    place = ", ".join(p for p in (row.listing.street_address, row.listing.city) if p) if row.listing else ""
    parts = (row.type, row.text, place, row.page_name, row.scheduled_date)
    return Event(row.created, "site", key, ": ".join(dict.fromkeys(part for part in parts if part)), {})


def _communication(row: Communication) -> Event:
    channel = (row.channel or "").casefold()
    kind = next((kind for word, kind in _CHANNELS if word in channel), None)
    text = ": ".join(part for part in (None if kind else row.channel, row.email_subject, row.note) if part)
    logged = (row.communication_type or "").casefold() == "logged"
    extra = {"direction": row.direction, "outcome": row.calling_outcome or row.email_event_type, "logged": logged}
    extra |= {"message_id": row.id}
    return Event(row.activity_time, kind or "text", row.id or _fingerprint(row), text, extra)


def _log_text(log: SystemLog) -> str:
    # A change log may name another lead (a merge); what belongs to one is not this lead's to tell.
    told = [
        f"{key} {value}"
        for key, value in (log.content or {}).items()
        if isinstance(value, str | int | float) and not isinstance(value, bool) and _is_this_leads(key)
    ]
    return ": ".join(part for part in (log.timeline_type_desc, ", ".join(told)) if part)


def _is_this_leads(key: str) -> bool:
    name = key.casefold()
    if any(word in name for word in ("lead", "merge", "contact", "customer", "person")):
        return False
    personal = any(word in name for word in ("name", "mail", "phone"))
    return not personal or any(word in name for word in ("stage", "agent", "tag", "task", "plan", "pond", "role"))


def _actor(log: SystemLog) -> dict[str, Any]:
    if log.from_type not in (1, 5):
        return {}
    return {"by": " ".join(part for part in (log.from_first_name, log.from_last_name) if part)}


def _fingerprint(model: Upstream) -> str:
    return sha256(model.model_dump_json().encode()).hexdigest()[:24]
