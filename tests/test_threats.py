"""What the threat table asks for and no other page of tests is about."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from lofty_mcp.models.clean import clean
from tests.support import rpc
from tests.support.obedient import words
from tests.support.web import Builder, token
from tests.support.world import ANA, Bench

EVERYTHING: dict[str, Any] = {"toolsets": ("all",)}


async def _listed(client: Client) -> list[Any]:
    """Everything that a client is told before it calls anything."""
    return [
        await client.list_tools(),
        await client.list_resources(),
        await client.list_resource_templates(),
        await client.list_prompts(),
    ]


@pytest.mark.anyio
async def test_nothing_may_be_kept_by_a_cache_between(bench: Bench) -> None:
    async with bench.client(ANA) as client:
        answers = [*await _listed(client), await client.read_resource("lofty://team/members")]

    assert {(answer.ttl_ms, answer.cache_scope) for answer in answers} == {(0, "private")}


@pytest.mark.anyio
async def test_what_a_model_is_told_of_tools_hides_nothing(bench: Bench) -> None:
    async with bench.client(ANA, **EVERYTHING) as client:
        answers = [answer.model_dump(mode="json") for answer in await _listed(client)]
        told = [text for _, text in words([*answers, client.instructions])]

    assert [text for text in told if clean(text) != text] == []
    assert not re.findall(r"[^\x20-\x7e\n→]", "".join(told))


@pytest.mark.anyio
async def test_no_argument_of_a_tool_travels_in_a_header(bench: Bench) -> None:
    async with bench.client(ANA, **EVERYTHING) as client:
        tools = (await client.list_tools()).tools

    assert "x-mcp-header" not in "".join(tool.model_dump_json() for tool in tools).lower()


@pytest.mark.parametrize("header", ["mcp-method", "mcp-name", "mcp-protocol-version"])
@pytest.mark.anyio
async def test_headers_that_say_another_thing_than_the_body_are_refused(
    builder: Builder, both: dict[str, Any], header: str
) -> None:
    message = rpc.call("who_am_i")
    message["headers"]["authorization"] = f"Bearer {token('ana')}"

    async with builder.site(**both) as site:
        taken = await site.http.post("/mcp", **message)
        message["headers"][header] = "2026-01-01" if header.endswith("version") else "get_lead"
        refused = await site.http.post("/mcp", **message)

    assert (taken.status_code, refused.status_code) == (200, 400)
    assert "result" not in refused.json()


def test_the_sdk_is_newer_than_its_known_holes() -> None:
    """CVE-2026-52869, -52870 and -59950 were mended in 1.28.1."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    bound = next(line for line in project["dependencies"] if line.startswith("mcp>="))

    assert tuple(map(int, re.findall(r"\d+", bound.split(",")[0]))) >= (1, 28, 1)
