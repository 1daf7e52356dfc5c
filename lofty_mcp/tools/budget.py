"""Keeping results short enough to read, and saying what was left out. Pure."""

import json
from collections.abc import Sequence
from typing import Any

from lofty_mcp.models.leads import Lead
from lofty_mcp.models.results import RowResult, WriteResult

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
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str)
LEFT_OUT_TOKENS = 130
"""Room for saying what was left out."""


def tokens(value: Any) -> int:
    """About how many tokens JSON data takes, rather too many than too few."""
    text = _COMPACT.encode(value)
    ascii_characters = len(text) if text.isascii() else len(text.encode("ascii", "ignore"))
    return int(ascii_characters / 2.6 + (len(text) - ascii_characters) * 1.3) + 1


def shorten(text: str, characters: int = CELL_CHARACTERS) -> str:
    """`text`, cut with a note of how much is missing."""
    return text if len(text) <= characters else f"{text[:characters]}… (+{len(text) - characters} characters)"


def rows_that_fit(rows: Sequence[list[Any]], budget: int) -> list[list[Any]]:
    """The first rows, as many as fit into `budget` tokens; at least one, its texts cut if it must be."""
    room, kept = budget - 150, list[list[Any]]()
    for row in rows:
        if not kept:
            row = _fit_row(row, room)
        room -= tokens(row)
        if room < 0 and kept:
            break
        kept.append(row)
    return kept


def _fit_row(row: list[Any], room: int) -> list[Any]:
    for longest, most in ((2_000, 50), (1_000, 20), (500, 10), (200, 5), (50, 2)):
        if tokens(row) <= room:
            break
        row = [_cut(cell, longest, most) for cell in row]
    return row


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


def fit_write(result: WriteResult, budget: int) -> WriteResult:
    """`result` nearer to `budget` tokens: every lead keeps its outcome, and what changed stays before what did not."""
    for most in (10, 2):
        if tokens(result.payload()) <= budget:
            return result
        result = result.model_copy(update={"results": [_fewer(row, most) for row in result.results]})
    if tokens(result.payload()) <= budget:
        return result
    bare = [row.model_copy(update={"before": None, "after": None}) for row in result.results]
    note = f"{result.note or ''} Cut to fit: the values before and after are left out.".strip()
    return result.model_copy(update={"results": bare, "note": note})


def _fewer(row: RowResult, most: int) -> RowResult:
    """`row` without most of what its lists have in common before and after."""
    before, after = dict(row.before or {}), dict(row.after or {})
    for name, had in before.items():
        has = after.get(name, had)
        common = [item for item in had if item in has] if isinstance(had, list) and isinstance(has, list) else []
        if dropped := common[most:]:
            told = f"… (+{len(dropped)} that stay)"
            before[name] = [*(item for item in had if item not in dropped), told]
            if name in after:
                after[name] = [*(item for item in has if item not in dropped), told]
    return row.model_copy(update={"before": before or None, "after": after or None})


def _left_out(whole: dict[str, Any], data: dict[str, Any], *, shortened: bool) -> dict[str, str]:
    told = {}
    for name, _ in _LISTS:
        had, has = len(whole.get(name, ())), len(data.get(name, ()))
        if has < had:
            told[name] = f"{had - has} of {had}"
    told |= dict.fromkeys([name for name in whole if name not in data and name not in told], "all")
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
