"""Claude Code: its own binary, in a home of its own, without a login."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from clients.check import WAYS, Check, pins
from clients.place import INSTALLED, SERVER, STDIO, Failed, Place, demand

QUIET = {"TERM": "dumb", "DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}


def _binary() -> str:
    found = sorted((INSTALLED / "claude-code" / "node_modules" / "@anthropic-ai").glob("claude-code-*/claude"))
    if not found:
        raise Failed("its binary is not installed")
    return str(found[0])


async def connect(place: Place, *, http: bool, token: str | None) -> None:
    """Add the server and have Claude Code say that it is connected; its exit code says nothing."""
    async with _target(place, http=http, token=token) as target:
        added = await place.run(_binary(), "mcp", "add", "--scope", "user", *target, **QUIET)
        demand(added.code == 0, f"mcp add: {added.tail()}")
        listed = await place.run(_binary(), "mcp", "list", **QUIET)
    line = next((line for line in listed.out.splitlines() if line.startswith("lofty:")), listed.tail())
    demand(line.rstrip().endswith("Connected") and "Failed" not in line, f"mcp list: {line}")


@asynccontextmanager
async def _target(place: Place, *, http: bool, token: str | None) -> AsyncIterator[list[str]]:
    if not http:
        yield ["lofty", "-e", f"LOFTY_MCP_STATE_DIR={place.folder}", "--", SERVER, *STDIO]
        return
    async with place.server(token) as url:
        header = ["--header", f"Authorization: Bearer {token}"] if token else []
        yield ["--transport", "http", "lofty", url, *header]


def checks() -> list[Check]:
    """The rows of Claude Code."""
    version = pins("claude-code")["@anthropic-ai/claude-code"]
    return [
        Check(
            "Claude Code",
            version,
            transport,
            "its choice",
            "`claude mcp add`; `claude mcp list` says Connected",
            partial(connect, http=http, token=token),
            large=True,
        )
        for transport, http, token in WAYS
    ]
