"""`lofty-mcp audit`: what it lists, how it filters, follows and exports, and when it says that the log is not whole."""

import csv
import io
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from lofty_mcp import audit_log, cli
from lofty_mcp.audit_log import moment
from lofty_mcp.ledger import AuditEntry, hashed
from lofty_mcp.ledger.reading import reading
from lofty_mcp.ledger.schema import MIGRATIONS, migrate
from lofty_mcp.ledger.sqlite import SqliteLedger

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
READ = AuditEntry(
    at=NOON.timestamp(),
    principal="aa11",
    viewer="7",
    tool="get_lead",
    effect="read",
    decision="allow",
    basis="read",
    tickets=(),
    outcome="done",
    leads=(),
    duration_ms=12.5,
)
WRITE = replace(READ, tool="update_stage", effect="change", decision="confirmed", basis="code", outcome="applied")
Command = Callable[..., tuple[int, list[str]]]


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    """A ledger that a server holds open."""
    opened = await SqliteLedger.open(tmp_path / "ledger.db")
    secret = await opened.secret()
    await opened.audit(
        [
            READ,
            replace(READ, at=READ.at + 60, principal="bb22", leads=(hashed("5", secret),)),
            replace(WRITE, at=READ.at + 120, leads=(hashed("5", secret), hashed("6", secret), hashed("7", secret))),
            replace(WRITE, at=READ.at + 180, leads=("8",), outcome="applied,not_found", tickets=("t1", "t2")),
        ]
    )
    yield opened
    await opened.close()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.setenv("LOFTY_MCP_STATE_DIR", str(tmp_path))

    def command(*arguments: str) -> tuple[int, list[str]]:
        try:
            code = cli.main(["audit", *arguments])
        except SystemExit as ending:
            code = int(ending.code or 0)
        out, err = capsys.readouterr()
        return code, (out + err).split("\n")[:-1]

    return command


def numbers(answer: tuple[int, list[str]]) -> list[int]:
    code, lines = answer
    assert code == 0, lines
    return [json.loads(line)["line"] for line in lines]


@pytest.mark.usefixtures("ledger")
async def test_the_newest_lines_are_a_table_oldest_first(run: Command) -> None:
    code, (head, *lines) = run()

    assert code == 0
    assert head.split() == ["when", "who", "eyes", "tool", "effect", "decision", "outcome", "ms", "leads"]
    assert [line.split()[4] for line in lines] == ["get_lead", "get_lead", "update_stage", "update_stage"]
    assert "confirmed: code" in lines[2]
    assert lines[2].endswith(" +1")
    assert run("--limit", "1")[1][1:] == lines[-1:]


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", [1, 2, 3, 4]),
        ("--limit 2", [3, 4]),
        ("--tool get_lead", [1, 2]),
        ("--effect change", [3, 4]),
        ("--decision confirmed --limit 1", [4]),
        ("--outcome applied", [3, 4]),
        ("--outcome not_found", [4]),
        ("--outcome found", []),
        ("--principal bb22", [2]),
        ("--principal aa", [1, 3, 4]),
        ("--principal %", []),
        ("--lead 5", [2, 3]),
        ("--lead 7", [3]),
        ("--lead 8", [4]),
        ("--since 2026-11-20T12:02:00+00:00", [3, 4]),
        ("--until 2026-11-20T12:01:00Z", [1]),
        ("--since 2026-11-20T12:01:00Z --until 2026-11-20T12:03:00Z --effect read", [2]),
    ],
)
async def test_a_filter_leaves_what_it_says(run: Command, given: str, found: list[int]) -> None:
    assert numbers(run("--format", "jsonl", *given.split())) == found


@pytest.mark.usefixtures("ledger")
async def test_an_export_holds_every_column_and_all_lines(run: Command) -> None:
    records = [json.loads(line) for line in run("--format", "jsonl")[1]]
    rows = list(csv.DictReader(io.StringIO("\n".join(run("--format", "csv")[1]))))

    assert [*records[0]] == [*rows[0]] == ["line", *AuditEntry.__dataclass_fields__, "hash"]
    assert records[3]["at"] == "2026-11-20T12:03:00.000+00:00"
    assert (records[3]["tickets"], records[3]["leads"], records[3]["duration_ms"]) == (["t1", "t2"], ["8"], 12.5)
    assert rows[3]["tickets"] == "t1 t2"
    assert [row["hash"] for row in rows] == [record["hash"] for record in records]


async def test_a_cell_that_a_spreadsheet_would_work_out_is_made_harmless(ledger: SqliteLedger, run: Command) -> None:
    for tool in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "plain = 1"):
        await ledger.audit([replace(READ, tool=tool)])
    rows = list(csv.DictReader(io.StringIO("\n".join(run("--format", "csv")[1]), newline="")))

    assert [row["tool"][:2] for row in rows[4:]] == ["'=", "'+", "'-", "'@", "'\t", "'\r", "pl"]


async def test_no_line_moves_the_cursor_of_a_terminal(ledger: SqliteLedger, run: Command) -> None:
    await ledger.audit([replace(READ, tool="\x1b[2J\u202etool\n")])

    assert "?[2J?tool?" in run("--limit", "1")[1][1]


async def test_following_goes_on_with_what_is_added(ledger: SqliteLedger, tmp_path: Path) -> None:
    parser = cli._parser()
    added: Iterator[AuditEntry] = iter([WRITE, replace(WRITE, tool="assign_lead"), READ, WRITE])
    parsed = parser.parse_args(["audit", "--follow", "--format", "jsonl", "--effect", "change", "--limit", "1"])
    seen: list[str] = []
    with reading(tmp_path / "ledger.db") as log:
        following = audit_log.asked_for(log, parsed, lambda: None)
        seen.append(next(following))
        for entry in added:
            await ledger.audit([entry])
            if entry.effect == "change":
                seen.append(next(following))

    assert [json.loads(line)["line"] for line in seen] == [4, 5, 6, 8]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-20", NOON.replace(hour=5)),
        ("2026-11-20T10:00", NOON.replace(hour=15)),
        ("2026-11-20T10:00:00Z", NOON.replace(hour=10)),
        ("90m", NOON - timedelta(minutes=90)),
        ("12h", NOON - timedelta(hours=12)),
        ("7d", NOON - timedelta(days=7)),
    ],
)
def test_a_moment_is_a_date_a_time_or_so_long_ago(text: str, meant: datetime) -> None:
    assert moment(text, NOON.astimezone(timezone(-timedelta(hours=5)))) == meant.timestamp()


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("--since yesterday", "--since: a moment is such as"),
        ("--until 999999d", "--until: a moment is such as"),
        ("--limit 0", "--limit: must be a number from 1"),
        ("--format xml", "--format: invalid choice"),
        ("verify --head abc", "--head: a head is the 64 hex digits"),
        ("dance", "dance"),
    ],
)
async def test_what_it_does_not_understand_is_one_line_and_exit_2(run: Command, given: str, named: str) -> None:
    code, lines = run(*given.split())

    assert (code, len(lines)) == (2, 1)
    assert named in lines[0]


# Whether it is whole


@pytest.mark.usefixtures("ledger")
async def test_a_whole_log_is_exit_0_with_count_and_head(run: Command) -> None:
    head = json.loads(run("--format", "jsonl", "--limit", "1")[1][0])["hash"]

    assert run("verify") == (0, ["The log is whole: 4 lines.", f"Head: {head}"])
    assert run("verify", "--head", head)[1][1] == "The head given is in the chain."


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE audit SET outcome = 'done' WHERE id = 3", "Line 3 is the first that does not fit"),
        ("UPDATE audit SET leads = 'broken' WHERE id = 2", "Line 2 is the first that does not fit"),
        ("UPDATE audit SET tool = CAST(x'ff' AS TEXT) WHERE id = 2", "Line 2 is the first that does not fit"),
        ("DELETE FROM audit WHERE id = 2", "Line 2 is missing."),
        ("DELETE FROM audit WHERE id = 4", "The head given is not in the chain"),
    ],
)
async def test_a_log_that_is_not_whole_is_exit_1_with_the_first_bad_line(
    run: Command, tmp_path: Path, change: str, said: str
) -> None:
    head = json.loads(run("--format", "jsonl", "--limit", "1")[1][0])["hash"]
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as db:
        for verb in ("update", "delete"):
            db.execute(f"DROP TRIGGER audit_no_{verb}")
        db.execute(change)
    code, lines = run("verify", "--head", head)

    assert code == 1
    assert lines[0].startswith(said)


@pytest.mark.usefixtures("ledger")
async def test_a_line_that_cannot_be_read_is_told_in_a_sentence(run: Command, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as db:
        db.execute("DROP TRIGGER audit_no_update")
        db.execute("UPDATE audit SET leads = 'broken' WHERE id = 2")
    code, lines = run()

    assert (code, len(lines)) == (2, 1)
    assert "`lofty-mcp audit verify` says where" in lines[0]


async def test_what_was_removed_by_age_is_told(ledger: SqliteLedger, run: Command) -> None:
    await ledger.audit([replace(READ, at=2e9)], keep=1)
    code, lines = run("verify")

    assert (code, lines[0]) == (0, "The log is whole: 1 line.")
    assert lines[1].startswith("Lines 1 to 4 were removed by age, last on ")


def test_without_a_ledger_it_says_so(run: Command) -> None:
    code, lines = run("verify")

    assert (code, len(lines)) == (2, 1)
    assert "There is no ledger yet" in lines[0]


def test_a_ledger_of_an_older_version_is_left_alone(run: Command, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as db:
        migrate(db, MIGRATIONS[:4])
    code, lines = run()

    assert (code, len(lines)) == (2, 1)
    assert "older version" in lines[0]


@pytest.mark.usefixtures("ledger")
async def test_nothing_can_be_written_through_the_reader(tmp_path: Path) -> None:
    with reading(tmp_path / "ledger.db") as log, pytest.raises(sqlite3.OperationalError, match="readonly"):
        log._db.execute("CREATE TABLE x (y)")
