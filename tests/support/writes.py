"""Calls of every tool that writes, made from its schema, so that a tool added later is tried without a word here."""

import json
from collections.abc import Iterator
from typing import Any

from lofty_mcp.guard.effects import Effect
from lofty_mcp.sandbox import World
from lofty_mcp.tools import ALL
from tests.support.world import ANA, MARK, OWNER

SPECS = {spec.name: spec for spec in ALL if spec.effect is not Effect.READ}
WRITES: dict[str, dict[str, Any]] = {name: spec.build().parameters for name, spec in SPECS.items()}
"""The schema of each tool that writes."""
NAME = "Zoe Quill"

Values = dict[str, tuple[Any, Any]]
COMMON: Values = {
    "assignee": (MARK, OWNER),
    "due": ("2099-01-05", "2099-01-06"),
    "emails": (["zoe@mail.example"], ["quill@mail.example"]),
    "inquiry": ({"price_min": 100_000}, {"price_min": 200_000}),
    "phones": (["303-555-0143"], ["303-555-0144"]),
    "phone": ("303-555-0143", "303-555-0144"),
    "qualification": ({"mortgage": "Yes"}, {"mortgage": "No"}),
    "stage": ("Qualified", "Contacted"),
}
"""By argument, two values that both mean something; any two of its type will do for what is not named."""
OWN: dict[str, Values] = {
    "add_tag": {"tags": (["Never Heard Of"], ["VIP"]), "create_new": (True, False)},
    "remove_tag": {"tags": (["On It"], ["On It Too"])},
    "update_lead": {"first_name": ("Zora", "Zelda")},
}
"""What one tool needs for a call that has something to do, optional as it may be."""
PERMITS = {"allow_duplicate", "create_new", "confirmation"}
"""Arguments that are no part of the act, and only say that it may be done."""


def a_lead(world: World, owner: str = ANA) -> str:
    """A lead that may be written to, with notes, tasks and tags, to which every tool has something to do."""
    member = world.member(owner)
    assert member is not None
    first, last = NAME.split()
    lead_id = world.add_lead(
        assignedUserId=member.user_id,
        firstName=first,
        lastName=last,
        emails=["zoe.quill@mail.example", "zoe@quill.example"],
        phones=["303-555-0141", "303-555-0142"],
        phoneStatuses=[2, 2],
        state="CO",
        tags=["On It", "On It Too"],
    )
    for text in ("first", "second"):
        world.add_note(lead_id, content=text)
        world.add_task(lead_id, content=text)
    return str(lead_id)


def children(world: World, kind: str, lead_id: str) -> tuple[str, str]:
    """The ids of the two notes or tasks of such a lead."""
    one, two = (str(row["id"]) for row in world.store.items(kind, int(lead_id))[:2])
    return one, two


def a_call(world: World, tool: str, lead_id: str) -> dict[str, Any]:
    """Arguments with which `tool` has something to do to such a lead."""
    schema = WRITES[tool]
    given = [name for name in schema["properties"] if name in (*schema.get("required", ()), *OWN.get(tool, ()))]
    return {name: _values(world, tool, name, lead_id)[0] for name in given} | _lead(tool, lead_id)


def changed_calls(world: World, tool: str, lead_id: str, other_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Such arguments with one of them changed or added, and which."""
    call = a_call(world, tool, lead_id)
    for name, schema in WRITES[tool]["properties"].items():
        if name in _lead(tool, lead_id):
            yield name, {**call, **_lead(tool, other_id)}
        elif name not in PERMITS:
            as_it_is = call.get(name, schema.get("default"))
            other = next(value for value in reversed(_values(world, tool, name, lead_id)) if value != as_it_is)
            yield name, {**call, name: other}


def _lead(tool: str, lead_id: str) -> dict[str, Any]:
    return {"lead_ids": [lead_id]} if "lead_ids" in WRITES[tool]["properties"] else {"lead_id": lead_id}


def _values(world: World, tool: str, name: str, lead_id: str) -> tuple[Any, Any]:
    if name in ("note_id", "task_id"):
        return children(world, name.removesuffix("_id"), lead_id)
    if name == "to":
        return _addresses(world, tool, lead_id)
    named = COMMON | OWN.get(tool, {})
    return named[name] if name in named else _of_type(WRITES[tool]["properties"][name])


def _addresses(world: World, tool: str, lead_id: str) -> tuple[Any, Any]:
    lead = world.lead(int(lead_id))
    one, two = lead["phones" if tool == "send_text" else "emails"]
    return one, two


def _of_type(schema: dict[str, Any]) -> tuple[Any, Any]:
    match schema:
        case {"enum": [one, *_, other]}:
            return one, other
        case {"type": "array", "items": items}:
            one, other = _of_type(items)
            return [one], [other]
        case {"type": "boolean"}:
            return True, False
        case {"type": "string"}:
            return "one", "another"
    raise AssertionError(f"name two values for {json.dumps(schema)}")
