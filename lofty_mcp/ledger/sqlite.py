"""The ledger as one SQLite file that the processes of one user share.

Every method is one transaction on one connection, run in a worker thread to its end whatever becomes of the caller.
What decides whether a request leaves (claim, mark, settle, release) is on disk before the method returns; the rest
survives a crash of the process, though perhaps not of the machine.
"""

import json
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread

from lofty_mcp.ledger import AuditEntry, AuditQuery, Handle, LedgerError, Row, Ticket, WritesPaused, journal
from lofty_mcp.ledger.forgetting import forget, outcome_detail
from lofty_mcp.ledger.schema import connect, explained
from lofty_mcp.ledger.standing import as_ticket, find, generation_of, in_the_way, last_settled, under_way

__all__ = ["SqliteLedger"]

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
Synchronous = Literal["NORMAL", "FULL"]

ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
CODE_LENGTH = 16
PATIENCE_SECONDS = 5.0


def _paused(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM meta WHERE key = 'paused'").fetchone() is not None


async def _to_its_end(work: Callable[[], T], limiter: CapacityLimiter | None = None) -> T:
    """Run in a worker thread; a cancelled caller still waits, so that no transaction is left half done."""
    with CancelScope(shield=True):
        return await to_thread.run_sync(work, limiter=limiter)
    raise AssertionError("a scope that nobody cancels lets every exception through")


class SqliteLedger:
    """The Ledger on one SQLite file; made by `await SqliteLedger.open(path)`, ended by `close`."""

    def __init__(self, db: sqlite3.Connection, path: Path, clock: Callable[[], float]) -> None:
        self._db = db
        self._path = path
        self._file = path.stat()
        self._clock = clock
        self._limiter = CapacityLimiter(1)
        # The limiter orders tasks; the lock also holds when a task is cancelled natively and its thread lives on.
        self._lock = threading.Lock()
        self._secret: bytes | None = None

    @classmethod
    async def open(
        cls, path: Path, clock: Callable[[], float] = time.time, *, patience: float = PATIENCE_SECONDS
    ) -> Self:
        """Open or create the file; `patience` is how long to wait for other processes. Raises LedgerError."""
        ledger = cls(await _to_its_end(partial(connect, path, patience)), path, clock)
        with suppress(LedgerError):  # what is old goes with the next line, if it cannot go now
            await ledger._write(lambda db: forget(db, clock()))
        return ledger

    async def close(self) -> None:
        await _to_its_end(self._close, self._limiter)

    def _close(self) -> None:
        with self._lock, explained():
            self._db.close()

    async def _write(self, work: Work[T], synchronous: Synchronous = "NORMAL") -> T:
        return await _to_its_end(partial(self._transact, work, synchronous), self._limiter)

    async def _read(self, work: Work[T]) -> T:
        return await _to_its_end(partial(self._look, work), self._limiter)

    def _transact(self, work: Work[T], synchronous: Synchronous) -> T:
        with self._lock, explained():
            # SQLite would go on writing to a file that nobody else can find any more.
            if not os.path.samestat(self._path.stat(), self._file):
                raise LedgerError("The ledger's file was replaced under a running server. Restart it.")
            # nosemgrep: values-are-bound-in-sql - one of two words, and a PRAGMA binds none
            self._db.execute(f"PRAGMA synchronous = {synchronous}")
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                return work(self._db)

    def _look(self, work: Work[T]) -> T:
        with self._lock, explained():
            return work(self._db)

    async def generations(self, intents: Sequence[str]) -> dict[str, int]:
        return await self._read(lambda db: {intent: generation_of(db, intent) for intent in intents})

    async def claim(
        self, principal: str, tool: str, row: Row, owner: str, lease: float, *, generation: int, trace: Any = None
    ) -> Ticket | None:
        kept = None if trace is None else json.dumps({"trace": trace})

        def work(db: sqlite3.Connection) -> Ticket | None:
            now = self._clock()
            if found := in_the_way(db, row, generation, now):
                return as_ticket(found)
            journal.prove(db)
            db.execute(
                "INSERT OR REPLACE INTO tickets (id, intent, principal, tool, state, owner, lease_until, detail)"
                " VALUES (?, ?, ?, ?, 'claimed', ?, ?, ?)",
                (row.ticket_id, row.intent, principal, tool, owner, now + lease, kept),
            )
            return None

        return await self._write(work, "FULL")

    async def mark_sent(self, ticket_id: str, owner: str) -> bool:
        # A lapsed claim counts as lost even if nobody took it: its intent may have been acted on under another basis.
        sql = "UPDATE tickets SET state = 'sent' WHERE id = ? AND owner = ? AND state = 'claimed' AND lease_until > ?"

        def work(db: sqlite3.Connection) -> bool:
            if _paused(db):
                raise WritesPaused
            journal.prove(db)
            return db.execute(sql, (ticket_id, owner, self._clock())).rowcount == 1

        return await self._write(work, "FULL")

    async def settle(
        self,
        ticket_id: str,
        outcome: str,
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
        note: str | None = None,
    ) -> Ticket:
        def work(db: sqlite3.Connection) -> Ticket:
            if (found := find(db, ticket_id)) is None:
                raise LedgerError("The ledger has no such ticket.")
            held = as_ticket(found)
            if held.state == "settled" and (held.outcome, outcome) != ("unknown", "applied"):
                return held
            now = self._clock()
            first = held.before if before is None else before
            detail = outcome_detail(first, after, note, held.trace if outcome == "unknown" else None)
            db.execute(
                "UPDATE tickets SET state = 'settled', outcome = ?, detail = ?,"
                " nth = coalesce(nth, ?), settled_at = coalesce(settled_at, ?) WHERE id = ?",
                (outcome, detail, generation_of(db, found["intent"]) + 1, now, ticket_id),
            )
            forget(db, now)
            return as_ticket(db.execute("SELECT * FROM tickets WHERE id = ?", (ticket_id,)).fetchone())

        return await self._write(work, "FULL")

    async def release(self, ticket_id: str, owner: str) -> None:
        sql = "DELETE FROM tickets WHERE id = ? AND owner = ? AND state <> 'settled'"
        await self._write(lambda db: db.execute(sql, (ticket_id, owner)), "FULL")

    async def ticket(self, ticket_id: str) -> Ticket | None:
        found = await self._read(lambda db: find(db, ticket_id))
        return as_ticket(found) if found else None

    async def latest(self, intent: str) -> Ticket | None:
        now = self._clock()
        found = await self._read(lambda db: under_way(db, intent, now) or last_settled(db, intent))
        return as_ticket(found) if found else None

    async def begun(self, principal: str, tools: Sequence[str], since: float) -> int:
        sql = (
            "SELECT count(*) FROM tickets WHERE principal = ? AND tool IN (SELECT value FROM json_each(?))"
            " AND coalesce(settled_at, lease_until) > ? AND outcome IS NOT 'not_applied' AND outcome IS NOT 'not_found'"
        )
        bound = (principal, json.dumps(list(tools)), since)
        return int(await self._read(lambda db: db.execute(sql, bound).fetchone()[0]))

    async def issue(
        self, principal: str, purpose: str, payload: dict[str, Any], ttl: float, *, code: str | None = None
    ) -> Handle:
        now = self._clock()
        handle = Handle(code or "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH)), now + ttl)
        row = (handle.code, principal, purpose, json.dumps(payload), handle.expires_at)

        def work(db: sqlite3.Connection) -> None:
            forget(db, now)
            db.execute("INSERT OR REPLACE INTO handles VALUES (?, ?, ?, ?, ?)", row)

        await self._write(work)
        return handle

    async def redeem(self, principal: str, purpose: str, code: str) -> dict[str, Any] | None:
        sql = "SELECT payload FROM handles WHERE code = ? AND principal = ? AND purpose = ? AND expires_at > ?"
        bound = (code, principal, purpose, self._clock())
        found = await self._read(lambda db: db.execute(sql, bound).fetchone())
        payload: dict[str, Any] | None = json.loads(found["payload"]) if found else None
        return payload

    async def audit(self, entries: Sequence[AuditEntry], *, keep: float = inf) -> None:
        secret = await self.secret()

        def work(db: sqlite3.Connection) -> None:
            now = self._clock()
            journal.append(db, entries)
            journal.append_missed(db, secret, now)
            journal.remove_old(db, secret, now - keep, now)
            forget(db, now)

        await self._write(work)

    async def audited(self, query: AuditQuery = AuditQuery(), limit: int = 100) -> list[AuditEntry]:  # noqa: B008 - it is frozen
        secret = await self.secret()
        return await self._read(lambda db: [line.entry for line in journal.newest(db, secret, query, limit)])

    async def take(self, key: str, want: int, rate: float, burst: float) -> tuple[int, float]:
        def work(db: sqlite3.Connection) -> tuple[int, float]:
            now = self._clock()
            found = db.execute("SELECT tokens, at FROM buckets WHERE key = ?", (key,)).fetchone()
            # A clock set back earns nothing now, and costs nothing later since `at` follows it.
            tokens = min(burst, found["tokens"] + max(0.0, now - found["at"]) * rate) if found else burst
            # The epsilon forgives the rounding of a wait that was exactly long enough.
            granted = max(0, min(want, int(tokens + 1e-6)))
            left = tokens - granted
            db.execute("INSERT OR REPLACE INTO buckets (key, tokens, at) VALUES (?, ?, ?)", (key, left, now))
            return granted, max(0.0, (1 - left) / rate)

        return await self._write(work)

    async def pause(self, paused: bool) -> None:
        sql = "INSERT OR REPLACE INTO meta VALUES ('paused', 1)" if paused else "DELETE FROM meta WHERE key = 'paused'"
        await self._write(lambda db: db.execute(sql), "FULL")

    async def paused(self) -> bool:
        return await self._read(_paused)

    async def writable(self) -> bool:
        sql = "INSERT OR REPLACE INTO meta (key, value) VALUES ('probe', ?)"

        def work(db: sqlite3.Connection) -> None:
            db.execute(sql, (self._clock(),))
            journal.prove(db)

        try:
            await self._write(work)
        except LedgerError:
            return False
        return True

    async def secret(self) -> bytes:
        def work(db: sqlite3.Connection) -> bytes:
            db.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('secret', ?)", (secrets.token_bytes(32),))
            return bytes(db.execute("SELECT value FROM meta WHERE key = 'secret'").fetchone()[0])

        if self._secret is None:
            self._secret = await self._write(work, "FULL")
        return self._secret
