"""Which ticket stands for an act. All functions work inside the caller's transaction."""

import json
import sqlite3

from lofty_mcp.ledger import LedgerError, Row, Ticket

__all__ = ["as_ticket", "find", "generation_of", "in_the_way", "last_settled", "under_way"]


def as_ticket(row: sqlite3.Row) -> Ticket:
    """The row as a ticket."""
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
        trace=detail.get("trace"),
    )


def find(db: sqlite3.Connection, ticket_id: str) -> sqlite3.Row | None:
    """The ticket of this id."""
    row: sqlite3.Row | None = db.execute("SELECT * FROM tickets WHERE id = ?", (ticket_id,)).fetchone()
    return row


def last_settled(db: sqlite3.Connection, intent: str) -> sqlite3.Row | None:
    """The ticket of this intent that was settled last."""
    sql = "SELECT * FROM tickets WHERE intent = ? AND nth IS NOT NULL ORDER BY nth DESC LIMIT 1"
    row: sqlite3.Row | None = db.execute(sql, (intent,)).fetchone()
    return row


def under_way(db: sqlite3.Connection, intent: str, now: float) -> sqlite3.Row | None:
    """The ticket of this intent that is alive or sent."""
    sql = "SELECT * FROM tickets WHERE intent = ? AND nth IS NULL AND (state = 'sent' OR lease_until > ?) LIMIT 1"
    row: sqlite3.Row | None = db.execute(sql, (intent, now)).fetchone()
    return row


def generation_of(db: sqlite3.Connection, intent: str) -> int:
    """How many tickets of this intent were ever settled."""
    last = last_settled(db, intent)
    return int(last["nth"]) if last else 0


def in_the_way(db: sqlite3.Connection, row: Row, generation: int, now: float) -> sqlite3.Row | None:
    """The ticket that stands in the way of claiming `row`, as `Ledger.claim` says."""
    own = find(db, row.ticket_id)
    if own and own["state"] != "claimed":
        return own
    settled = generation_of(db, row.intent)
    if settled < generation:
        raise LedgerError("The ledger was replaced since this act was prepared. Prepare it again.")
    return last_settled(db, row.intent) if settled > generation else under_way(db, row.intent, now)
