"""Calls of every tool that writes, made from its schema, so that a tool added later is tried without a word here."""

from collections.abc import Iterator
from typing import Any

from lofty_mcp.guard.effects import Effect
from lofty_mcp.tools import ALL
from tests.support.world import MARK, OWNER

WRITES: dict[str, dict[str, Any]] = {
    spec.name: spec.build().parameters["properties"] for spec in ALL if spec.effect is not Effect.READ
}
"""The arguments of each tool that writes, as its schema has them."""

VALUES: dict[str, tuple[Any, Any]] = {
    "assignee": (MARK, OWNER),
    "create_new": (True, False),
    "role": ("Agent", "Assistant"),
    "stage": ("Qualified", "Contacted"),
    "tags": (["Never Heard Of"], ["VIP"]),
}
"""By argument, two values that both mean something here; any others will do for what is not named."""
BY_TYPE: dict[str, tuple[Any, Any]] = {"boolean": (False, True), "integer": (1, 2), "string": ("one", "another")}


def _values(name: str, schema: dict[str, Any]) -> tuple[Any, Any]:
    if name in VALUES:
        return VALUES[name]
    if schema["type"] == "array":
        one, other = _values(name, schema["items"])
        return [one], [other]
    return tuple(schema["enum"][:2]) if "enum" in schema else BY_TYPE[schema["type"]]


def a_call(tool: str, lead_id: str) -> dict[str, Any]:
    """Arguments with which `tool` has something to do to a lead that is new."""
    given = {name: _values(name, schema)[0] for name, schema in WRITES[tool].items() if name != "confirmation"}
    return given | _the_lead(tool, lead_id)


def changed_calls(tool: str, lead_id: str, other_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Such arguments with one of them changed, and which."""
    call = a_call(tool, lead_id)
    yield from ((name, {**call, name: value}) for name, value in _the_lead(tool, other_id).items())
    for name, schema in WRITES[tool].items():
        if name not in ("confirmation", *_the_lead(tool, lead_id)):
            yield name, {**call, name: _values(name, schema)[1]}


def _the_lead(tool: str, lead_id: str) -> dict[str, Any]:
    return {"lead_ids": [lead_id]} if "lead_ids" in WRITES[tool] else {"lead_id": lead_id}
