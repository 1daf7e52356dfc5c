"""An act on leads, planned from records just read, and the codes that stand for such a plan."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field

from lofty_mcp.client.requests import Hook
from lofty_mcp.errors import NotFound
from lofty_mcp.guard.effects import Effect
from lofty_mcp.guard.gate import VisibleCrm
from lofty_mcp.ledger import Ledger, Row, Ticket
from lofty_mcp.models.leads import LeadRecord
from lofty_mcp.models.masking import MASK

Values = dict[str, Any]
R = TypeVar("R")
REPEAT_SECONDS = 120.0
"""How long the same creation or message is told again instead of done again."""


class Approval(BaseModel):
    """The form behind a question; its box starts unticked, and an empty answer is a no."""

    ok: bool = Field(False, strict=True, title="Go ahead", description="Tick to carry this out.")

    def approves(self, names: Sequence[str]) -> bool:
        """Whether this is a yes to an act on the leads that were shown by these names."""
        return self.ok


class NamedApproval(Approval):
    """A form in which the lead's name has to be typed as well."""

    name: str = Field("", title="Name of the lead", description="Type the name as it is shown, to be sure.")

    def approves(self, names: Sequence[str]) -> bool:
        """Whether this is a yes, with the name of the one lead; of a masked one its letters will do."""
        return self.ok and [_typed(self.name)] == [_typed(name) for name in names]


def _typed(name: str) -> str:
    return " ".join(name.replace(MASK, "").split()).casefold()


async def the_lead(_: VisibleCrm, lead: LeadRecord) -> LeadRecord:
    """The record of an act that is about the lead itself."""
    return lead


@dataclass(frozen=True)
class Act(Generic[R]):
    """What is to be done to each lead, in terms of its record: shown, wanted, written and recognised when done.

    The record is the lead, or what `read` makes of it, such as the lead with its notes.
    """

    tool: str
    effect: Effect
    arguments: Values
    title: str
    before: Callable[[R], Values]
    after: Callable[[R], Values]
    done: Callable[[R], bool]
    write: Callable[[VisibleCrm, R, Hook], Awaitable[Any]]
    read: Callable[[VisibleCrm, LeadRecord], Awaitable[R]] = the_lead  # type: ignore[assignment]  # R is LeadRecord then
    look: Callable[[VisibleCrm, str], Awaitable[tuple[R, bool]]] | None = None
    """The record after the write and whether the viewer still sees it, where reading the lead again is not the way."""
    consequence: Callable[[R], str | None] = lambda _: None
    trace: Callable[[R], Any] = lambda _: None
    """What of the record before (JSON) tells later whether the act was done, kept with its ticket."""
    shows: Callable[[Any, R], bool] | None = None
    """Whether a record shows, beside the trace, that the act was done; by default whether nothing is left to do."""
    suffices: Callable[[R | None], bool] = lambda _: False
    """Whether this read-back will do once Lofty has accepted the request, where the record need not show it."""
    told: Callable[[Any, R], Values] | None = None
    """The values after, of the trace and a record that shows the act done; by default those of `before`."""
    undo: Callable[[str, Values, Values], Values | None] = lambda *_: None
    """The ordinary call that puts a lead back, of its id and the values before and after; None if there is none."""
    ends: bool = False
    """Whether the lead is gone once this was done to it, so that only the ledger can tell of it."""
    gives_away: bool = False
    """Whether the act may end the viewer's own sight of the lead; then its read-back is trusted unseen."""
    must_ask: Callable[[R], str | None] = lambda _: None
    """Why nothing but a person's answer will do, in every mode; None if it need not be."""
    once: bool = False
    """Whether the same act again is for some time taken for a repetition, since no record would tell."""
    again: bool = False
    """Whether a repetition is meant."""
    form: type[Approval] = Approval
    draft: bool = False
    """Whether it is only prepared and shown, and never done."""
    remark: str | None = None
    """What is said of it once it was done."""

    def reached(self, trace: Any, now: R) -> bool:
        """Whether the record read back shows what was wanted."""
        if self.shows is None or trace is None:  # an old one has been forgotten
            return self.done(now)
        return self.shows(trace, now)

    def result(self, trace: Any, now: R) -> Values:
        """The values after, as the record read back shows them."""
        return self.told(trace, now) if self.told and self.reached(trace, now) else self.before(now)


@dataclass(frozen=True)
class Step:
    """One lead's part of a plan; `lead` is None when no such lead exists for the viewer."""

    lead_id: str
    row: Row
    generation: int
    lead: LeadRecord | None
    record: Any = None
    """What the act is about; None where nothing is to be done."""
    repeats: Ticket | None = None
    """The ticket of the same act a moment ago, where this part would only be a repetition of it."""

    @property
    def ticket_id(self) -> str:
        """The identity of this part's ticket."""
        return self.row.ticket_id


@dataclass(frozen=True)
class Plan:
    """An act bound to the records it was planned on."""

    act: Act[Any]
    principal: str
    steps: tuple[Step, ...]
    code: str | None = None
    confirmed: dict[str, str] = field(default_factory=dict)
    """Ticket ids by lead that `code` stands for; empty if it stands for nothing here."""

    @property
    def reference(self) -> str:
        """What a question ends with: it changes with every intent, basis and generation."""
        return digest([step.ticket_id for step in self.steps])[:8]

    @property
    def open_steps(self) -> list[Step]:
        """The parts that would be written now."""
        return [step for step in self.steps if step.lead is not None and not self.settled(step)]

    def settled(self, step: Step) -> bool:
        """Whether nothing is to be written for this part."""
        return step.repeats is not None or self.act.done(step.record)


def digest(value: Any) -> str:
    """A digest of JSON data, equal for equal data."""
    return sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


def intent_of(principal: str, act: Act[Any], lead_id: str) -> str:
    """What is meant, whoever says it how often: principal, tool, effective arguments, lead."""
    return digest([principal, act.tool, act.arguments, lead_id])


def basis_of(act: Act[R], lead: LeadRecord, record: R, generation: int) -> str:
    """What a confirmation of `act` on `lead` and its record rests on.

    What is shown of it, the values to be changed, who sees it, and the generation; never score, visits or update times.
    """
    shown = [lead.name, act.before(record), act.after(record), act.consequence(record)]
    return digest([shown, lead.assigned_user_id, lead.hidden_flag, lead.private_flag, generation])


async def make_plan(
    crm: VisibleCrm,
    ledger: Ledger,
    principal: str,
    act: Act[Any],
    lead_ids: Sequence[str],
    code: str | None,
    *,
    now: float,
) -> Plan:
    """Read the leads and bind `act` to them; `now` is the ledger's time.

    Generations are counted before the records are read, so that a write in between makes the plan stale.

    Raises:
        NotFound: none of the leads exists for this viewer.
    """
    intents = {lead_id: intent_of(principal, act, lead_id) for lead_id in lead_ids}
    generations = await ledger.generations(list(intents.values()))
    found = await crm.leads(lead_ids)
    steps = []
    for lead_id, lead in zip(lead_ids, found, strict=True):
        generation, intent = generations.get(intents[lead_id], 0), intents[lead_id]
        if lead is None:
            ended = await _ended(ledger, intent) if act.ends else None
            steps.append(Step(lead_id, Row(lead_id, intent, ""), generation, None, repeats=ended))
            continue
        if act.once and not act.again and (repeats := await _repeated(ledger, intent, now)) is not None:
            # Whether it could be done once more does not matter, and must not stand in the way of telling.
            steps.append(Step(lead_id, Row(lead_id, intent, ""), generation, lead, repeats=repeats))
            continue
        record = await act.read(crm, lead)
        steps.append(
            Step(lead_id, Row(lead_id, intent, basis_of(act, lead, record, generation)), generation, lead, record)
        )
    if not any(step.lead or step.repeats for step in steps):
        raise NotFound
    kept = await ledger.redeem(principal, purpose(act), code) if code else None
    confirmed = (
        kept["tickets"] if kept and set(kept["tickets"]) == set(lead_ids) and kept["act"] == _signature(act) else {}
    )
    return Plan(act, principal, tuple(steps), code, confirmed)


async def _ended(ledger: Ledger, intent: str) -> Ticket | None:
    """The ticket by which this very act has removed the lead, if it has: whoever asks again did it."""
    last = await ledger.latest(intent)
    return last if last is not None and last.outcome == "applied" else None


async def _repeated(ledger: Ledger, intent: str, now: float) -> Ticket | None:
    """The ticket that the same act has right now or had a moment ago, if something may have come of it."""
    last = await ledger.latest(intent)
    if last is None or last.outcome in ("not_applied", "not_found"):
        return None
    return last if last.settled_at is None or last.settled_at > now - REPEAT_SECONDS else None


async def issue_code(
    ledger: Ledger, plan: Plan, ttl: float, *, tickets: dict[str, str] | None = None
) -> tuple[str, float]:
    """A code that stands for `plan` as it is now, and when it expires."""
    bound = tickets or {step.lead_id: step.ticket_id for step in plan.steps}
    handle = await ledger.issue(plan.principal, purpose(plan.act), {"act": _signature(plan.act), "tickets": bound}, ttl)
    return handle.code, handle.expires_at


def purpose(act: Act[Any]) -> str:
    """What a code of this act is good for."""
    return f"confirm:{act.tool}"


def _signature(act: Act[Any]) -> str:
    return digest([act.tool, act.arguments])


async def still_fits(ledger: Ledger, plan: Plan) -> bool:
    """Whether the plan's code covers it: each part is as it was shown, or has been carried out under this code."""
    if not plan.confirmed:
        return False
    for step in plan.steps:
        bound = plan.confirmed[step.lead_id]
        if step.lead is not None and bound != step.ticket_id and await ledger.ticket(bound) is None:
            return False
    return True
