"""Nothing of a person's and no secret is in what an operator or a collector reads, whatever happens to a call."""

import io
import json
import logging
import os
import re
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

from lofty_mcp import telemetry
from lofty_mcp.errors import LedgerUnavailable
from lofty_mcp.guard.tickets import PAUSED
from lofty_mcp.ledger import AuditEntry
from lofty_mcp.ledger.sqlite import SqliteLedger
from lofty_mcp.logs import JsonFormatter
from lofty_mcp.sandbox import faults
from lofty_mcp.sandbox.tokens import CLIENT_ID, CLIENT_SECRET
from tests.support.canaries import NAME, NUMBERS, STEM, Tour, plant
from tests.support.process import Town, Web, environment, run, town
from tests.support.watching import Counts
from tests.support.world import ANA, Bench, Person

KINDS = re.findall(r"\w+", faults._KIND.pattern.split(")")[0])  # every kind that the sandbox knows
VALUES = {"latency": "=0.01", "status": "=503", "status_after": "=503", "429": "=20"}
BAD = f"{STEM}body"


@dataclass
class Sinks:
    """Everything that somebody other than the caller can read: log lines, spans, counts and the audit log."""

    log: io.StringIO
    spans: list[ReadableSpan]
    counts: Counts
    ledger: Path

    def read(self) -> dict[str, str]:
        """What stands in each."""
        with closing(sqlite3.connect(self.ledger)) as db:
            audit = db.execute("SELECT * FROM audit").fetchall()
        return {
            "log": self.log.getvalue(),
            "spans": " ".join(span.to_json() for span in self.spans),
            "counts": json.dumps(self.counts.points()),
            "audit": str(audit),
        }

    def leaks(self, *secrets: str) -> list[tuple[str, str]]:
        """Where a canary or a secret stands, and which."""
        found = []
        for sink, told in self.read().items():
            wanted = [STEM, NUMBERS, *secrets]
            found += [(sink, word) for word in wanted if word.casefold() in told.casefold()]
        return found


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that is logged, by whatever library, at the level that says most, as it is written to stderr."""
    written, root, level = io.StringIO(), logging.getLogger(), logging.getLogger().level
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield written
    root.setLevel(level)
    root.removeHandler(handler)


@pytest.fixture
def sinks(log: io.StringIO, spans: list[ReadableSpan], counts: Counts, bench: Bench) -> Sinks:
    """What a test reads in the end."""
    return Sinks(log, spans, counts, bench.state / "ledger.db")


def planted(bench: Bench) -> Iterator[str]:
    """New leads of Ana's, full of canaries."""
    while True:
        lead_id = str(bench.world.add_lead(assignedUserId=bench.user_id(ANA)))
        plant(bench.world, lead_id)
        yield lead_id


def garbage(_: httpx2.Request) -> httpx2.Response:
    """What no Lofty says, with canaries in it."""
    return httpx2.Response(400, json={"code": 20012, "message": BAD, BAD: {BAD: [BAD]}}, headers={"X-Bad": BAD})


def html(_: httpx2.Request) -> httpx2.Response:
    """A page instead of JSON."""
    return httpx2.Response(200, text=f"<html>{BAD}</html>", headers={"Content-Type": f"text/{BAD}"})


def too_late(request: httpx2.Request) -> httpx2.Response:
    """A time-out, told with the address that was asked for."""
    raise httpx2.ReadTimeout(f"{BAD} {request.url}", request=request)


def crash(request: httpx2.Request) -> httpx2.Response:
    """What nothing foresees, with a canary in its text and one in its cause."""
    raise ValueError(f"{BAD} {request.url}") from KeyError(BAD)


CASES = [garbage, crash, *(pytest.param(case, marks=pytest.mark.slow) for case in (html, too_late))]


async def test_no_canary_leaves_while_all_goes_well_or_is_asked_wrongly(bench: Bench, sinks: Sinks) -> None:
    leads, person = planted(bench), Person(content={"ok": True, "name": NAME})
    bench.by_day()
    async with bench.client(person=person, toolsets=("all",), sends="on") as client:
        tour = Tour(client, bench.world, leads)
        await tour.well()
        await tour.badly()
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    async with bench.client(mode="code") as client:
        codes = Tour(client, bench.world, planted(bench))
        await codes.well()

    assert tour.done >= tools.keys()
    assert STEM in " ".join(tour.heard).casefold(), "the canaries are where the caller sees them"
    assert codes.secrets
    key = bench.world.key_of(ANA)
    secrets = {*codes.secrets, *tour.secrets, key, *key.split("."), ANA, "Reyes"}
    assert sinks.leaks(*secrets) == []
    assert all(sinks.read().values())


FAULTS = [f"{kind}{VALUES.get(kind, '')}" for kind in KINDS]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["GET", "PUT|POST|DELETE"], ids=["reads", "writes"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_no_canary_leaves_when_lofty_fails(bench: Bench, sinks: Sinks, fault: str, method: str) -> None:
    leads = planted(bench)
    async with bench.client(mode="auto", toolsets=("all",)) as client:
        tour = Tour(client, bench.world, leads)
        await tour.read("lofty://me")

        def fail() -> None:
            for one in method.split("|"):
                bench.world.faults.next(one, "/*", fault)

        await tour.well(fail)

    assert sinks.leaks() == []


@pytest.mark.parametrize("case", CASES)
async def test_no_canary_leaves_when_something_comes_that_nobody_foresaw(
    bench: Bench, sinks: Sinks, case: Callable[[httpx2.Request], httpx2.Response]
) -> None:
    leads = planted(bench)
    async with bench.client(mode="auto", toolsets=("all",)) as client:
        tour = Tour(client, bench.world, leads)
        await tour.read("lofty://me")
        bench.network.before = case
        await tour.well()

    assert ("a tool crashed" in sinks.read()["log"]) == (case is crash)
    assert sinks.leaks() == []


@pytest.mark.slow
async def test_no_canary_leaves_when_a_person_declines_writes_are_paused_or_the_ledger_fails(
    bench: Bench, sinks: Sinks
) -> None:
    leads = planted(bench)
    async with bench.client(person=Person("decline")) as client:
        declined = Tour(client, bench.world, leads)
        await declined.well()
    async with bench.client(mode="auto") as client:
        tour = Tour(client, bench.world, leads)
        ledger = await SqliteLedger.open(sinks.ledger)
        await ledger.pause(True)
        await tour.well()
        await ledger.pause(False)
        await ledger.close()
        with closing(sqlite3.connect(sinks.ledger)) as db:
            db.executescript("ALTER TABLE tickets RENAME TO gone; ALTER TABLE handles RENAME TO gone_too")
            await tour.well()
            db.executescript("ALTER TABLE gone RENAME TO tickets; ALTER TABLE gone_too RENAME TO handles")

    assert '"status": "declined"' in " ".join(declined.heard)
    assert str(LedgerUnavailable()) in tour.heard
    assert PAUSED in tour.heard
    assert sinks.leaks() == []


async def test_the_ledger_keeps_what_was_written_and_no_other_text(bench: Bench) -> None:
    leads = planted(bench)
    async with bench.client(toolsets=("all",), mode="code") as client:
        tour = Tour(client, bench.world, leads)
        await tour.well()
        await tour.call("search_leads", {"query": STEM, "limit": 1})
        await tour.call("get_timeline", {"lead_id": next(leads), "limit": 1})

    holding, payloads = set(), []
    with closing(sqlite3.connect(bench.state / "ledger.db")) as db:
        db.row_factory = sqlite3.Row
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in db.execute(f"SELECT * FROM {table}").fetchall():  # noqa: S608 - names of the schema
                holding |= {f"{table}.{name}" for name in row.keys() if _is_canary(row[name])}  # noqa: SIM118 - a row of SQLite
        payloads = [json.loads(row["payload"]) for row in db.execute("SELECT payload FROM handles")]
    assert holding == {"tickets.detail"}
    assert {tuple(sorted(payload)) for payload in payloads} == {("act", "tickets"), ("filters", "place")}


def _is_canary(value: object) -> bool:
    return STEM in str(value).casefold() or NUMBERS in str(value)


async def _plant_in_log(sinks: Sinks) -> None:
    logging.getLogger("lofty_mcp.planted").warning(f"a lead called {STEM}")


async def _plant_in_spans(sinks: Sinks) -> None:
    trace.get_tracer(telemetry.SCOPE).start_span(f"GET /v1.0/leads?key={STEM}").end()


async def _plant_in_counts(sinks: Sinks) -> None:
    sinks.counts.provider.get_meter("test").create_counter("planted").add(1, {"query": NUMBERS})


async def _plant_in_audit(sinks: Sinks) -> None:
    ledger = await SqliteLedger.open(sinks.ledger)
    entry = AuditEntry(
        at=1,
        principal="p",
        viewer="",
        tool="get_lead",
        effect="read",
        decision="allow",
        basis="",
        tickets=(),
        outcome=f"not found: {STEM}",
        leads=(),
        duration_ms=1,
    )
    await ledger.audit([entry])
    await ledger.close()


@pytest.mark.parametrize("leak", [_plant_in_log, _plant_in_spans, _plant_in_counts, _plant_in_audit])
async def test_a_leak_into_any_of_them_would_be_seen(
    bench: Bench, sinks: Sinks, leak: Callable[[Sinks], Awaitable[None]]
) -> None:
    async with bench.client() as client:
        await client.call_tool("who_am_i", {})
    assert sinks.leaks() == []

    await leak(sinks)

    assert [f"_plant_in_{sink}" for sink, _ in sinks.leaks()] == [leak.__name__]


# The program

CRASHING = f"""
from lofty_mcp import tools
from lofty_mcp.guard.effects import Effect
from lofty_mcp.models.results import Page
from lofty_mcp.tools.spec import ToolSpec


async def look_at_planted(text: str) -> Page:
    \"\"\"A tool that has a mistake.\"\"\"
    try:
        raise KeyError(text)
    except KeyError as error:
        raise ValueError("{BAD}") from error


tools.ALL += (ToolSpec(look_at_planted, Effect.READ, "Planted"),)
"""
"""What the program runs before it starts, so that one of its tools crashes."""


def _planted_in(lofty: Town) -> Iterator[str]:
    ana = lofty.world.member(ANA)
    assert ana is not None
    while True:
        lead_id = str(lofty.world.add_lead(assignedUserId=ana.user_id))
        plant(lofty.world, lead_id)
        yield lead_id


def _environment(tmp_path: Path, **settings: str) -> dict[str, str]:
    (tmp_path / "sitecustomize.py").write_text(CRASHING, encoding="utf-8")
    env = environment(tmp_path, **settings, LOFTY_MCP_LOG_LEVEL="debug", LOFTY_MCP_MODE="auto")
    return env | {"LOFTY_MCP_TOOLSETS": "all", "PYTHONPATH": f"{tmp_path}{os.pathsep}{env['PYTHONPATH']}"}


async def _tour(client: Client, lofty: Town) -> Tour:
    """Everything, in good times and in bad."""
    tour = Tour(client, lofty.world, _planted_in(lofty))
    await tour.well()
    for kind in FAULTS:
        lofty.world.faults.next("*", "/*", kind, times=2)
        await tour.call("get_lead", {"lead_id": next(tour.leads)})
        await tour.call("add_note", {"lead_id": next(tour.leads), "text": BAD})
    assert "add_note" in tour.done
    return tour


def _told(stderr: str, env: dict[str, str]) -> str:
    """All that the program has written for others than the caller: stderr, its metrics, and the audit log as shown."""
    page = re.findall(r"^Metrics at (\S+)$", stderr, re.MULTILINE)[-1]
    metrics = httpx2.get(page, trust_env=False).text
    audit = [run("audit", "--limit", "9999", "--format", name, env=env).stdout for name in ("table", "jsonl", "csv")]
    assert "look_at_planted" in stderr
    assert "a tool crashed" in stderr
    assert 'gen_ai_tool_name="add_note"' in metrics
    assert all("add_note" in shown for shown in audit)
    return "\n".join([stderr, metrics, *audit])


def _found(told: str, secrets: Iterable[str]) -> list[str]:
    return [word for word in (STEM, NUMBERS, *secrets) if word.casefold() in told.casefold()]


@pytest.mark.slow
async def test_no_canary_is_in_what_a_process_writes_over_stdio_with_oauth_tokens(tmp_path: Path) -> None:
    with town() as lofty:
        tokens = lofty.world.issue_tokens(ANA)
        env = _environment(
            tmp_path,
            LOFTY_BASE_URL=lofty.url,
            LOFTY_ACCESS_TOKEN=tokens["access_token"],
            LOFTY_REFRESH_TOKEN=tokens["refresh_token"],
            LOFTY_CLIENT_ID=CLIENT_ID,
            LOFTY_CLIENT_SECRET=CLIENT_SECRET,
            LOFTY_MCP_REQUESTS_PER_MINUTE="6000",
        )
        started = StdioServerParameters(
            command=sys.executable, args=["-m", "lofty_mcp", "serve", "--metrics", "0"], env=env
        )
        with (tmp_path / "stderr").open("w+", encoding="utf-8") as sink:
            async with Client(stdio_client(started, errlog=sink)) as client:
                tour = await _tour(client, lofty)
                await tour.badly()
                told = _told((tmp_path / "stderr").read_text(encoding="utf-8"), env)

    assert _found(told, [*tour.secrets, tokens["access_token"], tokens["refresh_token"], CLIENT_SECRET, ANA]) == []


@pytest.mark.slow
async def test_no_canary_is_in_what_a_process_writes_over_http_with_bearer_tokens(tmp_path: Path) -> None:
    with town() as lofty:
        env = _environment(tmp_path, **lofty.settings(ANA))
        with Web("serve", "--http", "--port", "0", "--metrics", "0", env=env, stderr=tmp_path / "stderr") as web:
            async with httpx2.AsyncClient(headers=web.headers, trust_env=False, timeout=30) as http:
                async with Client(streamable_http_client(web.url, http_client=http)) as client:
                    tour = await _tour(client, lofty)
                for odd in (
                    {"authorization": f"Bearer {BAD}"},
                    {"host": f"{BAD}.example"},
                    {"origin": f"https://{BAD}"},
                ):
                    await http.post(web.url, headers=odd, content=f"{{{BAD}")
                await http.post(f"{web.url}/{BAD}?{BAD}={BAD}", json={BAD: BAD})
            told = _told(web.stderr(), env)
        key = lofty.world.key_of(ANA)

    assert _found(told, [*tour.secrets, web.TOKEN, key, *key.split("."), ANA]) == []
