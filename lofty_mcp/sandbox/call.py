"""What a handler gets: one authenticated request, with its parameters read the way Lofty reads them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lofty_mcp.sandbox.people import Member
from lofty_mcp.sandbox.refusals import business, invalid
from lofty_mcp.sandbox.world import World

EMPTY = object()
INT64 = 2**63 - 1


@dataclass(frozen=True)
class Call:
    """One authenticated request: who calls, path parameters, query (all values of each name), headers, JSON body."""

    world: World
    member: Member
    path: Mapping[str, str]
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any

    def path_id(self, name: str) -> int:
        """A path parameter as int64, else 400."""
        return _int64(self.path[name], 1)

    def text(self, name: str) -> str | None:
        """The first value of a query name; a blank value counts as absent."""
        return next((value for value in self.query.get(name, []) if value), None)

    def integer(self, name: str, default: int | None = None, *, low: int = -(2**63)) -> int | None:
        """A query value as int64, else 400."""
        value = self.text(name)
        return default if value is None else _int64(value, low)

    def flag(self, name: str) -> bool | None:
        """A query value as a boolean, else 400."""
        value = self.text(name)
        if value is None:
            return None
        if value.lower() not in {"true", "false"}:
            raise invalid()
        return value.lower() == "true"

    def page(self, size: str, default: int, most: int, start: str = "offset") -> tuple[int, int]:
        """`(start, size)` of a page; a size outside 1..most is 400 20042."""
        length = self.integer(size, default) or 0
        if not 1 <= length <= most:
            raise business(400, 20042, f"Limit must be between 1 and {most}")
        first = self.integer(start, 0) or 0
        if first < 0:
            raise invalid()
        return first, length


def _int64(text: str, low: int) -> int:
    if not re.fullmatch(r"-?[0-9]{1,19}", text) or not low <= int(text) <= INT64:
        raise invalid()
    return int(text)


def as_text(value: Any) -> str:
    """A string of a body, else 400; half a surrogate pair is not text."""
    if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise invalid()
    return value


def as_flag(value: Any) -> bool:
    """A boolean of a body, else 400."""
    if not isinstance(value, bool):
        raise invalid()
    return value


def as_number(value: Any) -> int:
    """An int64 of a body, else 400."""
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > INT64:
        raise invalid()
    return value


def as_list(value: Any) -> list[Any]:
    """An array of a body, else 400."""
    if not isinstance(value, list):
        raise invalid()
    return value


def as_object(value: Any) -> dict[str, Any]:
    """An object of a body, else 400."""
    if not isinstance(value, dict):
        raise invalid()
    return value
