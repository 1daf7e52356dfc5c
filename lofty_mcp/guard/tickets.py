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
from lofty_mcp.models.results import Outcome, RowResult

LEASE_SECONDS = 120.0
PLAN_SECONDS, ALL_WRITES_SECONDS, ONE_WRITE_SECONDS, LOOK_SECONDS = 12.0, 12.0, 9.0, 5.0
"""Two plans, writes begun, the last of them and its read-back: 50 s of work at most."""
PATIENCE_SECONDS = 3.0
POLL_SECONDS = 0.05
LATE_SECONDS = (0.3, 1.0, 0.0)
"""Pauses before what Lofty creates a moment later is looked for again (reference §8.4, §12)."""
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
        if step.lead is None and step.repeats is None:
            return RowResult(lead_id=step.lead_id, outcome="not_found"), False
        ticket = await self.ledger.ticket(plan.confirmed.get(step.lead_id, step.ticket_id)) or step.repeats
        if ticket is not None and ticket.id != step.ticket_id:
            told = await self._somebody_elses(plan.act, step, ticket)
            return told or (_row(plan.act, step, "not_applied", None, PUT_OFF), False)
        if ticket is None and plan.act.done(step.record):
            return await self._nothing_to_do(plan, step), False
        result = RowResult(lead_id=step.lead_id, outcome="unknown"), False
        with anyio.CancelScope(shield=True):
            result = await self._claimed(plan, step)
        return result  # noqa: RET504 - a cancel scope may end its block early, says its type

    async def _nothing_to_do(self, plan: Plan, step: Step) -> RowResult:
        shown = plan.act.before(step.record)
        if self.spends:
            with anyio.CancelScope(shield=True):
                if await self._claim(plan, step) is None:
                    await self.ledger.settle(step.ticket_id, "no_change", before=shown, after=shown)
        return RowResult(lead_id=step.lead_id, outcome="no_change", before=shown, after=shown)

    async def _claim(self, plan: Plan, step: Step) -> Ticket | None:
        trace, act = plan.act.trace(step.record), plan.act
        return await self.ledger.claim(
            plan.principal, act.tool, step.row, self.owner, LEASE_SECONDS, generation=step.generation, trace=trace
        )

    async def _claimed(self, plan: Plan, step: Step) -> tuple[RowResult, bool]:
        for _ in range(MOST_CLAIMS):
            standing = await self._claim(plan, step)
            if standing is None:
                return await self._write(plan.act, step), False
            if (told := await self._somebody_elses(plan.act, step, standing)) is not None:
                return told
        return _row(plan.act, step, "not_applied", None, PUT_OFF), False

    async def _write(self, act: Act[Any], step: Step) -> RowResult:
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
                answer = await act.write(self.crm, step.record, before)
            except LoftyError as error:
                failure = error
            finally:
                self.waiting.discard(scope)
        if not marked:
            await self.ledger.release(step.ticket_id, self.owner)
            why = failure or (Refused(STOPPING) if self.stopping() else RateLimited(ONE_WRITE_SECONDS))
            return _row(act, step, "not_applied", None, f"Nothing was sent: {why}")
        return await self._judge(act, step, failure, answer, timed_out=scope.cancelled_caught)

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
        self, act: Act[Any], step: Step, failure: LoftyError | None, answer: Any, *, timed_out: bool
    ) -> RowResult:
        """What became of a request that left, by Lofty's answer and by what the record shows now."""
        unchanged = failure is None and not timed_out and wire.unchanged(answer)
        refused = unchanged or (failure is not None and not failure.sent)
        accepted = failure is None and not timed_out and not unchanged
        trace = act.trace(step.record)
        known = refused or (accepted and act.suffices(None))
        now, seen = await self._look(act, step.lead_id, trace, again=act.once and not known)
        shown = act.result(trace, now) if now is not None and seen else None
        reached = now is not None and (seen or (accepted and act.gives_away)) and act.reached(trace, now)
        if reached or (accepted and act.suffices(now)):
            outcome: Outcome = "no_change" if unchanged else "applied"
            return await self._settled(act, step, outcome, shown or act.after(step.record), act.remark)
        if isinstance(failure, Unreachable | RateLimited | CredentialRejected):
            await self.ledger.release(step.ticket_id, self.owner)
            return _row(act, step, "not_applied", None, f"Lofty took nothing up: {failure}")
        if refused:
            outcome = "not_found" if isinstance(failure, NotFound) else "not_applied"
            note = None if outcome == "not_found" else str(failure or "Lofty answered that it changed nothing.")
            return await self._settled(act, step, outcome, shown, note)
        said = "Lofty accepted the request" if accepted else "Lofty gave no clear answer"
        why = "the record could not be read back" if now is None or not seen else "the record does not show it"
        note = f"{said}, but {why}. Look at the lead before doing it again."
        return await self._settled(act, step, "unknown", shown, note)

    async def _look(
        self, act: Act[Any], lead_id: str, trace: Any = None, *, again: bool = False
    ) -> tuple[Any | None, bool]:
        """The record now, and whether the viewer still sees it; `again` waits a little for what comes late."""
        with anyio.move_on_after(LOOK_SECONDS):
            for pause in LATE_SECONDS:
                try:
                    now, seen = await self._read_back(act, lead_id)
                except LoftyError:
                    return None, False
                if not again or act.reached(trace, now) or not pause:
                    return now, seen
                await self.crm.timing.sleep(pause)
        return None, False

    async def _read_back(self, act: Act[Any], lead_id: str) -> tuple[Any, bool]:
        if act.look is not None:
            return await act.look(self.crm, lead_id)
        lead, seen = await self.crm.read_back(lead_id)
        if not (seen or act.gives_away):
            raise NotFound  # what hangs on it is not asked for any more either
        return await act.read(self.crm, lead), seen

    async def _settled(
        self, act: Act[Any], step: Step, outcome: Outcome, after: Values | None, note: str | None
    ) -> RowResult:
        before = act.before(step.record)
        try:
            ticket = await self.ledger.settle(step.ticket_id, outcome, before=before, after=after, note=note)
        except LedgerError:  # it happened all the same, and must be told
            return _row(act, step, outcome, after, f"{note or ''} The ledger could not record this.".strip())
        return _told(act, step.lead_id, ticket)

    async def _somebody_elses(self, act: Act[Any], step: Step, ticket: Ticket) -> tuple[RowResult, bool] | None:
        """Wait a moment for whoever holds the ticket, then say what is known; None once nobody holds it."""
        with anyio.move_on_after(PATIENCE_SECONDS):
            while ticket.state != "settled":
                await anyio.sleep(POLL_SECONDS)
                found = await self.ledger.ticket(ticket.id)
                if found is None:
                    return None
                ticket = found
        if ticket.state == "settled" and ticket.outcome != "unknown":
            return _told(act, step.lead_id, ticket), True
        return await self._reconcile(act, step, ticket), True

    async def _reconcile(self, act: Act[Any], step: Step, ticket: Ticket) -> RowResult:
        """What a read-back says of a ticket that another call, perhaps a dead one, left open or unknown."""
        now, seen = await self._look(act, step.lead_id)
        if ticket.state != "claimed" and now is not None and seen and act.reached(ticket.trace, now):
            after = act.result(ticket.trace, now)
            settled = await self.ledger.settle(ticket.id, "applied", after=after, note=act.remark)
            return _told(act, step.lead_id, settled)
        note = SENT_ELSEWHERE if ticket.state != "claimed" else HELD_ELSEWHERE
        if ticket.state == "sent" and ticket.lease_until < self.clock():
            ticket = await self.ledger.settle(ticket.id, "unknown", note=note)
        if ticket.state == "settled":
            return _told(act, step.lead_id, ticket)
        return RowResult(lead_id=step.lead_id, outcome="unknown", note=note)


def _row(act: Act[Any], step: Step, outcome: Outcome, after: Values | None, note: str | None) -> RowResult:
    before = act.before(step.record)
    return RowResult(lead_id=step.lead_id, outcome=outcome, before=before, after=after, note=note)


def _told(act: Act[Any], lead_id: str, ticket: Ticket) -> RowResult:
    before, after, outcome = ticket.before, ticket.after, ticket.outcome or "unknown"
    undo = act.undo(lead_id, before, after) if outcome == "applied" and before is not None and after else None
    return RowResult(lead_id=lead_id, outcome=outcome, before=before, after=after, note=ticket.note, undo=undo)
