"""What must outlive a call: tickets of writes, codes and cursors, the audit log, the shared pace.

One act on one lead is a ticket. Its life: `claim` → `mark_sent` → (request) → `settle`; `release` if not one byte left.

    claimed   held by its owner until the lease lapses; a lapsed claim may be taken over, since nothing was sent
    sent      bytes may have left; never taken over, only settled, by its owner or by whoever reads back after a crash
    settled   final, but for `unknown`, which may become `applied`

Times are epoch seconds, spans are seconds. Every method raises `LedgerError` when the store fails.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import inf
from typing import Any, Literal, Protocol

__all__ = ["AuditEntry", "AuditQuery", "Handle", "Ledger", "LedgerError", "Row", "Ticket", "WritesPaused", "hashed"]


class LedgerError(Exception):
    """The ledger could not do its work; the message is fit for a reader and names no path."""


class WritesPaused(Exception):
    """The operator has paused writes; nothing may be sent until they let them go on."""


@dataclass(frozen=True, slots=True)
class Row:
    """One lead's part of a write, as bound by a confirmation.

    `intent` digests principal, tool, effective arguments and lead; `basis` what was shown or is to be changed, and the
    intent's generation.
    """

    lead_id: str
    intent: str
    basis: str

    @property
    def ticket_id(self) -> str:
        """The identity of this act: the same row always has the same ticket."""
        return sha256(f"{self.intent}\n{self.basis}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Ticket:
    """One act on one lead, as it stands; `before`, `after` and `note` are forgotten after 30 days."""

    id: str
    state: Literal["claimed", "sent", "settled"]
    outcome: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    note: str | None
    lease_until: float
    owner: str
    settled_at: float | None = None
    trace: Any = None
    """What was given at the claim, kept until it is known what became of it."""


@dataclass(frozen=True, slots=True)
class Handle:
    """A code of 16 characters that names a payload for one principal and one purpose."""

    code: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit log: fixed words, digests, ids of members, and times; nothing that anybody wrote."""

    at: float
    principal: str
    viewer: str
    """Lofty user ids of the eyes that were used, if the round had to know them."""
    tool: str
    effect: str
    decision: str
    basis: str
    """What the decision rests on, in a word or two."""
    tickets: tuple[str, ...]
    """The tickets that were touched, as keyed hashes."""
    outcome: str
    leads: tuple[str, ...]
    """Keyed hashes of the ids that the call named, or the ids, as the operator wants it."""
    duration_ms: float


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which lines of the audit log are wanted; None wants all."""

    principal: str | None = None
    """The beginning of it is enough; whole ones are all of one length."""
    tool: str | None = None
    effect: str | None = None
    decision: str | None = None
    outcome: str | None = None
    """One of the outcomes of a line."""
    lead: str | None = None
    """The id itself, whether the log keeps hashes or not."""
    since: float = 0.0
    until: float = inf


def hashed(value: str, secret: bytes) -> str:
    """An id as the audit log shows it: the same for the same id, and no way back without the secret."""
    return hmac.new(secret, value.encode(), sha256).hexdigest()[:16]


class Ledger(Protocol):
    """The store behind tickets, codes, audit and pace; each method is atomic across the processes that share it."""

    async def generations(self, intents: Sequence[str]) -> dict[str, int]:
        """How many tickets of each intent were ever settled."""

    async def claim(
        self, principal: str, tool: str, row: Row, owner: str, lease: float, *, generation: int, trace: Any = None
    ) -> Ticket | None:
        """Claim the row's ticket for `owner`, or answer the ticket that stands in the way.

        None: it is ours for `lease` seconds. Otherwise, in this order: the row's own ticket, if sent or settled; the
        intent's last settled ticket, if its generation is no longer `generation`; the intent's ticket that is alive
        or sent, on whatever basis. So an identical act that races is replayed, never redone. `trace` (JSON) is kept
        with the claim for whoever has to find out what became of it. Raises LedgerError also when the audit log takes
        no lines.
        """

    async def mark_sent(self, ticket_id: str, owner: str) -> bool:
        """Record, once, that bytes may leave now; False: the claim is no longer ours and nothing may be sent.

        Raises WritesPaused while writes are paused: whoever has paused them can rely on it from that moment on. Raises
        LedgerError also when the audit log takes no lines.
        """

    async def settle(
        self,
        ticket_id: str,
        outcome: str,
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
        note: str | None = None,
    ) -> Ticket:
        """Record how it ended and answer what stands: the first settlement, except that unknown may become applied."""

    async def release(self, ticket_id: str, owner: str) -> None:
        """Forget an unsettled ticket of ours because not one byte left, even if it was marked as sent."""

    async def ticket(self, ticket_id: str) -> Ticket | None:
        """The ticket of this id."""

    async def latest(self, intent: str) -> Ticket | None:
        """The intent's ticket that is alive or sent, else the one settled last."""

    async def begun(self, principal: str, tools: Sequence[str], since: float) -> int:
        """How many acts of these tools may have reached Lofty since then, and those that are about to."""

    async def issue(
        self, principal: str, purpose: str, payload: dict[str, Any], ttl: float, *, code: str | None = None
    ) -> Handle:
        """Keep a payload (JSON) under a fresh code, or under one of ours in place of what was there."""

    async def redeem(self, principal: str, purpose: str, code: str) -> dict[str, Any] | None:
        """The payload; None alike for an invented, expired or foreign code and for another purpose's. Repeatable."""

    async def audit(self, entries: Sequence[AuditEntry], *, keep: float = inf) -> None:
        """Append to the audit log, which nothing can change afterwards; let go of some lines older than `keep`."""

    async def audited(self, query: AuditQuery = AuditQuery(), limit: int = 100) -> list[AuditEntry]:
        """The newest audit lines that are wanted, newest first."""

    async def take(self, key: str, want: int, rate: float, burst: float) -> tuple[int, float]:
        """Draw up to `want` tokens from a bucket refilled at `rate` per second: (granted, seconds until one more)."""

    async def pause(self, paused: bool) -> None:
        """Stop all writes of every process that shares this ledger, or let them go on."""

    async def paused(self) -> bool:
        """Whether writes are paused."""

    async def writable(self) -> bool:
        """Whether a write and its audit line would be kept now."""

    async def secret(self) -> bytes:
        """32 random bytes, made once per ledger, for keyed hashes of lead ids."""

    async def close(self) -> None:
        """Finish what is under way and let go of the store."""
