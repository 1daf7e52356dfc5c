"""Which tools are there for this call: what is not allowed is neither listed nor known."""

from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.types import CallToolResult, TextContent

from lofty_mcp.app import App, call
from lofty_mcp.tools import ALL

NAMES = frozenset(spec.name for spec in ALL)


async def allowed(ctx: ServerRequestContext[App, Any], call_next: CallNext) -> HandlerResult:
    """Middleware: leave out of a list, and refuse as unknown, the tools that this caller does not have."""
    if ctx.method == "tools/call" and ctx.request_id is not None:
        name = str((ctx.params or {}).get("name", ""))
        if name in NAMES and name not in call().tools:
            call().decided("refuse", "not listed")
            call().outcome = "Refused"
            text = f"{name} is not available here (see LOFTY_MCP_MODE, _TOOLSETS and _SENDS). Nothing was changed."
            return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)
    answer = await call_next(ctx)
    if ctx.method == "tools/list" and isinstance(answer, dict) and "tools" in answer:
        mine = call().tools
        answer["tools"] = [tool for tool in answer["tools"] if tool["name"] in mine]
    return answer
