"""Writes: asked first, done once, told truthfully; in both protocol eras and through the real client."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import ElicitResult, InputRequiredResult, InputResponses

from tests.support.world import ANA, ERAS, MARK, NOW, OWNER, Bench, Person, data, error

QUALIFIED = {"stage": "Qualified"}
TICKED = ElicitResult(action="accept", content={"ok": True})


def _new_lead(bench: Bench) -> str:
    lead_id = bench.visible_lead()
    bench.world.update_lead(int(lead_id), stage="New Lead")
    return lead_id


async def _asked(client: Client, call: dict[str, Any]) -> Callable[..., Awaitable[Any]]:
    """Get the question of a move in the 2026 era, and a way to send its ticked answer, as often as one likes."""
    asked = await client.session.call_tool("update_stage", call, allow_input_required=True)
    assert isinstance(asked, InputRequiredResult)
    answers: InputResponses = dict.fromkeys(asked.input_requests or {}, TICKED)
    assert answers

    async def answer(*, with_state: bool = True) -> Any:
        return await client.session.call_tool(
            "update_stage",
            call,
            input_responses=answers,
            request_state=asked.request_state if with_state else None,
            allow_input_required=True,
        )

    return answer


@pytest.mark.parametrize("era", ERAS)
async def test_an_accepted_question_moves_the_lead_with_exactly_one_request(bench: Bench, era: str) -> None:
    lead_id, person = _new_lead(bench), Person()
    async with bench.client(era=era, person=person) as client:
        result = data(await client.call_tool("update_stage", {"lead_ids": [lead_id], **QUALIFIED}))

    assert result["status"] == "done"
    assert result["results"] == [
        {
            "lead_id": lead_id,
            "outcome": "applied",
            "before": {"stage": "New Lead"},
            "after": {"stage": "Qualified"},
            "undo": {"tool": "update_stage", "arguments": {"lead_ids": [lead_id], "stage": "New Lead"}},
        }
    ]
    assert bench.sent() == [("PUT", f"/v1.0/leads/{lead_id}", {"stage": "Qualified"})]
    assert len(person.asked) == 1
    assert "New Lead → Qualified" in person.asked[0]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("action", "content"),
    [
        ("decline", None),
        ("cancel", None),
        ("accept", {"ok": False}),
        ("accept", {}),
        ("accept", None),
        ("accept", {"ok": "perhaps"}),
    ],
    ids=["declined", "cancelled", "box unticked", "empty form", "no form", "nonsense"],
)
async def test_anything_but_a_ticked_box_sends_nothing_and_gives_no_code(
    bench: Bench, era: str, action: str, content: dict[str, Any] | None
) -> None:
    lead_id, person = _new_lead(bench), Person(action, content)
    async with bench.client(era=era, person=person) as client:
        result = data(await client.call_tool("update_stage", {"lead_ids": [lead_id], **QUALIFIED}))

    assert result["status"] == "declined"
    assert "Nothing was changed" in result["note"]
    assert "confirmation" not in result
    assert [row["outcome"] for row in result["results"]] == ["not_applied"]
    assert bench.sent() == []
    assert len(person.asked) == 1


async def test_a_client_that_fails_the_question_changes_nothing(bench: Bench) -> None:
    async def broken(*_: Any) -> Any:
        raise RuntimeError("the app has no window")

    lead_id = _new_lead(bench)
    async with bench.client(era="legacy", person=broken) as client:
        result = data(await client.call_tool("update_stage", {"lead_ids": [lead_id], **QUALIFIED}))

    assert result["status"] == "declined"
    assert bench.sent() == []


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_cannot_be_asked_gets_a_preview_and_a_code(bench: Bench, era: str) -> None:
    lead_id = _new_lead(bench)
    call = {"lead_ids": [lead_id], **QUALIFIED}
    async with bench.client(era=era) as client:
        preview = data(await client.call_tool("update_stage", call))
        before = bench.sent()
        done = data(await client.call_tool("update_stage", {**call, "confirmation": preview["confirmation"]}))

    assert preview["status"] == "confirmation_required"
    assert "New Lead → Qualified" in preview["preview"]
    assert preview["confirmation"] not in preview["preview"]
    assert preview["expires_at"].endswith(("-07:00", "-06:00")), "in the account's zone"
    assert before == []
    assert done["status"] == "done"
    assert "replayed" not in done
    assert len(bench.sent()) == 1


async def test_a_code_used_again_tells_it_again_and_sends_nothing(bench: Bench) -> None:
    lead_id = _new_lead(bench)
    call = {"lead_ids": [lead_id], **QUALIFIED}
    async with bench.client() as client:
        call["confirmation"] = data(await client.call_tool("update_stage", call))["confirmation"]
        first = data(await client.call_tool("update_stage", call))
        again = data(await client.call_tool("update_stage", call))
        bench.world.update_lead(int(lead_id), stage="New Lead")
        after_undo = data(await client.call_tool("update_stage", call))
    async with bench.client() as restarted:
        after_restart = data(await restarted.call_tool("update_stage", call))

    assert first["results"] == again["results"] == after_undo["results"] == after_restart["results"]
    assert [r.get("replayed") for r in (first, again, after_undo, after_restart)] == [None, True, True, True]
    assert len(bench.sent()) == 1
    assert bench.world.lead(int(lead_id))["stage"] == "New Lead"


async def test_one_code_in_parallel_from_two_servers_writes_once(bench: Bench) -> None:
    lead_id = _new_lead(bench)
    call = {"lead_ids": [lead_id], **QUALIFIED}
    results: list[dict[str, Any]] = []
    async with bench.client() as one, bench.client() as other:
        call["confirmation"] = data(await one.call_tool("update_stage", call))["confirmation"]

        async def commit(client: Client) -> None:
            results.append(data(await client.call_tool("update_stage", call)))

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(commit, (one, other)[number % 2])

    assert len(bench.sent()) == 1
    assert {row["outcome"] for result in results for row in result["results"]} == {"applied"}
    assert sum("replayed" not in result for result in results) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "Contacted"},
        {"confirmation": "aaaabbbbccccdddd"},
        {"lead_ids": "another"},
    ],
    ids=["changed argument", "invented code", "other leads"],
)
async def test_a_code_that_does_not_fit_sends_nothing(bench: Bench, change: dict[str, Any]) -> None:
    one, other = bench.visible_leads(2)
    for lead_id in (one, other):
        bench.world.update_lead(int(lead_id), stage="New Lead")
    call: dict[str, Any] = {"lead_ids": [one], **QUALIFIED}
    async with bench.client() as client:
        code = data(await client.call_tool("update_stage", call))["confirmation"]
        changed = {**call, "confirmation": code, **change}
        if change.get("lead_ids"):
            changed["lead_ids"] = [one, other]
        result = data(await client.call_tool("update_stage", changed))

    assert result["status"] == "confirmation_required"
    assert result["confirmation"] != code
    assert "does not fit" in result["note"]
    assert bench.sent() == []


async def test_a_used_code_answers_for_no_other_act(bench: Bench) -> None:
    lead_id = _new_lead(bench)
    call = {"lead_ids": [lead_id], **QUALIFIED}
    async with bench.client() as client:
        call["confirmation"] = data(await client.call_tool("update_stage", call))["confirmation"]
        data(await client.call_tool("update_stage", call))
        other = data(await client.call_tool("update_stage", {**call, "stage": "Contacted"}))

    assert other["status"] == "confirmation_required"
    assert "replayed" not in other
    assert len(bench.sent()) == 1


async def test_a_code_of_somebody_else_is_worthless(bench: Bench) -> None:
    lead_id = _new_lead(bench)
    call = {"lead_ids": [lead_id], **QUALIFIED}
    async with bench.client(ANA) as ana, bench.client(OWNER) as owner:
        code = data(await ana.call_tool("update_stage", call))["confirmation"]
        result = data(await owner.call_tool("update_stage", {**call, "confirmation": code}))

    assert result["status"] == "confirmation_required"
    assert bench.sent() == []


async def test_an_expired_code_is_worthless(bench: Bench) -> None:
    lead_id = _new_lead(bench)
    call = {"lead_ids": [lead_id], **QUALIFIED}
    async with bench.client(confirmation_ttl=60) as client:
        code = data(await client.call_tool("update_stage", call))["confirmation"]
        bench.later += 61
        result = data(await client.call_tool("update_stage", {**call, "confirmation": code}))

    assert result["status"] == "confirmation_required"
    assert bench.sent() == []


@pytest.mark.parametrize("meanwhile", [{"stage": "Contacted"}, {"assignedUserId": 550118203344913}])
async def test_a_record_changed_since_the_preview_needs_a_fresh_one(bench: Bench, meanwhile: dict[str, Any]) -> None:
    lead_id = _new_lead(bench)
    call = {"lead_ids": [lead_id], **QUALIFIED}
    async with bench.client() as client:
        code = data(await client.call_tool("update_stage", call))["confirmation"]
        bench.world.update_lead(int(lead_id), **meanwhile)
        result = data(await client.call_tool("update_stage", {**call, "confirmation": code}))

    assert result["status"] == "confirmation_required"
    assert bench.sent() == []


@pytest.mark.parametrize("unrelated", [{"score": 99}, {"lastVisit": int(NOW.timestamp())}])
async def test_a_score_or_a_visit_does_not_unsettle_a_confirmation(bench: Bench, unrelated: dict[str, Any]) -> None:
    lead_id = _new_lead(bench)
    call = {"lead_ids": [lead_id], **QUALIFIED}
    async with bench.client() as client:
        code = data(await client.call_tool("update_stage", call))["confirmation"]
        bench.world.update_lead(int(lead_id), **unrelated)
        result = data(await client.call_tool("update_stage", {**call, "confirmation": code}))

    assert result["status"] == "done"
    assert len(bench.sent()) == 1


@pytest.mark.parametrize("era", ERAS)
async def test_a_record_changed_while_the_person_thinks_is_asked_about_again(bench: Bench, era: str) -> None:
    lead_id = _new_lead(bench)
    person = Person()

    def somebody_else() -> None:
        if len(person.asked) == 1:
            bench.world.update_lead(int(lead_id), stage="Contacted")

    person.meanwhile = somebody_else
    async with bench.client(era=era, person=person) as client:
        result = data(await client.call_tool("update_stage", {"lead_ids": [lead_id], **QUALIFIED}))

    assert [("Contacted → Qualified" in question) for question in person.asked] == [False, True]
    assert result["results"][0]["before"] == {"stage": "Contacted"}
    assert len(bench.sent()) == 1


async def test_a_replayed_answer_writes_nothing_even_if_the_record_was_put_back(bench: Bench) -> None:
    lead_id = _new_lead(bench)
    call = {"lead_ids": [lead_id], **QUALIFIED}
    async with bench.client(person=Person()) as client:
        answered = await _asked(client, call)
        first = await answered()
        bench.world.update_lead(int(lead_id), stage="New Lead")
        replays = [await answered() for _ in range(3)]

    assert data(first)["status"] == "done"
    assert all(isinstance(replay, InputRequiredResult) for replay in replays), "a replay is a new question"
    assert len(bench.sent()) == 1


async def test_answers_without_a_question_are_asked_anyway(bench: Bench) -> None:
    lead_id = _new_lead(bench)
    call = {"lead_ids": [lead_id], **QUALIFIED}
    async with bench.client(person=Person()) as client:
        answered = await _asked(client, call)
        result = await answered(with_state=False)

    assert isinstance(result, InputRequiredResult)
    assert bench.sent() == []


async def test_six_leads_are_refused_at_once_where_nobody_can_be_asked_and_five_are_taken(bench: Bench) -> None:
    ids = bench.visible_leads(6)
    async with bench.client() as client:
        refused = error(await client.call_tool("update_stage", {"lead_ids": ids, **QUALIFIED}))
        taken = data(await client.call_tool("update_stage", {"lead_ids": ids[:5], **QUALIFIED}))

    assert "Nothing was changed" in refused
    assert taken["status"] == "confirmation_required"
    assert bench.sent() == []


async def test_an_app_that_never_shows_questions_is_set_to_codes(bench: Bench) -> None:
    lead_id, person = _new_lead(bench), Person("decline", None)
    call = {"lead_ids": [lead_id], **QUALIFIED}
    async with bench.client(person=person, questions="off") as client:
        preview = data(await client.call_tool("update_stage", call))
        done = data(await client.call_tool("update_stage", {**call, "confirmation": preview["confirmation"]}))

    assert person.asked == []
    assert (preview["status"], done["status"]) == ("confirmation_required", "done")
    assert len(bench.sent()) == 1


async def test_an_answer_to_a_question_of_long_ago_writes_nothing(bench: Bench) -> None:
    lead_id = _new_lead(bench)
    call = {"lead_ids": [lead_id], **QUALIFIED}
    async with bench.client(person=Person(), confirmation_ttl=1) as client:
        answered = await _asked(client, call)
        await anyio.sleep(1.1)  # the SDK seals the state with the real clock
        with pytest.raises(MCPError, match="requestState"):
            await answered()

    assert bench.sent() == []


async def test_an_answer_given_when_nothing_was_left_to_do_is_used_up(bench: Bench) -> None:
    lead_id = _new_lead(bench)
    call = {"lead_ids": [lead_id], **QUALIFIED}
    async with bench.client(person=Person()) as client:
        answered = await _asked(client, call)
        bench.world.update_lead(int(lead_id), stage="Qualified")
        told = data(await answered())
        bench.world.update_lead(int(lead_id), stage="New Lead")
        again = await answered()

    assert told["results"][0]["outcome"] == "no_change"
    assert isinstance(again, InputRequiredResult)
    assert bench.sent() == []


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("ok", ["yes", 1, "true"])
async def test_only_a_plain_true_is_a_ticked_box(bench: Bench, era: str, ok: Any) -> None:
    lead_id = _new_lead(bench)
    async with bench.client(era=era, person=Person("accept", {"ok": ok})) as client:
        result = data(await client.call_tool("update_stage", {"lead_ids": [lead_id], **QUALIFIED}))

    assert result["status"] == "declined"
    assert bench.sent() == []


@pytest.mark.parametrize("tag", ["<b>VIP2</b>", "V\u200bIP", "VIP\u200b", "\u200b\u200b", "![x](http://e.example/q)"])
async def test_a_tag_that_would_be_shown_otherwise_than_written_is_refused(bench: Bench, tag: str) -> None:
    lead_id, person = bench.visible_lead(), Person()
    async with bench.client(person=person) as client:
        refused = error(await client.call_tool("add_tag", {"lead_ids": [lead_id], "tags": [tag], "create_new": True}))

    assert "invisible characters" in refused
    assert (person.asked, bench.sent()) == ([], [])


@pytest.mark.parametrize("raw", ["Drip &amp; Start", "Drip & Start", "Drip  &  Start", "Drip & Start\u200b"])
async def test_a_tag_that_reads_like_an_automation_is_asked_about(bench: Bench, raw: str) -> None:
    lead_id, person = bench.visible_lead(), Person()
    listed = [{"leadId": 0, "tagId": 4711, "tagName": raw}]
    bench.network.before = lambda r: httpx2.Response(200, json=listed) if r.url.path.endswith("/listTag") else None
    async with bench.client(person=person, automation_tags=("Drip & Start",)) as client:
        done = data(await client.call_tool("add_tag", {"lead_ids": [lead_id], "tags": ["Drip & Start"]}))

    assert len(person.asked) == 1
    assert "May start an automation" in person.asked[0]
    assert done["status"] in ("done", "partial")
    assert bench.sent() == [("PUT", f"/v1.0/leads/{lead_id}", {"tagsAdd": [raw]})]


async def test_a_lead_held_by_a_namesake_is_assigned_all_the_same(bench: Bench) -> None:
    lead_id = bench.visible_lead()
    before = {k: v for k, v in bench.world.lead(int(lead_id)).items() if k != "trashed"}
    before |= {"assignedUserId": 550118203344999, "assignedUser": "Mark Silva"}  # a former member of that name

    def as_it_was(request: httpx2.Request) -> httpx2.Response | None:
        held = request.method == "GET" and lead_id in request.url.path and not bench.sent()
        return httpx2.Response(200, json={"lead": before}) if held else None

    bench.network.before = as_it_was
    async with bench.client(OWNER, person=Person()) as client:
        result = data(await client.call_tool("assign_lead", {"lead_ids": [lead_id], "assignee": MARK}))

    assert result["results"][0]["outcome"] == "applied"
    assert len(bench.sent()) == 1


async def test_more_leads_than_loftys_rate_allows_in_time_are_refused_at_once_with_the_number_that_works(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path / "slow", rate_limit=60)
    ids = [str(1100000999000000 + number) for number in range(29)]
    async with bench.client(person=Person()) as client:
        refused = error(await client.call_tool("update_stage", {"lead_ids": ids, **QUALIFIED}))

    assert "one call can take 13 leads" in refused
    assert not any("/leads/" in entry.path for entry in bench.world.log)


@pytest.mark.parametrize("tool", ["assign_lead", "delete_lead"])
async def test_a_code_is_worth_nothing_once_the_mode_is_tighter(bench: Bench, tool: str) -> None:
    lead_id, other = _new_lead(bench), bench.visible_leads(2)[1]
    calls: list[dict[str, Any]] = [
        {"lead_ids": [one], "assignee": MARK} if tool == "assign_lead" else {"lead_id": one, "reason": "double"}
        for one in (lead_id, other)
    ]
    async with bench.client(mode="code", toolsets=("all",)) as client:
        codes = [data(await client.call_tool(tool, call))["confirmation"] for call in calls]
        data(await client.call_tool(tool, {**calls[0], "confirmation": codes[0]}))
    async with bench.client(mode="ask", toolsets=("all",)) as client:
        refused = error(await client.call_tool(tool, {**calls[1], "confirmation": codes[1]}))

    assert "cannot ask" in refused
    assert len(bench.sent()) == 1


async def test_a_question_says_why_only_a_person_may_decide(bench: Bench) -> None:
    lead_id, person = _new_lead(bench), Person("decline")
    bench.world.update_lead(int(lead_id), stage="Do Not Contact")
    call = {"lead_ids": [lead_id], **QUALIFIED}
    async with bench.client(mode="auto", person=person) as client:
        data(await client.call_tool("update_stage", call))
    async with bench.client(mode="auto") as client:
        refused = error(await client.call_tool("update_stage", call))

    why = "Out of 'Do Not Contact' this lead may be written to again."
    assert why in person.asked[0]
    assert refused.startswith(f"{why} This needs a person's own answer")
