"""What every model shares: reading Lofty's JSON leniently and cleanly, writing a result without noise."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from math import isfinite
from typing import Annotated, Any, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core.core_schema import ValidationInfo

from lofty_mcp.models.clean import clean, line

LARGEST_ID = 2**63 - 1
SAFE_INTEGER = 2**53 - 1
DEEPEST = 20


class Upstream(BaseModel):
    """A record as Lofty sends it: extra fields dropped, text cleaned, a value of the wrong shape read as absent.

    Lofty's answers differ by account and by year (reference quirks 5, 10, 24, 27), so one odd field must not lose the
    record; fields that decide what may be seen are typed so that an odd value counts as the stricter one.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _lenient(cls, value: object, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        try:
            return handler(_clean_here(value))
        except (ValueError, TypeError, OverflowError):  # of pydantic's or of what it called
            return cls.model_fields[info.field_name or ""].get_default(call_default_factory=True)


class View(BaseModel):
    """A tool's result: declared fields only, each of which may be absent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def payload(self) -> dict[str, Any]:
        """The result as JSON data without nulls, empty values and unset numbers."""
        return cast("dict[str, Any]", tidy(self.model_dump(mode="json", by_alias=True)))


def _clean_here(value: Any) -> Any:
    """Clean the text of one field; nested records clean their own, free-form objects are of type `Json`."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [clean(item) if isinstance(item, str) else item for item in value]
    return value


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
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        value = int(value) if value.is_integer() and abs(value) <= SAFE_INTEGER else None
    text = str(value).strip() if isinstance(value, int | str) else ""
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
            read = datetime.fromisoformat(re.sub(r"\s*(?:GMT|UTC)$", "+00:00", str(value).strip()))
    except (ValueError, OverflowError, OSError):
        return None
    if not 1970 <= read.year <= 2200:  # not a time that anything here means, and near the ends arithmetic fails
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def iso(when: datetime | None, zone: tzinfo) -> str | None:
    """`when` as ISO 8601 with offset in `zone`, to the second."""
    return when.astimezone(zone).isoformat(timespec="seconds") if when else None


Id = Annotated[str, BeforeValidator(_id)]
"""A Lofty id as digits; zero, negative and malformed ids read as absent."""
Number = Annotated[int | float, BeforeValidator(_unset)]
"""A number of which -1 means unset (quirk 33)."""
Moment = Annotated[datetime, BeforeValidator(moment)]
Line = Annotated[str, BeforeValidator(lambda value: " ".join(value.split()) if isinstance(value, str) else value)]
"""Text on one line."""
Quantity = Annotated[int | float | Line, BeforeValidator(_unset)]
"""A number that Lofty also sends as text, with the same -1."""
Json = Annotated[dict[str, Any], BeforeValidator(lambda value: cleaned(value))]
"""A free-form object, cleaned through and through."""
