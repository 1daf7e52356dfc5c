"""The sandbox's one SQLite database: schema and plain queries, no opinion about Lofty.

A lead is a row of real columns (what lists filter and sort by) plus a JSON `data` column holding the rest of the record
under the names of `GET /v1.0/leads/{leadId}`. Notes, site activities, communications, tasks and system logs share the
table `items`, told apart by `kind`. Lead times are epoch seconds, item times (`at`) epoch milliseconds.
"""

# ruff: noqa: S608 -- values are always bound; names come from LEAD_COLUMNS and the literals below
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LEAD_COLUMNS = (
    "leadId",
    "firstName",
    "lastName",
    "stage",
    "source",
    "assignedUserId",
    "lenderUserId",
    "assistantUserId",
    "coordinatorUserId",
    "officeId",
    "ownershipScope",
    "ownershipId",
    "hiddenFlag",
    "trashed",
    "createTime",
    "assignTime",
    "lastTouch",
    "lastVisit",
    "lastUpdateTime",
    "score",
    "search",
    "data",
)

_SCHEMA = """
CREATE TABLE leads (
  leadId INTEGER PRIMARY KEY, firstName TEXT, lastName TEXT, stage TEXT, source TEXT,
  assignedUserId INTEGER, lenderUserId INTEGER, assistantUserId INTEGER, coordinatorUserId INTEGER,
  officeId INTEGER, ownershipScope TEXT, ownershipId INTEGER, hiddenFlag INTEGER, trashed INTEGER,
  createTime INTEGER, assignTime INTEGER, lastTouch INTEGER, lastVisit INTEGER, lastUpdateTime INTEGER, score INTEGER,
  search TEXT, data TEXT);
CREATE INDEX leads_assigned ON leads (assignedUserId);
CREATE INDEX leads_created ON leads (createTime, leadId);
CREATE TABLE tags (tagId INTEGER PRIMARY KEY, tagName TEXT UNIQUE, creatorUserId INTEGER, createTime INTEGER);
CREATE TABLE lead_tags (leadId INTEGER, tagId INTEGER, createTime INTEGER, PRIMARY KEY (leadId, tagId)) WITHOUT ROWID;
CREATE INDEX lead_tags_tag ON lead_tags (tagId);
CREATE TABLE items (kind TEXT, id INTEGER, leadId INTEGER, at INTEGER, data TEXT, PRIMARY KEY (kind, id));
CREATE INDEX items_lead ON items (leadId, kind, at);
"""

Item = tuple[str, int, int, int, str]


class Store:
    """One SQLite database, in memory unless a path is given; not shared between threads at the same moment."""

    def __init__(self, path: str = ":memory:") -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.executescript("PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF;")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database; an in-memory world is gone afterwards."""
        self._db.close()

    def rows(self, sql: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        """Every row of one SELECT."""
        return self._db.execute(sql, params).fetchall()

    def insert_leads(self, rows: Iterable[Sequence[Any]]) -> None:
        """Insert lead rows, each in the order of `LEAD_COLUMNS`."""
        marks = ",".join("?" * len(LEAD_COLUMNS))
        self._many(f"INSERT INTO leads ({','.join(LEAD_COLUMNS)}) VALUES ({marks})", rows)

    def insert_items(self, items: Iterable[Item]) -> None:
        """Insert `(kind, id, leadId, at, data)` rows."""
        self._many("INSERT INTO items VALUES (?,?,?,?,?)", items)

    def insert_lead_tags(self, rows: Iterable[tuple[int, int, int]]) -> None:
        """Put tags on leads: `(leadId, tagId, createTime)`; one that is already there stays."""
        self._many("INSERT OR IGNORE INTO lead_tags VALUES (?,?,?)", rows)

    def _many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._db.execute("BEGIN")
        self._db.executemany(sql, rows)
        self._db.execute("COMMIT")

    def lead(self, lead_id: int) -> sqlite3.Row | None:
        """The row of one lead, trashed or not."""
        row: sqlite3.Row | None = self._db.execute("SELECT * FROM leads WHERE leadId=?", (lead_id,)).fetchone()
        return row

    def leads(self, lead_ids: Sequence[int]) -> list[sqlite3.Row]:
        """The rows of these leads, in this order."""
        marks = ",".join("?" * len(lead_ids))
        found = {row["leadId"]: row for row in self.rows(f"SELECT * FROM leads WHERE leadId IN ({marks})", lead_ids)}
        return [found[lead_id] for lead_id in lead_ids]

    def update_lead(self, lead_id: int, columns: Mapping[str, Any]) -> None:
        """Set columns of one lead; names must be among `LEAD_COLUMNS`."""
        unknown = set(columns) - set(LEAD_COLUMNS)
        if unknown:
            raise KeyError(f"no such lead column: {sorted(unknown)}")
        sets = ",".join(f"{name}=?" for name in columns)
        self._db.execute(f"UPDATE leads SET {sets} WHERE leadId=?", (*columns.values(), lead_id))

    def remove_lead(self, lead_id: int) -> None:
        """Erase a lead and everything attached to it."""
        for table in ("leads", "lead_tags", "items"):
            self._db.execute(f"DELETE FROM {table} WHERE leadId=?", (lead_id,))

    def tag_id(self, name: str, creator: int, at: int) -> int:
        """The id of the tag with exactly this name, made on the fly if new."""
        found = self._db.execute("SELECT tagId FROM tags WHERE tagName=?", (name,)).fetchone()
        if found is not None:
            return int(found["tagId"])
        made = self._db.execute(
            "INSERT INTO tags (tagName, creatorUserId, createTime) VALUES (?,?,?)", (name, creator, at)
        )
        return int(made.lastrowid or 0)

    def drop_lead_tags(self, lead_id: int, names: Iterable[str] | None = None) -> None:
        """Take the named tags off a lead, or all of them when no names are given."""
        if names is None:
            self._db.execute("DELETE FROM lead_tags WHERE leadId=?", (lead_id,))
            return
        sql = "DELETE FROM lead_tags WHERE leadId=? AND tagId IN (SELECT tagId FROM tags WHERE tagName=?)"
        self._many(sql, [(lead_id, name) for name in names])

    def tags_of(self, lead_ids: Sequence[int]) -> dict[int, list[sqlite3.Row]]:
        """Tags by lead, each row with `tagId`, `tagName`, `creatorUserId` and the time it was put on."""
        found: dict[int, list[sqlite3.Row]] = {lead_id: [] for lead_id in lead_ids}
        marks = ",".join("?" * len(lead_ids))
        sql = (
            "SELECT l.leadId, t.tagId, t.tagName, t.creatorUserId, l.createTime"
            " FROM lead_tags l JOIN tags t USING (tagId)"
            f" WHERE l.leadId IN ({marks}) ORDER BY l.createTime, t.tagId"
        )
        for row in self.rows(sql, list(lead_ids)):
            found[row["leadId"]].append(row)
        return found

    def items(self, kind: str, lead_id: int) -> list[sqlite3.Row]:
        """All items of one kind on a lead, oldest first."""
        return self.rows("SELECT * FROM items WHERE kind=? AND leadId=? ORDER BY at, id", (kind, lead_id))

    def item(self, kind: str, item_id: int) -> sqlite3.Row | None:
        """One item by its id."""
        row: sqlite3.Row | None = self._db.execute(
            "SELECT * FROM items WHERE kind=? AND id=?", (kind, item_id)
        ).fetchone()
        return row

    def update_item(self, kind: str, item_id: int, data: Mapping[str, Any]) -> None:
        """Replace the data of one item."""
        self._db.execute("UPDATE items SET data=? WHERE kind=? AND id=?", (json.dumps(data), kind, item_id))

    def remove_item(self, kind: str, item_id: int) -> None:
        """Erase one item."""
        self._db.execute("DELETE FROM items WHERE kind=? AND id=?", (kind, item_id))
