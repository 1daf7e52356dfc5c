"""The SDKs: one session each, which reads, writes, is asked, and tells what came back."""

import json
import re
from functools import partial

from clients.check import LEGACY, MODERN, Check, pins
from clients.judge import judge
from clients.place import HERE, INSTALLED, NODE, SERVER, STDIO, TOKEN, Failed, Json, Place, demand

READS = "lists; a search; a missing lead; a lead's resource; a prompt; a tag for five leads, with progress; "
ASKED = READS + "a move agreed to and one declined when asked"
TWO_STEPS = READS + "a move in two steps"
REFUSED = "refused without the token; "

PROGRAMS = {
    "TypeScript client": (NODE, str(INSTALLED / "npm" / "typescript2.mjs")),
    "TypeScript SDK 1": (NODE, str(INSTALLED / "npm" / "typescript1.mjs")),
    "Python SDK 1": (str(INSTALLED / "python1" / "bin" / "python"), str(HERE / "python1" / "session.py")),
}


async def over_stdio(place: Place, *, client: str, era: str) -> None:
    """A session with a server that the client starts itself."""
    spec = {"command": SERVER, "args": list(STDIO), "env": place.env()}
    judge(await _session(place, client, era, spec), era, asked=True)


async def over_http(place: Place, *, client: str, era: str, token: str | None) -> None:
    """A session with a server that listens; behind a token, one without it must fail first."""
    async with place.server(token) as url:
        if token:
            refused = (await _session(place, client, era, {"url": url})).get("error", "")
            demand("401" in refused, f"without the token: {refused or 'let in'}")
        judge(await _session(place, client, era, {"url": url, "token": token}), era, asked=era == MODERN)


async def _session(place: Place, client: str, era: str, where: Json) -> Json:
    ended = await place.run(*PROGRAMS[client], json.dumps({**where, "era": era, "asks": True}))
    try:
        return dict(json.loads(ended.out))
    except ValueError:
        raise Failed(f"it told nothing: {ended.tail()}") from None


def _rows(client: str, version: str, *eras: str) -> list[Check]:
    rows = []
    for era in eras:
        told = ASKED if era == MODERN else TWO_STEPS
        http = partial(over_http, client=client, era=era)
        rows += [
            Check(client, version, "stdio", era, ASKED, partial(over_stdio, client=client, era=era)),
            Check(client, version, "HTTP", era, told, partial(http, token=None)),
            Check(client, version, "HTTP, bearer token", era, REFUSED + told, partial(http, token=TOKEN)),
        ]
    return rows


def checks() -> list[Check]:
    """The rows of the SDKs."""
    npm = pins()
    python1 = re.search(r"^mcp==(\S+)", (HERE / "python1" / "requirements.txt").read_text("utf-8"), re.MULTILINE)
    return [
        *_rows("TypeScript client", npm["@modelcontextprotocol/client"], MODERN, LEGACY),
        *_rows("TypeScript SDK 1", npm["@modelcontextprotocol/sdk"], LEGACY),
        *_rows("Python SDK 1", python1[1] if python1 else "?", LEGACY),
    ]
