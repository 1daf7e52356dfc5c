"""The state of one sandbox and the hands a test has on it: what is stored, who is there, what was asked.

Ids are counted, and the clock is `now` plus one second for every write, so the same calls give the same world.
"""

import itertools
import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lofty_mcp.sandbox import people
from lofty_mcp.sandbox.faults import Faults
from lofty_mcp.sandbox.leads_view import record
from lofty_mcp.sandbox.people import Member
from lofty_mcp.sandbox.records import item_data, lead_row, search_text, split
from lofty_mcp.sandbox.store import Store
from lofty_mcp.sandbox.tokens import Tokens

SNOWFLAKE = 1241334726691762176
_FIRST_ID = {"note": 700000001, "activity": 1, "communication": SNOWFLAKE + 2, "task": 88000001, "log": SNOWFLAKE + 3}
_STEP = {"communication": 4096, "log": 4096}


@dataclass(frozen=True)
class Message:
    """One text or e-mail that was sent to a lead: `kind` is `sms` or `email`, `to` the number or address it went to."""

    kind: str
    lead_id: int
    sender_id: int
    to: str
    subject: str
    content: str


@dataclass
class LogEntry:
    """One request as it was received; `status` is 0 until it is answered and stays so when the connection was cut."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any
    member: str | None
    status: int = 0


class World:
    """Everything one sandbox knows; `app.state.world`."""

    def __init__(self, store: Store, *, seed: int, now: datetime, tokens: Tokens, faults: Faults) -> None:
        self.store = store
        self.now = now.astimezone(UTC)
        self.members: list[Member] = people.team(seed)
        self.tokens = tokens
        self.faults = faults
        self.log: list[LogEntry] = []
        self.messages: list[Message] = []
        self.trash_reasons: dict[int, str] = {}
        self.busy_lead_id = 0
        self.repeat_last_page = False
        self.late_reads = 0
        self._unread: dict[tuple[str, int], int] = {}
        self._ticks = itertools.count(1)
        self._ids = {kind: itertools.count(first, _STEP.get(kind, 1)) for kind, first in _FIRST_ID.items()}
        self._lead_ids = itertools.count(1_170_000_000_000_001, 13)

    def member(self, email: str) -> Member | None:
        """The member with this login e-mail."""
        return next((member for member in self.members if member.email == email.lower()), None)

    def user(self, user_id: int) -> Member | None:
        """The member with this long user id."""
        return next((member for member in self.members if member.user_id == user_id), None)

    def key_of(self, email: str) -> str:
        """The personal API key of a member; KeyError for a stranger."""
        found = self.member(email)
        if found is None:
            raise KeyError(email)
        return found.key

    def issue_tokens(self, email: str) -> dict[str, Any]:
        """A pair of OAuth tokens of a member, as the token endpoint would have answered."""
        self.key_of(email)
        return self.tokens.issue(email)

    def tick(self) -> int:
        """The time of the next write, in epoch seconds."""
        return int(self.now.timestamp()) + next(self._ticks)

    def next_id(self, kind: str) -> int:
        """The next id of a kind of item."""
        return next(self._ids[kind])

    def lead_ids(self) -> list[int]:
        """Every lead there is, hidden and trashed ones included."""
        return [row["leadId"] for row in self.store.rows("SELECT leadId FROM leads ORDER BY leadId")]

    def hidden_ids(self) -> list[int]:
        """Leads whose hiddenFlag is true and that are not in the trash."""
        sql = "SELECT leadId FROM leads WHERE hiddenFlag=1 AND trashed=0 ORDER BY leadId"
        return [row["leadId"] for row in self.store.rows(sql)]

    def trashed_ids(self) -> list[int]:
        """Leads in the trash."""
        return [row["leadId"] for row in self.store.rows("SELECT leadId FROM leads WHERE trashed=1 ORDER BY leadId")]

    def lead(self, lead_id: int) -> dict[str, Any]:
        """The record as `GET /v1.0/leads/{leadId}` shows it, plus `trashed`; KeyError when there is none."""
        row = self.store.lead(lead_id)
        if row is None:
            raise KeyError(lead_id)
        shown = record(row, self.store.tags_of([lead_id])[lead_id], self.members)
        return {**shown, "trashed": bool(row["trashed"])}

    def update_lead(self, lead_id: int, **fields: Any) -> None:
        """Somebody else changes the record: any column or data name of a lead, and `tags` as names (the whole set)."""
        row = self.store.lead(lead_id)
        if row is None:
            raise KeyError(lead_id)
        tags = fields.pop("tags", None)
        columns, data = split(fields)
        merged = {**json.loads(row["data"]), **data}
        first, last = columns.get("firstName", row["firstName"]), columns.get("lastName", row["lastName"])
        columns |= {"data": json.dumps(merged), "search": search_text(first, last, merged)}
        assignee = self.user(columns["assignedUserId"]) if columns.get("assignedUserId") else None
        if assignee is not None:
            columns.setdefault("officeId", assignee.office)
        columns.setdefault("lastUpdateTime", self.tick())
        self.store.update_lead(lead_id, columns)
        if tags is not None:
            self.store.drop_lead_tags(lead_id)
            self.put_tags(lead_id, tags, 0)

    def put_tags(self, lead_id: int, names: list[str], creator: int) -> None:
        """Put tags on a lead by name, making those that are new; one that is already on it keeps its time."""
        at = self.tick()
        self.store.insert_lead_tags([(lead_id, self.store.tag_id(name, creator, at), at) for name in names])

    def add_lead(self, **fields: Any) -> int:
        """Add a lead (fields as in `update_lead`; a TEAM lead of nobody by default) and return its id."""
        lead_id = int(fields.pop("leadId", 0) or next(self._lead_ids))
        tags = fields.pop("tags", [])
        assignee = self.user(fields.get("assignedUserId", 0))
        at = self.tick()
        office = assignee.office if assignee else 0
        self.store.insert_leads(
            [lead_row({"createTime": at, "lastUpdateTime": at, "officeId": office, **fields, "leadId": lead_id})]
        )
        self.put_tags(lead_id, tags, 0)
        return lead_id

    def remove_lead(self, lead_id: int) -> None:
        """Make the lead and all that hangs on it never have been."""
        self.store.remove_lead(lead_id)

    def items(self, kind: str, lead_id: int) -> list[sqlite3.Row]:
        """What a request is told of the items of one kind on a lead, oldest first."""
        return [row for row in self.store.items(kind, lead_id) if self._arrived(kind, row["id"])]

    def item(self, kind: str, item_id: int) -> sqlite3.Row | None:
        """What a request is told of one item."""
        row = self.store.item(kind, item_id)
        return row if row is not None and self._arrived(kind, item_id) else None

    def written(self, kind: str, item_id: int) -> int:
        """The id of an item that a request wrote, which the next `late_reads` reads are not told of."""
        self._unread[kind, item_id] = self.late_reads
        return item_id

    def _arrived(self, kind: str, item_id: int) -> bool:
        left = self._unread.pop((kind, item_id), 0)
        if left:
            self._unread[kind, item_id] = left - 1
        return not left

    def add_note(self, lead_id: int, **fields: Any) -> int:
        """Add a note (`content`, `creatorId`, `isPin`, `systemNote`, `at`) and return its noteId."""
        return self._add("note", lead_id, fields)

    def add_activity(self, lead_id: int, **fields: Any) -> int:
        """Add a site activity (`type`, `text`, `link`, `picture`, `pageName`, `listing`, `at`)."""
        return self._add("activity", lead_id, fields)

    def add_communication(self, lead_id: int, **fields: Any) -> int:
        """Add a call, text or e-mail (`channel`, `direction`, `note`, `emailSubject`, ..., `at`) and return its id."""
        return self._add("communication", lead_id, fields)

    def add_task(self, lead_id: int, **fields: Any) -> int:
        """Add a task or appointment (`type`, `content`, `finishTime`, ...; `at` is when it is due)."""
        return self._add("task", lead_id, fields)

    def add_system_log(self, lead_id: int, **fields: Any) -> int:
        """Add an entry of the change log (`timelineTypeDesc`, `content` as an object, ..., `at`)."""
        return self._add("log", lead_id, fields)

    def _add(self, kind: str, lead_id: int, fields: dict[str, Any]) -> int:
        at: datetime | None = fields.pop("at", None)
        milliseconds = (int(at.timestamp()) if at else self.tick()) * 1000
        item_id = self.next_id(kind)
        self.store.insert_items([(kind, item_id, lead_id, milliseconds, json.dumps(item_data(kind, fields)))])
        return item_id
