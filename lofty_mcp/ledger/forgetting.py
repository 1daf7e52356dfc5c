"""What the ledger lets go of: expired codes, and what old tickets say. The tickets stay: single use must survive."""

import json
import sqlite3
from typing import Any

Values = dict[str, Any]

__all__ = ["forget", "outcome_detail"]

KEEP_SECONDS = 30 * 24 * 3600
MOST_KEPT = 5_000
LONGEST = 16_384
"""Characters of one outcome; more loses the values before, then those after, then the end of the note."""
LONGEST_NOTE = 1_000


def outcome_detail(before: Values | None, after: Values | None, note: str | None, trace: Any) -> str:
    """What is kept of an outcome, as much as fits; the trace is needed for finding out more."""
    kept: Values = {} if trace is None else {"trace": trace}
    short = note and note[:LONGEST_NOTE]
    for detail in ({"before": before, "after": after, "note": note}, {"after": after, "note": short}):
        if len(json.dumps(detail)) <= LONGEST:
            return json.dumps(kept | detail)
    return json.dumps(kept | {"note": short})


def forget(db: sqlite3.Connection, now: float) -> None:
    """Drop what has expired or is too old, and of outcomes all but the newest."""
    db.execute("DELETE FROM handles WHERE expires_at <= ?", (now,))
    for what in _TOO_OLD:
        db.execute(what, (now - KEEP_SECONDS,))
    db.execute(_TOO_MANY, (MOST_KEPT,))


_TOO_OLD = (
    "UPDATE tickets SET detail = NULL WHERE detail IS NOT NULL AND settled_at < ?",
    "UPDATE tickets SET detail = NULL WHERE detail IS NOT NULL AND settled_at IS NULL AND lease_until < ?",
)
_TOO_MANY = (
    "UPDATE tickets SET detail = NULL WHERE detail IS NOT NULL AND settled_at <="
    " (SELECT settled_at FROM tickets WHERE detail IS NOT NULL ORDER BY settled_at DESC LIMIT 1 OFFSET ?)"
)
