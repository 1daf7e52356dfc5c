"""Fair use over HTTP: what one principal may ask for in a span of time, and how it is told to wait."""

import re
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2
import pytest

from tests.support import rpc
from tests.support.web import Builder, Site, token
from tests.support.world import MARK, Bench, HeldUp

DAY = 24 * 3600
MISSING = "1199999999999999"


@pytest.fixture
async def site(builder: Builder, both: dict[str, Any]) -> AsyncIterator[Site]:
    """A site with the default limits."""
    async with builder.site(**both) as running:
        yield running


async def ask(site: Site, tool: str, who: str = "ana", **arguments: Any) -> httpx2.Response:
    """A tool call of a principal."""
    return await site.post("tools/call", token(who), params={"name": tool, "arguments": arguments})


def refusal(response: httpx2.Response) -> int:
    """The seconds that a refused request is asked to wait, said in three places alike."""
    assert response.status_code == 429
    body = response.json()
    seconds = int(response.headers["retry-after"])
    assert (body["jsonrpc"], body["id"]) == ("2.0", 7)
    assert body["error"]["data"] == {"retryAfter": seconds}
    assert f"{seconds} s" in body["error"]["message"]
    assert not -32_768 <= body["error"]["code"] <= -32_000, "these codes are the protocol's own"
    return seconds


def told(response: httpx2.Response) -> str:
    """The text of a failed tool call."""
    found = rpc.result(response)
    assert found["isError"]
    return str(found["content"][0]["text"])


async def test_1200_requests_at_once_are_served_and_the_next_waits_for_less_than_a_minute(site: Site) -> None:
    answers: list[int] = []

    async def one() -> None:
        answers.append((await site.post("ping", token("ana"))).status_code)

    async with anyio.create_task_group() as group:
        for _ in range(1_200):
            group.start_soon(one)
    assert answers == [200] * 1_200
    assert 0 < refusal(await site.post("ping", token("ana"))) <= 60
    assert (await site.post("ping", token("mark"))).status_code == 200, "the limit is each principal's own"


@pytest.mark.slow
async def test_no_smaller_cap_refuses_a_burst_that_lofty_keeps_waiting(
    builder: Builder, bench: Bench, both: dict[str, Any]
) -> None:
    bench.network = HeldUp(bench.app)
    answers: list[httpx2.Response] = []
    lead_id = bench.visible_lead()
    async with builder.site(**both) as site:

        async def one() -> None:
            answers.append(await ask(site, "get_lead", lead_id=lead_id))

        async with anyio.create_task_group() as group:
            for _ in range(1_200):
                group.start_soon(one)
            await anyio.wait_all_tasks_blocked()
            assert answers == [], "all of them wait"
            refusal(await ask(site, "get_lead", lead_id=lead_id))
            group.cancel_scope.cancel()


async def test_the_request_limit_is_a_setting_and_0_is_none(builder: Builder, both: dict[str, Any]) -> None:
    async with builder.site(**both, calls_per_minute=2) as site:
        assert [(await site.post("ping", token("ana"))).status_code for _ in range(3)] == [200, 200, 429]
    async with builder.site(**both, calls_per_minute=0) as site:
        assert {(await site.post("ping", token("ana"))).status_code for _ in range(50)} == {200}


async def test_whoever_is_not_let_in_uses_up_nobodys_requests(builder: Builder, both: dict[str, Any]) -> None:
    async with builder.site(**both, calls_per_minute=1) as site:
        for shown in (None, "a-wrong-token-0123456789"):
            assert {(await site.post("ping", shown)).status_code for _ in range(5)} == {401}
        assert (await site.post("ping", token("ana"))).status_code == 200


async def test_only_so_many_requests_of_one_principal_are_open_at_once(
    builder: Builder, bench: Bench, both: dict[str, Any]
) -> None:
    bench.network = held_up = HeldUp(bench.app)
    async with builder.site(**both, open_calls=3) as site:
        held: list[int] = []

        async def one() -> None:
            held.append((await ask(site, "get_lead", lead_id=bench.visible_lead())).status_code)

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(one)
            await anyio.wait_all_tasks_blocked()
            assert refusal(await site.post("ping", token("ana"))) == 1
            assert (await site.post("ping", token("mark"))).status_code == 200
            held_up.until.set()
        assert held == [200] * 3
        assert (await site.post("ping", token("ana"))).status_code == 200


@pytest.mark.parametrize("order", [("hidden", "missing"), ("missing", "hidden")], ids=" then ".join)
async def test_the_not_found_budget_counts_hidden_and_missing_leads_alike(
    builder: Builder, bench: Bench, both: dict[str, Any], order: tuple[str, str]
) -> None:
    ids = {"hidden": bench.hidden_lead(MARK), "missing": MISSING}
    async with builder.site(**both, not_found_per_minute=5) as site:
        answers = [told(await ask(site, "get_lead", lead_id=ids[order[n % 2]])) for n in range(5)]
        assert len(set(answers)) == 1
        waits = {refusal(await ask(site, "get_lead", lead_id=ids[kind])) for kind in order}
        assert all(0 < wait <= 60 for wait in waits)
        refusal(await ask(site, "get_lead", lead_id=bench.visible_lead()))
        assert (await site.post("ping", token("mark"))).status_code == 200


@pytest.mark.parametrize("kind", ["hidden", "missing"])
async def test_the_budget_is_used_up_after_the_same_number_of_either_kind_whatever_tool_asks(
    builder: Builder, bench: Bench, both: dict[str, Any], kind: str
) -> None:
    lead_id = bench.hidden_lead(MARK) if kind == "hidden" else MISSING
    seen = bench.visible_lead()
    async with builder.site(**both, not_found_per_minute=4) as site:
        await ask(site, "get_lead", lead_id=lead_id)
        await ask(site, "get_timeline", lead_id=lead_id)
        await site.post("resources/read", token("ana"), params={"uri": f"lofty://leads/{lead_id}"})
        assert rpc.outcomes(await ask(site, "add_tag", lead_ids=[seen, lead_id], tags=["VIP"])) == [
            "applied",
            "not_found",
        ]
        refusal(await ask(site, "get_lead", lead_id=seen))


async def test_writes_are_counted_by_lead_and_previews_repeats_and_changes_of_nothing_are_not(
    builder: Builder, bench: Bench, both: dict[str, Any]
) -> None:
    first, second, third = bench.visible_leads(3)
    async with builder.site(**both, writes_per_day=2) as site:
        code = {"headers": {"lofty-mode": "code"}}
        asked = {"name": "update_stage", "arguments": {"lead_ids": [third], "stage": "Closed"}}
        for _ in range(5):
            preview = rpc.result(await site.post("tools/call", token("ana"), params=asked, **code))
            assert preview["structuredContent"]["status"] == "confirmation_required"
        assert rpc.outcomes(await ask(site, "add_tag", lead_ids=[first], tags=["VIP"])) == ["applied"]
        for _ in range(3):
            assert rpc.outcomes(await ask(site, "add_tag", lead_ids=[first], tags=["VIP"])) == ["no_change"]
        assert rpc.outcomes(await ask(site, "add_tag", lead_ids=[first, second], tags=["VIP"])) == [
            "no_change",
            "applied",
        ]
        sent = len(bench.sent())
        assert DAY - 60 < refusal(await ask(site, "add_tag", lead_ids=[third], tags=["VIP"])) <= DAY
        assert (await ask(site, "get_lead", lead_id=third)).status_code == 200, "reads go on"
        assert len(bench.sent()) == sent == 2
        other = bench.visible_lead(MARK)
        assert rpc.outcomes(await ask(site, "add_tag", "mark", lead_ids=[other], tags=["VIP"])) == ["applied"]


async def test_a_batch_larger_than_what_is_left_of_the_day_is_refused_whole_and_says_when(
    builder: Builder, bench: Bench, both: dict[str, Any]
) -> None:
    leads = bench.visible_leads(5)
    async with builder.site(**both, writes_per_day=4) as site:
        assert rpc.outcomes(await ask(site, "add_tag", lead_ids=leads[:2], tags=["VIP"])) == ["applied"] * 2
        answer = told(await ask(site, "add_tag", lead_ids=leads[2:], tags=["VIP"]))
        seconds = re.search(r"again in (\d+) s", answer)
        assert seconds is not None
        assert DAY - 60 < int(seconds[1]) <= DAY
        assert "smaller parts" in told(await ask(site, "update_stage", lead_ids=leads, stage="Closed"))
        assert len(bench.sent()) == 2
        assert rpc.outcomes(await ask(site, "add_tag", lead_ids=leads[2:4], tags=["VIP"])) == ["applied"] * 2


async def test_the_largest_page_the_largest_batch_and_the_longest_call_are_settings(
    builder: Builder, bench: Bench, both: dict[str, Any]
) -> None:
    async with builder.site(**both, page_rows=3, bulk_leads=2, call_seconds=1) as site:
        found = rpc.result(await ask(site, "search_leads", limit=10))["structuredContent"]
        assert (found["returned"], found["has_more"]) == (3, True)
        found = rpc.result(await ask(site, "search_leads", cursor=found["next_cursor"]))["structuredContent"]
        assert found["returned"] == 3
        assert "at most 2" in told(await ask(site, "add_tag", lead_ids=bench.visible_leads(3), tags=["VIP"]))
        assert bench.sent() == []
