"""Logging what was done elsewhere; nothing is sent."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import Resolve
from pydantic import Field

from lofty_mcp.app import Ctx, call
from lofty_mcp.client.requests import LOG_LIMIT, Hook, LogType, phone_digits
from lofty_mcp.errors import InvalidInput
from lofty_mcp.guard.confirm import Answer, asker, carry_out, in_time, plan_act
from lofty_mcp.guard.effects import Effect
from lofty_mcp.guard.gate import VisibleCrm
from lofty_mcp.guard.plans import Act, Plan, Values
from lofty_mcp.models.clean import clean
from lofty_mcp.models.leads import LeadRecord
from lofty_mcp.models.logs import ManualLog
from lofty_mcp.models.results import WriteResult
from lofty_mcp.tools.params import AllowDuplicate, Body, Confirmation, LeadId, Text
from lofty_mcp.tools.spec import ToolSpec
from lofty_mcp.tools.texts import plain_text

LOG_TYPES: dict[str, LogType] = {"call": "logCall", "text": "logText", "email": "logEmail"}
_NUMBER = re.compile(r"[0-9 ().+-]+")
CallOutcome = Literal["Talked", "VoiceMessage", "NoAnswer", "BadNumber", "DNCNumber", "DNCContact"]


@dataclass(frozen=True)
class LeadLogs:
    """A lead with its newest manual logs of one kind."""

    lead: LeadRecord
    logs: list[ManualLog]

    def like(self, fields: Mapping[str, str]) -> dict[str, ManualLog]:
        """The logs with the text, direction and outcome of `fields`, by id."""
        alike = [log for log in self.logs if log.content == clean(fields["content"])]
        alike = [log for log in alike if (log.outbound_or_inbound or None) in (None, fields["outboundOrInbound"])]
        return {
            log.id: log
            for log in alike
            if log.id and (log.calling_outcome or None) in (None, fields.get("callingOutcome"))
        }


def with_logs(kind: LogType) -> Callable[[VisibleCrm, LeadRecord], Awaitable[LeadLogs]]:
    """A reader of the lead with its manual logs of this kind."""

    async def read(crm: VisibleCrm, lead: LeadRecord) -> LeadLogs:
        return LeadLogs(lead, [ManualLog.model_validate(row) for row in await crm.manual_logs(lead, kind)])

    return read


@in_time
async def plan_log(
    lead_id: str,
    kind: Literal["call", "text", "email"],
    text: str,
    direction: Literal["outbound", "inbound"],
    outcome: CallOutcome | None,
    phone: str | None,
    subject: str | None,
    allow_duplicate: bool,
    confirmation: str | None,
) -> Plan:
    """A log entry, planned on those that are there."""
    content = plain_text(text, "text", LOG_LIMIT, call().app.settings.mark)
    fields = {"content": content, "outboundOrInbound": direction}
    if (outcome and kind != "call") or (phone and kind == "email") or (subject and kind != "email"):
        raise InvalidInput(
            "outcome goes with a call, phone with a call or text, subject with an email. Nothing was changed."
        )
    fields |= {"callingOutcome": outcome or "Talked"} if kind == "call" else {}
    fields |= {"emailSubject": plain_text(subject, "subject", 200)} if subject else {}

    def number(record: LeadLogs) -> dict[str, str]:
        return {} if kind == "email" else {"leadPhoneNumber": _number(record.lead, phone)}

    async def write(crm: VisibleCrm, record: LeadLogs, before: Hook) -> Any:
        return await crm.add_manual_log(record.lead, LOG_TYPES[kind], fields | number(record), before)

    told = {"kind": kind, "direction": direction, "outcome": fields.get("callingOutcome"), "subject": subject}
    shown = {name: value for name, value in told.items() if value} | {"text": clean(content)}

    act = Act[LeadLogs](
        tool="log_communication",
        effect=Effect.ADD,
        arguments={"kind": kind, **fields},  # whatever the number, in whatever spelling; it is in the basis
        title=f"Log {'an' if kind == 'email' else 'a'} {kind}? Nothing is sent.",
        read=with_logs(LOG_TYPES[kind]),
        before=lambda _: {},
        after=lambda record: shown | ({"number": digits} if (digits := number(record).get("leadPhoneNumber")) else {}),
        done=lambda _: False,
        write=write,
        trace=lambda record: list(record.like(fields)),
        shows=lambda trace, now: bool(now.like(fields).keys() - set(trace)),
        told=lambda trace, now: shown | _newest(now.like(fields), trace),
        once=True,
        again=allow_duplicate,
    )
    return await plan_act(act, [lead_id], confirmation)


LogPlan = Annotated[Plan, Resolve(plan_log)]
LogAnswer = Annotated[Answer, Resolve(asker(plan_log))]


async def log_communication(
    ctx: Ctx,
    plan: LogPlan,
    answer: LogAnswer,
    lead_id: LeadId,
    kind: Literal["call", "text", "email"],
    text: Body,
    direction: Annotated[Literal["outbound", "inbound"], Field(description="outbound: to the lead")] = "outbound",
    outcome: CallOutcome | None = None,
    phone: Text | None = None,
    subject: Text | None = None,
    allow_duplicate: AllowDuplicate = False,
    confirmation: Confirmation = None,
) -> WriteResult:
    """Log a call, text or e-mail that was done elsewhere. Sends nothing."""
    return await carry_out(ctx, plan, answer)


def _newest(logs: dict[str, ManualLog], known: list[str]) -> Values:
    log_id = max(logs.keys() - set(known), key=int)
    return {"log_id": log_id, "number": logs[log_id].lead_phone_number}


def _number(lead: LeadRecord, phone: str | None) -> str:
    """The number that a call or text went to or came from: the one given, else the lead's first."""
    number = phone or next(iter(lead.phones), None)
    if number is None:
        raise InvalidInput("phone: this lead has no number on record; give the one that was used. Nothing was changed.")
    if not _NUMBER.fullmatch(number) or not 5 <= len(digits := phone_digits(number)) <= 15:
        raise InvalidInput(
            "phone: give the whole number that was used, 5 to 15 digits without an extension. Nothing was changed."
        )
    return digits


TOOLS = (ToolSpec(log_communication, Effect.ADD, "Log communication"),)
