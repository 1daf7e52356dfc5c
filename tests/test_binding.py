"""What a yes is bound to: change any one thing that it was given for, and nothing is written."""

import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, ElicitResult, InputRequiredResult, InputResponses

from lofty_mcp.sandbox.records import LEAD_DATA
from lofty_mcp.sandbox.store import LEAD_COLUMNS
from tests.support import writes
from tests.support.world import ANA, ERAS, OWNER, Bench, Person, data
from tests.support.writes import NAME, WRITES, changed_calls, children

QUICK = ("update_stage", "add_note", "send_text")
"""A change, a creation and a message; the other tools take long together."""
EACH = pytest.mark.parametrize(
    "tool", [pytest.param(tool, marks=[pytest.mark.slow] * (tool not in QUICK)) for tool in WRITES]
)
QUESTIONS: dict[str, Any] = {"ask_from": "add", "toolsets": ("all",), "sends": "on", "sends_per_day": 1000}
"""Settings under which every write is there, and asked about."""
CODES = QUESTIONS | {"mode": "code"}
"""The same, in two steps."""
YES = {"ok": True, "name": NAME}
FIELDS = sorted({*LEAD_COLUMNS, *LEAD_DATA, "tags", "note", "task"} - {"leadId", "search", "data"})
"""Everything that somebody else can change in a record."""
WHO_SEES = {"assignedUserId", "hiddenFlag", "privateFlag", "trashed"}
SOME_FIELDS = [*sorted(WHO_SEES), "firstName", "stage", "tags", "note", "task", "score", "lastVisit"]
TICKED = ElicitResult(action="accept", content=YES)


def a_lead(bench: Bench) -> str:
    """A lead to which every tool has something to do, at a time of day at which it may be."""
    bench.by_day()
    return writes.a_lead(bench.world)


def a_call(bench: Bench, tool: str, lead_id: str) -> dict[str, Any]:
    """Arguments with which it has."""
    return writes.a_call(bench.world, tool, lead_id)


def change(bench: Bench, lead_id: str, field: str) -> None:
    """Somebody else changes one field of the record, or the text of what hangs on it."""
    if field in ("note", "task"):
        item = bench.world.store.item(field, int(children(bench.world, field, lead_id)[0]))
        assert item is not None
        bench.world.store.update_item(field, item["id"], {**json.loads(item["data"]), "content": "another"})
        return
    now = bench.world.lead(int(lead_id)).get(field)
    other: Any = {
        "assignedUserId": bench.user_id(OWNER),
        "stage": "Attempted",
        "tags": ["Lakeside"],
        "phoneStatuses": [2],
        "opportunity": "Back to Site",
        "ownershipScope": "PERSONAL",
    }.get(field)
    if other is None:
        match now:
            case bool():
                other = not now
            case str():
                other = f"{now}x" if not field.endswith(("Time", "Touch", "Visit")) else datetime.now().astimezone()
            case None | int():
                other = (now or 0) + 1
            case list():
                other = [*now, *([3] if field == "leadTypes" else ["a"] if field == "segments" else [])]
            case _:
                other = {**now, "priceMin": 5}
    bench.world.update_lead(int(lead_id), **{field: other})


async def _asked(client: Client, tool: str, call: dict[str, Any]) -> InputRequiredResult:
    asked = await client.session.call_tool(tool, call, allow_input_required=True)
    assert isinstance(asked, InputRequiredResult)
    return asked


async def _answer(
    client: Client, tool: str, call: dict[str, Any], asked: InputRequiredResult, state: str | None
) -> CallToolResult | InputRequiredResult:
    answers: InputResponses = dict.fromkeys(asked.input_requests or {}, TICKED)
    return await client.session.call_tool(
        tool, call, input_responses=answers, request_state=state, allow_input_required=True
    )


# Codes


@EACH
async def test_a_code_is_worth_nothing_with_any_one_argument_changed(bench: Bench, tool: str) -> None:
    lead_id, other_id = a_lead(bench), a_lead(bench)
    call = a_call(bench, tool, lead_id)
    async with bench.client(**CODES) as client:
        code = data(await client.call_tool(tool, call))["confirmation"]
        for name, changed in changed_calls(bench.world, tool, lead_id, other_id):
            result = await client.call_tool(tool, {**changed, "confirmation": code})
            assert bench.sent() == [], f"{name} is not bound"
            assert result.is_error or data(result).get("confirmation") != code
        done = data(await client.call_tool(tool, {**call, "confirmation": code}))

    assert done["results"][0]["outcome"] == "applied", "the code itself was good all the while"
    assert len(bench.sent()) == 1


@EACH
async def test_a_code_is_worth_nothing_for_more_leads_or_another_tool(bench: Bench, tool: str) -> None:
    lead_id, other_id = a_lead(bench), a_lead(bench)
    async with bench.client(**CODES) as client:
        code = data(await client.call_tool(tool, a_call(bench, tool, lead_id)))["confirmation"]
        calls = [(other, a_call(bench, other, lead_id)) for other in WRITES if other != tool]
        if "lead_ids" in WRITES[tool]["properties"]:
            calls.append((tool, a_call(bench, tool, lead_id) | {"lead_ids": [lead_id, other_id]}))
        for other, call in calls:
            result = data(await client.call_tool(other, {**call, "confirmation": code}))
            assert result["confirmation"] != code

    assert bench.sent() == []


@EACH
async def test_a_code_is_worth_nothing_for_somebody_else_or_too_late(bench: Bench, tool: str) -> None:
    call = a_call(bench, tool, a_lead(bench))
    async with bench.client(**CODES) as ana, bench.client(OWNER, **CODES) as owner:
        code = data(await ana.call_tool(tool, call))["confirmation"]
        foreign = data(await owner.call_tool(tool, {**call, "confirmation": code}))
        bench.later += 15 * 60 + 1
        late = data(await ana.call_tool(tool, {**call, "confirmation": code}))

    assert foreign["status"] == late["status"] == "confirmation_required"
    assert bench.sent() == []


@EACH
@pytest.mark.parametrize("fields", [SOME_FIELDS, pytest.param(FIELDS, marks=pytest.mark.slow)], ids=["some", "all"])
async def test_a_code_is_bound_to_what_was_shown_and_to_who_sees_the_lead_and_to_nothing_else(
    bench: Bench, tool: str, fields: list[str]
) -> None:
    bound, shown = set(), set(WHO_SEES)
    async with bench.client(**CODES) as client:
        for field in fields:
            lead_id = a_lead(bench)
            call = a_call(bench, tool, lead_id)
            first = data(await client.call_tool(tool, call))
            change(bench, lead_id, field)
            again = await client.call_tool(tool, call)
            if again.is_error or any(first[key] != data(again).get(key) for key in ("preview", "results")):
                shown.add(field)
            before = len(bench.sent())
            await client.call_tool(tool, {**call, "confirmation": first["confirmation"]})
            if len(bench.sent()) == before:
                bound.add(field)

    assert bound == shown
    assert {"firstName", "assignedUserId"} <= shown
    assert not shown & {"score", "lastVisit", "lastUpdateTime"}, "what changes by itself binds nothing"


@EACH
async def test_a_code_is_worth_nothing_once_its_act_was_done_otherwise_and_undone(bench: Bench, tool: str) -> None:
    lead_id = a_lead(bench)
    call = a_call(bench, tool, lead_id)
    before = bench.world.lead(int(lead_id))
    async with bench.client(**CODES) as client:
        old = data(await client.call_tool(tool, call))["confirmation"]
        bench.world.update_lead(int(lead_id), firstName="Zoë")
        new = data(await client.call_tool(tool, call))["confirmation"]
        data(await client.call_tool(tool, {**call, "confirmation": new}))
        put_back = {name: before[name] for name in ("firstName", "stage", "assignedUserId", "trashed")}
        bench.world.update_lead(int(lead_id), tags=["On It", "On It Too"], **put_back)
        sent = len(bench.sent())
        await client.call_tool(tool, {**call, "confirmation": old})

    assert len(bench.sent()) == sent == 1


# Questions of the 2026 era


@EACH
async def test_an_answer_counts_once_however_often_it_is_sent(bench: Bench, tool: str) -> None:
    call = a_call(bench, tool, a_lead(bench))
    outcomes: list[str] = []
    async with bench.client(person=Person(content=YES), **QUESTIONS) as client:
        asked = await _asked(client, tool, call)

        async def answer() -> None:
            result = await _answer(client, tool, call, asked, asked.request_state)
            if isinstance(result, CallToolResult) and not result.is_error:
                outcomes.append(data(result)["results"][0]["outcome"])

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(answer)
        await answer()

    assert "applied" in outcomes
    assert set(outcomes) <= {"applied", "no_change"}
    assert len(bench.sent()) == 1


ALTERED: dict[str, Callable[[str], str | None]] = {
    "missing": lambda _: None,
    "empty": lambda _: "",
    "first character": lambda state: ("A" if state[0] != "A" else "B") + state[1:],
    "in the middle": lambda state: state[: len(state) // 2] + state[len(state) // 2 + 1 :],
    "cut": lambda state: state[: len(state) // 2],
    "last character": lambda state: state[:-4] + ("AAAA" if state[-4:] != "AAAA" else "BBBB"),
    "made up": lambda _: '{"v": 1, "outcomes": {}}',
}


@EACH
async def test_an_answer_with_a_state_that_is_not_as_it_was_given_writes_nothing(bench: Bench, tool: str) -> None:
    call = a_call(bench, tool, a_lead(bench))
    async with bench.client(person=Person(content=YES), **QUESTIONS) as client:
        asked = await _asked(client, tool, call)
        for name, alter in ALTERED.items():
            await _refused(lambda state: _answer(client, tool, call, asked, state), alter(asked.request_state or ""))
            assert bench.sent() == [], name
        await _answer(client, tool, call, asked, asked.request_state)

    assert len(bench.sent()) == 1, "the state itself was good all the while"


async def _refused(answer: Callable[[str | None], Awaitable[Any]], state: str | None) -> None:
    """The answer is turned away, or is asked for again."""
    try:
        result = await answer(state)
    except MCPError as error:
        assert "requestState" in str(error)  # noqa: PT017 - either way of saying no will do
    else:
        assert isinstance(result, InputRequiredResult) or result.is_error or not _applied(result), result


def _applied(result: CallToolResult) -> bool:
    return any(row["outcome"] == "applied" for row in data(result)["results"])


@EACH
async def test_an_answer_to_another_call_writes_nothing(bench: Bench, tool: str) -> None:
    lead_id, other_id = a_lead(bench), a_lead(bench)
    call = a_call(bench, tool, lead_id)
    async with bench.client(person=Person(content=YES), **QUESTIONS) as client:
        asked = await _asked(client, tool, call)
        others = [(tool, changed) for _, changed in changed_calls(bench.world, tool, lead_id, other_id)]
        for other, changed in (*others, *((other, a_call(bench, other, lead_id)) for other in WRITES if other != tool)):
            await _refused(lambda state: _answer(client, other, changed, asked, state), asked.request_state)  # noqa: B023 - called before the loop goes on
            assert bench.sent() == [], changed
        await _answer(client, tool, call, asked, asked.request_state)

    assert len(bench.sent()) == 1, "the answer itself was good all the while"


@EACH
@pytest.mark.parametrize("whose", [ANA, OWNER], ids=["another process", "another principal"])
async def test_an_answer_given_to_another_server_writes_nothing(bench: Bench, tool: str, whose: str) -> None:
    call = a_call(bench, tool, a_lead(bench))
    async with (
        bench.client(person=Person(content=YES), **QUESTIONS) as one,
        bench.client(whose, person=Person(content=YES), **QUESTIONS) as other,
    ):
        asked = await _asked(one, tool, call)
        await _refused(lambda state: _answer(other, tool, call, asked, state), asked.request_state)

    assert bench.sent() == []


# The record changes while the person thinks


@EACH
@pytest.mark.parametrize("era", ERAS)
async def test_what_changes_while_the_person_thinks_is_asked_about_anew_and_a_no_then_counts(
    bench: Bench, tool: str, era: str
) -> None:
    person, lead_id, field = Person(content=YES), "", ""

    def meanwhile() -> None:
        if len(person.asked) == 1:
            change(bench, lead_id, field)
        else:
            person.action, person.content = "decline", None

    person.meanwhile = meanwhile
    async with bench.client(era=era, person=person, **QUESTIONS) as client:
        for field in ("firstName", "assignedUserId", "hiddenFlag", "privateFlag", "stage", "tags"):
            lead_id, before = a_lead(bench), len(bench.sent())
            person.asked, person.action, person.content = [], "accept", dict(YES)
            result = data(await client.call_tool(tool, a_call(bench, tool, lead_id)))
            if len(person.asked) == 1:
                assert (field in ("stage", "tags"), result["status"]) == (True, "done"), "no business of this tool's"
                continue
            assert person.asked[0] != person.asked[1]
            assert (result["status"], len(bench.sent())) == ("declined", before), field
