"""The MCP Inspector's two command lines: one shot at a time, and `mcpdo`, which can be asked."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from clients.check import LEGACY, MODERN, WAYS, Check, pins
from clients.judge import PROMPTS, RESOURCES, TEMPLATES, TOOLS, content, outcomes
from clients.place import MODULES, NODE, SERVER, STDIO, Json, Place, demand, until

INSPECTOR = str(MODULES / ".bin" / "mcp-inspector")
MCPDO = str(MODULES / ".bin" / "mcpdo")
DAEMON = str(MODULES / "@modelcontextprotocol" / "inspector" / "clients" / "mcpdo" / "build" / "mcpdod.js")
ERAS = {MODERN: "modern", LEGACY: "legacy"}
STAMP = "io.modelcontextprotocol/serverInfo"
"""What every result of the 2026 era carries."""
NO_KEYRING = {"MCP_INSPECTOR_SECRET_STORE": "memory"}  # nosec B105 - where it keeps them
LEADS = ("tools/call", "--tool-name", "search_leads", "--tool-args-json", '{"assigned_to": "me", "limit": 2}')


async def inspect(place: Place, *, era: str, http: bool, token: str | None = None) -> str:
    """Look at tools, resources and prompts, and use one of each."""
    if not http:
        return await _inspect(place, era, ["-e", f"LOFTY_MCP_STATE_DIR={place.folder}", SERVER, *STDIO])
    async with place.server(token) as url:
        header = ["--header", f"Authorization: Bearer {token}"] if token else []
        return await _inspect(place, era, ["--server-url", url, "--transport", "http", *header])


async def _inspect(place: Place, era: str, target: list[str]) -> str:
    async def ask(method: str, *more: str) -> tuple[Json, str]:
        command = (INSPECTOR, "--cli", "--protocol-era", ERAS[era], "--format", "json", "-q", *target)
        ended = await place.run(*command, "--method", method, *more, **NO_KEYRING)
        return ended.json()["result"], " ".join(ended.err.split())

    listed, lint = await ask("tools/list", "--strict")
    _holds(TOOLS, [tool["name"] for tool in listed["tools"]])
    lints = re.search(r"(\d+) errors?, (\d+) warnings?", lint)
    demand(lints is None or lints[1] == "0", f"--strict: {lint[-400:]}")
    _holds(RESOURCES, [resource["uri"] for resource in (await ask("resources/list"))[0]["resources"]])
    templates = (await ask("resources/templates/list"))[0]["resourceTemplates"]
    _holds(TEMPLATES, [template["uriTemplate"] for template in templates])
    _holds(PROMPTS, [prompt["name"] for prompt in (await ask("prompts/list"))[0]["prompts"]])
    answer = (await ask(*LEADS))[0]
    demand((STAMP in answer.get("_meta", {})) == (era == MODERN), "it spoke another era")
    found = content(answer)
    demand(found["returned"] == 2, f"a search for two leads brought {found['returned']}")
    lead_id, name = (found["rows"][0][found["columns"].index(column)] for column in ("lead_id", "name"))
    read = (await ask("resources/read", "--uri", f"lofty://leads/{lead_id}"))[0]["contents"][0]["text"]
    demand(json.loads(read)["lead_id"] == lead_id, "the lead's resource is not that lead")
    # By name: the Inspector reads an argument of digits as a number, and a long one loses its last digits.
    prompt = (await ask("prompts/get", "--prompt-name", "lead_brief", "--prompt-args", f"lead={name}"))[0]
    demand(name in prompt["messages"][0]["content"]["text"], "the prompt is not ours")
    warned = sorted(set(re.findall(r'Warning: tool "(\w+)"', lint)))
    return f"ok; warns of schemas of {', '.join(warned)}" if warned else "ok"


def _holds(wanted: set[str], listed: list[str]) -> None:
    demand(wanted <= set(listed), f"missing are {sorted(wanted - set(listed))}")


async def converse(place: Place, *, era: str) -> None:
    """Agree to one move and decline another, and see which was made."""
    async with _connected(place, era) as do:
        found = content(await do("tools/call", "search_leads", "assigned_to:=me", "limit:=2"))
        first, second = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
        stage = "Qualified" if "Qualified" not in (first["stage"], second["stage"]) else "Closed"
        yes = await _answered(do, first["lead_id"], stage, "ok:=true")
        demand(outcomes(yes, "done") == ["applied"], f"yes: {yes}")
        no = await _answered(do, second["lead_id"], stage, "--decline")
        demand(outcomes(no, "declined") == ["not_applied"], f"no: {no}")
        for lead, moved in ((first, True), (second, False)):
            now = content(await do("tools/call", "get_lead", f"lead_id:={json.dumps(lead['lead_id'])}"))
            demand(now["stage"] == (stage if moved else lead["stage"]), f"a lead stands at {now['stage']}")


async def _answered(do: Any, lead_id: str, stage: str, answer: str) -> Json:
    move = (f"lead_ids:={json.dumps([lead_id])}", f"stage:={json.dumps(stage)}")
    pending = (await do("tools/call", "update_stage", *move)).get("elicitationPending")
    demand(pending is not None, "no question was asked")
    demand(lead_id in pending["message"] and f"→ {stage}" in pending["message"], f"it asks: {pending['message']}")
    return dict(await do("elicitation/respond", pending["elicitationId"], answer))


@asynccontextmanager
async def _connected(place: Place, era: str) -> AsyncIterator[Any]:
    async def do(*words: str) -> Any:
        command = (MCPDO, "--format", "json", "--connection", "lofty", *words)
        return (await place.run(*command, **NO_KEYRING)).json()

    # Left to itself mcpdo starts its daemon detached, where nothing ends it if this run is broken off.
    async with place.child(NODE, DAEMON, **NO_KEYRING):
        socket = place.folder / ".mcp-inspector" / "mcpdod.sock"
        await until(lambda: socket.exists() or None, "mcpdo's daemon")
        await do("connect", "--era", ERAS[era], "-e", f"LOFTY_MCP_STATE_DIR={place.folder}", "--", SERVER, *STDIO)
        agreed = (await do("connections/show"))["protocolVersion"]
        demand(agreed == era, f"they agreed on {agreed}")
        yield do
        await do("daemon", "stop")


def checks() -> list[Check]:
    """The rows of the Inspector and of mcpdo."""
    version = pins()["@modelcontextprotocol/inspector"]
    looked = "tools/list --strict; resources, templates and prompts listed; a tool, a lead's resource, a prompt"
    asked = "a move agreed to and one declined when asked; the leads read afterwards"
    return [
        *(
            Check("MCP Inspector", version, transport, era, looked, partial(inspect, era=era, http=http, token=token))
            for transport, http, token in WAYS
            for era in (MODERN, LEGACY)
        ),
        *(Check("mcpdo", version, "stdio", era, asked, partial(converse, era=era)) for era in (MODERN, LEGACY)),
    ]
