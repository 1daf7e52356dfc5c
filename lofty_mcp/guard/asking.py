"""Asking a person: whether this client can, how it is done in each protocol era, and what counts as a yes."""

import anyio
from mcp.server.mcpserver import AcceptedElicitation
from mcp.shared.exceptions import MCPError
from mcp.types.version import is_version_at_least

from lofty_mcp.app import Ctx, call
from lofty_mcp.guard.plans import Approval, Plan
from lofty_mcp.guard.wording import question

QUESTION_SECONDS = 120.0
ASKING_ERA = "2026-07-28"
"""The first protocol revision in which a question is a result instead of a request to the client."""


def approves(plan: Plan, given: Approval) -> bool:
    """Whether this form, as it was filled in, is a yes to `plan`."""
    names = [call().readable(step.lead.name) for step in plan.steps if step.lead]
    return isinstance(given, plan.act.form) and given.approves(names)


def can_ask(ctx: Ctx) -> bool:
    """Whether this client shows forms: declared, and either asked by result or over a channel that is there."""
    elicitation = ctx.client_capabilities.elicitation if ctx.client_capabilities else None
    if elicitation is None or (elicitation.form is None and elicitation.url is not None):
        return False
    return is_asking_era(ctx) or ctx.session.can_send_request


async def said_yes(plan: Plan, ctx: Ctx) -> bool:
    """Whether a person says yes to `plan` over the 2025 era's channel, within the time for a question."""
    with anyio.move_on_after(QUESTION_SECONDS):
        try:
            answer = await ctx.elicit(call().asked(question(plan)), plan.act.form)
        except (MCPError, ValueError):
            return False  # the client failed, or answered without the form: not a yes
        return isinstance(answer, AcceptedElicitation) and approves(plan, answer.data)
    return False


def is_asking_era(ctx: Ctx) -> bool:
    """Whether a question is a result here."""
    return ctx.protocol_version is not None and is_version_at_least(ctx.protocol_version, ASKING_ERA)
