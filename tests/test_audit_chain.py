"""The chain of the audit log: what was changed, inserted, removed or cut off is named, and old lines go with a sign."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from math import inf
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lofty_mcp.ledger import AuditEntry, AuditQuery
from lofty_mcp.ledger.journal import MOST_REMOVED, Checkpoint, append, checkpoint, linked, newest, remove_old, verify
from lofty_mcp.ledger.reading import reading
from lofty_mcp.ledger.schema import connect, migrate
from lofty_mcp.ledger.sqlite import SqliteLedger

SECRET = b"s" * 32
LINES = 6
COLUMNS = [*AuditEntry.__dataclass_fields__]
ENTRY = AuditEntry(
    at=1_760_000_000.0,
    principal="p",
    viewer="7",
    tool="update_stage",
    effect="change",
    decision="confirmed",
    basis="code",
    tickets=("t1",),
    outcome="applied",
    leads=("h1", "h2"),
    duration_ms=12.5,
)
CHILD = """
import sys, anyio
from pathlib import Path
from lofty_mcp.ledger import AuditEntry
from lofty_mcp.ledger.sqlite import SqliteLedger

async def main(path, name, count):
    ledger = await SqliteLedger.open(Path(path))
    print("open", flush=True)
    for n in range(int(count)):
        if n % 20 == 0:
            sys.stdin.readline()
        line = AuditEntry(1.0, name, "7", "add_tag", "add", "allow", "mild", (), "applied", ("h",), 2.0)
        await ledger.audit([line] * (1 + n % 3))
        print(n, flush=True)
    await ledger.close()

anyio.run(main, *sys.argv[1:])
"""


def opened() -> "closing[sqlite3.Connection]":
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.row_factory = sqlite3.Row
    migrate(db)
    return closing(db)


def filled(db: sqlite3.Connection, count: int = LINES, since: float = ENTRY.at) -> str:
    """A chain of `count` lines; its head."""
    append(db, [replace(ENTRY, at=since + n, tickets=(f"t{n}",)) for n in range(count)])
    return verify(db, SECRET).head


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with opened() as made:
        yield made


@pytest.fixture
def laid_open(db: sqlite3.Connection) -> sqlite3.Connection:
    """A chain of which somebody with the file in their hands has taken the locks away."""
    filled(db)
    unlock(db)
    return db


def unlock(db: sqlite3.Connection) -> None:
    for verb in ("insert", "update", "delete"):
        db.execute(f"DROP TRIGGER audit_no_{verb}")


def rechained(db: sqlite3.Connection, after: int) -> None:
    """Make every line behind `after` fit again, as somebody would who knows how."""
    rows = db.execute("SELECT * FROM audit ORDER BY id").fetchall()
    last = rows[after - 1]["hash"] if after else ""
    for row in rows[after:]:
        last = linked(last, tuple(row)[:-1])
        db.execute("UPDATE audit SET hash = ? WHERE id = ?", (last, row["id"]))


def child(path: Path, name: str, count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", CHILD, str(path), name, str(count)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def go(process: "subprocess.Popen[str]") -> None:
    """Let it append twenty times."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def said(process: "subprocess.Popen[str]", lines: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(lines)]


# Tampering


def test_a_chain_is_whole_and_its_head_is_the_last_hash(db: sqlite3.Connection) -> None:
    assert verify(db, SECRET).head == ""
    head = filled(db)
    verdict = verify(db, SECRET, head)

    assert (verdict.count, verdict.head, verdict.bad) == (LINES, head, None)
    assert head == db.execute("SELECT hash FROM audit ORDER BY id DESC").fetchone()[0]


@pytest.mark.parametrize("column", [*COLUMNS, "hash"])
@pytest.mark.parametrize("line", [1, LINES])
@pytest.mark.parametrize("value", [0, "x", b"\xff\x00"], ids=repr)
def test_a_line_that_was_changed_is_named(laid_open: sqlite3.Connection, column: str, line: int, value: object) -> None:
    laid_open.execute(f"UPDATE audit SET {column} = ? WHERE id = ?", (value, line))  # noqa: S608 - our words

    assert verify(laid_open, SECRET).bad == (
        f"Line {line} is the first that does not fit: it was changed, or what stands before it was."
    )


TAMPERED = {
    "first removed": (["DELETE FROM audit WHERE id = 1"], "Line 1 is missing."),
    "one of the middle removed": (["DELETE FROM audit WHERE id = 3"], "Line 3 is missing."),
    "removed and numbered anew": (
        ["DELETE FROM audit WHERE id = 3", "UPDATE audit SET id = id - 1 WHERE id > 3"],
        "Line 3 is the first",
    ),
    "inserted": (
        [
            "UPDATE audit SET id = id + 100 WHERE id > 3",
            "INSERT INTO audit SELECT 4, at, principal, viewer, tool, effect, decision, basis, tickets, outcome,"
            " leads, duration_ms, hash FROM audit WHERE id = 3",
            "UPDATE audit SET id = id - 99 WHERE id > 100",
        ],
        "Line 4 is the first",
    ),
    "put before the first": (
        [
            "INSERT INTO audit SELECT 0, at, principal, viewer, tool, effect, decision, basis, tickets, outcome,"
            " leads, duration_ms, hash FROM audit WHERE id = 1",
        ],
        "Line 0 is there",
    ),
    "added without knowing how": (
        [
            "INSERT INTO audit SELECT 7, at, principal, viewer, tool, effect, decision, basis, tickets, outcome,"
            " leads, duration_ms, hash FROM audit WHERE id = 6",
        ],
        "Line 7 is the first",
    ),
    "two lines swapped": (
        [
            "UPDATE audit SET id = -1 WHERE id = 3",
            "UPDATE audit SET id = 3 WHERE id = 4",
            "UPDATE audit SET id = 4 WHERE id = -1",
        ],
        "Line 3 is the first",
    ),
    "removed under a checkpoint of one's own": (
        [
            "DELETE FROM audit WHERE id <= 3",
            "INSERT INTO checkpoint SELECT 1, 3, hash, at, 'forged' FROM audit WHERE id = 4",
        ],
        "The checkpoint for lines 1 to 3 was not signed by this ledger.",
    ),
}


@pytest.mark.parametrize(("changes", "named"), TAMPERED.values(), ids=TAMPERED.keys())
def test_what_was_done_to_the_lines_is_named(laid_open: sqlite3.Connection, changes: list[str], named: str) -> None:
    for change in changes:
        laid_open.execute(change)

    assert str(verify(laid_open, SECRET).bad).startswith(named)


def test_a_tail_that_was_cut_off_is_found_by_a_head_noted_before(laid_open: sqlite3.Connection) -> None:
    head = verify(laid_open, SECRET).head
    laid_open.execute("DELETE FROM audit WHERE id > 4")

    assert verify(laid_open, SECRET).bad is None
    assert str(verify(laid_open, SECRET, head).bad).startswith("The head given is not in the chain")
    append(laid_open, [ENTRY] * 5)
    assert verify(laid_open, SECRET).bad is None
    assert verify(laid_open, SECRET, head).bad is not None


def test_a_chain_rewritten_by_somebody_who_knows_how_is_found_by_a_head_noted_before(
    laid_open: sqlite3.Connection,
) -> None:
    early, head = laid_open.execute("SELECT hash FROM audit WHERE id IN (2, 6) ORDER BY id").fetchall()
    laid_open.execute("UPDATE audit SET outcome = 'no_change' WHERE id = 4")
    rechained(laid_open, 3)

    assert verify(laid_open, SECRET).bad is None
    assert verify(laid_open, SECRET, early[0]).bad is None
    assert verify(laid_open, SECRET, head[0]).bad is not None


@settings(max_examples=40)
@given(st.data())
def test_whatever_is_done_to_a_chain_is_found(data: st.DataObject) -> None:
    with opened() as db:
        count = data.draw(st.integers(1, 12))
        head = filled(db, count)
        before = db.execute("SELECT * FROM audit").fetchall()
        unlock(db)
        line = st.integers(1, count)
        for _ in range(data.draw(st.integers(1, 4))):
            match data.draw(st.sampled_from(["edit", "remove", "move", "rechain"])):
                case "edit":
                    column = data.draw(st.sampled_from([*COLUMNS, "hash"]))
                    value = data.draw(st.text() | st.floats(allow_nan=False) | st.binary() | st.integers(0, 10**9))
                    db.execute(f"UPDATE audit SET {column} = ? WHERE id = ?", (value, data.draw(line)))  # noqa: S608 - names of ours
                case "remove":
                    db.execute("DELETE FROM audit WHERE id = ?", (data.draw(line),))
                case "move":
                    to = data.draw(st.integers(-3, 2 * count))
                    db.execute("UPDATE OR REPLACE audit SET id = ? WHERE id = ?", (to, data.draw(line)))
                case "rechain" if (left := len(db.execute("SELECT id FROM audit").fetchall())) > 0:
                    rechained(db, data.draw(st.integers(0, left - 1)))

        same = [tuple(row) for row in db.execute("SELECT * FROM audit")] == [tuple(row) for row in before]
        assert (verify(db, SECRET, head).bad is None) == same


# Several processes


async def test_two_processes_that_append_at_once_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    connect(path, 1.0).close()
    with child(path, "a", 60) as a, child(path, "b", 60) as b:
        assert said(a, 1) + said(b, 1) == ["open\n", "open\n"]
        for _ in range(3):
            for process in (a, b):
                go(process)
            for process in (a, b):
                said(process, 20)
        for process in (a, b):
            process.communicate(timeout=30)

    with reading(path) as log:
        lines = log.lines(AuditQuery())
        verdict = log.verify()
    assert (a.returncode, b.returncode, verdict.bad, verdict.count) == (0, 0, None, 240)
    assert [sum(line.entry.principal == name for line in lines) for name in "ab"] == [120, 120]
    assert sum(x.entry.principal != y.entry.principal for x, y in pairwise(lines)) > 1


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
@pytest.mark.parametrize(
    "lines", [7, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 3, 5, 11, 13, 17, 19, 23, 29))]
)
async def test_a_killed_process_leaves_a_whole_chain_with_all_that_it_had_appended(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "ledger.db"
    with child(path, "a", 1_000_000) as process:
        for _ in range(3):
            go(process)
        told = said(process, 1 + lines)
        process.send_signal(signal.SIGKILL)

    assert told == ["open\n", *(f"{n}\n" for n in range(lines))]
    ledger = await SqliteLedger.open(path)
    await ledger.audit([ENTRY])
    await ledger.close()
    with reading(path) as log:
        verdict = log.verify()
    assert verdict.bad is None
    assert verdict.count >= sum(1 + n % 3 for n in range(lines)) + 1


# Retention


def test_old_lines_go_some_at_a_time_and_a_signed_checkpoint_stands_for_them(db: sqlite3.Connection) -> None:
    head = filled(db, MOST_REMOVED + 50)
    first = db.execute("SELECT hash FROM audit WHERE id = 1").fetchone()[0]
    left = []
    for _ in range(3):
        remove_old(db, SECRET, ENTRY.at + 220, now=5.0)
        left.append(db.execute("SELECT count(*), min(id) FROM audit").fetchone()[:])
        assert verify(db, SECRET, head).bad is None

    assert left == [(50, MOST_REMOVED + 1), (30, 221), (30, 221)]
    stands = checkpoint(db)
    assert (stands.up_to, stands.at) == (220, 5.0)
    assert stands.holds(SECRET)
    assert not stands.holds(b"another")
    assert not replace(stands, up_to=219).holds(SECRET)
    gone = verify(db, SECRET, first).bad
    assert gone is not None
    assert "removed by age" in gone
    append(db, [ENTRY])
    assert verify(db, SECRET, head).count == 31


def test_when_all_lines_are_old_the_chain_goes_on_behind_the_checkpoint(db: sqlite3.Connection) -> None:
    head = filled(db)
    remove_old(db, SECRET, inf, now=5.0)
    assert (verify(db, SECRET).count, verify(db, SECRET).head) == (0, head)

    append(db, [ENTRY])
    assert [line.number for line in newest(db, SECRET, AuditQuery())] == [LINES + 1]
    assert verify(db, SECRET, head).bad is None


def test_nothing_is_removed_while_it_is_young_or_behind_a_young_line(db: sqlite3.Connection) -> None:
    append(db, [replace(ENTRY, at=at) for at in (100.0, 300.0, 100.0)])
    remove_old(db, SECRET, 200.0, now=5.0)
    remove_old(db, SECRET, -inf, now=5.0)

    assert [line.number for line in newest(db, SECRET, AuditQuery())] == [3, 2]


def test_a_line_that_does_not_fit_is_not_removed_by_age(laid_open: sqlite3.Connection) -> None:
    laid_open.execute("UPDATE audit SET outcome = 'no_change' WHERE id = 3")
    for _ in range(2):
        remove_old(laid_open, SECRET, inf, now=5.0)

    assert str(verify(laid_open, SECRET).bad).startswith("Line 3 is the first")


@pytest.mark.parametrize("change", ["up_to = 4", "hash = 'x'", "at = 6", "signature = ''"])
def test_a_checkpoint_that_was_tampered_with_is_named_and_never_signed_anew(
    db: sqlite3.Connection, change: str
) -> None:
    filled(db)
    remove_old(db, SECRET, ENTRY.at + 3, now=5.0)
    db.execute(f"UPDATE checkpoint SET {change}")  # noqa: S608 - our words
    remove_old(db, SECRET, inf, now=7.0)

    assert "was not signed by this ledger" in str(verify(db, SECRET).bad)


def test_lines_whose_checkpoint_was_taken_away_are_missing(db: sqlite3.Connection) -> None:
    filled(db)
    remove_old(db, SECRET, ENTRY.at + 3, now=5.0)
    db.execute("DELETE FROM checkpoint")

    assert verify(db, SECRET).bad == "Line 1 is missing."


def test_the_lock_lets_nothing_go_that_no_checkpoint_stands_for(db: sqlite3.Connection) -> None:
    filled(db)
    remove_old(db, SECRET, ENTRY.at + 3, now=5.0)
    for change in (
        "DELETE FROM audit WHERE id = 4",
        "UPDATE audit SET tool = 'x'",
        "REPLACE INTO audit SELECT * FROM audit",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(change)

    assert checkpoint(db) != Checkpoint()
    assert verify(db, SECRET).bad is None


async def test_a_ledger_removes_what_is_older_than_it_is_told_to_keep(tmp_path: Path) -> None:
    now = [ENTRY.at]
    ledger = await SqliteLedger.open(tmp_path / "ledger.db", lambda: now[0])
    await ledger.audit([replace(ENTRY, at=now[0])])
    now[0] += 100
    await ledger.audit([replace(ENTRY, at=now[0])], keep=100)
    kept = len(await ledger.audited())
    now[0] += 1
    await ledger.audit([replace(ENTRY, at=now[0])], keep=100)
    left = [entry.at - ENTRY.at for entry in await ledger.audited()]
    await ledger.audit([ENTRY])
    await ledger.close()

    assert (kept, left) == (2, [101.0, 100.0])
    with reading(tmp_path / "ledger.db") as log:
        assert log.verify().bad is None
