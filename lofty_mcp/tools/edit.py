"""Changing what is recorded of a lead."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from mcp.server.mcpserver import Resolve
from pydantic import Field, ValidationError

from lofty_mcp.app import Ctx
from lofty_mcp.client.requests import NAME_LIMIT, PHONE_LIMIT, Hook
from lofty_mcp.errors import InvalidInput, Refused
from lofty_mcp.guard.confirm import Answer, asker, carry_out, in_time, plan_act
from lofty_mcp.guard.effects import Effect
from lofty_mcp.guard.gate import VisibleCrm
from lofty_mcp.guard.outreach import barred_numbers, digits
from lofty_mcp.guard.plans import Act, Plan, Values
from lofty_mcp.models.changes import (
    FLAGS,
    LISTS,
    Channel,
    How,
    InquiryChange,
    LeadType,
    Qualification,
    body,
    checked_answers,
    checked_types,
    current,
    inquiry_changes,
    putting_back,
    same,
    wanted,
)
from lofty_mcp.models.leads import LeadRecord
from lofty_mcp.models.results import WriteResult
from lofty_mcp.tools.contact import remember_added
from lofty_mcp.tools.params import Confirmation, LeadId, Text, once_each, undoing
from lofty_mcp.tools.spec import ToolSpec
from lofty_mcp.tools.texts import plain_text

MOST_ENTRIES = 10
Few = Annotated[list[Text] | None, Field(min_length=1, max_length=MOST_ENTRIES)]
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s.]{2,}")


@in_time
async def plan_change(
    lead_id: str,
    how: How,
    first_name: str | None,
    last_name: str | None,
    emails: list[str] | None,
    phones: list[str] | None,
    lead_types: list[LeadType] | None,
    inquiry: InquiryChange | None,
    qualification: dict[Qualification, str] | None,
    forbid: list[Channel] | None,
    confirmation: str | None,
) -> Plan:
    """Changed fields of a lead, planned on the lead as it is now."""
    given = _given(first_name, last_name, emails, phones, lead_types, inquiry, qualification)
    barred = dict.fromkeys([FLAGS[channel] for channel in forbid or ()], True)
    if not given and not barred:
        raise InvalidInput("There is nothing to change: give at least one field. Nothing was changed.")
    if how == "add" and (wrong := [name for name in given if name not in LISTS]):
        raise InvalidInput(f"how=add goes with {', '.join(LISTS)}, not with {wrong[0]}. Nothing was changed.")

    def held(lead: LeadRecord) -> Values:
        return {name: current(lead, name) for name in (given | barred)}

    def ends(lead: LeadRecord) -> Values:
        return {name: wanted(lead, name, value, how) for name, value in given.items()} | barred

    def changes(lead: LeadRecord) -> Values:
        return {name: value for name, value in ends(lead).items() if not same(name, value, current(lead, name))}

    def after(lead: LeadRecord) -> Values:
        _refuse_to_drop_barred_numbers(lead, changes(lead).get("phones"))
        return held(lead) | changes(lead)

    def undo(lead_id: str, before: Values, after: Values) -> Values | None:
        restored = putting_back(before, after)
        try:
            _given(**restored)
        except (InvalidInput, ValidationError):
            return None  # Lofty holds what cannot be said here
        return undoing("update_lead", lead_id=lead_id, **restored) if restored else None

    async def write(crm: VisibleCrm, lead: LeadRecord, before: Hook) -> Any:
        changed = changes(lead)
        await remember_added(lead, [*changed.get("phones", ()), *changed.get("emails", ())])
        return await crm.put_lead(lead, body(lead, changed), before)

    act = Act[LeadRecord](
        tool="update_lead",
        effect=Effect.CHANGE,
        arguments={"how": how, **given, **barred},
        title="Change this lead?",
        before=held,
        after=after,
        done=lambda lead: not changes(lead),
        write=write,
        trace=ends,
        # What was empty and is not may have been filled by others, so it is compared with what was wanted.
        shows=lambda wanted, now: (
            all(same(name, value, current(now, name)) for name, value in wanted.items())
            if how == "only_if_empty"
            else not changes(now)
        ),
        undo=undo,
    )
    return await plan_act(act, [lead_id], confirmation)


ChangePlan = Annotated[Plan, Resolve(plan_change)]
ChangeAnswer = Annotated[Answer, Resolve(asker(plan_change))]


async def update_lead(
    ctx: Ctx,
    plan: ChangePlan,
    answer: ChangeAnswer,
    lead_id: LeadId,
    how: Annotated[How, Field(description="add: to emails, phones, lead_types")] = "replace",
    first_name: Text | None = None,
    last_name: Text | None = None,
    emails: Few = None,
    phones: Few = None,
    lead_types: Annotated[list[LeadType] | None, Field(min_length=1)] = None,
    inquiry: InquiryChange | None = None,
    qualification: dict[Qualification, Text] | None = None,
    forbid: Annotated[list[Channel] | None, Field(description="Contact no longer allowed; stays so here")] = None,
    confirmation: Confirmation = None,
) -> WriteResult:
    """Change a lead's names, contact data, types, inquiry or qualification. The person is asked first.

    Lists are replaced whole unless how=add.
    """
    return await carry_out(ctx, plan, answer)


def _given(
    first_name: str | None = None,
    last_name: str | None = None,
    emails: list[str] | None = None,
    phones: list[str] | None = None,
    lead_types: Sequence[str] | None = None,
    inquiry: InquiryChange | dict[str, Any] | None = None,
    qualification: Mapping[Qualification, str] | None = None,
) -> Values:
    """The fields that are given, checked, under their full names.

    Raises:
        InvalidInput: one cannot be written as it is.
        ValidationError: the same, of an inquiry that is no `InquiryChange` yet.
    """
    names = {"first_name": first_name, "last_name": last_name}
    values: Values = {name: plain_text(text, name, NAME_LIMIT) for name, text in names.items() if text is not None}
    if emails is not None:
        values["emails"] = _emails(emails)
    if phones is not None:
        values["phones"] = _phones(phones)
    if lead_types is not None:
        values["lead_types"] = checked_types(lead_types)
    if too_many := [name for name in ("emails", "phones") if len(values.get(name, ())) > MOST_ENTRIES]:
        raise InvalidInput(f"{too_many[0]}: at most {MOST_ENTRIES} are taken. Nothing was changed.")
    return values | inquiry_changes(inquiry) | checked_answers(qualification or {})


def _refuse_to_drop_barred_numbers(lead: LeadRecord, numbers: list[str] | None) -> None:
    """A number that Lofty has as do-not-contact stays, since its status would go with it."""
    if numbers is not None and {*barred_numbers(lead)} - {*numbers}:
        raise Refused(
            "Lofty marks a number of this lead as do-not-contact; such a number stays. Add to its numbers (how=add), "
            "or name it among them. Nothing was changed."
        )


def _emails(addresses: list[str]) -> list[str]:
    given = [plain_text(address, "emails", 254) for address in once_each(addresses)]
    if wrong := [address for address in given if not _EMAIL.fullmatch(address)]:
        raise InvalidInput(f"emails: {wrong[0]!r} is not an e-mail address. Nothing was changed.")
    return given


def _phones(numbers: list[str]) -> list[str]:
    given = [plain_text(number, "phones", PHONE_LIMIT) for number in once_each(numbers)]
    if wrong := [number for number in given if digits(number) is None]:
        raise InvalidInput(f"phones: {wrong[0]!r} is not a whole telephone number. Nothing was changed.")
    return given


TOOLS = (ToolSpec(update_lead, Effect.CHANGE, "Update lead", lists=("emails", "phones", "lead_types", "forbid")),)
