"""Putting tags on leads and taking them off."""

from typing import Annotated, Any

from mcp.server.mcpserver import Resolve
from pydantic import Field

from lofty_mcp.app import Ctx, call
from lofty_mcp.client.requests import TAG_LIMIT, Hook
from lofty_mcp.errors import InvalidInput
from lofty_mcp.guard.confirm import Answer, asker, carry_out, in_time, plan_act
from lofty_mcp.guard.effects import Effect, effective
from lofty_mcp.guard.gate import VisibleCrm
from lofty_mcp.guard.plans import Act, Plan, Values
from lofty_mcp.models.clean import line
from lofty_mcp.models.leads import LeadRecord
from lofty_mcp.models.results import WriteResult
from lofty_mcp.tools.contact import barring, consenting
from lofty_mcp.tools.names import near, one_of
from lofty_mcp.tools.params import Confirmation, LeadIds, Text, once_each, undoing
from lofty_mcp.tools.spec import ToolSpec
from lofty_mcp.tools.team import tag_names

CONSENT = "This records that the lead has agreed to be written to."
LOOSER = "Without this tag the lead may be written to again."
Tags = Annotated[list[Text], Field(min_length=1, max_length=20)]


@in_time
async def plan_tags(lead_ids: list[str], tags: list[str], create_new: bool, confirmation: str | None) -> Plan:
    """Added tags, planned on the leads as they are now."""
    names, fresh = await _tags(tags, create_new=create_new)
    automated = {line(tag).casefold() for tag in call().app.settings.automation_tags}
    starts = [name for name in names if line(name).casefold() in automated]

    def missing(lead: LeadRecord) -> list[str]:
        return [name for name in names if line(name) not in lead.tag_names]

    async def write(crm: VisibleCrm, lead: LeadRecord, before: Hook) -> Any:
        return await crm.put_lead(lead, {"tagsAdd": missing(lead)}, before)

    ids = once_each(lead_ids)
    act = Act(
        tool="add_tag",
        effect=effective(Effect.ADD, leads=len(ids), widens=bool(fresh or starts)),
        arguments={"tags": sorted(names)},
        title=_tag_title(names, fresh, starts),
        before=lambda lead: {"tags": lead.tag_names},
        after=lambda lead: {"tags": [*lead.tag_names, *map(line, missing(lead))]},
        done=lambda lead: not missing(lead),
        write=write,
        undo=lambda lead_id, before, after: _taking_off(lead_id, names, before, after),
        must_ask=lambda lead: CONSENT if any(map(consenting, missing(lead))) else None,
    )
    return await plan_act(act, ids, confirmation)


TagPlan = Annotated[Plan, Resolve(plan_tags)]
TagAnswer = Annotated[Answer, Resolve(asker(plan_tags))]


async def add_tag(
    ctx: Ctx,
    plan: TagPlan,
    answer: TagAnswer,
    lead_ids: LeadIds,
    tags: Tags,
    create_new: Annotated[bool, Field(description="Allow new names")] = False,
    confirmation: Confirmation = None,
) -> WriteResult:
    """Add tags to leads and keep those they have.

    Asks first for new names, tags that start automations, and more than five leads.
    """
    return await carry_out(ctx, plan, answer)


@in_time
async def plan_removal(lead_ids: list[str], tags: list[str], confirmation: str | None) -> Plan:
    """Tags taken off, planned on the leads as they are now."""
    wanted = once_each([line(tag) for tag in tags])
    spelled = {line(name): name for name in reversed(await tag_names())}

    def there(lead: LeadRecord) -> list[str]:
        """The lead's tags that are meant, in Lofty's own spelling, which it takes literally (reference §10)."""
        return [spelled.get(name, name) for name in lead.tag_names if name in wanted]

    async def write(crm: VisibleCrm, lead: LeadRecord, before: Hook) -> Any:
        return await crm.put_lead(lead, {"tagsRemove": there(lead)}, before)

    act = Act[LeadRecord](
        tool="remove_tag",
        effect=Effect.CHANGE,
        arguments={"tags": sorted(wanted)},
        title=f"Take off {'tags' if len(wanted) > 1 else 'tag'} {', '.join(wanted)}?",
        before=lambda lead: {"tags": lead.tag_names},
        after=lambda lead: {"tags": [name for name in lead.tag_names if name not in wanted]},
        done=lambda lead: not there(lead),
        write=write,
        undo=lambda lead_id, before, after: _putting_back(lead_id, wanted, before, after),
        must_ask=lambda lead: LOOSER if any(barring(name) for name in lead.tag_names if name in wanted) else None,
    )
    return await plan_act(act, once_each(lead_ids), confirmation)


RemovalPlan = Annotated[Plan, Resolve(plan_removal)]
RemovalAnswer = Annotated[Answer, Resolve(asker(plan_removal))]


async def remove_tag(
    ctx: Ctx,
    plan: RemovalPlan,
    answer: RemovalAnswer,
    lead_ids: LeadIds,
    tags: Tags,
    confirmation: Confirmation = None,
) -> WriteResult:
    """Take tags off leads. The person is asked first."""
    return await carry_out(ctx, plan, answer)


def _taking_off(lead_id: str, names: list[str], before: Values, after: Values) -> Values | None:
    put = [name for name in map(line, names) if name in after["tags"] and name not in before.get("tags", ())]
    return undoing("remove_tag", lead_ids=[lead_id], tags=put) if put else None


def _putting_back(lead_id: str, names: list[str], before: Values, after: Values) -> Values | None:
    taken = [name for name in names if name in before["tags"] and name not in after.get("tags", ())]
    if not taken or any("," in name for name in taken):  # which could not be said
        return None
    return undoing("add_tag", lead_ids=[lead_id], tags=taken)


async def _tags(tags: list[str], *, create_new: bool) -> tuple[list[str], list[str]]:
    """The tags in the account's spelling, and those of them that would be new to it."""
    wanted = once_each(tags)
    if any("," in tag for tag in wanted):
        raise InvalidInput('tags: a tag has no comma; give a list, such as ["VIP", "Investor"]. Nothing was changed.')
    if hidden := [tag for tag in wanted if line(tag) != tag]:
        raise InvalidInput(f"tags: {line(hidden[0])!r} holds markup or invisible characters. Nothing was changed.")
    if too_long := [tag for tag in wanted if len(tag) > TAG_LIMIT]:
        raise InvalidInput(f"Lofty cuts tags at {TAG_LIMIT} characters: {too_long[0]!r}. Nothing was changed.")
    spelled = {line(name): name for name in reversed(await tag_names())}
    if not spelled.keys() >= set(wanted):
        spelled = {line(name): name for name in reversed(await tag_names(again=True))}
    fresh = [tag for tag in wanted if tag not in spelled]
    by_case = {name.casefold(): name for name in spelled}
    for tag in fresh:
        if tag.casefold() in by_case:
            raise InvalidInput(f"There is no tag {tag!r}, but {by_case[tag.casefold()]!r}. Nothing was changed.")
        if not create_new:
            close = near(tag, list(spelled))
            hint = f"Near: {', '.join(close)}." if close else one_of(sorted(spelled))
            raise InvalidInput(f"There is no tag {tag!r}. {hint} create_new=true makes it. Nothing was changed.")
    return [spelled.get(tag, tag) for tag in wanted], fresh


def _tag_title(names: list[str], fresh: list[str], starts: list[str]) -> str:
    title = f"Add {'tags' if len(names) > 1 else 'tag'} {', '.join(map(line, names))}?"
    if fresh:
        title += f" New to the account: {', '.join(map(line, fresh))}."
    if starts:
        title += f" May start an automation that writes to people: {', '.join(map(line, starts))}."
    return title


TOOLS = (
    ToolSpec(add_tag, Effect.ADD, "Add tag", lists=("lead_ids", "tags")),
    ToolSpec(remove_tag, Effect.CHANGE, "Remove tag", lists=("lead_ids", "tags")),
)
