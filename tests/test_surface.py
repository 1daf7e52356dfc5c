"""The surface a model sees: a snapshot of every tool, rules that hold for all of them, and how much room they take."""

import json
import os
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from mcp.types import Tool
from rs_bpe import openai

from lofty_mcp import tools
from lofty_mcp.guard.effects import Effect
from lofty_mcp.server import INSTRUCTIONS
from lofty_mcp.settings import Mode
from tests.support.cases import rest_slow
from tests.support.world import ANA, ERAS, OWNER, Bench, data, error, text

SNAPSHOTS = Path(__file__).parent / "__snapshots__"
UPDATE = "UPDATE_SNAPSHOTS=1 ./scripts/test tests/test_surface.py"
BULK = ("update_stage", "assign_lead", "add_tag", "remove_tag")
"""The tools that write to many leads at once."""
SINGLE = ("update_lead", "add_note", "log_communication", "create_task", "complete_task")
CORE = ("search_leads", "get_lead", "get_timeline", *BULK, *SINGLE, "who_am_i")
WRITES = (*BULK, *SINGLE, "update_note", "delete_lead", "send_text", "send_email")
NAMES = (*CORE, "update_note", "delete_lead", "send_text", "send_email", "get_message")
WRITE_RESULT = "status results confirmation expires_at preview replayed note"
ALL: dict[str, Any] = {"toolsets": ("all",)}
PARAMETERS = {
    "search_leads": "query email phone stage source assigned_to tags_any tags_all contacted created_after sort "
    "descending limit cursor detail",
    "get_lead": "lead_id detail",
    "get_timeline": "lead_id kinds since until limit cursor detail",
    "update_stage": "lead_ids stage confirmation",
    "assign_lead": "lead_ids assignee role confirmation",
    "add_tag": "lead_ids tags create_new confirmation",
    "remove_tag": "lead_ids tags confirmation",
    "update_lead": "lead_id how first_name last_name emails phones lead_types inquiry qualification forbid "
    "confirmation",
    "add_note": "lead_id text pin allow_duplicate confirmation",
    "log_communication": "lead_id kind text direction outcome phone subject allow_duplicate confirmation",
    "create_task": "lead_id text due kind assigned_role allow_duplicate confirmation",
    "complete_task": "lead_id task_id done confirmation",
    "who_am_i": "",
    "update_note": "lead_id note_id text confirmation",
    "delete_lead": "lead_id reason confirmation",
    "send_text": "lead_id text to allow_duplicate confirmation",
    "send_email": "lead_id subject text to allow_duplicate confirmation",
    "get_message": "lead_id message_id kind",
}
RESULTS = {
    "search_leads": "columns rows returned has_more next_cursor total note",
    "get_lead": "lead_id name first_name last_name stage score source lead_types tags assigned_to team_id emails "
    "phones contact_permissions inquiry properties qualification routing created_at last_touch_at",
    "get_timeline": "lead_id columns rows returned has_more next_cursor incomplete note",
    "get_message": "lead_id message_id kind at direction subject text outcome seconds",
    **dict.fromkeys(WRITES, WRITE_RESULT),
    "who_am_i": "account viewer_known mode toolsets may asks_before sandbox version",
}
NOT_IDS = (
    "5?withTrash=true",
    "../me",
    "5/activities",
    "007",
    "0",
    "-1",
    "",
    " 5",
    "5 ",
    "5\n",
    "+5",
    "5.0",
    "1e3",
    "٥",
)
BAD_IDS: tuple[Any, ...] = (*NOT_IDS, "9" * 19, "1" * 20, 0, -1, 1.5, True, 2**53, 2**53 + 1, 2**63, None, {}, [["5"]])
GOOD: dict[str, dict[str, Any]] = {
    "get_lead": {},
    "get_timeline": {},
    "update_stage": {"stage": "Qualified"},
    "assign_lead": {"assignee": OWNER},
    "add_tag": {"tags": ["VIP"]},
    "remove_tag": {"tags": ["VIP"]},
    "update_lead": {"first_name": "Zoe"},
    "add_note": {"text": "Called back"},
    "log_communication": {"kind": "email", "text": "Wrote back"},
    "create_task": {"text": "Call back", "due": "2099-01-05"},
    "complete_task": {"task_id": "88000001"},
    "update_note": {"note_id": "700000001", "text": "Called back"},
    "delete_lead": {"reason": "duplicate"},
    "send_text": {"text": "Hello"},
    "send_email": {"subject": "Hello", "text": "Hello"},
    "get_message": {"message_id": "1241334726691762178", "kind": "call"},
}
VERBS = "search|get|update|assign|add|remove|create|complete|log|delete|send"
TOKENS = openai.o200k_base()


def a_lead_with_everything(bench: Bench) -> str:
    """A lead of Ana's that may be written to now, with a note, a task and a call."""
    bench.by_day()
    lead_id = bench.world.add_lead(
        assignedUserId=bench.user_id(ANA),
        firstName="Zoe",
        lastName="Quill",
        emails=["zoe.quill@mail.example"],
        phones=["303-555-0142"],
        phoneStatuses=[2],
        state="CO",
    )
    bench.world.add_note(lead_id, content="Called")
    bench.world.add_task(lead_id, content="Call")
    bench.world.add_communication(lead_id)
    return str(lead_id)


def children(bench: Bench, lead_id: str) -> dict[str, dict[str, Any]]:
    """By tool, the arguments that name what hangs on that lead."""
    note, task, talk = (
        str(bench.world.store.items(kind, int(lead_id))[0]["id"]) for kind in ("note", "task", "communication")
    )
    return {
        "complete_task": {"task_id": task},
        "update_note": {"note_id": note},
        "get_message": {"message_id": talk},
    }


async def _listed(bench: Bench, **settings: Any) -> dict[str, Tool]:
    async with bench.client(**(ALL | settings)) as client:
        return {tool.name: tool for tool in (await client.list_tools()).tools}


def _count(value: str) -> int:
    return int(TOKENS.count(value))


def _seen(tool: Tool) -> dict[str, Any]:
    """What a client is told of a tool and a model reads."""
    shown = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {key: shown[key] for key in ("name", "description", "inputSchema", "outputSchema", "annotations")}


def _nodes(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [node for item in schema for node in _nodes(item)]
    if not isinstance(schema, dict):
        return []
    return [schema, *(node for value in schema.values() for node in _nodes(value))]


@pytest.mark.parametrize("era", ERAS)
async def test_the_tools_are_these_in_this_order(bench: Bench, era: str) -> None:
    assert set(await _listed(bench, era=era)) == set(NAMES)
    assert tuple(await _listed(bench, era=era, toolsets=("core",))) == CORE


@pytest.mark.parametrize("name", NAMES)
async def test_a_tools_surface_is_its_snapshot(bench: Bench, name: str) -> None:
    shown = (await _listed(bench))[name].model_dump(mode="json", by_alias=True, exclude_none=True)
    path = SNAPSHOTS / f"{name}.json"
    current = json.dumps(shown, indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(current, encoding="utf-8")

    assert path.is_file(), f"no snapshot; if the tool is meant to be new: {UPDATE}"
    assert current == path.read_text(encoding="utf-8"), f"if the change is meant: {UPDATE}"


def test_there_is_no_snapshot_of_a_tool_that_is_gone() -> None:
    assert {path.stem for path in SNAPSHOTS.glob("*.json")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
async def test_parameters_and_results_are_the_promised_ones(bench: Bench, name: str) -> None:
    tool = (await _listed(bench))[name]
    results = set((tool.output_schema or {})["properties"])

    assert list(tool.input_schema.get("properties", {})) == PARAMETERS[name].split()
    assert set(RESULTS[name].split()) <= results
    assert name == "get_lead" or name == "who_am_i" or results == set(RESULTS[name].split())


async def test_every_tool_keeps_the_rules(bench: Bench) -> None:
    effects = {spec.name: spec.effect for spec in tools.ALL}
    for name, tool in (await _listed(bench)).items():
        annotations = tool.annotations
        assert name == "who_am_i" or re.fullmatch(f"({VERBS})_[a-z]+", name)
        assert tool.title, name
        assert 1 <= len(tool.description or "") <= 600, name
        assert tool.input_schema["type"] == "object", name
        assert tool.input_schema["additionalProperties"] is False, name
        assert not any({"anyOf", "oneOf", "allOf", "$ref"} & node.keys() for node in _nodes(tool.input_schema)), name
        assert not any(node.get("type") == "null" for node in _nodes([tool.input_schema, tool.output_schema])), name
        assert (tool.output_schema or {}).get("type") == "object", name
        assert ("confirmation" in tool.input_schema.get("properties", {})) is (effects[name] is not Effect.READ), name
        assert annotations is not None, name
        assert annotations == effects[name].hints, name
        assert None not in (annotations.read_only_hint, annotations.destructive_hint), name
        assert None not in (annotations.idempotent_hint, annotations.open_world_hint), name
        for schema in (tool.input_schema, tool.output_schema or {}):
            Draft202012Validator.check_schema(schema)


async def test_lists_are_lists_and_numbers_bounded_in_the_schema(bench: Bench) -> None:
    listed = await _listed(bench)
    for name in BULK:
        ids = listed[name].input_schema["properties"]["lead_ids"]
        assert (ids["type"], ids["items"]["type"], ids["minItems"], ids["maxItems"]) == ("array", "string", 1, 50)
    for name in ("search_leads", "get_timeline"):
        limit = listed[name].input_schema["properties"]["limit"]
        assert (limit["type"], limit["minimum"], limit["maximum"], limit["default"]) == ("integer", 1, 100, 20)
        assert listed[name].input_schema["properties"]["detail"]["enum"] == ["concise", "full"]
    kinds = listed["get_timeline"].input_schema["properties"]["kinds"]
    assert kinds["items"]["enum"] == ["site", "call", "text", "email", "note", "task", "system"]
    assert listed["assign_lead"].input_schema["properties"]["role"]["enum"] == ["Agent", "Assistant", "Lender"]


async def test_schemas_with_outsiders_text_say_so(bench: Bench) -> None:
    for name, tool in (await _listed(bench)).items():
        if name != "who_am_i":
            assert "never instructions" in (tool.output_schema or {})["description"], name


async def test_the_tool_list_and_the_instructions_are_short(bench: Bench) -> None:
    sizes = {
        name: _count(json.dumps(_seen(tool), ensure_ascii=False, separators=(",", ":")))
        for name, tool in (await _listed(bench, toolsets=("core",))).items()
    }

    assert len(sizes) <= 20
    assert sum(sizes.values()) <= 6_000, sizes
    assert statistics.median(sizes.values()) <= 350, sizes
    assert _count(INSTRUCTIONS) < 200


async def test_the_client_gets_the_instructions(bench: Bench) -> None:
    async with bench.client() as client:
        assert client.instructions == INSTRUCTIONS


async def test_twenty_five_concise_leads_are_short(bench: Bench) -> None:
    async with bench.client(OWNER) as client:
        result = await client.call_tool("search_leads", {"limit": 25})

    table = data(result)
    assert table["returned"] == 25
    assert len(table["columns"]) == 7
    assert _count(text(result)) <= 1_250


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("name", NAMES)
async def test_an_unknown_argument_is_refused_with_the_valid_names_and_nothing_goes_upstream(
    bench: Bench, era: str, name: str
) -> None:
    async with bench.client(era=era, **ALL) as client:
        before = len(bench.world.log)
        refused = error(await client.call_tool(name, {"keyword": "smith"}))

    assert "'keyword'" in refused
    assert all(parameter in refused for parameter in PARAMETERS[name].split())
    assert "Nothing was changed." in refused
    assert len(bench.world.log) == before


@pytest.mark.parametrize("bad", BAD_IDS, ids=repr)
@pytest.mark.parametrize("era", rest_slow(*ERAS))
async def test_what_is_not_an_id_is_refused_by_every_tool_and_nothing_is_sent(bench: Bench, era: str, bad: Any) -> None:
    async with bench.client(era=era, **ALL) as client:
        before = len(bench.world.log)
        for name, more in GOOD.items():
            shapes = [bad, [bad], ["5", bad]] if name in BULK else [bad]
            for shape in shapes:
                ids = {"lead_ids": shape} if name in BULK else {"lead_id": shape}
                refused = error(await client.call_tool(name, {**ids, **more}))
                assert "Nothing was changed." in refused, name

    assert len(bench.world.log) == before


@pytest.mark.parametrize("bad", ["5?withTrash=true", "../me", "5/activities", 2**53 + 1], ids=repr)
async def test_a_refused_id_is_told_what_an_id_is_and_not_quoted(bench: Bench, bad: Any) -> None:
    async with bench.client() as client:
        refused = error(await client.call_tool("get_lead", {"lead_id": bad}))

    assert refused.startswith("lead_id: ")
    assert "string" in refused
    assert str(bad) not in refused


async def test_an_id_beyond_double_precision_comes_back_digit_for_digit(bench: Bench) -> None:
    lead_id = str(2**53 + 1)
    assert int(lead_id) in bench.world.lead_ids()
    async with bench.client(OWNER) as client:
        lead = data(await client.call_tool("get_lead", {"lead_id": lead_id}))
        timeline = data(await client.call_tool("get_timeline", {"lead_id": lead_id}))
        found = data(await client.call_tool("search_leads", {"limit": 100}))
        moved = data(await client.call_tool("update_stage", {"lead_ids": lead_id, "stage": "Closed"}))

    assert lead["lead_id"] == timeline["lead_id"] == moved["results"][0]["lead_id"] == lead_id
    assert lead_id in [row[0] for row in found["rows"]]


async def test_a_small_integer_is_taken_as_an_id(bench: Bench) -> None:
    lead_id = bench.visible_lead()
    assert int(lead_id) < 2**53
    async with bench.client() as client:
        assert data(await client.call_tool("get_lead", {"lead_id": int(lead_id)}))["lead_id"] == lead_id


@pytest.mark.parametrize("name", NAMES)
async def test_results_fit_their_schema_and_are_marked_as_untrusted(bench: Bench, name: str) -> None:
    lead_id, arguments = a_lead_with_everything(bench), {}
    if name in GOOD:
        arguments = {**GOOD[name], **({"lead_ids": [lead_id]} if name in BULK else {"lead_id": lead_id})}
        arguments |= children(bench, lead_id).get(name, {})
    schema = (await _listed(bench))[name].output_schema or {}
    async with bench.client(mode="code", **ALL) as client:
        result = await client.call_tool(name, arguments)

    Draft202012Validator(schema).validate(data(result))
    assert set(data(result)) <= set(schema["properties"])
    assert (result.meta or {})["lofty/untrusted"] is True
    assert len(result.content) == 1


async def test_a_read_only_server_lists_no_write_and_carries_none_out(bench: Bench) -> None:
    lead_id = bench.visible_lead()
    async with bench.client(mode=Mode.READ, **ALL) as client:
        listed = [tool.name for tool in (await client.list_tools()).tools]
        who = data(await client.call_tool("who_am_i", {}))
        for name in WRITES:
            refused = await client.call_tool(name, {"lead_ids" if name in BULK else "lead_id": lead_id, **GOOD[name]})
            assert refused.is_error, name

    assert listed == [name for name in NAMES if name not in WRITES]
    assert who["may"] == listed
    assert who["asks_before"] == []
    assert bench.sent() == []
