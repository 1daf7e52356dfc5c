"""Putting a lead into the trash."""

from dataclasses import dataclass
from typing import Annotated, Any

from mcp.server.mcpserver import Resolve

from lofty_mcp.app import Ctx
from lofty_mcp.client.requests import Hook
from lofty_mcp.errors import NotFound
from lofty_mcp.guard.confirm import Answer, asker, carry_out, in_time, plan_act
from lofty_mcp.guard.effects import Effect
from lofty_mcp.guard.gate import VisibleCrm
from lofty_mcp.guard.plans import Act, NamedApproval, Plan
from lofty_mcp.guard.visibility import is_hidden
from lofty_mcp.models.leads import LeadRecord
from lofty_mcp.models.results import WriteResult
from lofty_mcp.tools.params import Confirmation, LeadId, Text
from lofty_mcp.tools.spec import ToolSpec
from lofty_mcp.tools.texts import plain_text

REASON_LIMIT = 200


@dataclass(frozen=True)
class Standing:
    """Where a lead is; `lead` is None once it is not found any more."""

    lead: LeadRecord | None
    in_trash: bool = False


async def standing(_: VisibleCrm, lead: LeadRecord) -> Standing:
    """A lead that is there."""
    return Standing(lead)


async def look(crm: VisibleCrm, lead_id: str) -> tuple[Standing, bool]:
    """Where the lead is after the call; one that was hidden meanwhile reads as one that is gone."""
    try:
        lead, seen = await crm.read_back(lead_id)
    except NotFound:
        seen, lead = False, None
    return Standing(lead) if seen else Standing(None, in_trash=await crm.in_trash(lead_id)), True


@in_time
async def plan_removal(lead_id: str, reason: str, confirmation: str | None) -> Plan:
    """A lead's way into the trash, planned on the lead as it is now."""
    why = plain_text(reason, "reason", REASON_LIMIT)

    async def write(crm: VisibleCrm, record: Standing, before: Hook) -> Any:
        assert record.lead is not None  # nosec B101 # noqa: S101 - only a lead that is there is planned on
        return await crm.delete_lead(record.lead, why, before)

    act = Act[Standing](
        tool="delete_lead",
        effect=Effect.REMOVE,
        arguments={"reason": why},
        title="Put this lead into Lofty's trash? Only Lofty itself can bring it back.",
        read=standing,
        look=look,
        before=_shown,
        after=lambda _: {"in_trash": True, "reason": why},
        done=lambda record: record.in_trash,
        suffices=lambda record: record is not None and record.lead is None,
        write=write,
        consequence=lambda record: "This lead is hidden." if record.lead and is_hidden(record.lead) else None,
        form=NamedApproval,
        ends=True,
    )
    return await plan_act(act, [lead_id], confirmation)


RemovalPlan = Annotated[Plan, Resolve(plan_removal)]
RemovalAnswer = Annotated[Answer, Resolve(asker(plan_removal))]


async def delete_lead(
    ctx: Ctx,
    plan: RemovalPlan,
    answer: RemovalAnswer,
    lead_id: LeadId,
    reason: Text,
    confirmation: Confirmation = None,
) -> WriteResult:
    """Put a lead into the trash, with the reason why. The person is asked first and types the lead's name.

    It cannot be taken back here.
    """
    return await carry_out(ctx, plan, answer)


def _shown(record: Standing) -> dict[str, Any]:
    lead = record.lead
    return (
        {"stage": lead.stage, "assigned_to": lead.assigned_user, "in_trash": False}
        if lead
        else {"in_trash": record.in_trash}
    )


TOOLS = (ToolSpec(delete_lead, Effect.REMOVE, "Delete lead", toolset="edits"),)
