"""The audit log of a ledger that servers may be writing to: opened read-only, and never in their way."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from lofty_mcp.ledger import AuditQuery, LedgerError, journal
from lofty_mcp.ledger.journal import Line, Verdict
from lofty_mcp.ledger.schema import explained

__all__ = ["AuditReader", "reading"]


class AuditReader:
    """The audit log as it stands at each call; made by `reading`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        found = db.execute("SELECT value FROM meta WHERE key = 'secret'").fetchone()
        self._secret = bytes(found["value"]) if found else b""

    def lines(self, query: AuditQuery, limit: int = -1, after: int = 0) -> list[Line]:
        """The newest lines that `query` wants, of those behind line `after`, oldest first; a limit of -1 is none."""
        with explained():
            return journal.newest(self._db, self._secret, query, limit, after)[::-1]

    def verify(self, head: str | None = None) -> Verdict:
        """Whether the chain is whole, and holds `head`."""
        with explained(), self._db:
            self._db.execute("BEGIN")  # lines that are added or removed meanwhile are not seen
            return journal.verify(self._db, self._secret, head)


@contextmanager
def reading(path: Path) -> Iterator[AuditReader]:
    """The audit log of the ledger in this file.

    Raises:
        LedgerError: there is none, or it cannot be read.
    """
    with explained():
        if not path.exists():
            raise LedgerError("There is no ledger yet: no server has used this state folder.")
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    with closing(db):
        db.row_factory = sqlite3.Row
        db.text_factory = lambda text: text.decode(errors="replace")  # so that no tampered text ends the reading
        with explained():
            if db.execute("SELECT 1 FROM migrations WHERE name = 'm005_chain'").fetchone() is None:
                raise LedgerError("The ledger is of an older version. Start the server once; it brings it up to date.")
            reader = AuditReader(db)
        yield reader
