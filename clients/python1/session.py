"""The session of the Python SDK 1.x, in an environment of its own: what came back goes to stdout as JSON."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from mcp import ClientSession, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client
from pydantic import AnyUrl

Json = dict[str, Any]
told: Json = {"questions": [], "progress": []}


async def person(_: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
    """Say yes to the first question and no to the second."""
    told["questions"].append(params.message)
    if len(told["questions"]) == 1:
        return types.ElicitResult(action="accept", content={"ok": True})
    return types.ElicitResult(action="decline")


@asynccontextmanager
async def connected(spec: Json) -> AsyncIterator[ClientSession]:
    """A session with the server at a URL, or with one started for it."""
    asked = person if spec["asks"] else None
    if "url" in spec:
        headers = {"Authorization": f"Bearer {spec['token']}"} if spec.get("token") else {}
        async with (
            create_mcp_http_client(headers) as http,
            streamable_http_client(spec["url"], http_client=http) as (read, write, _),
            ClientSession(read, write, elicitation_callback=asked) as session,
        ):
            yield session
    else:
        process = StdioServerParameters(command=spec["command"], args=spec["args"], env=spec["env"])
        async with (
            stdio_client(process) as (read, write),
            ClientSession(read, write, elicitation_callback=asked) as session,
        ):
            yield session


async def main(spec: Json) -> None:
    """Connect, use it, hang up."""
    async with connected(spec) as session:
        greeting = await session.initialize()
        told["version"] = greeting.protocolVersion
        told["server"] = greeting.serverInfo.model_dump(exclude_none=True)
        told["tools"] = [tool.name for tool in (await session.list_tools()).tools]
        told["resources"] = [str(resource.uri) for resource in (await session.list_resources()).resources]
        templates = (await session.list_resource_templates()).resourceTemplates
        told["templates"] = [template.uriTemplate for template in templates]
        told["prompts"] = [prompt.name for prompt in (await session.list_prompts()).prompts]
        await use(session)


async def use(session: ClientSession) -> None:
    """Read, then write."""

    async def call(tool: str, **arguments: Any) -> Json:
        told_of = seen if tool == "add_tag" else None
        return (await session.call_tool(tool, arguments, progress_callback=told_of)).model_dump(mode="json")

    async def read(uri: str) -> Json:
        return dict(json.loads((await session.read_resource(AnyUrl(uri))).contents[0].text))

    async def seen(progress: float, total: float | None, _: str | None) -> None:
        told["progress"].append([progress, total])

    told["found"] = await call("search_leads", assigned_to="me", limit=5)
    found = told["found"]["structuredContent"]
    leads = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    ids = [lead["lead_id"] for lead in leads]
    told["read"] = await read(f"lofty://leads/{ids[0]}")
    prompt = await session.get_prompt("lead_brief", {"lead": ids[0]})
    told["prompt"] = [message.model_dump(mode="json") for message in prompt.messages]
    told["missing"] = await call("get_lead", lead_id="1")
    tags = (await read("lofty://team/tags"))["tags"]
    told["tag"] = next(tag for tag in tags if not any(tag in lead["tags"] for lead in leads))
    told["tagged"] = await call("add_tag", lead_ids=ids, tags=[told["tag"]])
    stages = (await read("lofty://team/stages"))["stages"]
    told["stage"] = next(stage for stage in stages if not any(lead["stage"] == stage for lead in leads))
    move = {"lead_ids": ids[:1], "stage": told["stage"]}
    told["moved"] = [await call("update_stage", **move)]
    code = told["moved"][0]["structuredContent"].get("confirmation")
    if code:
        told["moved"].append(await call("update_stage", **move, confirmation=code))
    else:
        told["declined"] = await call("update_stage", lead_ids=ids[1:2], stage=told["stage"])
    told["after"] = [await read(f"lofty://leads/{lead_id}") for lead_id in ids[:2]]


if __name__ == "__main__":
    try:
        anyio.run(main, json.loads(sys.argv[1]))
    except Exception as error:  # noqa: BLE001 - judge.py judges this, too
        told["error"] = repr(error)
    sys.stdout.write(json.dumps(told) + "\n")
