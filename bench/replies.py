"""What the fake Lofty answers: the sandbox's own replies to one lead's reads, kept as bytes."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.types import CallToolResult

from lofty_mcp.sandbox import build_app
from lofty_mcp.server import build_server
from lofty_mcp.settings import load

MEMBER = "ana.reyes@summitpeak.example"
TAG = "VIP"
"""A tag that the account has and the lead has not."""
SOURCES = 5
KINDS = 4
BASE_URL = "http://127.0.0.1"


@dataclass(frozen=True)
class Replies:
    """Answers by method and path; the lead's id may be replaced by any other of as many digits."""

    key: str
    lead_id: str
    answers: dict[str, str]
    tagged: str
    """The lead as it reads once `TAG` is on it."""

    def save(self, path: Path) -> None:
        """Write them for the process that serves them."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Replies":
        """Read what `save` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


class Recorder(httpx2.AsyncBaseTransport):
    """The sandbox, with every answer it gave."""

    def __init__(self) -> None:
        self.app = build_app(rate_limit=1_000_000, strict=True)
        self.answers: dict[str, str] = {}
        self.order: list[str] = []
        self._inner = httpx2.ASGITransport(app=self.app)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer as the sandbox does."""
        response = await self._inner.handle_async_request(request)
        content = await response.aread()
        self.order.append(request.method)
        self.answers[f"{request.method} {request.url.path}"] = content.decode()
        return httpx2.Response(response.status_code, headers=response.headers, content=content, request=request)


@asynccontextmanager
async def sandbox_client(recorder: Recorder, state: Path) -> AsyncIterator[Client]:
    """An MCP client of our server in front of the sandbox, nothing of it warm."""
    settings = load(
        api_key=recorder.app.state.world.key_of(MEMBER),
        base_url=BASE_URL,
        state_dir=state,
        requests_per_minute=10_000,
    )
    async with Client(build_server(settings, transport=recorder)) as client:
        yield client


async def record(state: Path) -> Replies:
    """The replies to every read that the measured tools make, of an ordinary lead with a history of one page each."""
    recorder = Recorder()
    async with sandbox_client(recorder, state) as client:
        await warm(client)
        lead_id = await ordinary_lead(client, recorder)
        for read, arguments in (
            ("search_leads", {"limit": 25}),
            ("get_timeline", {"lead_id": lead_id}),
        ):
            _data(await client.call_tool(read, arguments))
        reads = dict(recorder.answers)
        _data(await client.call_tool("add_tag", {"lead_ids": [lead_id], "tags": [TAG]}))
    lead = f"/v1.0/leads/{lead_id}"
    put = {f"PUT {lead}": recorder.answers[f"PUT {lead}"]}
    world = recorder.app.state.world
    return Replies(world.key_of(MEMBER), lead_id, reads | put, recorder.answers[f"GET {lead}"])


async def ordinary_lead(client: Client, recorder: Recorder) -> str:
    """A lead of the member's own, without the tag, whose history is varied and comes in one page from each source."""
    mine = _data(await client.call_tool("search_leads", {"assigned_to": "me", "limit": 100}))
    for lead_id, *_, tags, _ in mine["rows"]:
        before = len(recorder.order)
        timeline = _data(await client.call_tool("get_timeline", {"lead_id": lead_id}))
        kinds = {row[1] for row in timeline["rows"]}
        if len(recorder.order) - before == 1 + SOURCES and len(kinds) >= KINDS and TAG not in tags:
            return str(lead_id)
    raise LookupError("the sandbox has no such lead")


def _data(result: CallToolResult) -> dict[str, Any]:
    if result.is_error or result.structured_content is None:
        raise LookupError(f"the sandbox did not answer as hoped: {result.content}")
    return dict(result.structured_content)


async def warm(client: Client) -> None:
    """Let the server learn what the account calls things."""
    await client.call_tool("who_am_i", {})
    for uri in ("lofty://team/members", "lofty://team/stages", "lofty://team/tags"):
        await client.read_resource(uri)
