"""What needs no clock: requests to Lofty per call, and tokens of tools and answers (o200k)."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from mcp import Client
from mcp.types import CallToolResult, TextContent
from rs_bpe import openai

from bench.replies import TAG, Recorder, ordinary_lead, sandbox_client, warm
from lofty_mcp.server import INSTRUCTIONS

_O200K = openai.o200k_base()


@dataclass(frozen=True)
class Call:
    """One call: what it is, the requests it took, and the tokens of its text."""

    what: str
    requests: str
    tokens: int


@dataclass(frozen=True)
class Exact:
    """The counts."""

    calls: list[Call]
    tools: dict[str, int]
    """Tokens of each tool: name, description, hints and both schemas, compact."""
    instructions: int

    @property
    def all_tools(self) -> int:
        """Tokens of the tool list."""
        return sum(self.tools.values())

    @property
    def median_tool(self) -> int:
        """Tokens of the median tool."""
        return int(median(self.tools.values()))


async def count(state: Path) -> Exact:
    """Count everything once, against a sandbox of 200 leads none of which is hidden."""
    recorder = Recorder()
    world = recorder.app.state.world
    for hidden in world.hidden_ids():
        world.remove_lead(hidden)
    async with sandbox_client(recorder, state) as client:
        await warm(client)
        calls = await _calls(client, recorder)
        tools = {tool.name: _tokens(_shown(tool)) for tool in (await client.list_tools()).tools}
    return Exact(calls, tools, _tokens(INSTRUCTIONS))


async def _calls(client: Client, recorder: Recorder) -> list[Call]:
    found: list[Call] = []

    async def took(what: str, work: Callable[[], Awaitable[Any]]) -> Any:
        recorder.order.clear()
        answer = await work()
        if isinstance(answer, CallToolResult) and answer.is_error:
            raise LookupError(f"{what}: {answer.content}")
        found.append(Call(what, _sequence(recorder.order), _tokens(_text(answer))))
        return answer

    async def tool(what: str, name: str, **arguments: Any) -> dict[str, Any]:
        result = await took(what, lambda: client.call_tool(name, arguments))
        return dict(result.structured_content or {})

    lead_id = await ordinary_lead(client, recorder)
    await tool("`search_leads`, 25 rows", "search_leads", limit=25)
    await tool("`search_leads`, 100 rows", "search_leads", limit=100)
    await tool("`get_lead`", "get_lead", lead_id=lead_id)
    await tool("`get_lead`, full", "get_lead", lead_id=lead_id, detail="full")
    await tool("`get_timeline`", "get_timeline", lead_id=lead_id)
    await tool("`who_am_i`", "who_am_i")
    await tool("`add_tag`, carried out", "add_tag", lead_ids=[lead_id], tags=[TAG])
    stage = {"lead_ids": [lead_id], "stage": "Under Contract"}
    preview = await tool("`update_stage`, preview", "update_stage", **stage)
    await tool("`update_stage`, with its code", "update_stage", **stage, confirmation=preview["confirmation"])
    await tool("`add_note`, carried out", "add_note", lead_id=lead_id, text="Called back.")
    for uri in ("me", "team/members", "team/stages", "team/tags", f"leads/{lead_id}", f"leads/{lead_id}/timeline"):
        named = uri.replace(lead_id, "{lead_id}")
        await took(f"`lofty://{named}`", lambda uri=uri: client.read_resource(f"lofty://{uri}"))  # type: ignore[misc]
    return found


def _sequence(methods: list[str]) -> str:
    """`1`, or for more than one kind of request their order."""
    if set(methods) <= {"GET"}:
        return str(len(methods))
    return f"{len(methods)} ({', '.join(methods)})"


def _text(answer: Any) -> str:
    if isinstance(answer, CallToolResult):
        return "".join(part.text for part in answer.content if isinstance(part, TextContent))
    return "".join(part.text for part in answer.contents)


def _shown(tool: Any) -> str:
    """The tool as a model is shown it."""
    whole = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
    seen = {key: whole[key] for key in ("name", "description", "inputSchema", "outputSchema", "annotations")}
    return json.dumps(seen, ensure_ascii=False, separators=(",", ":"))


def _tokens(text: str) -> int:
    return int(_O200K.count(text))
