"""How Lofty is spoken to: requests as values, answers as data or as an error of ours.

Nothing here does I/O. Paths and names are those of the reference's Appendix A; quirk numbers are those of
docs/quirks.md.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import quote

from pydantic_core import from_json

from lofty_mcp.errors import (
    CredentialRejected,
    InvalidInput,
    LoftyError,
    NotFound,
    PermissionDenied,
    RejectedByLofty,
    UpstreamFailed,
)
from lofty_mcp.models.base import LARGEST_ID

SITE_PAGE = 100
"""Rows of a page of site activities; not a parameter (reference §5)."""
COMMUNICATION_PAGE = 1000
SYSTEM_LOG_PAGE = 1000
MEMBER_PAGE = 25
"""The default; the maximum is not documented and exceeding it is an error."""
PIPELINE_PAGE = 100
LEAD_PAGE = 100

STAGE_LIMIT, TAG_LIMIT = 20, 64
"""Characters at which Lofty cuts silently (reference §8.4)."""

SORTS = {
    "created": "CreateTime",
    "assigned": "AssignTime",
    "last_contact": "LastContact",
    "last_activity": "LastActivity",
    "score": "Score",
}

_UNAUTHENTICATED = {20004, 200058}
_ABSENT = {20003, 20006, 20007}
_FORBIDDEN = {20017, 200100}
_NAMES = {
    "BAD_CREDENTIALS": 20004,
    "USER_NOT_EXIST": 20003,
    "LEAD_NOT_EXIST": 20006,
    "LEAD_NOT_FOUND": 20006,
    "RESOURCE_NOT_EXIST": 20007,
    "INVALID_PARAMETER": 20012,
    "PERMISSION_DENIED": 20017,
    "LIMIT_NOT_VALID": 20042,
    "VENDOR_HAS_NO_PERMISSION": 200100,
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


def lead(lead_id: str) -> Request:
    """Get Lead."""
    return get(_lead_path(lead_id))


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


def decipher(status: int, content: bytes) -> Any:
    """The JSON of a successful answer, None for an empty one.

    Raises:
        LoftyError: the branch that the answer's business code or, without one, its status stands for (quirks 3, 4);
            also for failures inside a 200 (reference §4.1).
    """
    body = _parsed(content)
    if 200 <= status < 300:
        if body is _UNREADABLE:
            raise UpstreamFailed
        if isinstance(body, dict) and (code := _hidden_failure(body)) is not None:
            raise classify(400, code)
        return body
    raise classify(status, None if body is _UNREADABLE else business_code(body))


def classify(status: int, code: int | None) -> LoftyError:
    """The error of ours for a refusal; the code decides where there is one, else the status."""
    if code in _UNAUTHENTICATED or status == 401:
        return CredentialRejected()
    if code in _ABSENT or (status == 404 and code is None):
        return NotFound()
    if code in _FORBIDDEN or status == 403:
        return PermissionDenied(scope=code == 200100)
    if 400 <= status < 500 and status not in (408, 425):
        return RejectedByLofty(code=code)
    return UpstreamFailed()


def business_code(body: Any) -> int | None:
    """Lofty's error number in any of its three error bodies (reference §4.1), or None."""
    text = body if isinstance(body, str) else ""
    if isinstance(body, dict):
        for key in ("code", "errorCode"):
            if (number := _number(body.get(key))) is not None:
                return number
        text = str(body.get("message") or body.get("error") or "")
    if found := re.search(r"errorCode\s*=\s*(\d+)", text):
        return int(found[1])
    return next((code for name, code in _NAMES.items() if name in text), None)


def unwrap(body: Any, key: str) -> dict[str, Any]:
    """One record, whether or not it is wrapped under `key` (quirk 5)."""
    inner = body.get(key, body) if isinstance(body, dict) else None
    if isinstance(inner, dict) and inner:
        return cast("dict[str, Any]", inner)
    raise UpstreamFailed


def rows(body: Any, *keys: str) -> list[dict[str, Any]]:
    """The list of an answer: under the first of `keys` that is there, under `data`, or bare.

    Raises:
        UpstreamFailed: there is no list, so an empty answer would be a guess.
    """
    found: Any = body
    if isinstance(body, dict):
        inner = body.get("data")
        holder = next((h for h in (body, inner) if isinstance(h, dict) and any(k in h for k in keys)), None)
        found = inner if holder is None else next(holder[key] for key in keys if key in holder) or []
    if not isinstance(found, list):
        raise UpstreamFailed
    return [row for row in found if isinstance(row, dict)]


def total(body: Any) -> int | None:
    """The number of rows that the list's metadata announces; the wire key is `_metadata` (quirk 2)."""
    metadata = body.get("_metadata", body.get("get_metadata")) if isinstance(body, dict) else None
    number = _number(metadata.get("total")) if isinstance(metadata, dict) else None
    return number if number is not None and number >= 0 else None


def unchanged(body: Any) -> bool:
    """Whether a write's 200 says that nothing in its body was understood (quirk 11)."""
    text = body.get("data", body.get("message")) if isinstance(body, dict) else body
    return isinstance(text, str) and text.strip().lower() == "no change"


def looks_full(count: int, asked: int) -> bool:
    """Whether a page without metadata may have a successor.

    A short page ends a list; but where a server ignores the page size we asked for, its own shows as a round number.
    """
    return count > 0 and (count >= asked or count % 10 == 0 or count % 25 == 0)


def same_rows(page: Sequence[Mapping[str, Any]], previous: Sequence[Mapping[str, Any]] | None) -> bool:
    """Whether a page repeats the one before it, which is how some lists end (quirk 28)."""
    return previous is not None and list(map(_identity, page)) == list(map(_identity, previous))


def _identity(row: Mapping[str, Any]) -> Any:
    # A site activity has no id, and any row may carry a field that differs from answer to answer.
    return row.get("id") or [row.get(name) for name in ("type", "text", "link", "created")]


def _lead_path(lead_id: str) -> str:
    return f"/v1.0/leads/{_digits(lead_id)}"


def _digits(lead_id: str) -> str:
    # An id becomes a path: anything but digits could reach another endpoint or the trash.
    if not re.fullmatch(r"[1-9][0-9]{0,18}", lead_id) or int(lead_id) > LARGEST_ID:
        raise InvalidInput("A lead id is a whole number in digits, such as 1141834283710023. Nothing was changed.")
    return lead_id


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_UNREADABLE = object()


def _parsed(content: bytes) -> Any:
    if not content.strip():
        return None
    try:
        return from_json(content, cache_strings="keys")  # values are people's, and not to be kept
    except ValueError:
        pass
    try:
        return json.loads(content)  # slower, and takes what is not quite JSON or Unicode
    except (ValueError, RecursionError):
        return _UNREADABLE


def _number(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value) else None


def _hidden_failure(body: dict[str, Any]) -> int | None:
    status = body.get("status")
    inner = status.get("code") if isinstance(status, dict) else None
    for value in (body.get("code"), body.get("errorCode"), inner):
        number = _number(value)
        if number not in (None, 0, 200):
            return number
    return None
