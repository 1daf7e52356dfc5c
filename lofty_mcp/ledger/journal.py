"""The audit log as a chain: each line bears a hash of itself and of the line before it.

The hash is plain SHA-256. A key would lie in the same file, and whoever can rewrite that can use it; what proves that
nothing was rewritten or cut off is the newest hash (the head), copied to where the ledger's owner cannot reach.

Old lines are removed from the start only, and a checkpoint stands for them: up to which line, its hash, when, signed
with the ledger's secret. Lines are numbered from 1 without gaps, so it also says how many they were.

All functions work inside the caller's transaction.
"""

import hmac
import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256

from lofty_mcp.ledger import AuditEntry, AuditQuery, LedgerError, hashed

__all__ = [
    "Checkpoint",
    "Line",
    "Verdict",
    "append",
    "append_missed",
    "checkpoint",
    "linked",
    "newest",
    "prove",
    "remove_old",
    "verify",
]

MOST_REMOVED = 200
"""Lines that one append may remove: more than it adds, and too few to be noticed."""
YEAR_10000 = 253_402_300_800
_PROBE = AuditEntry(0, "", "", "", "", "", "", (), "", (), 0)


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it stands in the chain."""

    number: int
    entry: AuditEntry
    hash: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What stands for the lines that were removed; `up_to` is the last of them, 0 if there were none."""

    up_to: int = 0
    hash: str = ""
    at: float = 0.0
    signature: str = ""

    def signed(self, secret: bytes) -> str:
        """The signature that it should bear."""
        return hmac.new(secret, json.dumps([self.up_to, self.hash, self.at]).encode(), sha256).hexdigest()

    def holds(self, secret: bytes) -> bool:
        """Whether it was signed with this secret, or stands for nothing."""
        return self == Checkpoint() or hmac.compare_digest(self.signed(secret), self.signature)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at the whole chain found; `bad` says where it is broken."""

    count: int
    head: str
    checkpoint: Checkpoint
    bad: str | None = None


def linked(previous: str, line: Sequence[object]) -> str:
    """The hash of `line` (its number and its values, in the table's order) behind the line whose hash is `previous`."""
    return sha256(json.dumps([previous, *line], separators=(",", ":"), default=repr).encode()).hexdigest()


def append(db: sqlite3.Connection, entries: Iterable[AuditEntry]) -> None:
    """Add lines behind the last one."""
    found = db.execute("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    count, last = found or (checkpoint(db).up_to, checkpoint(db).hash)
    rows = []
    for number, entry in enumerate(entries, count + 1):
        line = (number, *_values(entry))
        last = linked(last, line)
        rows.append((*line, last))
    db.executemany("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def append_missed(db: sqlite3.Connection, secret: bytes, now: float) -> None:
    """Add a line for each write that was sent by a process which did not live to tell of it."""
    sql = "SELECT id, principal, tool FROM tickets WHERE state = 'sent' AND NOT missed AND lease_until < ?"
    rows = db.execute(sql, (now,)).fetchall()
    if rows:
        append(db, [_missed(hashed(ticket_id, secret), principal, tool, now) for ticket_id, principal, tool in rows])
        db.executemany("UPDATE tickets SET missed = 1 WHERE id = ?", [(row["id"],) for row in rows])


def _missed(ticket: str, principal: str, tool: str, now: float) -> AuditEntry:
    return AuditEntry(
        at=now,
        principal=principal,
        viewer="",
        tool=tool,
        effect="write",
        decision="none",
        basis="",
        tickets=(ticket,),
        outcome="missed",
        leads=(),
        duration_ms=0,
    )


def prove(db: sqlite3.Connection) -> None:
    """Append a line and take it back: where that fails, the line of what is about to be done could not be kept."""
    db.execute("SAVEPOINT probe")
    append(db, [_PROBE])
    db.execute("ROLLBACK TO probe")
    db.execute("RELEASE probe")


def remove_old(db: sqlite3.Connection, secret: bytes, before: float, now: float) -> None:
    """Remove the oldest lines, some at a time, if they are of before `before`, and let a checkpoint stand for them.

    A line that does not fit stays, with all that is behind it, for `verify` to find.
    """
    start = checkpoint(db)
    if not start.holds(secret):
        return
    number, last = start.up_to, start.hash
    for row in db.execute("SELECT * FROM audit ORDER BY id LIMIT ?", (MOST_REMOVED,)):
        if not _follows(row, number, last) or row["at"] >= before:
            break
        number, last = row["id"], row["hash"]
    if number > start.up_to:
        stands = Checkpoint(number, last, now)
        db.execute("REPLACE INTO checkpoint VALUES (1, ?, ?, ?, ?)", (number, last, now, stands.signed(secret)))
        db.execute("DELETE FROM audit WHERE id <= ?", (number,))


def verify(db: sqlite3.Connection, secret: bytes, head: str | None = None) -> Verdict:
    """Go through the whole chain; `head` is a hash that must be in it, so that a tail cut off behind it is missed."""
    start = checkpoint(db)
    number, last = start.up_to, start.hash
    if not start.holds(secret):
        return Verdict(0, last, start, f"The checkpoint for lines 1 to {number} was not signed by this ledger.")
    found = head is None or head == last
    for row in db.execute("SELECT * FROM audit ORDER BY id"):
        if not _follows(row, number, last):
            return Verdict(number - start.up_to, last, start, _broken(row["id"], number))
        number, last = number + 1, row["hash"]
        found = found or head == last
    lost = None if found else f"The head given is not in the chain, which ends with line {number}: lines were cut off"
    if lost and start.up_to:
        lost += f", or it was that of a line before {start.up_to}, which was removed by age"
    return Verdict(number - start.up_to, last, start, lost and f"{lost}.")


def _follows(row: sqlite3.Row, number: int, last: str) -> bool:
    return bool(row["id"] == number + 1 and row["hash"] == linked(last, tuple(row)[:-1]))


def _broken(found: int, number: int) -> str:
    if found > number + 1:
        return f"Line {number + 1} is missing."
    if found <= number:
        return f"Line {found} is there, and the checkpoint says that it was removed."
    return f"Line {found} is the first that does not fit: it was changed, or what stands before it was."


def checkpoint(db: sqlite3.Connection) -> Checkpoint:
    """What stands for the lines that were removed."""
    found = db.execute("SELECT up_to, hash, at, signature FROM checkpoint").fetchone()
    return Checkpoint(*found) if found else Checkpoint()


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


def newest(db: sqlite3.Connection, secret: bytes, query: AuditQuery, limit: int = -1, after: int = 0) -> list[Line]:
    """The newest lines that `query` wants, of those behind line `after`, newest first; a limit of -1 is none."""
    bound = asdict(query) | {"limit": limit, "after": after, "hashed": query.lead and hashed(query.lead, secret)}
    try:
        return [_line(row) for row in db.execute(_WANTED, bound)]
    except (TypeError, ValueError):
        raise LedgerError("The audit log has been tampered with; `lofty-mcp audit verify` says where.") from None


_WANTED = """
    SELECT * FROM audit WHERE id > :after AND at >= :since AND at < :until
    AND (:principal IS NULL OR substr(principal, 1, length(:principal)) = :principal)
    AND (:tool IS NULL OR tool = :tool) AND (:effect IS NULL OR effect = :effect)
    AND (:decision IS NULL OR decision = :decision)
    AND (:outcome IS NULL OR instr(',' || outcome || ',', ',' || :outcome || ','))
    AND (:lead IS NULL OR instr(leads, json_quote(:lead)) OR instr(leads, json_quote(:hashed)))
    ORDER BY id DESC LIMIT :limit
"""


def _line(row: sqlite3.Row) -> Line:
    number, at, *words, duration_ms, last = row
    if not 0 <= float(at) < YEAR_10000:
        raise ValueError("no moment")
    principal, viewer, tool, effect, decision, basis, tickets, outcome, leads = (str(word) for word in words)
    return Line(
        int(number),
        AuditEntry(
            at=float(at),
            principal=principal,
            viewer=viewer,
            tool=tool,
            effect=effect,
            decision=decision,
            basis=basis,
            tickets=tuple(json.loads(tickets)),
            outcome=outcome,
            leads=tuple(json.loads(leads)),
            duration_ms=float(duration_ms),
        ),
        str(last),
    )
