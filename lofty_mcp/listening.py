"""Open `subscriptions/listen` streams, each of which would hold up the end of the process for as long as it can."""

from typing import Any

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp.types import SubscriptionsListenResult

from lofty_mcp.app import App


async def ended(ctx: ServerRequestContext[App, Any], call_next: CallNext) -> HandlerResult:
    """Middleware: let the App end this stream, as deliberately as the protocol foresees it."""
    if ctx.method != "subscriptions/listen":
        return await call_next(ctx)
    waiting = ctx.lifespan_context.waiting
    with anyio.CancelScope() as scope:
        waiting.add(scope)
        try:
            return await call_next(ctx)
        finally:
            waiting.discard(scope)
    return SubscriptionsListenResult(_meta={SUBSCRIPTION_ID_META_KEY: ctx.request_id})
