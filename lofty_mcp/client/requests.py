"""Lofty's operations as requests: method, path, query and body as values.

Nothing here does I/O. Paths and names are those of the reference's Appendix A; quirk numbers are those of
docs/quirks.md.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from lofty_mcp.errors import InvalidInput
from lofty_mcp.models.base import LARGEST_ID

SITE_PAGE = 100
"""Rows of a page of site activities; not a parameter (reference §5)."""
COMMUNICATION_PAGE = 1000
SYSTEM_LOG_PAGE = 1000
MEMBER_PAGE = 25
"""The default; the maximum is not documented and exceeding it is an error."""
LOG_PAGE = 100
PIPELINE_PAGE = 100
LEAD_PAGE = 100

STAGE_LIMIT, TAG_LIMIT = 20, 64
"""Characters at which Lofty cuts silently (reference §8.4)."""
NAME_LIMIT, PHONE_LIMIT, NOTE_LIMIT, LOG_LIMIT, TASK_LIMIT = 30, 20, 2_000, 5_000, 2_000
TEXT_LIMIT, SUBJECT_LIMIT, EMAIL_LIMIT = 1_000, 200, 5_000
"""The same (reference §8.4, §12, §13); of tasks and messages none is known, so these are ours."""

LogType = Literal["logCall", "logText", "logEmail"]

SORTS = {
    "created": "CreateTime",
    "assigned": "AssignTime",
    "last_contact": "LastContact",
    "last_activity": "LastActivity",
    "score": "Score",
}

Hook = Callable[[], Awaitable[None]]
"""Runs once a write's turn has come, right before its first byte leaves; what it raises stops the write."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request to Lofty; only a GET may be sent twice."""

    method: Literal["GET", "PUT", "POST", "DELETE"]
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does no more than sending it once."""
        return self.method == "GET"


def headers(authorization: str, user_agent: str) -> dict[str, str]:
    """The headers of every request; Content-Type also on GET and DELETE (quirk 9)."""
    return {
        "Authorization": authorization,
        "Accept": "application/json",
        "Content-Type": "application/json",
        "User-Agent": user_agent,
    }


def get(path: str, **query: str | int | bool | None) -> Request:
    """A GET with the query values that are not None."""
    pairs = tuple((name, _text(value)) for name, value in query.items() if value is not None)
    return Request("GET", path, pairs)


def member(account: str) -> Request:
    """Get a team member by account (e-mail address)."""
    return get(f"/v1.0/members/{quote(account, safe='@')}")


def members(offset: int) -> Request:
    """A page of team members."""
    return get("/v1.0/members", offset=offset, limit=MEMBER_PAGE)


def pipelines(page: int) -> Request:
    """A 0-based page of lead pipelines."""
    return get("/v1.0/teamFeatures/lead-pipelines", currPage=page, pageSize=PIPELINE_PAGE)


def leads(filters: Mapping[str, str | int | bool], *, offset: int, limit: int) -> Request:
    """A page of leads; `filters` uses Lofty's names, since unknown ones are silently ignored (quirk 7)."""
    if unknown := filters.keys() - LEAD_FILTERS:
        raise ValueError(f"not a filter of GET /v1.0/leads: {sorted(unknown)}")
    return get("/v1.0/leads", **filters, offset=offset, limit=limit)


LEAD_FILTERS = frozenset(
    {"key", "email", "phone", "preciseSearchFlag", "stage", "source", "assignedUserId", "contacted", "anyTags"}
    | {"allTags", "sort", "desc"}
)


def lead(lead_id: str, *, with_trash: bool = False) -> Request:
    """Get Lead, also from the trash if asked."""
    return get(_lead_path(lead_id), withTrash=True if with_trash else None)


def put_lead(lead_id: str, body: Mapping[str, Any]) -> Request:
    """Update Lead: only the fields in `body` change."""
    return Request("PUT", _lead_path(lead_id), body=dict(body))


def delete_lead(lead_id: str, reason: str) -> Request:
    """Delete Lead, to the trash; the reason travels in the URL (reference §8.6)."""
    return Request("DELETE", _lead_path(lead_id), (("reason", reason),))


def assign_lead(lead_id: str, role: str, account: str) -> Request:
    """Assign Lead: an array, the assignee by account e-mail (quirk 18)."""
    return Request("POST", f"{_lead_path(lead_id)}/assignment", body=[{"role": role, "assignee": account}])


def site_activities(lead_id: str, page: int) -> Request:
    """A 0-based page of what the lead did on the site, newest first."""
    return get(f"{_lead_path(lead_id)}/activities", curPage=page)


def communications(lead_id: str, offset: int) -> Request:
    """Calls, texts and e-mails of a lead, oldest first (quirk 14)."""
    path = f"{_lead_path(lead_id).replace('/v1.0/', '/v2.0/')}/activities"
    return get(path, offset=offset, limit=COMMUNICATION_PAGE)


def notes(lead_id: str) -> Request:
    """All notes of a lead."""
    return get("/v1.0/notes", leadId=_digits(lead_id), includeSystemNote=False)


def add_note(lead_id: str, content: str, *, pin: bool) -> Request:
    """Create Note; `isPin` is always sent (quirk 12)."""
    return Request("POST", "/v1.0/notes", body={"leadId": int(_digits(lead_id)), "content": content, "isPin": pin})


def put_note(lead_id: str, note_id: str, content: str, *, pin: bool) -> Request:
    """Update Note, by its `noteId`; text and pin are both replaced (reference §12)."""
    body = {"leadId": int(_digits(lead_id)), "content": content, "isPin": pin}
    return Request("PUT", f"/v1.0/notes/{_digits(note_id)}", body=body)


def manual_logs(lead_id: str, log_type: LogType) -> Request:
    """The newest manual logs of one type."""
    query = {"logType": log_type, "sort": "createTime", "order": "desc", "limit": LOG_PAGE}
    return get("/v1.0/logType", leadId=_digits(lead_id), **query)


def add_manual_log(lead_id: str, log_type: LogType, fields: Mapping[str, str]) -> Request:
    """Add a manual log entry; it sends nothing to anybody."""
    return Request("POST", "/v1.0/logType", body={"leadId": int(_digits(lead_id)), "logType": log_type, **fields})


def add_task(lead_id: str, fields: Mapping[str, str]) -> Request:
    """Create Task (V2)."""
    return Request("POST", "/v2.0/tasks", body={"leadId": int(_digits(lead_id)), **fields})


def finish_task(task_id: str, *, done: bool) -> Request:
    """Finish or unfinish a task."""
    return Request("POST", f"/v2.0/tasks/{_digits(task_id)}/{'finish' if done else 'unfinish'}")


def send_text(lead_id: str, number: str, content: str) -> Request:
    """Send SMS; an unknown number would fall back to the lead's primary (reference §14)."""
    body = {"leadId": int(_digits(lead_id)), "content": content, "phoneNumber": number}
    return Request("POST", "/v1.0/message/sms/send", body=body)


def send_email(lead_id: str, address: str, subject: str, content: str) -> Request:
    """Send Email; the field is `content`, not `body` (quirk 16)."""
    body = {"leadId": int(_digits(lead_id)), "subject": subject, "content": content, "toEmail": address}
    return Request("POST", "/v1.0/message/email/send", body=body)


def message(kind: Literal["call", "text", "email"], message_id: str) -> Request:
    """A call, text or e-mail by its id."""
    return get(f"/v2.0/communication/{kind}/{_digits(message_id)}")


def system_logs(lead_id: str, page: int) -> Request:
    """A 0-based page of a lead's change log, newest first."""
    return get("/v1.0/systemLogs", leadId=_digits(lead_id), pageNumber=page, pageSize=SYSTEM_LOG_PAGE)


def tasks(lead_id: str) -> Request:
    """All tasks and appointments of a lead."""
    return get("/v2.0/tasks", leadId=_digits(lead_id))


def phone_digits(text: str) -> str:
    """A phone number as Lofty's filter wants it: bare digits, without the country code 1 of a ten-digit number."""
    digits = re.sub(r"\D", "", text)
    return digits[1:] if len(digits) == 11 and digits[0] == "1" else digits


def _lead_path(lead_id: str) -> str:
    return f"/v1.0/leads/{_digits(lead_id)}"


def _digits(lead_id: str) -> str:
    # An id becomes a path: anything but digits could reach another endpoint or the trash.
    if not re.fullmatch(r"[1-9][0-9]{0,18}", lead_id) or int(lead_id) > LARGEST_ID:
        raise InvalidInput("An id is a whole number in digits, such as 1141834283710023. Nothing was changed.")
    return lead_id


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
