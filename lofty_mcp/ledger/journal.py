"""The audit log as a chain: each line bears a hash of itself and of the line before it.

The hash is plain SHA-256. A key would lie in the same file, and whoever can rewrite that can use it; what proves that
nothing was rewritten or cut off is the newest hash (the head), copied to where the log's owner cannot reach.
All functions work inside the caller's transaction.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from hashlib import sha256

from lofty_mcp.ledger import AuditEntry

__all__ = ["append", "linked", "newest"]

COLUMNS = "at, principal, viewer, tool, effect, decision, basis, tickets, outcome, leads, duration_ms"


def linked(previous: str, line: Sequence[object]) -> str:
    """The hash of `line` (its number and its values, in the table's order) behind the line whose hash is `previous`."""
    return sha256(json.dumps([previous, *line], separators=(",", ":"), default=repr).encode()).hexdigest()


def append(db: sqlite3.Connection, entries: Iterable[AuditEntry]) -> None:
    """Add lines behind the last one."""
    count, last = _end(db)
    rows = []
    for number, entry in enumerate(entries, count + 1):
        line = (number, *_values(entry))
        last = linked(last, line)
        rows.append((*line, last))
    db.executemany(f"INSERT INTO audit (id, {COLUMNS}, hash) VALUES (?{', ?' * 12})", rows)  # nosec B608 # noqa: S608 - fixed words


def _end(db: sqlite3.Connection) -> tuple[int, str]:
    found = db.execute("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    return (found["id"], found["hash"]) if found else (0, "")


def _values(entry: AuditEntry) -> tuple[object, ...]:
    return (
        float(entry.at),
        entry.principal,
        entry.viewer,
        entry.tool,
        entry.effect,
        entry.decision,
        entry.basis,
        json.dumps(entry.tickets),
        entry.outcome,
        json.dumps(entry.leads),
        float(entry.duration_ms),
    )


def newest(db: sqlite3.Connection, principal: str | None, since: float, limit: int) -> list[AuditEntry]:
    """The newest lines, newest first."""
    sql = (
        f"SELECT {COLUMNS} FROM audit WHERE at >= ?1 AND (?2 IS NULL OR principal = ?2)"  # nosec B608 # noqa: S608 - fixed words
        " ORDER BY id DESC LIMIT ?3"
    )
    return [_entry(row) for row in db.execute(sql, (since, principal, limit))]


def _entry(row: sqlite3.Row) -> AuditEntry:
    lists = {name: tuple(json.loads(row[name])) for name in ("tickets", "leads")}
    return AuditEntry(**{**dict(row), **lists})
