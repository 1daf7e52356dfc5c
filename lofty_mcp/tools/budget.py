"""Keeping results short enough to read, and saying what was left out. Pure."""

import json
from collections.abc import Sequence
from typing import Any

from lofty_mcp.models.leads import Lead

CELL_CHARACTERS = 280
_LISTS = (
    ("properties", 3),
    ("family", 3),
    ("custom_fields", 20),
    ("tags", 30),
    ("segments", 10),
    ("emails", 10),
    ("phones", 10),
)
_CUTS = ((1, 0, 0), (1, 120, 50), (3, 60, 5))
"""Harder and harder: the share of `_LISTS` that is kept, the longest text, the longest other list."""
_DISPENSABLE = ("custom_fields", "family", "properties", "qualification", "segments", "routing", "inquiry", "tags")
LEFT_OUT_TOKENS = 130
"""Room for saying what was left out."""


def tokens(value: Any) -> int:
    """About how many tokens JSON data takes, rather too many than too few."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    ascii_characters = len(text.encode("ascii", "ignore"))
    return int(ascii_characters / 2.6 + (len(text) - ascii_characters) * 1.3) + 1


def shorten(text: str, characters: int = CELL_CHARACTERS) -> str:
    """`text`, cut with a note of how much is missing."""
    return text if len(text) <= characters else f"{text[:characters]}… (+{len(text) - characters} characters)"


def rows_that_fit(rows: Sequence[Sequence[Any]], budget: int) -> int:
    """How many of the first rows fit into `budget` tokens; at least one."""
    left, count = budget - 150, 0
    for row in rows:
        left -= tokens(row)
        if left < 0 and count:
            break
        count += 1
    return count


def fit_lead(lead: Lead, budget: int) -> Lead:
    """`lead` within `budget` tokens; `left_out` names what was dropped."""
    whole = lead.payload()
    if tokens(whole) <= budget:
        return lead
    data, room, shortened = dict(whole), budget - LEFT_OUT_TOKENS, False
    for share, longest, most in _CUTS:
        if longest and tokens(data) > room:
            data, shortened = _cut(data, longest, most), True
        for name, keep in _LISTS:
            if tokens(data) > room and name in data:
                data[name] = _first(data[name], keep // share)
    for name in _DISPENSABLE:
        if tokens(data) > room:
            data.pop(name, None)
    return Lead.model_validate(data | {"left_out": _left_out(whole, data, shortened=shortened)})


def _left_out(whole: dict[str, Any], data: dict[str, Any], *, shortened: bool) -> dict[str, str]:
    told = {}
    for name, _ in _LISTS:
        had, has = len(whole.get(name, ())), len(data.get(name, ()))
        if has < had:
            told[name] = f"{had - has} of {had}"
    told |= {name: "all" for name in whole.keys() - data.keys() - told.keys()}
    if shortened:
        told["text"] = "the ends of long texts and inner lists"
    return told | {"how": "the operator can raise LOFTY_MCP_RESULT_TOKENS"}


def _first(value: Any, count: int) -> Any:
    return dict(list(value.items())[:count]) if isinstance(value, dict) else value[:count]


def _cut(value: Any, longest: int, most: int) -> Any:
    if isinstance(value, str):
        return shorten(value, longest)
    if isinstance(value, list):
        return [_cut(item, longest, most) for item in value[:most]]
    if isinstance(value, dict):
        return {key: _cut(item, longest, most) for key, item in value.items()}
    return value
