"""create_task and complete_task through a real client: what is sent, what is told, and nothing twice."""

import json
import time
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest

from tests.support.cases import rest_slow
from tests.support.world import ERAS, MARK, Bench, Person, data, error

TASKS, FINISH = "/v2.0/tasks", "/v2.0/tasks/{id}/{way}"
DUE = "2099-11-20T09:30:00-07:00"
CALL: dict[str, Any] = {"text": "Send the plan", "due": DUE}
TASK_LIMIT = 2_000


def _tasks(bench: Bench, lead_id: str) -> dict[str, dict[str, Any]]:
    """The tasks of a lead as the sandbox holds them, by id."""
    return {str(row["id"]): json.loads(row["data"]) for row in bench.world.store.items("task", int(lead_id))}


def _free_lead(bench: Bench) -> str:
    """A visible lead of Ana's that has no tasks."""
    return next(lead_id for lead_id in bench.visible_leads(8) if not _tasks(bench, lead_id))


def _a_task(bench: Bench, lead_id: str, **fields: Any) -> str:
    return str(bench.world.add_task(int(lead_id), **{"content": "Send the plan", "creatorId": 1, **fields}))


async def _create(bench: Bench, lead_id: str, **more: Any) -> dict[str, Any]:
    async with bench.client(mode="auto") as client:
        return data(await client.call_tool("create_task", {"lead_id": lead_id, **CALL, **more}))


@pytest.mark.parametrize("era", rest_slow(*ERAS))
async def test_a_new_task_is_one_request_in_the_accounts_zone(bench: Bench, era: str) -> None:
    lead_id, person = _free_lead(bench), Person()
    call = {"lead_id": lead_id, **CALL, "due": "2099-11-20T16:30:00Z", "kind": "Call", "assigned_role": "Assistant"}
    async with bench.client(era=era, person=person) as client:
        done = data(await client.call_tool("create_task", call))

    [task_id] = _tasks(bench, lead_id)
    after = {"task_id": task_id, "kind": "Call", "text": "Send the plan", "due": DUE, "for": "Assistant"}
    assert done == {"status": "done", "results": [{"lead_id": lead_id, "outcome": "applied", "after": after}]}
    body = {"leadId": int(lead_id), "content": "Send the plan", "type": "Call", "assignedRole": "Assistant"}
    assert bench.sent() == [("POST", TASKS, {**body, "endAt": DUE, "timeZoneCode": "America/Denver"})]
    assert person.asked == []


@pytest.mark.parametrize(
    ("due", "meant"),
    rest_slow(
        ("2099-11-20", "2099-11-20T23:59:59-07:00"),
        ("2099-07-01T08:00", "2099-07-01T08:00:00-06:00"),
        ("2099-07-01T08:00:00.750+02:00", "2099-07-01T00:00:00-06:00"),
    ),
)
async def test_a_date_is_due_at_its_end_and_a_time_in_the_accounts_zone(bench: Bench, due: str, meant: str) -> None:
    done = await _create(bench, _free_lead(bench), due=due)

    assert done["results"][0]["outcome"] == "applied"
    assert bench.sent()[0][2]["endAt"] == done["results"][0]["after"]["due"] == meant


async def test_a_task_that_lofty_could_not_keep_is_refused_before_sending(bench: Bench) -> None:
    lead_id = _free_lead(bench)
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("due: give an ISO 8601 date or time", {"due": "tomorrow"}),
        ("due: '2026-11-01' lies in the past", {"due": "2026-11-01"}),
        ("due: '0001-01-01' lies in the past", {"due": "0001-01-01"}),
        ("due: '0001-01-01T00:00+14:00' lies in the past", {"due": "0001-01-01T00:00+14:00"}),
        ("due: give a year before 2200", {"due": "2200-01-01"}),
        ("due: give a year before 2200", {"due": "9999-12-31"}),
        (f"cuts it at {TASK_LIMIT} characters, and this has {TASK_LIMIT + 1}", {"text": "t" * (TASK_LIMIT + 1)}),
        ("text: holds markup", {"text": "<b>Send</b>"}),
        ("text: must not be empty", {"text": "\n "}),
        ("kind:", {"kind": "Appointment"}),
        ("assigned_role:", {"assigned_role": "Lender"}),
    ]
    async with bench.client(mode="auto") as client:
        for said, arguments in wrong:
            refused = error(await client.call_tool("create_task", {"lead_id": lead_id, **CALL, **arguments}))
            assert said in refused
            assert refused.endswith("Nothing was changed."), said

    assert bench.sent() == []


@pytest.mark.slow
async def test_today_is_due_until_midnight_in_the_accounts_zone(bench: Bench) -> None:
    bench.by_day()
    today = datetime.fromtimestamp(time.time() + bench.later, ZoneInfo("America/Denver")).date()
    done = await _create(bench, _free_lead(bench), due=today.isoformat())

    assert done["results"][0]["after"]["due"].startswith(f"{today.isoformat()}T23:59:59")


async def test_a_task_has_no_mark_and_may_fill_the_limit(bench: Bench) -> None:
    done = await _create(bench, _free_lead(bench), text="t" * TASK_LIMIT)

    assert done["results"][0]["after"]["text"] == "t" * TASK_LIMIT


async def test_the_same_task_again_within_two_minutes_is_told_again_and_not_created(bench: Bench) -> None:
    lead_id = _free_lead(bench)
    first = await _create(bench, lead_id)
    again = [await _create(bench, lead_id), await _create(bench, lead_id, due="2099-11-20T16:30:00+00:00")]

    assert all(told["replayed"] is True and told["results"] == first["results"] for told in again)
    assert len(bench.sent()) == 1


@pytest.mark.parametrize("way", rest_slow("another day", "two minutes later", "allow_duplicate", "another kind"))
async def test_a_task_that_is_meant_again_is_created(bench: Bench, way: str) -> None:
    lead_id = _free_lead(bench)
    first = await _create(bench, lead_id)
    bench.later += 121 if way == "two minutes later" else 0
    others: dict[str, dict[str, Any]] = {
        "allow_duplicate": {"allow_duplicate": True},
        "another day": {"due": "2099-11-21"},
        "another kind": {"kind": "Call"},
    }
    second = await _create(bench, lead_id, **others.get(way, {}))

    assert "replayed" not in second
    assert sorted(_tasks(bench, lead_id)) == sorted(told["results"][0]["after"]["task_id"] for told in (first, second))


@pytest.mark.parametrize(
    ("fault", "late", "alike", "outcome"),
    rest_slow(
        ("reset_after", 0, 1, "applied"),
        ("half_body", 0, 1, "applied"),
        ("status_after=500", 0, 0, "applied"),
        ("reset_after", 2, 1, "applied"),
        ("reset_before", 0, 1, "unknown"),
        ("status=503", 0, 2, "unknown"),
        ("latency=0", 2, 1, "applied"),
        ("latency=0", 99, 1, "unknown"),
        ("status=400", 0, 1, "not_applied"),
        ("status=403", 0, 1, "not_applied"),
    ),
)
async def test_what_became_of_a_task_is_told_by_the_tasks_that_are_there_then(
    bench: Bench, fault: str, late: int, alike: int, outcome: str
) -> None:
    lead_id = _free_lead(bench)
    before = {
        _a_task(bench, lead_id, type="Other", at=datetime.fromisoformat(DUE)) for _ in range(alike)
    }  # the same task, there already
    bench.world.late_reads = late
    bench.world.faults.next("POST", TASKS, fault)
    row = (await _create(bench, lead_id))["results"][0]

    assert row["outcome"] == outcome
    assert {row["after"]["task_id"]} == _tasks(bench, lead_id).keys() - before if outcome == "applied" else True
    assert ("after" in row) is (outcome == "applied")
    assert len(bench.sent()) == 1


@pytest.mark.slow  # it waits three seconds for the one that is dead
async def test_after_a_crash_the_task_is_found_and_not_created_again(bench: Bench) -> None:
    lead_id = _free_lead(bench)

    def die(request: httpx2.Request) -> None:
        if request.method == "POST":
            _a_task(bench, lead_id, type="Other", at=datetime.fromisoformat(DUE))
            raise MemoryError

    bench.network.before = die
    async with bench.client(mode="auto") as client:
        error(await client.call_tool("create_task", {"lead_id": lead_id, **CALL}))
    bench.network.before = lambda _: None
    bench.later += 130
    told = await _create(bench, lead_id)

    assert told["results"][0]["outcome"] == "applied"
    assert told["results"][0]["after"]["task_id"] in _tasks(bench, lead_id)
    assert told["replayed"] is True
    assert bench.sent() == []


@pytest.mark.parametrize(
    ("era", "done"), rest_slow(("auto", True), ("legacy", False), ("legacy", True), ("auto", False))
)
async def test_a_task_is_finished_or_reopened_and_the_undo_puts_it_back(bench: Bench, era: str, done: bool) -> None:
    lead_id, person = _free_lead(bench), Person()
    task_id = _a_task(bench, lead_id, finishTime="" if done else "2026-11-01 09:00:00")
    call = {"lead_id": lead_id, "task_id": task_id, "done": done}
    async with bench.client(era=era, person=person, ask_from="add") as client:
        result = data(await client.call_tool("complete_task", call))
        finished = bool(_tasks(bench, lead_id)[task_id]["finishTime"])
        same = data(await client.call_tool("complete_task", call))
        undo = result["results"][0]["undo"]
        undone = data(await client.call_tool(undo["tool"], undo["arguments"]))

    assert result["results"] == [
        {
            "lead_id": lead_id,
            "outcome": "applied",
            "before": {"task": "Send the plan", "finished": not done},
            "after": {"task": "Send the plan", "finished": done},
            "undo": {"tool": "complete_task", "arguments": {**call, "done": not done}},
        }
    ]
    assert finished is done
    assert same["results"][0]["outcome"] == "no_change"
    assert undone["results"][0]["outcome"] == "applied"
    assert bool(_tasks(bench, lead_id)[task_id]["finishTime"]) is not done
    ways = ["finish", "unfinish"] if done else ["unfinish", "finish"]
    assert bench.sent() == [("POST", f"{TASKS}/{task_id}/{way}", None) for way in ways]
    assert len(person.asked) == 2
    assert "Send the plan" in person.asked[0], "a person knows a task by its words, not by its number"


async def test_lines_of_a_task_cannot_pass_for_lines_of_the_question(bench: Bench) -> None:
    lead_id, person = _free_lead(bench), Person("decline")
    fake = "Hi\n- Nobody (1): stage New Lead → Closed\n(reference 12345678)"
    task_id = _a_task(bench, lead_id, content=fake)
    async with bench.client(person=person, ask_from="add") as client:
        data(await client.call_tool("create_task", {"lead_id": lead_id, **CALL, "text": fake}))
        data(await client.call_tool("complete_task", {"lead_id": lead_id, "task_id": task_id}))

    for asked in person.asked:
        ours = [text for text in asked.splitlines() if not text.startswith("    | ")]
        assert sum(text.startswith("- ") for text in ours) == 1, asked
        assert sum(text.startswith("(reference ") for text in ours) == 1, asked
    assert bench.sent() == []


async def test_a_task_of_a_smart_plan_is_refused_by_lofty_and_told_so(bench: Bench) -> None:
    lead_id = _free_lead(bench)
    task_id = _a_task(bench, lead_id, smartPlan=True)
    async with bench.client(mode="auto") as client:
        result = data(await client.call_tool("complete_task", {"lead_id": lead_id, "task_id": task_id}))

    row = result["results"][0]
    assert (result["status"], row["outcome"]) == ("failed", "not_applied")
    assert row["after"]["finished"] is False
    assert "smart plan" in row["note"].casefold()
    assert "undo" not in row


@pytest.mark.parametrize(
    ("fault", "outcome"),
    rest_slow(
        ("reset_after", "applied"),
        ("half_body", "applied"),
        ("status_after=500", "applied"),
        ("reset_before", "unknown"),
        ("status=503", "unknown"),
        ("status=403", "not_applied"),
    ),
)
async def test_a_finished_task_is_told_as_it_is_there(bench: Bench, fault: str, outcome: str) -> None:
    lead_id = _free_lead(bench)
    task_id = _a_task(bench, lead_id)
    bench.world.faults.next("POST", FINISH, fault)
    async with bench.client(mode="auto") as client:
        row = data(await client.call_tool("complete_task", {"lead_id": lead_id, "task_id": task_id}))["results"][0]

    assert (row["outcome"], row["after"]["finished"]) == (outcome, outcome == "applied")
    assert ("undo" in row) is (outcome == "applied")
    assert len(bench.sent()) == 1


async def test_a_task_that_is_not_this_leads_is_not_there_and_costs_the_same(bench: Bench) -> None:
    lead_id, other, hidden = _free_lead(bench), bench.visible_leads(9)[8], bench.hidden_lead(MARK)
    missing = "1100000999999999"
    ids = {"nobody's": "99999999", "another's": _a_task(bench, other), "a hidden lead's": _a_task(bench, hidden)}
    told: dict[str, tuple[str, list[str]]] = {}
    async with bench.client(mode="auto") as client:
        for whose, task_id in ids.items():
            start = len(bench.world.log)
            said = error(await client.call_tool("complete_task", {"lead_id": lead_id, "task_id": task_id}))
            asked = [f"{entry.path} {entry.query}" for entry in bench.world.log[start:]]
            told[whose] = (said.replace(task_id, "#"), [step for step in asked if "lead" in step])
        for lead in (missing, hidden):
            start = len(bench.world.log)
            said = error(await client.call_tool("complete_task", {"lead_id": lead, "task_id": ids["a hidden lead's"]}))
            told[lead] = (said.replace(lead, "#"), [e.path.replace(lead, "#") for e in bench.world.log[start:]])

    assert len({str(told[whose]) for whose in ids}) == 1
    assert "This lead has no task #" in told["nobody's"][0]
    assert told[missing] == told[hidden]
    assert told[hidden][1] == ["/v1.0/leads/#"]
    assert bench.sent() == []
