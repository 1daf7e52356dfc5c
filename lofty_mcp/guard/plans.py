"""An act on leads, planned from records just read, and the codes that stand for such a plan."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from lofty_mcp.client.wire import Hook
from lofty_mcp.errors import NotFound
from lofty_mcp.guard.effects import Effect
from lofty_mcp.guard.gate import VisibleCrm
from lofty_mcp.ledger import Ledger, Row
from lofty_mcp.models.leads import LeadRecord

Values = dict[str, Any]


@dataclass(frozen=True)
class Act:
    """What is to be done to each lead, in terms of the record: shown, wanted, written and recognised when done."""

    tool: str
    effect: Effect
    arguments: Values
    title: str
    before: Callable[[LeadRecord], Values]
    after: Callable[[LeadRecord], Values]
    done: Callable[[LeadRecord], bool]
    write: Callable[[VisibleCrm, LeadRecord, Hook], Awaitable[Any]]
    consequence: Callable[[LeadRecord], str | None] = lambda _: None
    shows: Callable[[LeadRecord, LeadRecord], bool] | None = None
    """Whether the second record shows that the act was done to the first, where `done` asks for more than that."""
    gives_away: bool = False
    """Whether the act may end the viewer's own sight of the lead; then its read-back is trusted unseen."""

    def reached(self, before: LeadRecord, now: LeadRecord) -> bool:
        """Whether the record read back shows what was wanted."""
        return self.done(now) or (self.shows is not None and self.shows(before, now))


@dataclass(frozen=True)
class Step:
    """One lead's part of a plan; `lead` is None when no such lead exists for the viewer."""

    lead_id: str
    row: Row
    generation: int
    lead: LeadRecord | None

    @property
    def ticket_id(self) -> str:
        """The identity of this part's ticket."""
        return self.row.ticket_id


@dataclass(frozen=True)
class Plan:
    """An act bound to the records it was planned on."""

    act: Act
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
        return [step for step in self.steps if step.lead is not None and not self.act.done(step.lead)]


def digest(value: Any) -> str:
    """A digest of JSON data, equal for equal data."""
    return sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


def intent_of(principal: str, act: Act, lead_id: str) -> str:
    """What is meant, whoever says it how often: principal, tool, effective arguments, lead."""
    return digest([principal, act.tool, act.arguments, lead_id])


def basis_of(act: Act, lead: LeadRecord, generation: int) -> str:
    """What a confirmation of `act` on `lead` rests on.

    What is shown of it, the values to be changed, who sees it, and the generation; never score, visits or update times.
    """
    shown = [lead.name, act.before(lead), act.after(lead), act.consequence(lead)]
    return digest([shown, lead.assigned_user_id, lead.hidden_flag, lead.private_flag, generation])


async def make_plan(
    crm: VisibleCrm, ledger: Ledger, principal: str, act: Act, lead_ids: Sequence[str], code: str | None
) -> Plan:
    """Read the leads and bind `act` to them.

    Generations are counted before the records are read, so that a write in between makes the plan stale.

    Raises:
        NotFound: none of the leads exists for this viewer.
    """
    intents = {lead_id: intent_of(principal, act, lead_id) for lead_id in lead_ids}
    generations = await ledger.generations(list(intents.values()))
    found = await crm.leads(lead_ids)
    if not any(found):
        raise NotFound
    steps = []
    for lead_id, lead in zip(lead_ids, found, strict=True):
        generation = generations.get(intents[lead_id], 0)
        basis = basis_of(act, lead, generation) if lead else ""
        steps.append(Step(lead_id, Row(lead_id, intents[lead_id], basis), generation, lead))
    kept = await ledger.redeem(principal, purpose(act), code) if code else None
    confirmed = (
        kept["tickets"] if kept and set(kept["tickets"]) == set(lead_ids) and kept["act"] == _signature(act) else {}
    )
    return Plan(act, principal, tuple(steps), code, confirmed)


async def issue_code(
    ledger: Ledger, plan: Plan, ttl: float, *, tickets: dict[str, str] | None = None
) -> tuple[str, float]:
    """A code that stands for `plan` as it is now, and when it expires."""
    bound = tickets or {step.lead_id: step.ticket_id for step in plan.steps}
    handle = await ledger.issue(plan.principal, purpose(plan.act), {"act": _signature(plan.act), "tickets": bound}, ttl)
    return handle.code, handle.expires_at


def purpose(act: Act) -> str:
    """What a code of this act is good for."""
    return f"confirm:{act.tool}"


def _signature(act: Act) -> str:
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
