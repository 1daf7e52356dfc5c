"""The ledger as one SQLite file that the processes of one user share.

Every method is one transaction on one connection, run in a worker thread to its end whatever becomes of the caller.
What decides whether a request leaves (claim, mark, settle, release) is on disk before the method returns; the rest
survives a crash of the process, though perhaps not of the machine.
"""

import json
import os
import secrets
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread

from lofty_mcp.ledger import AuditEntry, Handle, LedgerError, Row, Ticket

__all__ = ["MIGRATIONS", "SqliteLedger", "explain", "migrate"]

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
Synchronous = Literal["NORMAL", "FULL"]

ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
CODE_LENGTH = 16
KEEP_DETAIL_SECONDS = 30 * 24 * 3600
PATIENCE_SECONDS = 5.0

# Closing any descriptor of a file drops every POSIX lock this process has on it, so creating the file (which closes
# one) must not overlap with another opening in the same process.
_creating = threading.Lock()


def m001_tickets(db: sqlite3.Connection) -> None:
    """One row per act; `nth` counts the settled tickets of an intent from 1; `detail` is {before, after, note}."""
    db.execute(
        "CREATE TABLE tickets (id TEXT PRIMARY KEY, intent TEXT NOT NULL, principal TEXT NOT NULL, tool TEXT NOT NULL,"
        " state TEXT NOT NULL CHECK (state IN ('claimed', 'sent', 'settled')), owner TEXT NOT NULL,"
        " lease_until REAL NOT NULL, nth INTEGER, outcome TEXT, detail TEXT, settled_at REAL)"
    )
    db.execute("CREATE UNIQUE INDEX tickets_by_intent ON tickets (intent, nth)")
    db.execute("CREATE INDEX tickets_with_detail ON tickets (settled_at) WHERE detail IS NOT NULL")


def m002_handles(db: sqlite3.Connection) -> None:
    """Codes and cursors."""
    db.execute(
        "CREATE TABLE handles (code TEXT PRIMARY KEY, principal TEXT NOT NULL, purpose TEXT NOT NULL,"
        " payload TEXT NOT NULL, expires_at REAL NOT NULL)"
    )
    db.execute("CREATE INDEX handles_by_expiry ON handles (expires_at)")


def m003_audit(db: sqlite3.Connection) -> None:
    """The audit log, append-only by trigger."""
    db.execute(
        "CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, principal TEXT NOT NULL,"
        " tool TEXT NOT NULL, effect TEXT NOT NULL, decision TEXT NOT NULL, outcome TEXT NOT NULL,"
        " leads TEXT NOT NULL, duration_ms REAL NOT NULL)"
    )
    for verb in ("UPDATE", "DELETE"):
        db.execute(
            f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit"
            " BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        )


def m004_pace(db: sqlite3.Connection) -> None:
    """Token buckets, and what the ledger keeps about itself."""
    db.execute("CREATE TABLE buckets (key TEXT PRIMARY KEY, tokens REAL NOT NULL, at REAL NOT NULL)")
    db.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL)")


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (m001_tickets, m002_handles, m003_audit, m004_pace)


def migrate(db: sqlite3.Connection, migrations: Sequence[Callable[[sqlite3.Connection], None]] = MIGRATIONS) -> None:
    """Bring the schema up to date in one transaction; raises LedgerError if a newer program has written the file."""
    if _missing(db, migrations):
        with db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY)")
            for migration in _missing(db, migrations):
                migration(db)
                db.execute("INSERT INTO migrations VALUES (?)", (migration.__name__,))


def _missing(
    db: sqlite3.Connection, migrations: Sequence[Callable[[sqlite3.Connection], None]]
) -> list[Callable[[sqlite3.Connection], None]]:
    fresh = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").fetchone() is None
    applied = set() if fresh else {str(row[0]) for row in db.execute("SELECT name FROM migrations")}
    if applied - {migration.__name__ for migration in migrations}:
        raise LedgerError(
            "The ledger was written by a newer version of lofty-mcp. Upgrade, or use another state folder."
        )
    return [migration for migration in migrations if migration.__name__ not in applied]


_SENTENCES = {
    sqlite3.SQLITE_FULL: "The disk that holds the ledger is full. Free some space, then try again.",
    sqlite3.SQLITE_BUSY: "The ledger is busy: another process has held it for too long. Try again in a moment.",
    sqlite3.SQLITE_LOCKED: "The ledger is busy: another process has held it for too long. Try again in a moment.",
    sqlite3.SQLITE_READONLY: "The ledger is read-only. Give this user the right to write to its file and folder.",
    sqlite3.SQLITE_CANTOPEN: "The ledger cannot be opened. Give this user the right to write to its file and folder.",
    sqlite3.SQLITE_CORRUPT: "The ledger is damaged. Move its file away; a new one is made at the next start.",
    sqlite3.SQLITE_NOTADB: "The ledger's file is not a ledger. Move it away; a new one is made at the next start.",
    sqlite3.SQLITE_IOERR: "The disk that holds the ledger failed to read or write.",
}


def explain(error: sqlite3.Error | OSError) -> str:
    """A sentence about a failed store that says what to do and names no path."""
    if isinstance(error, OSError):
        return _SENTENCES[sqlite3.SQLITE_CANTOPEN]
    if isinstance(error, sqlite3.ProgrammingError):
        return "The ledger is closed."
    # The low byte is the primary code; errors raised by Python itself carry none.
    return _SENTENCES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "The ledger failed.")


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise LedgerError(explain(error)) from None


def _make_private(path: Path) -> None:
    """Create folder (0700) and file (0600) if missing, tighten the file, refuse what somebody else could replace."""
    if os.name == "nt":
        path.parent.mkdir(parents=True, exist_ok=True)
        return
    with _creating:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = path.parent.stat().st_mode
        if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
            raise LedgerError("Other users can write to the ledger's folder. Take that right away (chmod 700).")
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        for suffix in ("", "-wal", "-shm"):
            # A peer that closes removes its -wal and -shm at any moment.
            with suppress(FileNotFoundError):
                _tighten(path.with_name(path.name + suffix))


def _tighten(file: Path) -> None:
    found = file.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        raise LedgerError("The ledger's file is a link or belongs to another user. Move it away.")
    if stat.S_IMODE(found.st_mode) != 0o600:
        file.chmod(0o600)


def _connect(path: Path, patience: float) -> sqlite3.Connection:
    with _explained():
        _make_private(path)
        db = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
        try:
            db.row_factory = sqlite3.Row
            _use_wal(db, patience)
            migrate(db)
        except BaseException:
            db.close()
            raise
        return db


def _use_wal(db: sqlite3.Connection, patience: float) -> None:
    # Switching a fresh file to WAL can fail as busy without waiting, when two processes open it at once.
    deadline = time.monotonic() + patience
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _as_ticket(row: sqlite3.Row) -> Ticket:
    detail = json.loads(row["detail"]) if row["detail"] else {}
    return Ticket(
        id=row["id"],
        state=row["state"],
        outcome=row["outcome"],
        before=detail.get("before"),
        after=detail.get("after"),
        note=detail.get("note"),
        lease_until=row["lease_until"],
        owner=row["owner"],
        settled_at=row["settled_at"],
    )


def _find(db: sqlite3.Connection, ticket_id: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute("SELECT * FROM tickets WHERE id = ?", (ticket_id,)).fetchone()
    return row


def _last_settled(db: sqlite3.Connection, intent: str) -> sqlite3.Row | None:
    sql = "SELECT * FROM tickets WHERE intent = ? AND nth IS NOT NULL ORDER BY nth DESC LIMIT 1"
    row: sqlite3.Row | None = db.execute(sql, (intent,)).fetchone()
    return row


def _under_way(db: sqlite3.Connection, intent: str, now: float) -> sqlite3.Row | None:
    sql = "SELECT * FROM tickets WHERE intent = ? AND nth IS NULL AND (state = 'sent' OR lease_until > ?) LIMIT 1"
    row: sqlite3.Row | None = db.execute(sql, (intent, now)).fetchone()
    return row


def _generation(db: sqlite3.Connection, intent: str) -> int:
    last = _last_settled(db, intent)
    return int(last["nth"]) if last else 0


def _in_the_way(db: sqlite3.Connection, row: Row, generation: int, now: float) -> sqlite3.Row | None:
    own = _find(db, row.ticket_id)
    if own and own["state"] != "claimed":
        return own
    settled = _generation(db, row.intent)
    if settled < generation:
        raise LedgerError("The ledger was replaced since this act was prepared. Prepare it again.")
    return _last_settled(db, row.intent) if settled > generation else _under_way(db, row.intent, now)


async def _to_its_end(work: Callable[[], T], limiter: CapacityLimiter | None = None) -> T:
    """Run in a worker thread; a cancelled caller still waits, so that no transaction is left half done."""
    with CancelScope(shield=True):
        return await to_thread.run_sync(work, limiter=limiter)
    raise AssertionError("a scope that nobody cancels lets every exception through")


class SqliteLedger:
    """The Ledger on one SQLite file; made by `await SqliteLedger.open(path)`, ended by `close`."""

    def __init__(self, db: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self._db = db
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
        return cls(await _to_its_end(partial(_connect, path, patience)), clock)

    async def close(self) -> None:
        await _to_its_end(self._close, self._limiter)

    def _close(self) -> None:
        with self._lock, _explained():
            self._db.close()

    async def _write(self, work: Work[T], synchronous: Synchronous = "NORMAL") -> T:
        return await _to_its_end(partial(self._transact, work, synchronous), self._limiter)

    async def _read(self, work: Work[T]) -> T:
        return await _to_its_end(partial(self._look, work), self._limiter)

    def _transact(self, work: Work[T], synchronous: Synchronous) -> T:
        with self._lock, _explained():
            self._db.execute(f"PRAGMA synchronous = {synchronous}")
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                return work(self._db)

    def _look(self, work: Work[T]) -> T:
        with self._lock, _explained():
            return work(self._db)

    async def generations(self, intents: Sequence[str]) -> dict[str, int]:
        return await self._read(lambda db: {intent: _generation(db, intent) for intent in intents})

    async def claim(
        self, principal: str, tool: str, row: Row, owner: str, lease: float, *, generation: int
    ) -> Ticket | None:
        def work(db: sqlite3.Connection) -> Ticket | None:
            now = self._clock()
            if found := _in_the_way(db, row, generation, now):
                return _as_ticket(found)
            db.execute(
                "INSERT OR REPLACE INTO tickets (id, intent, principal, tool, state, owner, lease_until)"
                " VALUES (?, ?, ?, ?, 'claimed', ?, ?)",
                (row.ticket_id, row.intent, principal, tool, owner, now + lease),
            )
            return None

        return await self._write(work, "FULL")

    async def mark_sent(self, ticket_id: str, owner: str) -> bool:
        # A lapsed claim counts as lost even if nobody took it: its intent may have been acted on under another basis.
        sql = "UPDATE tickets SET state = 'sent' WHERE id = ? AND owner = ? AND state = 'claimed' AND lease_until > ?"
        return await self._write(lambda db: db.execute(sql, (ticket_id, owner, self._clock())).rowcount == 1, "FULL")

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
            if (found := _find(db, ticket_id)) is None:
                raise LedgerError("The ledger has no such ticket.")
            held = _as_ticket(found)
            if held.state == "settled" and (held.outcome, outcome) != ("unknown", "applied"):
                return held
            now = self._clock()
            detail = {"before": held.before if before is None else before, "after": after, "note": note}
            db.execute(
                "UPDATE tickets SET state = 'settled', outcome = ?, detail = ?,"
                " nth = coalesce(nth, ?), settled_at = coalesce(settled_at, ?) WHERE id = ?",
                (outcome, json.dumps(detail), _generation(db, found["intent"]) + 1, now, ticket_id),
            )
            _forget(db, now)
            return _as_ticket(db.execute("SELECT * FROM tickets WHERE id = ?", (ticket_id,)).fetchone())

        return await self._write(work, "FULL")

    async def release(self, ticket_id: str, owner: str) -> None:
        sql = "DELETE FROM tickets WHERE id = ? AND owner = ? AND state <> 'settled'"
        await self._write(lambda db: db.execute(sql, (ticket_id, owner)), "FULL")

    async def ticket(self, ticket_id: str) -> Ticket | None:
        found = await self._read(lambda db: _find(db, ticket_id))
        return _as_ticket(found) if found else None

    async def latest(self, intent: str) -> Ticket | None:
        now = self._clock()
        found = await self._read(lambda db: _under_way(db, intent, now) or _last_settled(db, intent))
        return _as_ticket(found) if found else None

    async def issue(self, principal: str, purpose: str, payload: dict[str, Any], ttl: float) -> Handle:
        now = self._clock()
        handle = Handle("".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH)), now + ttl)
        row = (handle.code, principal, purpose, json.dumps(payload), handle.expires_at)

        def work(db: sqlite3.Connection) -> None:
            _forget(db, now)
            db.execute(
                "INSERT INTO handles (code, principal, purpose, payload, expires_at) VALUES (?, ?, ?, ?, ?)", row
            )

        await self._write(work)
        return handle

    async def redeem(self, principal: str, purpose: str, code: str) -> dict[str, Any] | None:
        sql = "SELECT payload FROM handles WHERE code = ? AND principal = ? AND purpose = ? AND expires_at > ?"
        bound = (code, principal, purpose, self._clock())
        found = await self._read(lambda db: db.execute(sql, bound).fetchone())
        payload: dict[str, Any] | None = json.loads(found["payload"]) if found else None
        return payload

    async def audit(self, entries: Sequence[AuditEntry]) -> None:
        sql = (
            "INSERT INTO audit (at, principal, tool, effect, decision, outcome, leads, duration_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        )
        rows = [
            (e.at, e.principal, e.tool, e.effect, e.decision, e.outcome, json.dumps(e.leads), e.duration_ms)
            for e in entries
        ]
        await self._write(lambda db: db.executemany(sql, rows))

    async def audited(self, *, principal: str | None = None, since: float = 0, limit: int = 100) -> list[AuditEntry]:
        sql = (
            "SELECT at, principal, tool, effect, decision, outcome, leads, duration_ms FROM audit"
            " WHERE at >= ?1 AND (?2 IS NULL OR principal = ?2) ORDER BY id DESC LIMIT ?3"
        )
        rows = await self._read(lambda db: db.execute(sql, (since, principal, limit)).fetchall())
        return [AuditEntry(**{**dict(row), "leads": tuple(json.loads(row["leads"]))}) for row in rows]

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

    async def writable(self) -> bool:
        sql = "INSERT OR REPLACE INTO meta (key, value) VALUES ('probe', ?)"
        try:
            await self._write(lambda db: db.execute(sql, (self._clock(),)))
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


def _forget(db: sqlite3.Connection, now: float) -> None:
    """Drop expired codes and what old tickets say; the tickets stay, since single use must survive."""
    db.execute("DELETE FROM handles WHERE expires_at <= ?", (now,))
    stale = "UPDATE tickets SET detail = NULL WHERE detail IS NOT NULL AND settled_at < ?"
    db.execute(stale, (now - KEEP_DETAIL_SECONDS,))
