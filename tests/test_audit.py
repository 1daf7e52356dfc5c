"""The audit log: a line a round, of who did what to which leads and what came of it; nothing in it names a lead."""

import contextlib
import json
import sqlite3
import time
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import PromptReference, TextResourceContents

from lofty_mcp.errors import LedgerUnavailable
from lofty_mcp.ledger import AuditEntry, AuditQuery, hashed
from lofty_mcp.ledger.reading import reading
from lofty_mcp.ledger.sqlite import SqliteLedger
from tests.support.world import ANA, ERAS, MARK, OWNER, Bench, Person, data, error

QUALIFIED = {"stage": "Qualified"}


async def _lines(bench: Bench) -> list[AuditEntry]:
    """The lines, oldest first."""
    ledger = await SqliteLedger.open(bench.state / "ledger.db")
    try:
        return [*reversed(await ledger.audited(AuditQuery(), 1_000))]
    finally:
        await ledger.close()


async def _hash(bench: Bench, lead_id: str) -> str:
    ledger = await SqliteLedger.open(bench.state / "ledger.db")
    try:
        return hashed(lead_id, await ledger.secret())
    finally:
        await ledger.close()


def _new_lead(bench: Bench) -> str:
    lead_id = bench.visible_lead()
    bench.world.update_lead(int(lead_id), stage="New Lead", firstName="Zenobia", lastName="Quux", tags=["Buyer"])
    return lead_id


def _said(lines: list[AuditEntry]) -> list[tuple[str, str, str, str]]:
    return [(line.tool, line.effect, line.decision, line.outcome) for line in lines]


@pytest.mark.parametrize("era", ERAS)
async def test_every_round_leaves_a_line(bench: Bench, era: str) -> None:
    lead_id = _new_lead(bench)
    started = time.time()
    async with bench.client(era=era) as client:
        data(await client.call_tool("who_am_i", {}))
        data(await client.call_tool("get_lead", {"lead_id": lead_id}))
        data(await client.call_tool("get_timeline", {"lead_id": lead_id}))
        data(await client.call_tool("search_leads", {}))
        data(await client.call_tool("add_tag", {"lead_ids": [lead_id], "tags": ["VIP"]}))
        await client.read_resource(f"lofty://leads/{lead_id}")
        await client.get_prompt("lead_brief", {"lead": lead_id})
    lines = await _lines(bench)
    hashed_id = await _hash(bench, lead_id)

    assert sorted(_said(lines)) == sorted(
        [
            ("who_am_i", "read", "allow", "done"),
            ("get_lead", "read", "allow", "done"),
            ("get_timeline", "read", "allow", "done"),
            ("search_leads", "read", "allow", "done"),
            ("add_tag", "add", "allow", "applied"),
            ("resources/read", "read", "allow", "done"),
            ("prompts/get", "read", "allow", "done"),
        ]
    )
    about = {line.tool for line in lines if line.leads}
    assert about == {"get_lead", "get_timeline", "add_tag", "resources/read"}
    assert {lead for line in lines for lead in line.leads} == {hashed_id}
    assert len({line.principal for line in lines}) == 1
    assert all(0 <= line.duration_ms < 60_000 for line in lines)
    assert all(started - 1 <= line.at <= time.time() + 1 for line in lines)


async def test_two_steps_of_a_confirmation_are_two_lines(bench: Bench) -> None:
    call = {"lead_ids": [_new_lead(bench)], **QUALIFIED}
    async with bench.client() as client:
        code = data(await client.call_tool("update_stage", call))["confirmation"]
        data(await client.call_tool("update_stage", {**call, "confirmation": code}))

    assert _said(await _lines(bench)) == [
        ("update_stage", "change", "ask", "confirmation_required"),
        ("update_stage", "change", "confirmed", "applied"),
    ]


@pytest.mark.parametrize(
    ("era", "expected"),
    [
        ("auto", [("ask", "asked"), ("accepted", "applied")]),  # a question is a round of its own
        ("legacy", [("accepted", "applied")]),
    ],
)
async def test_an_accepted_question_says_accepted(bench: Bench, era: str, expected: list[tuple[str, str]]) -> None:
    async with bench.client(era=era, person=Person()) as client:
        data(await client.call_tool("update_stage", {"lead_ids": [_new_lead(bench)], **QUALIFIED}))

    assert [(line.decision, line.outcome) for line in await _lines(bench)] == expected


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_declined_write_says_declined(bench: Bench, era: str, action: str) -> None:
    async with bench.client(era=era, person=Person(action, None)) as client:
        data(await client.call_tool("update_stage", {"lead_ids": [_new_lead(bench)], **QUALIFIED}))
    last = (await _lines(bench))[-1]

    assert (last.decision, last.outcome) == ("declined", "declined")
    assert len(last.leads) == 1


async def test_a_refused_write_says_refused(bench: Bench) -> None:
    async with bench.client() as client:
        error(await client.call_tool("update_stage", {"lead_ids": bench.visible_leads(6), **QUALIFIED}))
    [line] = await _lines(bench)

    assert (line.decision, line.outcome) == ("refuse", "Refused")
    assert len(line.leads) == 6


@pytest.mark.parametrize(
    ("tool", "arguments", "outcome"),
    [
        ("get_lead", {"lead_id": "1100000999999999"}, "NotFound"),
        ("get_lead", {"lead_id": "007"}, "invalid"),
        ("search_leads", {"keyword": "smith"}, "invalid"),
        ("update_stage", {"lead_ids": ["1100000999999999"], **QUALIFIED}, "NotFound"),
        ("update_stage", {"lead_ids": ["1100000999999999"], "stage": "Moon"}, "InvalidInput"),
    ],
    ids=str,
)
async def test_a_failed_call_says_how_it_failed(
    bench: Bench, tool: str, arguments: dict[str, Any], outcome: str
) -> None:
    async with bench.client() as client:
        error(await client.call_tool(tool, arguments))
    [line] = await _lines(bench)

    assert (line.tool, line.outcome) == (tool, outcome)


async def test_a_line_says_what_each_decision_rests_on(bench: Bench) -> None:
    lead_id = _new_lead(bench)
    move: dict[str, Any] = {"lead_ids": [lead_id], **QUALIFIED}
    tag = {"lead_ids": [lead_id], "tags": ["VIP"]}
    async with bench.client(bulk_leads=6) as client:
        data(await client.call_tool("get_lead", {"lead_id": lead_id}))
        data(await client.call_tool("add_tag", tag))
        code = data(await client.call_tool("update_stage", move))["confirmation"]
        data(await client.call_tool("update_stage", {**move, "confirmation": code}))
        error(await client.call_tool("update_stage", {**move, "lead_ids": bench.visible_leads(6)}))
        error(await client.call_tool("update_stage", {**move, "stage": "Moon"}))
        error(await client.call_tool("update_stage", {**move, "lead_ids": bench.visible_leads(7)}))
    async with bench.client(mode="auto") as client:
        data(await client.call_tool("update_stage", {**move, "stage": "New Lead"}))
    for person in (Person(), Person("decline", None)):
        async with bench.client(era="legacy", person=person) as client:
            data(await client.call_tool("update_stage", move if person.content else {**move, "stage": "Closed"}))
    ledger = await SqliteLedger.open(bench.state / "ledger.db")
    await ledger.pause(True)
    await ledger.close()
    async with bench.client() as client:
        error(await client.call_tool("add_tag", {**tag, "lead_ids": bench.visible_leads(2)[1:]}))

    assert [(line.decision, line.basis) for line in await _lines(bench)] == [
        ("allow", "read"),
        ("allow", "mild"),
        ("ask", "change"),
        ("confirmed", "code"),
        ("refuse", "nobody to ask"),
        ("none", ""),
        ("refuse", "rules"),
        ("allow", "auto"),
        ("accepted", "answer"),
        ("declined", "answer"),
        ("refuse", "paused"),
    ]


async def test_a_line_names_the_tickets_of_the_leads_that_are_there(bench: Bench) -> None:
    call: dict[str, Any] = {"lead_ids": [_new_lead(bench), bench.hidden_lead(MARK)], **QUALIFIED}
    async with bench.client() as client:
        code = data(await client.call_tool("update_stage", call))["confirmation"]
        for _ in range(2):
            data(await client.call_tool("update_stage", {**call, "confirmation": code}))
    preview, done, again = await _lines(bench)
    with contextlib.closing(sqlite3.connect(bench.state / "ledger.db")) as ledger:
        [(ticket_id,)] = ledger.execute("SELECT id FROM tickets").fetchall()

    assert preview.tickets == ()
    assert done.tickets == again.tickets == (await _hash(bench, ticket_id),)


async def test_the_file_holds_no_lead_id_no_name_and_no_text(bench: Bench) -> None:
    lead_id = _new_lead(bench)
    words = ["Zenobia", "Quux", lead_id, "Qualified", "Buyer", "VIP", MARK, "secret-search", "secret-tool"]
    async with bench.client(mode="code") as client:
        for tool, more in (
            ("update_stage", QUALIFIED),
            ("assign_lead", {"assignee": MARK}),
            ("add_tag", {"tags": ["VIP"]}),
        ):
            call: dict[str, Any] = {"lead_ids": [lead_id], **more}
            first = data(await client.call_tool(tool, call))
            if code := first.get("confirmation"):
                data(await client.call_tool(tool, {**call, "confirmation": code}))
        data(await client.call_tool("search_leads", {"query": "secret-search"}))
        data(await client.call_tool("get_lead", {"lead_id": lead_id}))
        await client.read_resource(f"lofty://leads/{lead_id}")
        await client.get_prompt("lead_brief", {"lead": "Zenobia Quux"})
        with pytest.raises(MCPError):
            await client.read_resource("lofty://leads/Zenobia")
        for unheard_of in ("secret-tool", f"get_lead {lead_id}"):
            with contextlib.suppress(MCPError):
                await client.call_tool(unheard_of, {"lead_id": lead_id})
    with sqlite3.connect(bench.state / "ledger.db") as ledger:
        dump = "\n".join(repr(row) for row in ledger.execute("SELECT * FROM audit"))
    ledger.close()

    assert dump.count("\n") >= 10
    assert [word for word in words if word in dump] == []
    assert bench.world.key_of(ANA) not in dump


async def test_a_lead_has_the_same_hash_in_every_line_and_another_in_another_ledger(bench: Bench) -> None:
    lead_id = bench.visible_lead(MARK)
    for email in (OWNER, MARK):
        async with bench.client(email) as client:
            data(await client.call_tool("get_lead", {"lead_id": lead_id}))
    first, second = await _lines(bench)

    assert first.leads == second.leads == (await _hash(bench, lead_id),)
    assert first.principal != second.principal
    assert hashed(lead_id, b"another secret") not in first.leads


async def test_the_log_cannot_be_changed(bench: Bench) -> None:
    async with bench.client() as client:
        data(await client.call_tool("who_am_i", {}))
    with sqlite3.connect(bench.state / "ledger.db") as ledger:
        for change in ("DELETE FROM audit", "UPDATE audit SET tool = 'x'"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                ledger.execute(change)
    ledger.close()


async def test_completions_and_lists_leave_no_line(bench: Bench) -> None:
    async with bench.client() as client:
        await client.list_tools()
        await client.complete(PromptReference(type="ref/prompt", name="lead_brief"), {"name": "stage", "value": "c"})

    assert await _lines(bench) == []


async def test_a_line_tells_nothing_of_what_was_spent_upstream(bench: Bench) -> None:
    columns = list(AuditEntry.__dataclass_fields__)

    assert columns == [
        *("at", "principal", "viewer", "tool", "effect", "decision", "basis", "tickets", "outcome", "leads"),
        "duration_ms",
    ]


def _change(bench: Bench, sql: str) -> None:
    with contextlib.closing(sqlite3.connect(bench.state / "ledger.db", isolation_level=None)) as ledger:
        ledger.execute(sql)


FULL = "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END"
BROKEN = {
    "the table is gone": "DROP TABLE audit",
    "the table takes no lines": FULL,
    "the end of the chain cannot be read": "DROP TABLE checkpoint",
}


@pytest.mark.parametrize("break_it", BROKEN.values(), ids=BROKEN.keys())
async def test_a_log_that_cannot_be_written_blocks_writes_and_never_reads(bench: Bench, break_it: str) -> None:
    lead_id = _new_lead(bench)
    move: dict[str, Any] = {"lead_ids": [lead_id], **QUALIFIED}
    async with bench.client() as client:
        code = data(await client.call_tool("update_stage", move))["confirmation"]
        _change(bench, break_it)
        refused = [
            error(await client.call_tool("update_stage", {**move, "confirmation": code})),
            error(await client.call_tool("add_tag", {"lead_ids": [lead_id], "tags": ["VIP"]})),
        ]
        read = data(await client.call_tool("get_lead", {"lead_id": lead_id}))

    assert refused == [str(LedgerUnavailable())] * 2
    assert bench.sent() == []
    assert read["stage"] == "New Lead"


async def test_once_the_log_can_be_written_again_it_holds_what_went_on_meanwhile(bench: Bench) -> None:
    lead_id = _new_lead(bench)
    tag = {"lead_ids": [lead_id], "tags": ["VIP"]}
    async with bench.client() as client:
        data(await client.call_tool("who_am_i", {}))
        await client.read_resource("lofty://audit")  # by now its line is there
        _change(bench, FULL)
        data(await client.call_tool("get_lead", {"lead_id": lead_id}))
        error(await client.call_tool("add_tag", tag))
        _change(bench, "DROP TRIGGER full")
        data(await client.call_tool("add_tag", tag))

    assert [(tool, outcome) for tool, _, _, outcome in _said(await _lines(bench))] == [
        ("who_am_i", "done"),
        ("resources/read", "done"),
        ("get_lead", "done"),
        ("add_tag", "LedgerUnavailable"),
        ("add_tag", "applied"),
    ]
    assert len(bench.sent()) == 1


async def _own(client: Client) -> list[list[Any]]:
    [content] = (await client.read_resource("lofty://audit")).contents
    assert isinstance(content, TextResourceContents)
    told = json.loads(content.text)
    assert told["columns"] == ["at", "tool", "effect", "decision", "basis", "outcome", "leads"]
    assert told["returned"] == len(told["rows"])
    return [row[1:] for row in told["rows"]]


async def test_a_viewer_reads_its_own_lines_and_nobody_elses(bench: Bench) -> None:
    lead_id = _new_lead(bench)
    async with bench.client(OWNER) as other, bench.client() as client:
        data(await other.call_tool("get_timeline", {"lead_id": lead_id}))
        data(await client.call_tool("get_lead", {"lead_id": lead_id}))
        data(await client.call_tool("add_tag", {"lead_ids": [lead_id], "tags": ["VIP"]}))
        lines = await _own(client)
        again = await _own(client)

    assert [[tool, outcome, leads] for tool, _, _, _, outcome, leads in lines] == [
        ["add_tag", "applied", 1],
        ["get_lead", "done", 1],
    ]
    assert again[1:] == lines
    assert again[0][0] == "resources/read"


@pytest.mark.parametrize("leads", ["hashed", pytest.param("clear", marks=pytest.mark.slow)])
async def test_ones_own_lines_of_a_hidden_lead_are_those_of_one_that_never_was(bench: Bench, leads: str) -> None:
    told = []
    for n, lead_id in enumerate((bench.hidden_lead(MARK), "1100000999999999")):
        other = Bench(bench.state / str(n), leads=bench.leads)
        other.app, other.network = bench.app, bench.network
        call: dict[str, Any] = {"lead_ids": [lead_id, bench.visible_lead()], "stage": "Qualified"}
        async with other.client(audit_leads=leads) as client:
            error(await client.call_tool("get_lead", {"lead_id": lead_id}))
            error(await client.call_tool("get_timeline", {"lead_id": lead_id}))
            error(await client.call_tool("update_stage", {**call, "lead_ids": [lead_id]}))
            data(await client.call_tool("update_stage", call))
            with pytest.raises(MCPError):
                await client.read_resource(f"lofty://leads/{lead_id}")
            told.append(await _own(client))

    assert told[0] == told[1]
    assert len(told[0]) == 5


async def test_ones_own_lines_fit_the_result_budget_and_are_the_newest(bench: Bench) -> None:
    async with bench.client(result_tokens=500) as client:
        for _ in range(20):
            data(await client.call_tool("who_am_i", {}))
        lines = await _own(client)

    assert 5 < len(lines) < 20


async def test_leads_are_named_by_their_ids_where_the_operator_wants_it(bench: Bench) -> None:
    lead_id = _new_lead(bench)
    async with bench.client(audit_leads="clear") as client:
        data(await client.call_tool("get_lead", {"lead_id": lead_id}))
        error(await client.call_tool("get_lead", {"lead_id": "Zenobia"}))

    assert [line.leads for line in await _lines(bench)] == [(lead_id,), ()]


async def test_a_line_says_whose_eyes_were_used(bench: Bench) -> None:
    async with bench.client() as client:
        data(await client.call_tool("get_lead", {"lead_id": _new_lead(bench)}))
        await client.get_prompt("morning_briefing", {})

    assert [line.viewer for line in await _lines(bench)] == [str(bench.user_id(ANA)), ""]


async def test_lines_older_than_the_operator_keeps_go_and_the_log_stays_whole(bench: Bench) -> None:
    async with bench.client() as client:
        data(await client.call_tool("who_am_i", {}))
    bench.later = 400 * 86_400.0 + 60
    async with bench.client(audit_days=0) as client:
        data(await client.call_tool("get_lead", {"lead_id": _new_lead(bench)}))
    kept = [line.tool for line in await _lines(bench)]
    async with bench.client() as client:
        data(await client.call_tool("search_leads", {}))

    assert (kept, [line.tool for line in await _lines(bench)]) == (
        ["who_am_i", "get_lead"],
        ["get_lead", "search_leads"],
    )
    with reading(bench.state / "ledger.db") as log:
        assert log.verify().bad is None


async def test_the_log_can_be_read_and_verified_while_a_server_runs(bench: Bench) -> None:
    async with bench.client() as client:
        data(await client.call_tool("add_tag", {"lead_ids": [_new_lead(bench)], "tags": ["VIP"]}))
        with reading(bench.state / "ledger.db") as log:
            first = log.lines(AuditQuery())
            data(await client.call_tool("add_tag", {"lead_ids": bench.visible_leads(2)[1:], "tags": ["VIP"]}))
            verdict = log.verify(first[-1].hash)

    assert [line.entry.tool for line in first] == ["add_tag"]
    assert (verdict.bad, verdict.count) == (None, 2)


@pytest.mark.parametrize("settings", [{"mode": "read"}, {"toolsets": ("core",)}])
async def test_a_tool_that_is_not_listed_is_refused_in_the_log_too(bench: Bench, settings: dict[str, Any]) -> None:
    async with bench.client(**settings) as client:
        refused = error(await client.call_tool("delete_lead", {"lead_id": bench.visible_lead(), "reason": "x"}))

    assert refused.startswith("delete_lead is not available here")
    [line] = await _lines(bench)
    assert (line.decision, line.basis, line.outcome) == ("refuse", "not listed", "Refused")
