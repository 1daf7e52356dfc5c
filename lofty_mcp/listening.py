"""Open `subscriptions/listen` streams, each of which would hold up the end of the process for as long as it can."""

import json
from typing import Any

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS, SubscriptionsListenResult

from lofty_mcp.app import App, call

LONGEST_SECONDS = 3_600.0
"""Whoever wants to listen on asks again, and shows a token again."""
LARGEST_REQUEST = 16_384


async def ended(ctx: ServerRequestContext[App, Any], call_next: CallNext) -> HandlerResult:
    """Middleware: let the App end this stream, as deliberately as the protocol foresees it."""
    if ctx.method != "subscriptions/listen":
        return await call_next(ctx)
    if len(json.dumps(ctx.params, default=str)) > LARGEST_REQUEST:
        raise MCPError(INVALID_PARAMS, f"A stream can be asked for in up to {LARGEST_REQUEST} characters.")
    streams = ctx.lifespan_context.streams
    with anyio.move_on_after(LONGEST_SECONDS) as scope:
        streams[scope] = call().caller.principal
        try:
            return await call_next(ctx)
        finally:
            del streams[scope]
    return SubscriptionsListenResult(_meta={SUBSCRIPTION_ID_META_KEY: ctx.request_id})
