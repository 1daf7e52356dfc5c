"""The file behind the ledger: how it is opened, kept private, migrated, and explained when it fails."""

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lofty_mcp.ledger import LedgerError
from lofty_mcp.ledger.journal import linked

__all__ = ["MIGRATIONS", "connect", "explain", "explained", "migrate"]

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


def m005_chain(db: sqlite3.Connection) -> None:
    """The audit log again, as a chain; its old lines are kept and chained as they were found.

    Lines get the next number and nothing else, so that none is replaced; none goes that no checkpoint stands for.
    """
    old = db.execute("SELECT * FROM audit ORDER BY id").fetchall()
    db.execute("DROP TABLE audit")
    db.execute(
        "CREATE TABLE audit (id INTEGER PRIMARY KEY, at REAL NOT NULL, principal TEXT NOT NULL, viewer TEXT NOT NULL,"
        " tool TEXT NOT NULL, effect TEXT NOT NULL, decision TEXT NOT NULL, basis TEXT NOT NULL, tickets TEXT NOT NULL,"
        " outcome TEXT NOT NULL, leads TEXT NOT NULL, duration_ms REAL NOT NULL, hash TEXT NOT NULL)"
    )
    db.execute(
        "CREATE TABLE checkpoint (only INTEGER PRIMARY KEY CHECK (only = 1), up_to INTEGER NOT NULL,"
        " hash TEXT NOT NULL, at REAL NOT NULL, signature TEXT NOT NULL)"
    )
    for verb, forbidden in (
        ("INSERT", "NEW.id <> 1 + coalesce((SELECT max(id) FROM audit), (SELECT up_to FROM checkpoint), 0)"),
        ("UPDATE", "TRUE"),
        ("DELETE", "OLD.id > coalesce((SELECT up_to FROM checkpoint), 0)"),
    ):
        db.execute(
            f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit WHEN {forbidden}"
            " BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        )
    last = ""
    for number, (_, at, principal, tool, effect, decision, outcome, leads, duration_ms) in enumerate(old, 1):
        line = (number, at, principal, "", tool, effect, decision, "", "[]", outcome, leads, duration_ms)
        last = linked(last, line)
        db.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*line, last))


def m006_missed(db: sqlite3.Connection) -> None:
    """Whether the audit log has been told of a ticket whose process did not live to tell of it."""
    db.execute("ALTER TABLE tickets ADD COLUMN missed INTEGER NOT NULL DEFAULT 0")
    db.execute("CREATE INDEX tickets_sent ON tickets (lease_until) WHERE state = 'sent' AND NOT missed")


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    m001_tickets,
    m002_handles,
    m003_audit,
    m004_pace,
    m005_chain,
    m006_missed,
)


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
def explained() -> Iterator[None]:
    """Turn a failure of the store into a `LedgerError`."""
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


def connect(path: Path, patience: float) -> sqlite3.Connection:
    """Open the ledger's file, made private and brought up to date; `patience` is the wait for other processes."""
    with explained():
        _make_private(path)
        db = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
        try:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA secure_delete = ON")  # what is forgotten is not left lying in free pages
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
