"""Moving leads: their stage and their assignee."""

from typing import Annotated, Any, Literal

from mcp.server.mcpserver import Resolve
from pydantic import Field

from lofty_mcp.app import Ctx, call
from lofty_mcp.client.requests import Hook
from lofty_mcp.errors import InvalidInput
from lofty_mcp.guard.confirm import Answer, asker, carry_out, in_time, plan_act
from lofty_mcp.guard.effects import Effect
from lofty_mcp.guard.gate import VisibleCrm
from lofty_mcp.guard.plans import Act, Plan
from lofty_mcp.guard.visibility import is_hidden
from lofty_mcp.models.clean import line
from lofty_mcp.models.leads import LeadRecord
from lofty_mcp.models.people import Member
from lofty_mcp.models.results import WriteResult
from lofty_mcp.tools.contact import why_only_a_person_moves
from lofty_mcp.tools.params import Confirmation, LeadIds, Text, once_each, undoing
from lofty_mcp.tools.spec import ToolSpec
from lofty_mcp.tools.team import find_member, find_stage

RoleName = Literal["Agent", "Assistant", "Lender"]


@in_time
async def plan_stage(lead_ids: list[str], stage: str, confirmation: str | None) -> Plan:
    """A stage move, planned on the leads as they are now."""
    name = await find_stage(stage)

    async def write(crm: VisibleCrm, lead: LeadRecord, before: Hook) -> Any:
        return await crm.put_lead(lead, {"stage": name}, before)

    act = Act(
        tool="update_stage",
        effect=Effect.CHANGE,
        arguments={"stage": name},
        title=f"Move to stage {line(name)!r}?",
        before=lambda lead: {"stage": lead.stage},
        after=lambda _: {"stage": line(name)},
        done=lambda lead: lead.stage == line(name),
        write=write,
        must_ask=why_only_a_person_moves,
        undo=lambda lead_id, before, _: (
            undoing("update_stage", lead_ids=[lead_id], stage=before["stage"]) if before.get("stage") else None
        ),
    )
    return await plan_act(act, once_each(lead_ids), confirmation)


StagePlan = Annotated[Plan, Resolve(plan_stage)]
StageAnswer = Annotated[Answer, Resolve(asker(plan_stage))]


async def update_stage(
    ctx: Ctx,
    plan: StagePlan,
    answer: StageAnswer,
    lead_ids: LeadIds,
    stage: Annotated[Text, Field(description="Exact stage name, as in lofty://team/stages")],
    confirmation: Confirmation = None,
) -> WriteResult:
    """Move leads to another stage of the pipeline. The person is asked first.

    A confirmation_required answer has done nothing yet: show its preview, and repeat the call with the code once the
    person agrees.
    """
    return await carry_out(ctx, plan, answer)


@in_time
async def plan_assignment(lead_ids: list[str], assignee: str, role: RoleName, confirmation: str | None) -> Plan:
    """An assignment, planned on the leads as they are now."""
    member = await find_member(assignee)
    if not member.email:
        raise InvalidInput(f"{member.name} has no e-mail address in Lofty and cannot be assigned. Nothing was changed.")
    everybody = await call().account.vocabulary.members()

    async def write(crm: VisibleCrm, lead: LeadRecord, before: Hook) -> Any:
        return await crm.assign_lead(lead, role, member, before)

    def holder(lead: LeadRecord) -> tuple[str | None, str | None]:
        return _holder(lead, role)

    act = Act(
        tool="assign_lead",
        effect=Effect.CHANGE,
        arguments={"assignee": member.email.casefold(), "role": role},
        title=f"Assign to {member.name} <{member.email}> as {role}?",
        before=lambda lead: {role.lower(): _shown(*holder(lead), everybody)},
        after=lambda _: {role.lower(): _label(member, everybody)},
        done=lambda lead: _is(member, holder(lead)[0], everybody),
        write=write,
        consequence=lambda lead: _consequence(lead, role),
        trace=lambda lead: list(holder(lead)),
        shows=lambda trace, now: (
            _is(member, holder(now)[0], everybody)
            or (trace != list(holder(now)) and _is_called(member, *holder(now), everybody))
        ),
        undo=lambda lead_id, before, _: _back_to(lead_id, before.get(role.lower()), role, everybody),
        gives_away=True,
    )
    return await plan_act(act, once_each(lead_ids), confirmation)


AssignmentPlan = Annotated[Plan, Resolve(plan_assignment)]
AssignmentAnswer = Annotated[Answer, Resolve(asker(plan_assignment))]


async def assign_lead(
    ctx: Ctx,
    plan: AssignmentPlan,
    answer: AssignmentAnswer,
    lead_ids: LeadIds,
    assignee: Annotated[Text, Field(description="Member id, e-mail or name")],
    role: RoleName = "Agent",
    confirmation: Confirmation = None,
) -> WriteResult:
    """Give leads to a member, as agent, assistant or lender. The person is asked first.

    The former holder loses sight of a hidden lead.
    """
    return await carry_out(ctx, plan, answer)


def _holder(lead: LeadRecord, role: RoleName) -> tuple[str | None, str | None]:
    """The user id and name of whoever holds `role` on the lead."""
    held = next((r for r in lead.roles if (r.role or "").casefold() == role.casefold()), None)
    if role == "Agent" and (lead.assigned_user_id or lead.assigned_user):
        return lead.assigned_user_id, lead.assigned_user
    if held is not None:
        return held.assignee_id, held.assignee
    return (lead.lender_user_id, None) if role == "Lender" else (None, None)


def _is(member: Member, user_id: str | None, everybody: list[Member]) -> bool:
    """Whether `user_id` is certainly this member's."""
    if user_id is None or user_id == member.member_user_id:
        return user_id is not None
    return user_id == member.id and not any(user_id == other.member_user_id for other in everybody)


def _is_called(member: Member, user_id: str | None, name: str | None, everybody: list[Member]) -> bool:
    """Whether the holder of a role, under an id that nobody is known by, bears a name that only `member` has.

    Records and member list may use different ids for one person (quirk 19).
    """
    if user_id and any(user_id == other.member_user_id for other in everybody):
        return False
    alike = [m for m in everybody if name and name.casefold() in (m.name.casefold(), (m.email or "").casefold())]
    return len(alike) == 1 and alike[0].email == member.email


def _shown(user_id: str | None, name: str | None, everybody: list[Member]) -> str | None:
    """Who holds a role, as people call them; Lofty gives the agent's name, but the e-mail of the others."""
    held = next((m for m in everybody if user_id and user_id == m.member_user_id), None)
    return _label(held, everybody) if held else name or user_id


def _label(member: Member, everybody: list[Member]) -> str:
    """A member's name, with the e-mail where another bears the same name."""
    alike = sum(other.name.casefold() == member.name.casefold() for other in everybody) > 1
    return f"{member.name} <{member.email}>" if alike else member.name


def _back_to(lead_id: str, label: str | None, role: RoleName, everybody: list[Member]) -> dict[str, Any] | None:
    """The call that gives a lead back to whoever was shown as `label`, if that is a member."""
    former = next((m for m in everybody if m.email and label in (_label(m, everybody), m.email)), None)
    return undoing("assign_lead", lead_ids=[lead_id], assignee=former.email, role=role) if former else None


def _consequence(lead: LeadRecord, role: RoleName) -> str | None:
    if not is_hidden(lead):
        return None
    holder = _holder(lead, role)[1]
    return f"{holder} loses access to this hidden lead." if role == "Agent" and holder else "This lead is hidden."


TOOLS = (
    ToolSpec(update_stage, Effect.CHANGE, "Update stage", lists=("lead_ids",)),
    ToolSpec(assign_lead, Effect.CHANGE, "Assign lead", lists=("lead_ids",)),
)
