"""One line per round in the ledger: who did what to which leads, what was decided and what came of it."""

import logging
import time
from math import inf
from typing import Any

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

from lofty_mcp.app import CALL, App, Call
from lofty_mcp.errors import LedgerUnavailable, Refused
from lofty_mcp.guard.effects import Effect
from lofty_mcp.ledger import AuditEntry, AuditQuery, Ledger, LedgerError, hashed

log = logging.getLogger(__name__)

ROUNDS = ("tools/call", "resources/read", "prompts/get", "completion/complete")
"""The requests that may touch the CRM."""
MOST_AT_ONCE = 100
MOST_WAITING = 10_000
"""Lines of reads that are held while the log cannot be written; beyond it the oldest are lost."""
GATHER_SECONDS = 0.1
"""How long lines of reads wait for others, since a hundred cost the ledger as much as one."""


class AuditLog:
    """The way into the ledger's audit table: at once for a write, soon after for a read, which never waits for it."""

    def __init__(self, ledger: Ledger, keep_days: int = 0) -> None:
        self._ledger = ledger
        self._keep = keep_days * 86_400.0 or inf
        self._waiting: list[AuditEntry] = []
        self._some = anyio.Event()
        self._closing = anyio.Event()

    def soon(self, entry: AuditEntry) -> None:
        """Append `entry` when `run` comes to it."""
        self._waiting.append(entry)
        self._some.set()

    async def now(self, entry: AuditEntry) -> None:
        """Append `entry` behind those that wait; what it tells of has happened, so a failure only puts it off."""
        self._waiting.append(entry)
        await self._write()

    async def run(self) -> None:
        """Append what `soon` was given, until `close`; what is there when it ends is appended first."""
        try:
            while not self._closing.is_set():
                await self._some.wait()
                self._some = anyio.Event()
                with anyio.move_on_after(GATHER_SECONDS):
                    await self._closing.wait()
                await self._write()
        finally:
            await self._write()

    def close(self) -> None:
        """Let `run` end."""
        self._closing.set()
        self._some.set()

    async def own(self, principal: str, limit: int) -> list[AuditEntry]:
        """The newest lines of `principal`, newest first, with all that it has done so far.

        Raises:
            LedgerUnavailable: they cannot be read.
        """
        await self._write()
        try:
            return await self._ledger.audited(AuditQuery(principal=principal), limit)
        except LedgerError as error:
            # nosemgrep: errors-hold-no-text-of-others - the words are the ledger's, which is ours
            raise LedgerUnavailable(str(error)) from None

    async def _write(self) -> None:
        with anyio.CancelScope(shield=True):
            while entries := self._waiting[:MOST_AT_ONCE]:
                del self._waiting[:MOST_AT_ONCE]
                try:
                    await self._ledger.audit(entries, keep=self._keep)
                except LedgerError:
                    log.error("the audit log could not be written", extra={"count": len(entries)})
                    self._waiting[:0] = entries  # for the next attempt
                    del self._waiting[:-MOST_WAITING]
                    return


async def audited(ctx: ServerRequestContext[App, Any], call_next: CallNext) -> HandlerResult:
    """Middleware: open the call that everything below works on, and write its line when the round ends."""
    if ctx.request_id is None:
        return await call_next(ctx)
    call = ctx.lifespan_context.open_call()
    token = CALL.set(call)
    started = time.perf_counter()
    try:
        return await call_next(ctx)
    except BaseException:
        call.outcome = "failed"
        raise
    finally:
        CALL.reset(token)
        if ctx.method in ROUNDS:
            await _conclude(call, ctx, (time.perf_counter() - started) * 1000)


async def _conclude(call: Call, ctx: ServerRequestContext[App, Any], duration_ms: float) -> None:
    if ctx.method == "completion/complete":
        return  # a keystroke, and never about a lead
    name = str((ctx.params or {}).get("name", "")) if ctx.method == "tools/call" else ctx.method
    entry = _entry(call, name, duration_ms)
    if call.app.effects.get(name, Effect.READ) is Effect.READ:
        call.app.audit.soon(entry)
    else:
        await call.app.audit.now(entry)


def _undecided(effect: Effect, outcome: str) -> tuple[str, str]:
    if effect is Effect.READ:
        return "allow", "read"
    return ("refuse", "rules") if outcome == Refused.__name__ else ("none", "")


def _entry(call: Call, name: str, duration_ms: float) -> AuditEntry:
    known = name in call.app.effects or name in ROUNDS  # a name that we do not know is the caller's text
    effect = call.app.effects.get(name, Effect.READ)
    clear = call.app.settings.audit_leads == "clear"
    decision, basis = (call.decision, call.basis) if call.decision else _undecided(effect, call.outcome)
    return AuditEntry(
        at=call.began,
        principal=call.account.principal,
        viewer=" ".join(sorted(call.crm.eyes.ids)) if call.crm.eyes else "",
        tool=name if known else "unknown tool",
        effect=effect.name.lower(),
        decision=decision,
        basis=basis,
        tickets=tuple(hashed(ticket, call.app.secret) for ticket in call.tickets),
        outcome=call.outcome,
        leads=tuple(call.leads if clear else [hashed(lead_id, call.app.secret) for lead_id in call.leads]),
        duration_ms=duration_ms,
    )
