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
    data, left_out = lead.model_dump(), {}
    for name, keep in _LISTS:
        if tokens(data) <= budget:
            break
        value = data.get(name)
        if value and len(value) > keep:
            left_out[name] = f"{len(value) - keep} of {len(value)}"
            data[name] = dict(list(value.items())[:keep]) if isinstance(value, dict) else value[:keep]
    if tokens(data) > budget:
        data = _cut_strings(data, 120)
        left_out["text"] = "the ends of long texts"
    if not left_out:
        return lead
    left_out["how"] = "the operator can raise LOFTY_MCP_RESULT_TOKENS"
    return Lead.model_validate(data | {"left_out": left_out})


def _cut_strings(value: Any, characters: int) -> Any:
    if isinstance(value, str):
        return shorten(value, characters)
    if isinstance(value, list):
        return [_cut_strings(item, characters) for item in value[:50]]
    if isinstance(value, dict):
        return {key: _cut_strings(item, characters) for key, item in list(value.items())[:80]}
    return value
