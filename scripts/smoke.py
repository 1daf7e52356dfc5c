"""Prove an installed lofty-mcp: over stdio, against the sandbox, render a prompt and call a tool.

Run by scripts/check as `python -I smoke.py` far from the source tree, with the Python that has the wheel.
"""

import sys
import tempfile
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters

import lofty_mcp
from lofty_mcp.guard.draft import fair_housing
from lofty_mcp.guard.zones import zones_of


def main() -> None:
    """Check that the package is the installed one, then use it."""
    home = Path(lofty_mcp.__file__).resolve()
    assert home.is_relative_to(Path(sys.prefix).resolve()), f"{home} is not the installed package"
    assert zones_of(["CO"], "UTC") == {"America/Denver"}
    assert fair_housing("No children"), "the list of words is empty"
    anyio.run(use)
    print(f"{home.parent}: its tables read, a prompt rendered, a tool called")


async def use() -> None:
    """Start the server as a host would, and ask it."""
    with tempfile.TemporaryDirectory() as state:
        server = StdioServerParameters(
            command=str(Path(sys.executable).with_name("lofty-mcp")),
            args=["serve", "--sandbox"],
            env={"LOFTY_MCP_STATE_DIR": str(Path(state, "lofty-mcp"))},
        )
        with anyio.fail_after(60):
            async with Client(server) as client:
                rendered = await client.get_prompt("morning_briefing")
                answer = await client.call_tool("search_leads", {"limit": 3})
    assert rendered.messages, "the prompt is empty"
    assert not answer.is_error, answer.content
    assert answer.structured_content is not None
    assert answer.structured_content["returned"] == 3


if __name__ == "__main__":
    main()
