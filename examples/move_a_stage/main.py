"""Move a lead to another stage, answering the server's question in code, and verify that it moved.

Starts `lofty-mcp serve --sandbox` itself; no account, no key. Exits with 1 if anything is not as it should be.
"""

import sys
import tempfile
from typing import Any

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.context import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult

STAGE = "Qualified"


async def approve(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    """Stand in for the person: say yes to exactly the move that this program wants."""
    print(f"asked: {params.message}")
    if STAGE not in params.message:
        return ElicitResult(action="decline")
    return ElicitResult(action="accept", content={"ok": True})


async def use(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """A tool's structured answer; a failed call ends the program."""
    answer = await client.call_tool(tool, arguments)
    if answer.is_error or answer.structured_content is None:
        raise SystemExit(f"{tool} failed: {answer.content}")
    result: dict[str, Any] = answer.structured_content
    return result


async def move(state: str) -> str:
    """What was done; ends the program if the lead is not where it was moved."""
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "lofty_mcp", "serve", "--sandbox"], env={"LOFTY_MCP_STATE_DIR": state}
    )
    async with Client(server, elicitation_callback=approve) as client:
        found = await use(client, "search_leads", assigned_to="me", stage="Contacted", limit=1)
        lead = dict(zip(found["columns"], found["rows"][0], strict=True))
        done = await use(client, "update_stage", lead_ids=[lead["lead_id"]], stage=STAGE)
        after = await use(client, "get_lead", lead_id=lead["lead_id"])
    if done["status"] != "done" or after["stage"] != STAGE:
        raise SystemExit(f"{lead['name']} is in stage {after['stage']}, not {STAGE}")
    return f"{lead['name']}: {lead['stage']} → {after['stage']}"


def main() -> None:
    """Run it with a time limit, and say what was done."""

    async def limited() -> str:
        with tempfile.TemporaryDirectory() as folder, anyio.fail_after(60):
            return await move(f"{folder}/state")

    print(anyio.run(limited))


if __name__ == "__main__":
    main()
