"""A sandbox, a server in front of it and MCP clients, all in one process; only the network is imitated."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import anyio
import httpx2
from mcp import Client
from mcp.server import MCPServer
from mcp.types import CallToolResult, ElicitResult, TextContent
from starlette.applications import Starlette

from lofty_mcp.app import App
from lofty_mcp.sandbox import SandboxReset, World, build_app
from lofty_mcp.server import build_server
from lofty_mcp.settings import load
from tests.contract import check_reply, check_request

NOW = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)
OWNER = "olivia.hart@summitpeak.example"
ANA = "ana.reyes@summitpeak.example"
MARK = "mark.silva@summitpeak.example"
ERAS = ("auto", "legacy")
"""The 2026 era, in which a question is a result, and the 2025 era, in which it is pushed."""


class Network(httpx2.AsyncBaseTransport):
    """Carries requests to the sandbox, checks each against the table of operations, and loses answers when told to."""

    def __init__(self, app: Starlette) -> None:
        self._inner = httpx2.ASGITransport(app=app)
        self.before: Callable[[httpx2.Request], httpx2.Response | None] = lambda _: None
        """Runs before each request is carried; may answer in Lofty's place."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer as the sandbox does; a reset of it reads as a connection lost."""
        check_request(request.method, request.url.path, dict(request.url.params.multi_items()), _body(request))
        if (instead := self.before(request)) is not None:
            return instead
        try:
            response = await self._inner.handle_async_request(request)
        except SandboxReset as reset:
            raise httpx2.ReadError("reset", request=request) from reset
        content = await response.aread()
        check_reply(request.method, request.url.path, response.status_code, json.loads(content) if content else None)
        return httpx2.Response(response.status_code, headers=response.headers, content=content, request=request)


class HeldUp(Network):
    """A network on which nothing moves until it may."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(app)
        self.until = anyio.Event()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Wait, then carry."""
        await self.until.wait()
        return await super().handle_async_request(request)


def _body(request: httpx2.Request) -> Any:
    content = request.content
    if not content:
        return None
    if "form" in request.headers.get("content-type", ""):
        return dict(parse_qsl(content.decode()))
    return json.loads(content)


@dataclass
class Person:
    """Answers the questions of a client, and remembers them."""

    action: str = "accept"
    content: dict[str, Any] | None = field(default_factory=lambda: {"ok": True})
    asked: list[str] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

    async def __call__(self, _: Any, params: Any) -> ElicitResult:
        """Answer one question."""
        self.asked.append(params.message)
        self.meanwhile()
        return ElicitResult(action=self.action, content=self.content)


@dataclass
class Bench:
    """One sandbox world, and servers for its members on one state folder."""

    state: Path
    leads: int = 60
    rate_limit: int = 1_000_000
    app: Starlette = field(init=False)
    network: Network = field(init=False)
    later: float = 0.0
    """Seconds by which the server's wall clock is ahead of the real one."""
    tick: float = 0.0
    repeat_last_page: bool = False

    def __post_init__(self) -> None:
        self.app = build_app(
            leads=self.leads,
            now=NOW,
            rate_limit=self.rate_limit,
            strict=True,
            repeat_last_page=self.repeat_last_page,
        )
        self.network = Network(self.app)

    @property
    def world(self) -> World:
        """The sandbox's world."""
        world: World = self.app.state.world
        return world

    async def skip(self, seconds: float) -> None:
        """Wait so long on the clock of the not-found answers."""
        self.tick += seconds

    @asynccontextmanager
    async def client(
        self,
        email: str = ANA,
        *,
        era: str = "auto",
        person: Callable[..., Any] | None = None,
        pace: int = 10_000,
        **settings: Any,
    ) -> AsyncIterator[Client]:
        """An MCP client of a server that acts as `email`; `settings` by field name."""
        async with Client(self.server(email, **settings), mode=era, elicitation_callback=person) as client:
            yield client

    def server(self, email: str = ANA, **settings: Any) -> MCPServer[App]:
        """A server that acts as `email`."""
        configured = load(
            api_key=self.world.key_of(email),
            base_url="http://127.0.0.1",
            state_dir=self.state,
            requests_per_minute=10_000,
            **settings,
        )
        return build_server(
            configured,
            transport=self.network,
            clock=lambda: self.tick,
            sleep=self.skip,
            wall_clock=lambda: time.time() + self.later,
        )

    def by_day(self) -> None:
        """Put the server's wall clock at the next noon in Denver, when everybody in the country may be written to."""
        now = datetime.now(ZoneInfo("America/Denver"))
        noon = now.replace(hour=12, minute=0)
        self.later = (noon - now).total_seconds() % 86_400

    def user_id(self, email: str) -> int:
        """The user id that records use for a member."""
        member = self.world.member(email)
        assert member is not None
        return member.user_id

    def sent(self, *methods: str) -> list[tuple[str, str, Any]]:
        """The requests that reached Lofty, as method, path and body; all writes without `methods`."""
        wanted = methods or ("PUT", "POST", "DELETE")
        return [(entry.method, entry.path, entry.body) for entry in self.world.log if entry.method in wanted]

    def visible_lead(self, email: str = ANA, **matching: Any) -> str:
        """The id of an ordinary lead assigned to `email`, with these values in the record."""
        return self.visible_leads(1, email, **matching)[0]

    def visible_leads(self, count: int, email: str = ANA, **matching: Any) -> list[str]:
        """Ids of ordinary leads assigned to `email`."""
        user_id = self.user_id(email)
        found = []
        for lead_id in self.world.lead_ids():
            lead = self.world.lead(lead_id)
            plain = lead["hiddenFlag"] is False and not lead.get("privateFlag") and not lead["trashed"]
            if plain and lead["assignedUserId"] == user_id and all(lead[k] == v for k, v in matching.items()):
                found.append(str(lead_id))
        assert len(found) >= count, f"the sandbox has only {len(found)} such leads"
        return found[:count]

    def hidden_lead(self, email: str = ANA) -> str:
        """The id of a hidden lead assigned to `email`, made so if there is none."""
        user_id = self.user_id(email)
        own = [i for i in self.world.hidden_ids() if self.world.lead(i)["assignedUserId"] == user_id]
        if not own:
            own = [int(self.visible_leads(3, email)[-1])]
            self.world.update_lead(own[0], hiddenFlag=True, lastName="Underwhistle")
        return str(own[0])


def text(result: CallToolResult) -> str:
    """The text half of a result."""
    content = result.content[0]
    assert isinstance(content, TextContent)
    return content.text


def data(result: CallToolResult) -> dict[str, Any]:
    """The structured half of a successful result, which the text half must equal."""
    assert not result.is_error, text(result)
    assert result.structured_content == json.loads(text(result))
    return dict(result.structured_content or {})


def error(result: CallToolResult) -> str:
    """The text of a failed result."""
    assert result.is_error, text(result)
    return text(result)


def rows(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a table as records."""
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


async def warm(client: Client) -> None:
    """Let the server learn what the account calls things, so that only the call under test is counted."""
    data(await client.call_tool("who_am_i", {}))
    for uri in ("lofty://team/members", "lofty://team/stages", "lofty://team/tags"):
        await client.read_resource(uri)


async def walk(
    client: Client, tool: str, arguments: dict[str, Any], between: Callable[[], None] = lambda: None
) -> list[dict[str, Any]]:
    """All pages of a list, cursor by cursor; `between` runs before each page but the first."""
    pages = [data(await client.call_tool(tool, arguments))]
    while (cursor := pages[-1].get("next_cursor")) is not None:
        assert len(pages) < 500, "the walk does not end"
        between()
        pages.append(data(await client.call_tool(tool, {**arguments, "cursor": cursor})))
    return pages
