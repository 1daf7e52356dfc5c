"""Short hands for tests of the sandbox itself: a fixed moment, the members' e-mails, one request at a time."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx2
from starlette.applications import Starlette

from lofty_mcp.sandbox import World, build_app

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
OWNER = "olivia.hart@summitpeak.example"
ANA = "ana.reyes@summitpeak.example"
MARK = "mark.silva@summitpeak.example"
SHORT_ME = "christina.lee@summitpeak.example"
ASSISTANT = "priya.nair@summitpeak.example"
LENDER = "leo.grant@firstharbor.example"
JSON = {"content-type": "application/json"}


def sandbox(**options: Any) -> tuple[Starlette, World]:
    """A strict sandbox of 200 leads at a fixed moment, and its world."""
    app = build_app(**{"strict": True, "now": NOW, **options})
    return app, app.state.world


def user_id(world: World, email: str) -> int:
    """The long user id of a member."""
    return next(member.user_id for member in world.members if member.email == email)


async def ask(
    app: Starlette,
    method: str,
    path: str,
    *,
    who: str = OWNER,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
) -> httpx2.Response:
    """One request with a member's key and the JSON Content-Type; `headers` are added to these."""
    key = app.state.world.key_of(who)
    sent = {"authorization": f"token {key}", **JSON, **(headers or {})}
    content = None if body is None else json.dumps(body)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://sandbox") as client:
        return await client.request(method, path, content=content, headers=sent, params=params)


async def bare(app: Starlette, method: str, path: str, **options: Any) -> httpx2.Response:
    """One request with nothing added."""
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://sandbox") as client:
        return await client.request(method, path, **options)
