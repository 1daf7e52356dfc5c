"""How Lofty answers: data, or an error of ours, from the bytes that came back.

Nothing here does I/O. Quirk numbers are those of docs/quirks.md.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic_core import from_json

from lofty_mcp.errors import (
    CredentialRejected,
    LoftyError,
    NotFound,
    PermissionDenied,
    RejectedByLofty,
    UpstreamFailed,
)

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
    if "TASK_IS_SMARTPLAN" in str(body):
        raise RejectedByLofty("The task belongs to a smart plan, and Lofty lets nobody finish those.")
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
