"""Texts and e-mails to a lead, and reading one back."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from mcp.server.mcpserver import Resolve
from pydantic import Field

from lofty_mcp.app import Ctx, call
from lofty_mcp.client.requests import EMAIL_LIMIT, SUBJECT_LIMIT, TEXT_LIMIT, Hook
from lofty_mcp.errors import NotFound, Refused, UpstreamFailed
from lofty_mcp.guard.confirm import Answer, asker, carry_out, in_time, plan_act
from lofty_mcp.guard.draft import fair_housing, foreign
from lofty_mcp.guard.effects import Effect
from lofty_mcp.guard.gate import VisibleCrm
from lofty_mcp.guard.outreach import Channel, MayNot, contact_decision, digits
from lofty_mcp.guard.plans import Act, Plan
from lofty_mcp.models.clean import clean
from lofty_mcp.models.leads import LeadRecord
from lofty_mcp.models.messages import Message, MessageKind, MessageRecord, message_view
from lofty_mcp.models.results import WriteResult
from lofty_mcp.models.timeline import Communication
from lofty_mcp.tools.contact import contact_policy, now, sent_today, was_added_here
from lofty_mcp.tools.params import AllowDuplicate, Body, ChildId, Confirmation, LeadId, Text
from lofty_mcp.tools.spec import ToolSpec
from lofty_mcp.tools.texts import plain_text

ADDED_TODAY = "This number or address was added here within a day."
MOST_NAMED = 20
ACCEPTED = "Accepted by Lofty. Whether it arrives is not known here."
To = Annotated[Text | None, Field(description="One of the lead's own; else the first that can be used")]


@dataclass(frozen=True)
class Outgoing:
    """A lead with the messages sent to it so far, and where the next one would go."""

    lead: LeadRecord
    talk: list[Communication] = field(default_factory=list)
    to: str = ""
    new: bool = False
    """Whether that number or address was added to the lead here within a day."""

    def like(self, channel: Channel, words: str, to: str) -> list[str]:
        """The ids of the messages of this channel that went there with these words, of an e-mail its subject."""
        return [
            row.id
            for row in self.talk
            if row.id
            and channel in (row.channel or "").casefold()
            and (row.direction or "").casefold() == "outbound"
            and (row.email_subject if channel == "email" else row.note) == clean(words)
            and (channel == "email" or not row.lead_phone_number or _same_way(row.lead_phone_number, to))
        ]


async def said(crm: VisibleCrm, lead: LeadRecord) -> list[Communication]:
    """The lead's calls, texts and e-mails."""
    return [Communication.model_validate(row) async for page in crm.communications(lead) for row in page]


def addressed(channel: Channel, to: str | None) -> Callable[[VisibleCrm, LeadRecord], Awaitable[Outgoing]]:
    """A reader of the lead as somebody who may be written to now."""

    async def read(crm: VisibleCrm, lead: LeadRecord) -> Outgoing:
        decision = contact_decision(lead, channel, now(), await contact_policy(), sent_today=await sent_today(), to=to)
        if isinstance(decision, MayNot):
            raise Refused(decision.why)
        return Outgoing(lead, await said(crm, lead), decision.to, new=await was_added_here(lead, decision.to))

    return read


async def look(crm: VisibleCrm, lead_id: str) -> tuple[Outgoing, bool]:
    """The lead's messages after the call."""
    lead, seen = await crm.read_back(lead_id)
    if not seen:
        raise NotFound
    return Outgoing(lead, await said(crm, lead)), seen


@in_time
async def plan_text(lead_id: str, text: str, to: str | None, allow_duplicate: bool, confirmation: str | None) -> Plan:
    """A text, checked against the contact rules and planned on the lead as it is now."""
    content = plain_text(text, "text", TEXT_LIMIT)
    return await _plan("text", lead_id, {"text": content}, to, confirmation, again=allow_duplicate)


TextPlan = Annotated[Plan, Resolve(plan_text)]
TextAnswer = Annotated[Answer, Resolve(asker(plan_text))]


async def send_text(
    ctx: Ctx,
    plan: TextPlan,
    answer: TextAnswer,
    lead_id: LeadId,
    text: Body,
    to: To = None,
    allow_duplicate: AllowDuplicate = False,
    confirmation: Confirmation = None,
) -> WriteResult:
    """Send a text to a lead, if the contact rules allow it. The person is asked first and sees the exact words.

    status "draft" has sent nothing.
    """
    return await carry_out(ctx, plan, answer)


@in_time
async def plan_email(
    lead_id: str, subject: str, text: str, to: str | None, allow_duplicate: bool, confirmation: str | None
) -> Plan:
    """An e-mail, checked against the contact rules and planned on the lead as it is now."""
    words = {"subject": plain_text(subject, "subject", SUBJECT_LIMIT), "text": plain_text(text, "text", EMAIL_LIMIT)}
    return await _plan("email", lead_id, words, to, confirmation, again=allow_duplicate)


EmailPlan = Annotated[Plan, Resolve(plan_email)]
EmailAnswer = Annotated[Answer, Resolve(asker(plan_email))]


async def send_email(
    ctx: Ctx,
    plan: EmailPlan,
    answer: EmailAnswer,
    lead_id: LeadId,
    subject: Text,
    text: Body,
    to: To = None,
    allow_duplicate: AllowDuplicate = False,
    confirmation: Confirmation = None,
) -> WriteResult:
    """Send an e-mail to a lead, if the contact rules allow it. The person is asked first and sees the exact words.

    status "draft" has sent nothing.
    """
    return await carry_out(ctx, plan, answer)


async def get_message(lead_id: LeadId, message_id: ChildId, kind: MessageKind) -> Message:
    """Read one call, text or e-mail of a lead. message_id is in get_timeline with detail=full.

    Lofty keeps no text of e-mails.
    """
    current = call()
    current.leads = [lead_id]
    lead = await current.crm.lead(lead_id)
    record = MessageRecord.model_validate(await current.crm.message(lead, kind, message_id))
    return message_view(record, kind, lead_id, message_id, await current.account.vocabulary.zone())


async def _plan(
    channel: Channel, lead_id: str, words: dict[str, str], to: str | None, confirmation: str | None, *, again: bool
) -> Plan:
    settings, sender = call().app.settings, await call().crm.person()
    own = [sender.email] if sender and sender.email else []
    known, name = words.get("subject", words["text"]), "text" if channel == "text" else "e-mail"

    async def write(crm: VisibleCrm, record: Outgoing, before: Hook) -> Any:
        if await sent_today() > settings.sends_per_day:  # this one is counted already
            raise Refused(f"The day's limit of {settings.sends_per_day} messages is reached. Nothing was sent.")
        if channel == "text":
            answer = await crm.send_text(record.lead, record.to, words["text"], before)
        else:
            answer = await crm.send_email(record.lead, record.to, words["subject"], words["text"], before)
        went = answer.get("phoneNumber" if channel == "text" else "toEmail") if isinstance(answer, dict) else None
        if went and not _same_way(str(went), record.to):
            # Lofty falls back to the lead's first number or address for one that it does not know (reference §14).
            raise UpstreamFailed("Lofty says that it went somewhere else.")
        return answer

    def fresh(trace: dict[str, Any], now: Outgoing) -> list[str]:
        """The messages with these words that were not there before."""
        return [one for one in now.like(channel, known, trace["to"]) if one not in trace["like"]]

    act = Act[Outgoing](
        tool=f"send_{channel}",
        effect=Effect.SEND,
        arguments=words,  # whatever it is sent to, in whatever spelling: the same words twice are a repetition
        title=f"Send this {name}?" if settings.sends == "on" else f"Draft of this {name}; nothing is sent.",
        read=addressed(channel, to),
        look=look,
        before=lambda _: {},
        after=lambda record: {"to": record.to, **words},
        done=lambda _: False,
        write=write,
        consequence=lambda record: _notable("\n".join(words.values()), record.lead, own),
        trace=lambda record: {"to": record.to, "like": record.like(channel, known, record.to)},
        shows=lambda trace, now: channel == "text" and bool(fresh(trace, now)),  # of an e-mail Lofty tells the subject
        suffices=lambda _: True,
        told=lambda trace, now: {
            "message_id": next(iter(fresh(trace, now)), None),
            "to": trace["to"],
            **words,
        },
        must_ask=lambda record: ADDED_TODAY if record.new else None,
        once=True,
        again=again,
        draft=settings.sends != "on",
        remark=ACCEPTED,
    )
    return await plan_act(act, [lead_id], confirmation)


def _same_way(went: str, to: str) -> bool:
    return went.casefold() == to.casefold() or (digits(to) is not None and digits(went) == digits(to))


def _notable(text: str, lead: LeadRecord, own: list[str]) -> str | None:
    """What a person should notice before this goes out."""
    notes = []
    if others := foreign(text, lead, own):
        more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
        notes.append(f"It names what is not the lead's own: {', '.join(others[:MOST_NAMED])}{more}.")
    if concerns := fair_housing(text):
        told = ", ".join(f"{one.words!r} ({one.protected})" for one in concerns)
        notes.append(f"Fair housing: these words may speak of a preference among people: {told}.")
    return " ".join(notes) or None


TOOLS = (
    ToolSpec(send_text, Effect.SEND, "Send text", toolset="messages"),
    ToolSpec(send_email, Effect.SEND, "Send e-mail", toolset="messages"),
    ToolSpec(get_message, Effect.READ, "Get message", toolset="messages"),
)
