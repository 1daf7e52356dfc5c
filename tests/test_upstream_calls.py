"""How many requests to Lofty a call takes once the vocabulary is warm, for what the tools' own tests leave out."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import PromptReference

from tests.support.world import ERAS, Bench, Person, data, text, warm

STAGE = {"stage": "Qualified"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A world without hidden leads, whose pages are never refilled."""
    bench = Bench(tmp_path / "lofty")
    for hidden in bench.world.hidden_ids():
        bench.world.remove_lead(hidden)
    return bench


async def _spent(bench: Bench, work: Callable[[], Awaitable[Any]]) -> list[str]:
    """The requests that `work` made."""
    before = len(bench.world.log)
    await work()
    return [f"{entry.method} {entry.path}" for entry in bench.world.log[before:]]


async def test_who_am_i_and_the_account_s_own_resources_take_none(bench: Bench) -> None:
    async with bench.client() as client:
        await warm(client)
        spent = await _spent(bench, lambda: client.call_tool("who_am_i", {}))
        for uri in ("lofty://me", "lofty://team/members", "lofty://team/stages", "lofty://team/tags"):
            spent += await _spent(bench, lambda uri=uri: client.read_resource(uri))  # type: ignore[misc]

    assert spent == []


@pytest.mark.parametrize(("tool", "tail"), [("get_lead", ""), ("get_timeline", "/timeline")])
async def test_a_lead_s_resource_takes_what_its_tool_takes(bench: Bench, tool: str, tail: str) -> None:
    lead_id = bench.visible_lead()
    async with bench.client() as client:
        await warm(client)
        by_tool = await _spent(bench, lambda: client.call_tool(tool, {"lead_id": lead_id}))
        by_resource = await _spent(bench, lambda: client.read_resource(f"lofty://leads/{lead_id}{tail}"))

    assert by_tool[0] == f"GET /v1.0/leads/{lead_id}"
    assert sorted(by_resource) == sorted(by_tool)


@pytest.mark.parametrize("name", ["stage", "tag", "agent"])
async def test_a_completion_takes_none(bench: Bench, name: str) -> None:
    async with bench.client() as client:
        await warm(client)
        reference = PromptReference(type="ref/prompt", name="pipeline_review")
        spent = await _spent(bench, lambda: client.complete(reference, {"name": name, "value": "a"}))

    assert spent == []


async def test_a_list_of_tools_resources_and_prompts_takes_none_and_warms_nothing(bench: Bench) -> None:
    async with bench.client() as client:
        spent = [
            *await _spent(bench, client.list_tools),
            *await _spent(bench, client.list_resources),
            *await _spent(bench, client.list_prompts),
        ]

    assert spent == []


async def test_the_first_lead_of_a_process_takes_three_more_for_viewer_and_names(bench: Bench) -> None:
    lead_id = bench.visible_lead()
    async with bench.client() as client:
        spent = await _spent(bench, lambda: client.call_tool("get_lead", {"lead_id": lead_id}))

    assert [path.rpartition("/")[0] for path in spent].count("GET /v1.0/leads") == 1
    assert len(spent) == 4


@pytest.mark.parametrize("era", ERAS)
async def test_a_question_takes_one_look_before_and_one_after_it_was_answered(bench: Bench, era: str) -> None:
    [lead_id] = bench.visible_leads(1, stage="New Lead")
    async with bench.client(era=era, person=Person()) as client:
        await warm(client)
        spent = await _spent(bench, lambda: _moved(client, lead_id))

    assert [request.split()[0] for request in spent] == ["GET", "GET", "PUT", "GET"]


@pytest.mark.parametrize("era", ERAS)
async def test_what_is_declined_sends_no_write_and_no_read_back(bench: Bench, era: str) -> None:
    [lead_id] = bench.visible_leads(1, stage="New Lead")
    async with bench.client(era=era, person=Person("decline", None)) as client:
        await warm(client)
        spent = await _spent(bench, lambda: client.call_tool("update_stage", {"lead_ids": [lead_id], **STAGE}))

    assert 1 <= len(spent) <= 2
    assert set(spent) == {f"GET /v1.0/leads/{lead_id}"}


async def test_a_batch_takes_three_a_lead(bench: Bench) -> None:
    leads = bench.visible_leads(4, tags=[])
    async with bench.client() as client:
        await warm(client)
        spent = await _spent(bench, lambda: client.call_tool("add_tag", {"lead_ids": leads, "tags": ["VIP"]}))

    assert len(spent) == 3 * len(leads)
    assert sum(request.startswith("PUT") for request in spent) == len(leads)


async def test_a_tag_that_is_there_takes_the_look_alone(bench: Bench) -> None:
    lead_id = bench.visible_lead()
    async with bench.client() as client:
        await warm(client)
        await client.call_tool("add_tag", {"lead_ids": [lead_id], "tags": ["VIP"]})
        spent = await _spent(bench, lambda: client.call_tool("add_tag", {"lead_ids": [lead_id], "tags": ["VIP"]}))

    assert spent == [f"GET /v1.0/leads/{lead_id}"]


async def _moved(client: Client, lead_id: str) -> None:
    result = await client.call_tool("update_stage", {"lead_ids": [lead_id], **STAGE})
    assert data(result)["results"][0]["outcome"] == "applied", text(result)
