"""What every model shares: reading Lofty's JSON leniently and cleanly, writing a result without noise."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from math import isfinite
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, StringConstraints
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from lofty_mcp.models.clean import PLAIN_LINE, clean, line

LARGEST_ID = 2**63 - 1
SAFE_INTEGER = 2**53 - 1
DEEPEST = 20
LAST_YEAR = 2200


class Upstream(BaseModel):
    """A record as Lofty sends it: extra fields dropped, text cleaned, a value of the wrong shape read as absent.

    Lofty's answers differ by account and by year (reference quirks 5, 10, 24, 27), so one odd field must not lose the
    record; fields that decide what may be seen are typed so that an odd value counts as the stricter one.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let every field fall back to its default, within pydantic's own loop: records come by the hundred."""
        schema: Any = handler(source)
        for field in schema["schema"]["fields"].values() if cls.model_fields else ():
            field["schema"]["on_error"] = "default"
        return cast("CoreSchema", schema)


class View(BaseModel):
    """A tool's result: declared fields only, each of which may be absent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def payload(self) -> dict[str, Any]:
        """The result as JSON data without nulls, empty values and unset numbers."""
        return cast("dict[str, Any]", tidy(self.model_dump(mode="json", by_alias=True)))


def cleaned(value: Any, depth: int = 0) -> Any:
    """`value` with every string in it cleaned, keys included; what lies deeper than anything sensible is dropped."""
    if depth > DEEPEST:
        return None
    match value:
        case str():
            return clean(value)
        case list():
            return [cleaned(item, depth + 1) for item in value]
        case Mapping():
            return {line(str(key)): cleaned(item, depth + 1) for key, item in value.items()}
        case _:
            return value


def compact(data: Any) -> str:
    """JSON data as short text."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def tidy(value: Any) -> Any:
    """`value` without nulls, empty strings, lists and objects; table rows keep their places."""
    if isinstance(value, dict):
        kept = {key: item if key == "rows" else tidy(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if key in _KEPT or item not in (None, "", [], {})}
    if isinstance(value, list):
        return [tidy(item) for item in value if item not in (None, "", [], {})]
    return value


_KEPT = ("rows", "results", "asks_before")
"""Lists that say something by being empty."""


def _id(value: object) -> str | None:
    if type(value) is int:
        return str(value) if 0 < value <= LARGEST_ID else None
    if isinstance(value, float):
        whole = value.is_integer() and 0 < value <= SAFE_INTEGER
        return str(int(value)) if whole else None
    text = value.strip() if isinstance(value, str) else ""
    return text if re.fullmatch(r"[1-9][0-9]{0,18}", text) and int(text) <= LARGEST_ID else None


def _unset(value: object) -> object:
    if isinstance(value, float) and not isfinite(value):
        return None
    return None if isinstance(value, bool) or value in (-1, "-1", -1.0, "") else value


def moment(value: object) -> datetime | None:
    """Lofty's times, all of them: ISO 8601, `…GMT`, `yyyy-MM-dd HH:mm:ss` in UTC, epoch milliseconds; else None."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        if isinstance(value, int | float) or (isinstance(value, str) and re.fullmatch(r"\d{12,14}", value)):
            number = float(value)
            if number <= 0:
                return None
            read = datetime.fromtimestamp(number / 1000, UTC)
        else:
            text = str(value).strip()
            text = f"{text[:-3].rstrip()}+00:00" if text.endswith(("GMT", "UTC")) else text
            read = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    if not 1970 <= read.year <= LAST_YEAR:  # not a time that anything here means, and near the ends arithmetic fails
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def iso(when: datetime | None, zone: tzinfo) -> str | None:
    """`when` as ISO 8601 with offset in `zone`, to the second."""
    return when.astimezone(zone).isoformat(timespec="seconds") if when else None


def _each(clean_one: Callable[[str], str]) -> BeforeValidator:
    """Clean what is text, and leave what is not to be found odd."""
    return BeforeValidator(lambda value: clean_one(value) if isinstance(value, str) else value)


Id = Annotated[str | None, BeforeValidator(_id)]
"""A Lofty id as digits; zero, negative and malformed ids read as absent."""
Number = Annotated[int | float | None, BeforeValidator(_unset)]
"""A number of which -1 means unset (quirk 33)."""
Moment = Annotated[datetime | None, BeforeValidator(moment)]
_Plain = Annotated[str, StringConstraints(strict=True, max_length=200, pattern=PLAIN_LINE)]
Line = Annotated[_Plain | Annotated[str, _each(line)], Field(union_mode="left_to_right")]
"""Text on one line; what has nothing to clean, which is most of it, does not leave pydantic's own loop."""
Prose = Annotated[str, _each(clean)]
"""Text that may have several lines."""
Quantity = Annotated[int | float | Line | None, BeforeValidator(_unset)]
"""A number that Lofty also sends as text, with the same -1."""
Json = Annotated[dict[str, Any], BeforeValidator(lambda value: cleaned(value))]
"""A free-form object, cleaned through and through."""
