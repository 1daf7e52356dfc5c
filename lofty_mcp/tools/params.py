"""Parameter types that several tools share."""

import re
from datetime import datetime, time, tzinfo
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from lofty_mcp.errors import InvalidInput
from lofty_mcp.models.base import LARGEST_ID, SAFE_INTEGER

MOST_LEADS = 50


def lead_id(value: Any) -> str:
    """A lead id as digits; an integer only while every JavaScript host holds it exactly."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("an id is a string of digits, as search_leads gives it")
    if isinstance(value, int) and abs(value) > SAFE_INTEGER:
        raise ValueError("an id above 9007199254740991 may have been rounded; send it as a string")
    text = str(value)
    if not re.fullmatch(r"[1-9][0-9]{0,18}", text) or int(text) > LARGEST_ID:
        raise ValueError("an id is a string of digits, as search_leads gives it")
    return text


def _one_line(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # a phone number, or an id
    return " ".join(value.split()) if isinstance(value, str) else value


LeadId = Annotated[str, BeforeValidator(lead_id), Field(description="Lead id: digits, as a string")]
LeadIds = Annotated[
    list[Annotated[str, BeforeValidator(lead_id)]],
    BeforeValidator(lambda value: value if isinstance(value, list) else [value]),
    Field(min_length=1, max_length=MOST_LEADS),
]
ChildId = Annotated[str, BeforeValidator(lead_id), Field(description="Digits, as a string")]
Body = Annotated[str, Field(min_length=1, max_length=5_000)]
"""Text of several lines."""
AllowDuplicate = Annotated[bool, Field(description="Do it again all the same")]
Text = Annotated[str, BeforeValidator(_one_line), Field(min_length=1, max_length=200)]
Confirmation = Annotated[str | None, Field(max_length=64, description="Code of a confirmation_required answer")]
Cursor = Annotated[str | None, Field(max_length=64, description="next_cursor of the page before, same filters")]
Limit = Annotated[int, Field(ge=1, le=100)]


def once_each(values: list[str]) -> list[str]:
    """The values in order, each once."""
    return list(dict.fromkeys(values))


def point_in_time(text: str | None, zone: tzinfo, name: str, *, whole_day: bool = False) -> datetime | None:
    """A date or time as given, in `zone` unless it names its own offset; `whole_day` takes a date to its last moment.

    Raises:
        InvalidInput: it is neither.
    """
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"{name}: give an ISO 8601 date or time, such as 2027-01-31 or 2027-01-31T17:00. Nothing was changed."
        ) from None
    if whole_day and len(text) <= len("2026-11-20"):
        when = datetime.combine(when.date(), time.max)
    return when if when.tzinfo else when.replace(tzinfo=zone)


def undoing(tool: str, **arguments: Any) -> dict[str, Any]:
    """A call that takes another back, as a result offers it."""
    return {"tool": tool, "arguments": arguments}
