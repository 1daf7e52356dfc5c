"""The HTTP mode in one process: the whole ASGI application, without a socket."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from lofty_mcp.settings import Settings, load
from lofty_mcp.web.app import Web, build_web
from tests.support.world import Bench

BASE = "http://127.0.0.1:8766"
TOKEN_OF = "{}-static-token-0123456789"


def accounts(**principals: dict[str, Any]) -> str:
    """An accounts file with a table per principal; a static token is `TOKEN_OF` the name unless a subject is given."""
    tables = []
    for name, table in principals.items():
        shown = {} if "subject" in table else {"token_sha256": hashlib.sha256(token(name).encode()).hexdigest()}
        lines = [f"{key} = {json.dumps(value)}" for key, value in (shown | table).items()]
        tables.append("\n".join([f"[principals.{name}]", *lines]))
    return "\n\n".join(tables)


def token(name: str) -> str:
    """The static token of a principal."""
    return TOKEN_OF.format(name)


@dataclass
class Site:
    """A running HTTP mode over a bench's sandbox."""

    bench: Bench
    settings: Settings
    web: Web
    http: httpx2.AsyncClient

    async def post(self, method: str = "ping", shown: str | None = None, **given: Any) -> httpx2.Response:
        """One request of the 2025 era; `params` go into the message, the rest to the HTTP client."""
        headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
        headers |= {"authorization": f"Bearer {shown}"} if shown else {}
        headers |= given.pop("headers", {})
        message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": given.pop("params", {})}
        return await self.http.post(given.pop("url", "/mcp"), headers=headers, json=message, **given)

    @asynccontextmanager
    async def client(
        self, shown: str | None, era: str = "auto", headers: dict[str, str] | None = None, **options: Any
    ) -> AsyncIterator[Client]:
        """An MCP client with a bearer token."""
        own = {"authorization": f"Bearer {shown}"} if shown else {}
        transport = httpx2.ASGITransport(app=self.web.asgi)
        async with (
            httpx2.AsyncClient(transport=transport, base_url=BASE, headers=own | (headers or {})) as http,
            Client(streamable_http_client(f"{BASE}/mcp", http_client=http), mode=era, **options) as client,
        ):
            yield client


@dataclass
class Builder:
    """Sites on one bench."""

    bench: Bench
    folder: Path
    later: dict[str, Any] = field(default_factory=dict)

    def write_accounts(self, text: str) -> Path:
        """The accounts file, replaced as a whole."""
        path = self.folder / "accounts.toml"
        draft = path.with_suffix(".new")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
        return path

    @asynccontextmanager
    async def site(self, *, host: str = "127.0.0.1", open_door: bool = False, **settings: Any) -> AsyncIterator[Site]:
        """A site; `settings` by field name."""
        configured = load(
            base_url="http://127.0.0.1", state_dir=self.bench.state, requests_per_minute=10_000, **settings
        )
        web = build_web(
            configured,
            host=host,
            open_door=open_door,
            transport=self.bench.network,
            clock=lambda: self.bench.tick,
            sleep=self.bench.skip,
        )
        transport = httpx2.ASGITransport(app=web.asgi)
        async with (
            web.asgi.router.lifespan_context(web.asgi),
            httpx2.AsyncClient(transport=transport, base_url=BASE) as http,
        ):
            yield Site(self.bench, configured, web, http)
