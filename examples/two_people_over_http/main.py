"""One server over HTTP for two people, each with their own token and Lofty key; neither finds what is hidden from them.

Starts a sandbox and `lofty-mcp serve --http` itself; no account, no key. Exits with 1 if anything is not as it should
be.
"""

import hashlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import anyio
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

LOFTY_MCP = [sys.executable, "-m", "lofty_mcp"]
PEOPLE = {"ana": "ana.reyes@summitpeak.example", "mark": "mark.silva@summitpeak.example"}


@contextmanager
def running(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A program that is ended with the block."""
    process = subprocess.Popen([*LOFTY_MCP, *arguments], text=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def write_accounts(path: Path, tokens: dict[str, str]) -> None:
    """The accounts file: who shows which token, and where their Lofty key is kept."""
    tables = [
        f'[principals.{name}]\ntoken_sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\n'
        f'credential = "env:LOFTY_KEY_{name.upper()}"\nmode = "ask"\n'
        for name, token in tokens.items()
    ]
    path.write_text("\n".join(tables), encoding="utf-8")


def address(lines: IO[str] | None) -> str:
    """Where the server says that it listens."""
    for line in lines or ():
        if line.startswith("Serving MCP at "):
            return line.split()[-1]
    raise SystemExit("the server did not start")


async def finds(url: str, token: str, lead_id: str) -> bool:
    """Whether whoever shows `token` finds a lead."""
    async with (
        httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        answer = await client.call_tool("get_lead", {"lead_id": lead_id})
    return not answer.is_error


async def look(url: str, tokens: dict[str, str], hidden: list[dict[str, str]]) -> None:
    """Let both look for a hidden lead of each; ends the program if anybody but its agent finds it."""
    for agent, email in PEOPLE.items():
        lead_id = next(lead["lead_id"] for lead in hidden if lead["agent"] == email)
        for name in PEOPLE:
            found = await finds(url, tokens[name], lead_id)
            print(f"{name} {'finds' if found else 'does not find'} the hidden lead of {agent}")
            if found != (name == agent):
                raise SystemExit("that is wrong")


def main() -> None:
    """Start everything, look, and stop everything."""
    tokens = {name: secrets.token_urlsafe(32) for name in PEOPLE}
    with (
        tempfile.TemporaryDirectory() as folder,
        running("sandbox", "--port", "0", "--json", stdout=subprocess.PIPE) as sandbox,
    ):
        told = json.loads(sandbox.stdout.readline() if sandbox.stdout else "{}")
        keys = {member["email"]: member["key"] for member in told["members"]}
        write_accounts(Path(folder, "accounts.toml"), tokens)
        own = {f"LOFTY_KEY_{name.upper()}": keys[email] for name, email in PEOPLE.items()}
        env = (
            os.environ
            | own
            | {
                "LOFTY_BASE_URL": told["url"],
                "LOFTY_MCP_ACCOUNTS": f"{folder}/accounts.toml",
                "LOFTY_MCP_STATE_DIR": f"{folder}/state",
            }
        )
        with running("serve", "--http", "--port", "0", env=env, stderr=subprocess.PIPE) as server:
            anyio.run(look, address(server.stderr), tokens, told["hidden"])


if __name__ == "__main__":
    main()
