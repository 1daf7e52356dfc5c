"""The ledger: tickets across processes and crashes, codes, audit, the shared pace, and the file itself."""

import os
import re
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from lofty_mcp.ledger import AuditEntry, AuditQuery, Handle, LedgerError, Row, Ticket, hashed
from lofty_mcp.ledger.forgetting import LONGEST, LONGEST_NOTE, MOST_KEPT
from lofty_mcp.ledger.journal import linked
from lofty_mcp.ledger.schema import MIGRATIONS, explain, migrate
from lofty_mcp.ledger.sqlite import SqliteLedger

posix = pytest.mark.skipif(os.name == "nt", reason="modes and SIGKILL are POSIX")
LEASE = 60.0
DAY = 24 * 3600.0
ROW = Row("7", "intent", "basis")

CHILD = """
import sys, anyio
from pathlib import Path
from lofty_mcp.ledger import Row
from lofty_mcp.ledger.sqlite import SqliteLedger

async def main(path, owner, work):
    sys.stdin.readline()
    ledger = await SqliteLedger.open(Path(path))
    if work == "race":
        for n in range(40):
            row = Row(str(n), f"intent {n}", "basis")
            if await ledger.claim("p", "t", row, owner, 60, generation=0) is None:
                print(n)
    else:
        await ledger.claim("p", "t", Row("7", "intent", "basis"), owner, 60, generation=0)
        if work == "send":
            await ledger.mark_sent(Row("7", "intent", "basis").ticket_id, owner)
        print("held", flush=True)
        sys.stdin.readline()
    await ledger.close()

anyio.run(main, *sys.argv[1:])
"""


class Clock:
    """Epoch seconds that stand still until moved."""

    def __init__(self) -> None:
        self.now = 1_760_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.db"


@pytest.fixture
async def ledger(path: Path, clock: Clock) -> AsyncIterator[SqliteLedger]:
    opened = await SqliteLedger.open(path, clock)
    yield opened
    await opened.close()


@pytest.fixture
async def peer(ledger: SqliteLedger, path: Path, clock: Clock) -> AsyncIterator[SqliteLedger]:
    opened = await SqliteLedger.open(path, clock)
    yield opened
    await opened.close()


@pytest.fixture
def umask_of_nobody() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def child(path: Path, owner: str, work: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), owner, work],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )


def raw(path: Path) -> "closing[sqlite3.Connection]":
    return closing(sqlite3.connect(path, isolation_level=None))


async def open_and_close(path: Path) -> None:
    await (await SqliteLedger.open(path)).close()


async def claim(ledger: SqliteLedger, row: Row = ROW, owner: str = "me", generation: int = 0) -> Ticket | None:
    return await ledger.claim("principal", "tool", row, owner, LEASE, generation=generation)


async def done(ledger: SqliteLedger, row: Row = ROW, outcome: str = "applied", generation: int = 0) -> Ticket:
    assert await claim(ledger, row, generation=generation) is None
    assert await ledger.mark_sent(row.ticket_id, "me")
    return await ledger.settle(row.ticket_id, outcome, before={"stage": "a"}, after={"stage": "b"}, note="n")


# Claims


async def test_a_ticket_goes_from_claimed_to_sent_to_settled(ledger: SqliteLedger, clock: Clock) -> None:
    assert await claim(ledger) is None
    claimed = await ledger.ticket(ROW.ticket_id)
    assert claimed == Ticket(ROW.ticket_id, "claimed", None, None, None, None, clock.now + LEASE, "me")
    assert await ledger.mark_sent(ROW.ticket_id, "me")
    sent = await ledger.ticket(ROW.ticket_id)
    assert sent is not None
    assert sent.state == "sent"
    settled = await ledger.settle(ROW.ticket_id, "applied", before={"a": 1}, after={"a": 2}, note="read back")
    assert settled == await ledger.ticket(ROW.ticket_id)
    assert (settled.state, settled.outcome, settled.before, settled.after, settled.note, settled.settled_at) == (
        "settled",
        "applied",
        {"a": 1},
        {"a": 2},
        "read back",
        clock.now,
    )


def test_the_ticket_id_depends_on_intent_and_basis_and_on_where_one_ends() -> None:
    rows = [Row("7", "ab", "c"), Row("7", "a", "bc"), Row("7", "ab", "d"), Row("7", "x", "c")]
    assert len({row.ticket_id for row in rows}) == 4
    assert Row("8", "ab", "c").ticket_id == rows[0].ticket_id


async def test_of_many_claims_at_once_exactly_one_gets_the_ticket(ledger: SqliteLedger, peer: SqliteLedger) -> None:
    answers: dict[str, Ticket | None] = {}

    async def one(by: SqliteLedger, owner: str) -> None:
        answers[owner] = await claim(by, owner=owner)

    async with anyio.create_task_group() as group:
        for n in range(10):
            group.start_soon(one, ledger if n % 2 else peer, f"owner {n}")
    winners = [owner for owner, ticket in answers.items() if ticket is None]
    assert len(winners) == 1
    assert {ticket.owner for ticket in answers.values() if ticket} == set(winners)


def test_of_two_processes_exactly_one_gets_each_ticket_on_a_file_both_create(path: Path) -> None:
    with child(path, "a", "race") as a, child(path, "b", "race") as b:
        for process in (a, b):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        won = [int(n) for process in (a, b) for n in process.communicate(timeout=30)[0].split()]
    assert (a.returncode, b.returncode) == (0, 0)
    assert sorted(won) == list(range(40))


@posix
@pytest.mark.parametrize(("work", "state"), [("hold", "claimed"), ("send", "sent")])
async def test_a_killed_process_leaves_its_ticket_until_the_lease_ends(path: Path, work: str, state: str) -> None:
    with child(path, "victim", work) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "held\n"
        process.kill()
    clock = Clock()
    clock.now = time.time()
    ledger = await SqliteLedger.open(path, clock)
    try:
        alive = await claim(ledger)
        assert alive is not None
        assert (alive.state, alive.owner) == (state, "victim")
        clock.now += 2 * LEASE
        lapsed = await claim(ledger)
        assert (lapsed.state if lapsed else None) == (None if state == "claimed" else "sent")
    finally:
        await ledger.close()


async def test_a_lapsed_claim_is_taken_over_and_its_owner_may_no_longer_send(
    ledger: SqliteLedger, peer: SqliteLedger, clock: Clock
) -> None:
    assert await claim(ledger, owner="slow") is None
    clock.now += LEASE
    assert await claim(peer, owner="next") is None
    assert not await ledger.mark_sent(ROW.ticket_id, "slow")
    await ledger.release(ROW.ticket_id, "slow")
    assert await peer.mark_sent(ROW.ticket_id, "next")


async def test_a_lapsed_claim_may_not_send_even_if_nobody_took_it(ledger: SqliteLedger, clock: Clock) -> None:
    assert await claim(ledger) is None
    clock.now += LEASE
    assert not await ledger.mark_sent(ROW.ticket_id, "me")


async def test_a_ticket_is_marked_as_sent_only_once_and_only_by_its_owner(ledger: SqliteLedger) -> None:
    assert await claim(ledger) is None
    assert not await ledger.mark_sent(ROW.ticket_id, "somebody else")
    assert await ledger.mark_sent(ROW.ticket_id, "me")
    assert not await ledger.mark_sent(ROW.ticket_id, "me")
    assert not await ledger.mark_sent("no such ticket", "me")


async def test_a_sent_ticket_is_never_taken_over_however_old(ledger: SqliteLedger, clock: Clock) -> None:
    assert await claim(ledger) is None
    await ledger.mark_sent(ROW.ticket_id, "me")
    clock.now += 365 * DAY
    found = await claim(ledger, owner="next")
    assert found is not None
    assert (found.state, found.owner) == ("sent", "me")
    assert found.lease_until < clock.now


@pytest.mark.parametrize("sent", [False, True])
async def test_a_released_ticket_leaves_no_trace(ledger: SqliteLedger, sent: bool) -> None:
    assert await claim(ledger) is None
    if sent:
        await ledger.mark_sent(ROW.ticket_id, "me")
    await ledger.release(ROW.ticket_id, "me")
    assert await ledger.ticket(ROW.ticket_id) is None
    assert await claim(ledger, owner="next") is None


async def test_nobody_releases_another_owners_ticket_or_a_settled_one(ledger: SqliteLedger) -> None:
    assert await claim(ledger) is None
    await ledger.release(ROW.ticket_id, "somebody else")
    assert await ledger.ticket(ROW.ticket_id) is not None
    await ledger.settle(ROW.ticket_id, "applied")
    await ledger.release(ROW.ticket_id, "me")
    assert await ledger.ticket(ROW.ticket_id) is not None


# Generations


async def test_generations_count_settled_tickets_of_an_intent(ledger: SqliteLedger) -> None:
    await done(ledger, Row("7", "intent", "basis 0"))
    await done(ledger, Row("7", "intent", "basis 1"), outcome="unknown", generation=1)
    assert await claim(ledger, Row("7", "intent", "basis 2"), generation=2) is None
    assert await ledger.generations(["intent", "other"]) == {"intent": 2, "other": 0}


async def test_an_act_prepared_before_an_identical_one_settled_is_replayed(ledger: SqliteLedger) -> None:
    await done(ledger, Row("7", "intent", "basis 0"))
    last = await done(ledger, Row("7", "intent", "basis 1"), generation=1)
    late = Row("7", "intent", "basis 2")
    assert await claim(ledger, late, generation=1) == last
    assert await claim(ledger, late, generation=0) == last
    assert await ledger.ticket(late.ticket_id) is None
    assert await claim(ledger, late, generation=2) is None


async def test_the_same_ticket_again_is_its_own_answer_whatever_settled_later(ledger: SqliteLedger) -> None:
    first = await done(ledger, Row("7", "intent", "basis 0"))
    await done(ledger, Row("7", "intent", "basis 1"), generation=1)
    for generation in (0, 1, 2):
        assert await claim(ledger, Row("7", "intent", "basis 0"), generation=generation) == first


@pytest.mark.parametrize("sent", [False, True])
async def test_an_identical_act_under_way_on_another_basis_stands_in_the_way(ledger: SqliteLedger, sent: bool) -> None:
    assert await claim(ledger, owner="first") is None
    if sent:
        await ledger.mark_sent(ROW.ticket_id, "first")
    found = await claim(ledger, Row("7", "intent", "another basis"), owner="second")
    assert found is not None
    assert (found.id, found.owner) == (ROW.ticket_id, "first")


async def test_a_sent_ticket_on_another_basis_stands_in_the_way_even_if_its_owner_died(
    ledger: SqliteLedger, clock: Clock
) -> None:
    assert await claim(ledger) is None
    await ledger.mark_sent(ROW.ticket_id, "me")
    clock.now += DAY
    unresolved = await ledger.ticket(ROW.ticket_id)
    assert await claim(ledger, Row("7", "intent", "another basis")) == unresolved
    assert await ledger.latest("intent") == unresolved


async def test_a_lapsed_claim_on_another_basis_stands_in_nobodys_way(ledger: SqliteLedger, clock: Clock) -> None:
    assert await claim(ledger, owner="first") is None
    clock.now += LEASE
    assert await claim(ledger, Row("7", "intent", "another basis"), owner="second") is None
    assert not await ledger.mark_sent(ROW.ticket_id, "first")


async def test_a_generation_the_ledger_never_reached_is_refused(ledger: SqliteLedger) -> None:
    with pytest.raises(LedgerError, match="replaced"):
        await claim(ledger, generation=1)


async def test_the_latest_ticket_of_an_intent_is_the_one_under_way_else_the_last_settled(
    ledger: SqliteLedger, clock: Clock
) -> None:
    assert await ledger.latest("intent") is None
    settled = await done(ledger)
    assert await ledger.latest("intent") == settled
    row = Row("7", "intent", "basis 1")
    assert await claim(ledger, row, generation=1) is None
    assert await ledger.latest("intent") == await ledger.ticket(row.ticket_id)
    clock.now += LEASE
    assert await ledger.latest("intent") == settled


# Settlements


@pytest.mark.parametrize("first", ["applied", "no_change", "not_applied", "not_found", "unknown"])
@pytest.mark.parametrize("second", ["applied", "no_change", "not_applied", "not_found", "unknown"])
async def test_the_first_settlement_stands_except_that_unknown_may_become_applied(
    ledger: SqliteLedger, first: str, second: str
) -> None:
    await done(ledger, outcome=first)
    stands = await ledger.settle(ROW.ticket_id, second, after={"stage": "read back"}, note="later")
    moved = (first, second) == ("unknown", "applied")
    assert stands == await ledger.ticket(ROW.ticket_id)
    assert (stands.outcome, stands.before) == (second if moved else first, {"stage": "a"})
    assert (stands.after, stands.note) == (({"stage": "read back"}, "later") if moved else ({"stage": "b"}, "n"))
    assert await ledger.generations(["intent"]) == {"intent": 1}


async def test_a_ticket_nobody_claimed_cannot_be_settled(ledger: SqliteLedger) -> None:
    with pytest.raises(LedgerError, match="no such ticket"):
        await ledger.settle(ROW.ticket_id, "applied")


async def test_settlements_at_once_agree_on_one_outcome(ledger: SqliteLedger, peer: SqliteLedger) -> None:
    assert await claim(ledger) is None
    answers: list[str | None] = []

    async def settle(by: SqliteLedger, outcome: str) -> None:
        answers.append((await by.settle(ROW.ticket_id, outcome)).outcome)

    async with anyio.create_task_group() as group:
        for n in range(8):
            group.start_soon(settle, ledger if n % 2 else peer, ("applied", "not_applied")[n % 2])
    assert len(set(answers)) == 1


async def test_after_thirty_days_a_ticket_forgets_values_but_not_that_it_was_used(
    ledger: SqliteLedger, clock: Clock
) -> None:
    settled = await done(ledger)
    clock.now += 30 * DAY
    await ledger.issue("p", "cursor:tool", {}, 1)
    assert await ledger.ticket(ROW.ticket_id) == settled
    clock.now += 1
    await ledger.issue("p", "cursor:tool", {}, 1)
    kept = await claim(ledger, owner="next")
    assert kept is not None
    assert (kept.state, kept.outcome, kept.before, kept.after, kept.note) == ("settled", "applied", None, None, None)


@pytest.mark.parametrize("doing", ["a start", "a line of the audit log", "a settlement"])
async def test_old_outcomes_and_expired_codes_are_wiped_from_the_file(path: Path, clock: Clock, doing: str) -> None:
    ledger = await SqliteLedger.open(path, clock)
    await done(ledger)
    await ledger.issue("p", "cursor:tool", {"a": "code"}, 10)
    clock.now += 30 * DAY + 1
    if doing == "a line of the audit log":
        await ledger.audit([an_entry()])
    elif doing == "a settlement":
        assert await claim(ledger, Row("8", "other", "basis")) is None
        await ledger.settle(Row("8", "other", "basis").ticket_id, "no_change")
    await ledger.close()
    await (await SqliteLedger.open(path, clock)).close() if doing == "a start" else None

    left = path.read_bytes()
    assert [word for word in (b'"stage"', b'{"a"') if word in left] == []
    assert ROW.ticket_id.encode() in left


async def test_what_a_sent_ticket_was_to_be_known_by_is_wiped_once_it_is_old(
    ledger: SqliteLedger, clock: Clock
) -> None:
    await ledger.claim("p", "t", ROW, "me", LEASE, generation=0, trace=["5"])
    await ledger.mark_sent(ROW.ticket_id, "me")
    clock.now += 30 * DAY
    await ledger.audit([an_entry()])
    kept = await ledger.ticket(ROW.ticket_id)
    clock.now += LEASE + 1
    await ledger.audit([an_entry()])
    wiped = await ledger.ticket(ROW.ticket_id)

    assert kept is not None
    assert wiped is not None
    assert (kept.trace, wiped.trace, wiped.state) == (["5"], None, "sent")


async def test_only_the_newest_outcomes_are_kept(ledger: SqliteLedger, clock: Clock, path: Path) -> None:
    with raw(path) as db:
        db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO tickets"
            " SELECT 'id' || i, 'intent' || i, 'p', 't', 'settled', 'me', 0, 1, 'applied', '{}', ? + i / 100.0, 0"
            " FROM n",
            (MOST_KEPT, clock.now),
        )
    await ledger.audit([an_entry()])
    with raw(path) as db:
        wiped = db.execute("SELECT id FROM tickets WHERE detail IS NULL").fetchall()
    assert wiped == [("id0",)]


@pytest.mark.parametrize(
    ("before", "after", "note", "kept"),
    [
        ({"a": "x"}, {"a": "y"}, "n", ({"a": "x"}, {"a": "y"}, "n")),
        ({"a": "x" * LONGEST}, {"a": "y"}, "n", (None, {"a": "y"}, "n")),
        ({"a": "x"}, {"a": "y" * LONGEST}, "n", (None, None, "n")),
        ({"a": "x"}, {"a": "y"}, "n" * LONGEST, (None, {"a": "y"}, "n" * LONGEST_NOTE)),
    ],
    ids=["short", "long before", "long after", "long note"],
)
async def test_of_an_outcome_no_more_is_kept_than_fits(
    ledger: SqliteLedger, before: dict[str, str], after: dict[str, str], note: str, kept: tuple[object, ...]
) -> None:
    assert await claim(ledger) is None
    told = await ledger.settle(ROW.ticket_id, "applied", before=before, after=after, note=note)
    assert (told.before, told.after, told.note) == kept


# Codes


async def test_a_code_gives_its_payload_to_its_principal_for_its_purpose_again_and_again(
    ledger: SqliteLedger, peer: SqliteLedger, clock: Clock
) -> None:
    payload = {"rows": [{"lead_id": "9007199254740993"}], "n": 2**60, "name": "Zoë"}
    handle = await ledger.issue("alice", "confirm:update_stage", payload, 900)
    assert handle == Handle(handle.code, clock.now + 900)
    assert re.fullmatch(r"[a-km-np-z2-9]{16}", handle.code)
    for by in (ledger, peer, ledger):
        assert await by.redeem("alice", "confirm:update_stage", handle.code) == payload


@pytest.mark.parametrize(
    ("principal", "purpose", "edit", "later"),
    [
        pytest.param("bob", "confirm:update_stage", str, 0, id="another principal"),
        pytest.param("alice", "cursor:update_stage", str, 0, id="another purpose"),
        pytest.param("alice", "confirm:add_tag", str, 0, id="another tool"),
        pytest.param("alice", "confirm:update_stage", str, 900, id="expired"),
        pytest.param("alice", "confirm:update_stage", lambda code: code[::-1], 0, id="invented"),
        pytest.param("alice", "confirm:update_stage", lambda _: "%", 0, id="a pattern"),
        pytest.param("alice", "confirm:update_stage", lambda _: "", 0, id="empty"),
    ],
)
async def test_every_other_code_is_nothing(
    ledger: SqliteLedger, clock: Clock, principal: str, purpose: str, edit: Callable[[str], str], later: float
) -> None:
    handle = await ledger.issue("alice", "confirm:update_stage", {"secret": 1}, 900)
    clock.now += later
    assert await ledger.redeem(principal, purpose, edit(handle.code)) is None


async def test_codes_differ_and_expired_ones_are_removed_when_the_next_is_issued(
    ledger: SqliteLedger, path: Path, clock: Clock
) -> None:
    codes = {(await ledger.issue("p", "cursor:tool", {}, 10)).code for _ in range(20)}
    assert len(codes) == 20
    clock.now += 10
    await ledger.issue("p", "cursor:tool", {}, 10)
    with raw(path) as db:
        assert db.execute("SELECT count(*) FROM handles").fetchone() == (1,)


# Audit


def an_entry(at: float = 1.0, principal: str = "alice") -> AuditEntry:
    return AuditEntry(
        at=at,
        principal=principal,
        viewer="7",
        tool="add_tag",
        effect="add",
        decision="allow",
        basis="mild",
        tickets=("t1",),
        outcome="applied",
        leads=("h1", "h2"),
        duration_ms=12.5,
    )


async def test_audit_lines_come_back_newest_first_and_by_principal(ledger: SqliteLedger) -> None:
    lines = [an_entry(1.0), an_entry(2.0, "bob"), an_entry(3.0)]
    await ledger.audit(lines[:2])
    await ledger.audit(lines[2:])
    assert await ledger.audited() == lines[::-1]
    assert await ledger.audited(limit=1) == [lines[2]]
    assert await ledger.audited(AuditQuery(principal="alice", since=2.0)) == [lines[2]]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET outcome = 'no_change'",
        "DELETE FROM audit",
        "REPLACE INTO audit SELECT * FROM audit",
        "INSERT INTO audit SELECT 3, at, principal, viewer, tool, effect, decision, basis, tickets, outcome, leads,"
        " duration_ms, hash FROM audit",
    ],
)
async def test_the_audit_log_cannot_be_changed(ledger: SqliteLedger, path: Path, change: str) -> None:
    await ledger.audit([an_entry()])
    with raw(path) as db, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        db.execute(change)
    assert await ledger.audited() == [an_entry()]


async def test_tool_decision_and_outcome_are_columns_of_their_own(ledger: SqliteLedger, path: Path) -> None:
    await ledger.audit([an_entry()])
    with raw(path) as db:
        assert db.execute("SELECT tool, decision, outcome FROM audit").fetchall() == [("add_tag", "allow", "applied")]


async def test_a_write_whose_process_died_has_its_line_from_whoever_adds_the_next(
    ledger: SqliteLedger, peer: SqliteLedger, clock: Clock
) -> None:
    assert await claim(ledger) is None
    await ledger.mark_sent(ROW.ticket_id, "me")
    clock.now += LEASE
    await peer.audit([an_entry()])
    alive = await peer.audited()
    clock.now += 1
    for _ in range(2):
        await peer.audit([an_entry()])
    lines = await peer.audited()

    assert alive == [an_entry()]
    [missed] = [line for line in lines if line != an_entry()]
    assert (missed.at, missed.principal, missed.tool, missed.effect, missed.outcome, missed.tickets) == (
        *(clock.now, "principal", "tool", "write", "missed"),
        (hashed(ROW.ticket_id, await ledger.secret()),),
    )
    assert len(lines) == 4


async def test_a_write_that_was_settled_has_no_line_beside_its_round(ledger: SqliteLedger, clock: Clock) -> None:
    await done(ledger)
    assert await claim(ledger, Row("8", "other", "basis")) is None
    clock.now += 10 * LEASE
    await ledger.audit([an_entry()])

    assert await ledger.audited() == [an_entry()]


async def test_where_the_audit_log_takes_no_line_no_write_is_claimed_or_sent(ledger: SqliteLedger, path: Path) -> None:
    assert await claim(ledger) is None
    with raw(path) as db:
        db.execute("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END")
    for act in (ledger.mark_sent(ROW.ticket_id, "me"), claim(ledger, Row("8", "other", "basis"))):
        with pytest.raises(LedgerError):
            await act
    ticket = await ledger.ticket(ROW.ticket_id)
    assert ticket is not None
    assert (ticket.state, await ledger.writable()) == ("claimed", False)
    await ledger.release(ROW.ticket_id, "me")
    with raw(path) as db:
        db.execute("DROP TRIGGER full")
    assert (await claim(ledger), await ledger.writable()) == (None, True)
    assert await ledger.audited() == []


# Pace


async def test_processes_draw_from_one_bucket_that_refills(
    ledger: SqliteLedger, peer: SqliteLedger, clock: Clock
) -> None:
    assert await ledger.take("key", 3, rate=1, burst=5) == (3, 0.0)
    assert await peer.take("key", 3, rate=1, burst=5) == (2, 1.0)
    assert await ledger.take("key", 1, rate=1, burst=5) == (0, 1.0)
    clock.now += 0.25
    assert await ledger.take("key", 1, rate=1, burst=5) == (0, 0.75)
    clock.now += 0.75
    assert (await peer.take("key", 1, rate=1, burst=5))[0] == 1
    clock.now += 1000
    assert (await peer.take("key", 9, rate=1, burst=5))[0] == 5
    assert (await peer.take("other key", 9, rate=1, burst=5))[0] == 5


async def test_a_clock_set_back_neither_gives_tokens_nor_withholds_them_for_long(
    ledger: SqliteLedger, clock: Clock
) -> None:
    await ledger.take("key", 5, rate=1, burst=5)
    clock.now -= DAY
    assert (await ledger.take("key", 1, rate=1, burst=5))[0] == 0
    clock.now += 1
    assert (await ledger.take("key", 1, rate=1, burst=5))[0] == 1


async def test_draws_at_once_never_exceed_the_burst(ledger: SqliteLedger, peer: SqliteLedger) -> None:
    granted: list[int] = []

    async def draw(by: SqliteLedger) -> None:
        granted.append((await by.take("key", 2, rate=1, burst=5))[0])

    async with anyio.create_task_group() as group:
        for n in range(12):
            group.start_soon(draw, ledger if n % 2 else peer)
    assert sum(granted) == 5


# The file


@posix
@pytest.mark.usefixtures("umask_of_nobody")
async def test_folder_and_files_are_private_whatever_the_umask(path: Path) -> None:
    ledger = await SqliteLedger.open(path)
    await ledger.audit([an_entry()])
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    await ledger.close()
    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@posix
def test_a_file_others_can_read_is_tightened(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.touch()
    path.chmod(0o644)
    anyio.run(open_and_close, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@posix
def test_a_folder_others_can_write_to_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o777)
    with pytest.raises(LedgerError, match="chmod 700"):
        anyio.run(open_and_close, path)
    assert not path.exists()


@posix
def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(LedgerError, match="link"):
        anyio.run(open_and_close, path)
    assert not (tmp_path / "elsewhere.db").exists()


async def test_a_ledger_of_an_older_version_is_brought_up_to_date_with_its_tickets(path: Path, clock: Clock) -> None:
    path.parent.mkdir(mode=0o700)
    with raw(path) as db:
        migrate(db, MIGRATIONS[:1])
        db.execute(
            "INSERT INTO tickets (id, intent, principal, tool, state, owner, lease_until, nth, outcome)"
            " VALUES (?, 'intent', 'p', 't', 'settled', 'me', 0, 1, 'applied')",
            (ROW.ticket_id,),
        )
    ledger = await SqliteLedger.open(path, clock)
    found = await claim(ledger)
    handle = await ledger.issue("p", "cursor:tool", {"page": 2}, 10)
    assert await ledger.redeem("p", "cursor:tool", handle.code) == {"page": 2}
    await ledger.close()
    assert found is not None
    assert found.outcome == "applied"
    with raw(path) as db:
        applied = [row[0] for row in db.execute("SELECT name FROM migrations ORDER BY name")]
    assert applied == [migration.__name__ for migration in MIGRATIONS]


async def test_audit_lines_of_an_older_version_are_kept_and_chained(path: Path, clock: Clock) -> None:
    path.parent.mkdir(mode=0o700)
    with raw(path) as db:
        migrate(db, MIGRATIONS[:4])
        for n in range(3):
            db.execute(
                "INSERT INTO audit (at, principal, tool, effect, decision, outcome, leads, duration_ms)"
                " VALUES (?, 'p', 'get_lead', 'read', 'allow', 'done', '[\"h\"]', 2)",
                (n,),
            )
    ledger = await SqliteLedger.open(path, clock)
    await ledger.audit([an_entry(3.0)])
    lines = await ledger.audited()
    await ledger.close()

    assert [(line.at, line.viewer, line.basis, line.leads) for line in lines[1:]] == [
        (float(n), "", "", ("h",)) for n in (2, 1, 0)
    ]
    with raw(path) as db:
        rows = db.execute("SELECT * FROM audit ORDER BY id").fetchall()
    assert [row[0] for row in rows] == [1, 2, 3, 4]
    before = ["", *(row[-1] for row in rows)]
    assert [row[-1] for row in rows] == [linked(last, row[:-1]) for last, row in zip(before, rows, strict=False)]


async def test_a_ledger_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    await open_and_close(path)
    with raw(path) as db:
        db.execute("INSERT INTO migrations VALUES ('m999_the_future')")
        before = list(db.iterdump())
    with pytest.raises(LedgerError, match="newer version"):
        await SqliteLedger.open(path)
    with raw(path) as db:
        assert list(db.iterdump()) == before


async def test_a_migration_that_fails_leaves_nothing_behind(path: Path) -> None:
    def m002_broken(db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE half (x)")
        db.execute("no such sentence")

    path.parent.mkdir()
    with raw(path) as db:
        with pytest.raises(sqlite3.OperationalError):
            migrate(db, (MIGRATIONS[0], m002_broken))
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == []


def test_a_file_that_is_no_database_is_refused_without_its_path(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_bytes(b"not a database, but long enough to be taken for one\n" * 100)
    with pytest.raises(LedgerError, match="not a ledger") as caught:
        anyio.run(open_and_close, path)
    assert str(path.parent) not in str(caught.value)


async def test_a_folder_that_cannot_be_made_is_refused_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    with pytest.raises(LedgerError, match="cannot be opened") as caught:
        await SqliteLedger.open(tmp_path / "state" / "ledger.db")
    assert str(tmp_path) not in str(caught.value)


async def test_a_ledger_held_too_long_by_another_process_is_busy_and_works_again_later(path: Path) -> None:
    ledger = await SqliteLedger.open(path, patience=0.01)
    with raw(path) as db:
        db.execute("BEGIN IMMEDIATE")
        assert not await ledger.writable()
        with pytest.raises(LedgerError, match="busy"):
            await claim(ledger)
        assert await ledger.ticket(ROW.ticket_id) is None
        db.execute("ROLLBACK")
    assert await ledger.writable()
    assert await claim(ledger) is None
    await ledger.close()


async def test_a_cancelled_caller_waits_for_its_transaction_which_is_kept_whole(
    ledger: SqliteLedger, path: Path
) -> None:
    scope, finished = anyio.CancelScope(), anyio.Event()

    async def settle() -> None:
        with scope:
            await ledger.settle(ROW.ticket_id, "applied")
        finished.set()

    assert await claim(ledger) is None
    with raw(path) as db:
        db.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as group:
            group.start_soon(settle)
            # The settlement waits in its thread for the other connection; the event loop is free to come here.
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            assert not finished.is_set()
            db.execute("COMMIT")
    found = await ledger.ticket(ROW.ticket_id)
    assert found is not None
    assert found.state == "settled"


async def test_a_failed_write_leaves_no_open_transaction(ledger: SqliteLedger, peer: SqliteLedger) -> None:
    with pytest.raises(LedgerError):
        await claim(ledger, generation=5)
    with pytest.raises(TypeError):
        await ledger.issue("p", "cursor:tool", {"bad": object()}, 1)
    assert await claim(peer) is None


async def test_the_secret_is_made_once_and_shared(ledger: SqliteLedger, peer: SqliteLedger) -> None:
    secret = await ledger.secret()
    assert len(secret) == 32
    assert await peer.secret() == await ledger.secret() == secret


async def test_a_closed_ledger_says_so_and_closes_again(path: Path) -> None:
    ledger = await SqliteLedger.open(path)
    await ledger.close()
    await ledger.close()
    assert not await ledger.writable()
    with pytest.raises(LedgerError, match="closed"):
        await claim(ledger)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (sqlite3.SQLITE_FULL, "disk that holds the ledger is full"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "busy"),
        (sqlite3.SQLITE_LOCKED, "busy"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "read-only"),
        (sqlite3.SQLITE_CANTOPEN, "cannot be opened"),
        (sqlite3.SQLITE_CORRUPT_INDEX, "damaged"),
        (sqlite3.SQLITE_NOTADB, "not a ledger"),
        (sqlite3.SQLITE_IOERR_FSYNC, "disk"),
        (sqlite3.SQLITE_MISUSE, "The ledger failed."),
    ],
)
def test_each_failure_of_the_store_has_a_sentence_without_its_own_words(code: int, words: str) -> None:
    error = sqlite3.OperationalError("/home/ann/ledger.db: no")
    error.sqlite_errorcode = code
    assert words in explain(error)
    assert "/home" not in explain(error)
