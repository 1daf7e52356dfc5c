"""Carrying out a plan: each part once, and told truthfully.

Every write is a ticket in the ledger. It is claimed before its request is sent, so that one act is one request
however often, from wherever and in whatever crash it is repeated.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio

from lofty_mcp.client import wire
from lofty_mcp.errors import CredentialRejected, LoftyError, NotFound, RateLimited, Refused, Unreachable
from lofty_mcp.guard.gate import VisibleCrm
from lofty_mcp.guard.plans import Act, Plan, Step, Values
from lofty_mcp.ledger import Ledger, LedgerError, Ticket, WritesPaused
from lofty_mcp.models.leads import LeadRecord
from lofty_mcp.models.results import Outcome, RowResult

LEASE_SECONDS = 120.0
PLAN_SECONDS, ALL_WRITES_SECONDS, ONE_WRITE_SECONDS, LOOK_SECONDS = 12.0, 12.0, 9.0, 5.0
"""Two plans, writes begun, the last of them and its read-back: 50 s of work at most."""
PATIENCE_SECONDS = 3.0
POLL_SECONDS = 0.05
MOST_CLAIMS = 5
PAUSED = "The operator has paused writes (`lofty-mcp resume` lets them go on). Nothing was changed."
STOPPING = "The server is stopping and begins no write any more. Nothing was changed; do it again in a moment."
SENT_ELSEWHERE = "Another call has sent this and has not reported. Look at the lead before doing it again."
HELD_ELSEWHERE = "Another call holds this and has sent nothing so far. Look at the lead in two minutes."
PUT_OFF = "Another call for the same was put off by Lofty; nothing was sent by this one. Do it again later."


@dataclass
class Executor:
    """Carries out the parts of one confirmed plan, one after another."""

    crm: VisibleCrm
    ledger: Ledger
    owner: str
    clock: Callable[[], float]
    """Epoch seconds, as in the ledger."""
    stopping: Callable[[], bool]
    """Whether the process is about to end; then no write is sent any more."""
    waiting: set[anyio.CancelScope] = field(default_factory=set)
    """Where a write waits for its turn; whoever ends the process cancels it there."""
    spends: bool = False
    """Whether an answer or a code was given, which is used up even where nothing is left to do."""

    async def run(self, plan: Plan, step: Step) -> tuple[RowResult, bool]:
        """The result of one part, and whether it repeats what had been settled before.

        Once begun it is finished even if the client hangs up.
        """
        if step.lead is None:
            return RowResult(lead_id=step.lead_id, outcome="not_found"), False
        bound = plan.confirmed.get(step.lead_id, step.ticket_id)
        ticket = await self.ledger.ticket(bound)
        if ticket is not None and bound != step.ticket_id:
            told = await self._somebody_elses(plan.act, step, ticket)
            return told or (_row(plan.act, step, step.lead, "not_applied", None, PUT_OFF), False)
        if ticket is None and plan.act.done(step.lead):
            return await self._nothing_to_do(plan, step, step.lead), False
        result = RowResult(lead_id=step.lead_id, outcome="unknown"), False
        with anyio.CancelScope(shield=True):
            result = await self._claimed(plan, step, step.lead)
        return result  # noqa: RET504 - a cancel scope may end its block early, says its type

    async def _nothing_to_do(self, plan: Plan, step: Step, lead: LeadRecord) -> RowResult:
        shown = plan.act.before(lead)
        if self.spends:
            with anyio.CancelScope(shield=True):
                standing = await self.ledger.claim(
                    plan.principal, plan.act.tool, step.row, self.owner, LEASE_SECONDS, generation=step.generation
                )
                if standing is None:
                    await self.ledger.settle(step.ticket_id, "no_change", before=shown, after=shown)
        return RowResult(lead_id=step.lead_id, outcome="no_change", before=shown, after=shown)

    async def _claimed(self, plan: Plan, step: Step, lead: LeadRecord) -> tuple[RowResult, bool]:
        for _ in range(MOST_CLAIMS):
            standing = await self.ledger.claim(
                plan.principal, plan.act.tool, step.row, self.owner, LEASE_SECONDS, generation=step.generation
            )
            if standing is None:
                return await self._write(plan.act, step, lead), False
            if (told := await self._somebody_elses(plan.act, step, standing)) is not None:
                return told
        return _row(plan.act, step, lead, "not_applied", None, PUT_OFF), False

    async def _write(self, act: Act, step: Step, lead: LeadRecord) -> RowResult:
        marked = False

        async def before() -> None:
            nonlocal marked
            self.waiting.discard(scope)  # from here on it is carried through
            marked = marked or await self._may_leave(step)

        failure: LoftyError | None = None
        answer: Any = None
        with anyio.move_on_after(ONE_WRITE_SECONDS) as scope:
            self.waiting.add(scope)
            try:
                if self.stopping():
                    raise Refused(STOPPING)
                answer = await act.write(self.crm, lead, before)
            except LoftyError as error:
                failure = error
            finally:
                self.waiting.discard(scope)
        if not marked:
            await self.ledger.release(step.ticket_id, self.owner)
            why = failure or (Refused(STOPPING) if self.stopping() else RateLimited(ONE_WRITE_SECONDS))
            return _row(act, step, lead, "not_applied", None, f"Nothing was sent: {why}")
        return await self._judge(act, step, lead, failure, answer, timed_out=scope.cancelled_caught)

    async def _may_leave(self, step: Step) -> bool:
        if self.stopping():
            raise Refused(STOPPING)
        try:
            ours = await self.ledger.mark_sent(step.ticket_id, self.owner)
        except WritesPaused:
            raise Refused(PAUSED) from None
        if not ours:
            raise Unreachable("Another call took this over; nothing was sent here.")
        return True

    async def _judge(
        self, act: Act, step: Step, lead: LeadRecord, failure: LoftyError | None, answer: Any, *, timed_out: bool
    ) -> RowResult:
        """What became of a request that left, by Lofty's answer and by what the record shows now."""
        unchanged = failure is None and not timed_out and wire.unchanged(answer)
        refused = unchanged or (failure is not None and not failure.sent)
        accepted = failure is None and not timed_out and not unchanged
        now, seen = await self._look(step.lead_id)
        trusted = seen or (accepted and act.gives_away)
        shown = act.before(now) if now is not None and seen else None
        if now is not None and trusted and act.reached(lead, now):
            outcome: Outcome = "no_change" if unchanged else "applied"
            return await self._settled(act, step, lead, outcome, shown or act.after(lead), None)
        if isinstance(failure, Unreachable | RateLimited | CredentialRejected):
            await self.ledger.release(step.ticket_id, self.owner)
            return _row(act, step, lead, "not_applied", None, f"Lofty took nothing up: {failure}")
        if refused:
            outcome = "not_found" if isinstance(failure, NotFound) else "not_applied"
            note = None if outcome == "not_found" else str(failure or "Lofty answered that it changed nothing.")
            return await self._settled(act, step, lead, outcome, shown, note)
        said = "Lofty accepted the request" if accepted else "Lofty gave no clear answer"
        why = "the record could not be read back" if shown is None else "the record still shows another value"
        note = f"{said}, but {why}. Look at the lead before doing it again."
        return await self._settled(act, step, lead, "unknown", shown, note)

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

    async def _somebody_elses(self, act: Act, step: Step, ticket: Ticket) -> tuple[RowResult, bool] | None:
        """Wait a moment for whoever holds the ticket, then say what is known; None once nobody holds it."""
        with anyio.move_on_after(PATIENCE_SECONDS):
            while ticket.state != "settled":
                await anyio.sleep(POLL_SECONDS)
                found = await self.ledger.ticket(ticket.id)
                if found is None:
                    return None
                ticket = found
        if ticket.state == "settled" and ticket.outcome != "unknown":
            return _told(step.lead_id, ticket), True
        return await self._reconcile(act, step, ticket), True

    async def _reconcile(self, act: Act, step: Step, ticket: Ticket) -> RowResult:
        """What a read-back says of a ticket that another call, perhaps a dead one, left open or unknown."""
        now, seen = await self._look(step.lead_id)
        if ticket.state != "claimed" and now is not None and seen and act.done(now):
            return _told(step.lead_id, await self.ledger.settle(ticket.id, "applied", after=act.before(now)))
        note = SENT_ELSEWHERE if ticket.state != "claimed" else HELD_ELSEWHERE
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
