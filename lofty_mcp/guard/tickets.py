"""An act on leads: planned from records just read, carried out once each, and told truthfully.

Every write is a ticket in the ledger. It is claimed before its request is sent, so that one act is one request
however often, from wherever and in whatever crash it is repeated.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import anyio

from lofty_mcp.client import wire
from lofty_mcp.client.wire import Hook
from lofty_mcp.errors import CredentialRejected, LoftyError, NotFound, RateLimited, Unreachable
from lofty_mcp.guard.effects import Effect
from lofty_mcp.guard.gate import VisibleCrm
from lofty_mcp.ledger import Ledger, LedgerError, Row, Ticket
from lofty_mcp.models.leads import LeadRecord
from lofty_mcp.models.results import Outcome, RowResult

LEASE_SECONDS = 120.0
PLAN_SECONDS, ALL_WRITES_SECONDS, ONE_WRITE_SECONDS, LOOK_SECONDS = 12.0, 12.0, 9.0, 5.0
"""Two plans, writes begun, the last of them and its read-back: 50 s of work at most."""
PATIENCE_SECONDS = 3.0
POLL_SECONDS = 0.05

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

    The values shown or to be changed, who sees the lead, and the generation; never score, visits or update times.
    """
    values = [act.before(lead), act.after(lead), lead.assigned_user_id, lead.hidden_flag, lead.private_flag, generation]
    return digest(values)


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


@dataclass
class Executor:
    """Carries out the parts of one confirmed plan, one after another."""

    crm: VisibleCrm
    ledger: Ledger
    owner: str
    clock: Callable[[], float]
    """Epoch seconds, as in the ledger."""

    async def run(self, plan: Plan, step: Step) -> tuple[RowResult, bool]:
        """The result of one part, and whether it repeats what had been settled before.

        Once begun it is finished even if the client hangs up.
        """
        if step.lead is None:
            return RowResult(lead_id=step.lead_id, outcome="not_found"), False
        bound = plan.confirmed.get(step.lead_id, step.ticket_id)
        if (ticket := await self.ledger.ticket(bound)) is not None and bound != step.ticket_id:
            return await self._somebody_elses(plan.act, step, ticket)
        if ticket is None and plan.act.done(step.lead):
            shown = plan.act.before(step.lead)
            return RowResult(lead_id=step.lead_id, outcome="no_change", before=shown, after=shown), False
        result = RowResult(lead_id=step.lead_id, outcome="unknown"), False
        with anyio.CancelScope(shield=True):
            result = await self._claimed(plan, step, step.lead)
        return result  # noqa: RET504 - a cancel scope may end its block early, says its type

    async def _claimed(self, plan: Plan, step: Step, lead: LeadRecord) -> tuple[RowResult, bool]:
        standing = await self.ledger.claim(
            plan.principal, plan.act.tool, step.row, self.owner, LEASE_SECONDS, generation=step.generation
        )
        if standing is not None:
            return await self._somebody_elses(plan.act, step, standing)
        return await self._write(plan.act, step, lead), False

    async def _write(self, act: Act, step: Step, lead: LeadRecord) -> RowResult:
        marked = False

        async def before() -> None:
            nonlocal marked
            if not marked and not await self.ledger.mark_sent(step.ticket_id, self.owner):
                raise Unreachable("Another call took this over; nothing was sent here.")
            marked = True

        failure: LoftyError | None = None
        answer: Any = None
        with anyio.move_on_after(ONE_WRITE_SECONDS) as scope:
            try:
                answer = await act.write(self.crm, lead, before)
            except LoftyError as error:
                failure = error
        if isinstance(failure, Unreachable | RateLimited | CredentialRejected) or (
            scope.cancelled_caught and not marked
        ):
            await self.ledger.release(step.ticket_id, self.owner)
            why = str(failure or RateLimited(ONE_WRITE_SECONDS))
            return _row(act, step, lead, "not_applied", None, f"Nothing was sent: {why}")
        if isinstance(failure, NotFound):
            return await self._settled(act, step, lead, "not_found", None, None)
        if failure is not None and not failure.sent:
            if not failure.processed:
                await self.ledger.release(step.ticket_id, self.owner)
                raise failure
            return await self._settled(act, step, lead, "not_applied", act.before(lead), str(failure))
        clear = failure is None and not scope.cancelled_caught
        return await self._judge(act, step, lead, refused=clear and wire.unchanged(answer), clear=clear)

    async def _judge(self, act: Act, step: Step, lead: LeadRecord, *, refused: bool, clear: bool) -> RowResult:
        now, seen = await self._look(step.lead_id)
        if now is not None and act.done(now):
            outcome: Outcome = "no_change" if refused else "applied"
            return await self._settled(act, step, lead, outcome, act.before(now) if seen else act.after(lead), None)
        if refused and now is not None:
            return await self._settled(
                act,
                step,
                lead,
                "not_applied",
                act.before(now) if seen else None,
                "Lofty answered that it changed nothing.",
            )
        said = "Lofty accepted the request" if clear else "Lofty gave no clear answer"
        why = "the record could not be read back" if now is None else "the record still shows another value"
        note = f"{said}, but {why}. Look at the lead before doing it again."
        return await self._settled(act, step, lead, "unknown", act.before(now) if now and seen else None, note)

    async def _look(self, lead_id: str) -> tuple[LeadRecord | None, bool]:
        with anyio.move_on_after(LOOK_SECONDS):
            try:
                return await self.crm.read_back(lead_id)
            except LoftyError:
                pass
        return None, False

    async def _settled(
        self, act: Act, step: Step, lead: LeadRecord, outcome: Outcome, after: Values | None, note: str | None
    ) -> RowResult:
        try:
            ticket = await self.ledger.settle(step.ticket_id, outcome, before=act.before(lead), after=after, note=note)
        except LedgerError:  # it happened all the same, and must be told
            return _row(act, step, lead, outcome, after, f"{note or ''} The ledger could not record this.".strip())
        return _told(step.lead_id, ticket)

    async def _somebody_elses(self, act: Act, step: Step, ticket: Ticket) -> tuple[RowResult, bool]:
        """Wait a moment for whoever holds the ticket, then say what is known."""
        with anyio.move_on_after(PATIENCE_SECONDS):
            while ticket.state != "settled":
                await anyio.sleep(POLL_SECONDS)
                found = await self.ledger.ticket(ticket.id)
                if found is None:
                    note = "Nothing was sent by the call that held this. Do it again."
                    return RowResult(lead_id=step.lead_id, outcome="not_applied", note=note), False
                ticket = found
        if ticket.state == "settled" and ticket.outcome != "unknown":
            return _told(step.lead_id, ticket), True
        return await self._reconcile(act, step, ticket), True

    async def _reconcile(self, act: Act, step: Step, ticket: Ticket) -> RowResult:
        """What a read-back says of a ticket that another call, perhaps a dead one, left open or unknown."""
        now, seen = await self._look(step.lead_id)
        if ticket.state != "claimed" and now is not None and act.done(now):
            shown = act.before(now) if seen else None
            return _told(step.lead_id, await self.ledger.settle(ticket.id, "applied", after=shown))
        note = "Another call has sent this and has not reported. Look at the lead before doing it again."
        if ticket.state == "sent" and ticket.lease_until < self.clock():
            ticket = await self.ledger.settle(ticket.id, "unknown", note=note)
        if ticket.state == "settled":
            return _told(step.lead_id, ticket)
        return RowResult(lead_id=step.lead_id, outcome="unknown", note=note)


def _row(act: Act, step: Step, lead: LeadRecord, outcome: Outcome, after: Values | None, note: str | None) -> RowResult:
    return RowResult(lead_id=step.lead_id, outcome=outcome, before=act.before(lead), after=after, note=note)


def _told(lead_id: str, ticket: Ticket) -> RowResult:
    return RowResult(
        lead_id=lead_id, outcome=ticket.outcome or "unknown", before=ticket.before, after=ticket.after, note=ticket.note
    )
