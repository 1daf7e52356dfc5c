"""The server against a second imitation of Lofty, so that it leans on nothing that only our sandbox does."""

import contextlib
import json
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvicorn
from mcp import Client, StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, TextResourceContents

from lofty_mcp.server import build_server
from lofty_mcp.settings import load
from tests.support.other_lofty import (
    HISTORY,
    INES,
    KOFI,
    MISSING,
    PEOPLE,
    STAGES,
    Manner,
    OtherLofty,
    Wire,
)
from tests.support.other_lofty import Person as Member
from tests.support.other_papers import BIG
from tests.support.world import ERAS, Person, data, error, rows, text

FILTERS = frozenset({"stage", "email", "phone", "anyTags", "allTags", "source", "assignedUserId", "sort"})
MANNERS = {
    "plain": Manner(),
    "terse": Manner(
        bare_lead=True,
        total=False,
        past_end="repeat",
        errors="message",
        foreign="refused",
        reply="empty",
        times="epoch",
        text_ids=True,
        definition="0",
        zone="Mars/Olympus",
        finish="flag",
    ),
    "chatty": Manner(
        total=False,
        past_end="restart",
        errors="string",
        foreign="refused",
        reply="wrapped",
        times="fraction",
        wrapped_tags=False,
        definition=0,
        serial=True,
        team_page=3,
        zone="Europe/Lisbon",
        arrays="merge",
    ),
    "sloppy": Manner(
        total=False, past_end="clamp", lead_page=25, ordered=False, ignored=FILTERS, reply="number", times="digits"
    ),
    "small": Manner(
        total=False,
        past_end="repeat",
        lead_page=7,
        team_page=7,
        reply="none",
        errors="message",
        foreign="missing",
        newest_first=False,
    ),
    "shuffled": Manner(
        ordered=False,
        past_end="clamp",
        serial=True,
        text_ids=True,
        errors="string",
        reply="empty",
        escaped=frozenset({"note", "log", "task", "text"}),
    ),
}


@pytest.fixture(params=list(MANNERS.values()), ids=list(MANNERS))
def lofty(request: pytest.FixtureRequest) -> OtherLofty:
    """An account of each manner."""
    return OtherLofty(request.param)


@asynccontextmanager
async def client_of(
    lofty: OtherLofty,
    member: Member = KOFI,
    era: str = "auto",
    person: Callable[..., Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Client]:
    """An MCP client of a server that stands in front of `lofty` with the member's key."""
    configured = load(api_key=member.key, base_url="http://127.0.0.1", requests_per_minute=10_000, **settings)
    skipped = 0.0

    async def skip(seconds: float) -> None:
        nonlocal skipped
        skipped += seconds

    server = build_server(configured, transport=Wire(lofty), clock=lambda: skipped, sleep=skip)
    async with Client(server, mode=era, elicitation_callback=person) as client:
        yield client


async def ask(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The result of a call that succeeds, whose halves agree and which holds nothing that says nothing."""
    answer = data(await client.call_tool(tool, arguments))
    assert not list(empty_values(answer)), answer
    return answer


def empty_values(value: Any, path: str = "") -> Iterator[str]:
    """Where in `value` a null, an empty string or an unset number stands."""
    if value is None or value in ("", "-1") or (type(value) in (int, float) and value == -1):
        yield path
    for name, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from empty_values(item, f"{path}.{name}")


async def everything(client: Client, tool: str, **arguments: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All pages of a list, and their rows."""
    pages = [await ask(client, tool, **arguments)]
    while pages[-1]["has_more"]:
        pages.append(await ask(client, tool, **arguments, cursor=pages[-1]["next_cursor"]))
        assert len(pages) < 200
    assert all(page["returned"] == len(page["rows"]) for page in pages)
    return pages, [row for page in pages for row in rows(page)]


async def outcome(
    client: Client, lofty: OtherLofty, tool: str, *, by_code: bool, **arguments: Any
) -> tuple[dict[str, Any], int]:
    """What a write said of its one lead, and how many requests it took."""
    before = len(lofty.writes)
    result = await ask(client, tool, **arguments)
    if by_code and result["status"] == "confirmation_required":
        assert len(lofty.writes) == before
        result = await ask(client, tool, **arguments, confirmation=result["confirmation"])
    return dict(result["results"][0]), len(lofty.writes) - before


@pytest.mark.parametrize("era", ERAS)
async def test_each_request_is_as_lofty_documents_it(lofty: OtherLofty, era: str) -> None:
    lead_id = lofty.busy
    async with client_of(lofty, era=era, person=Person()) as client:
        await ask(client, "who_am_i")
        await ask(client, "search_leads")
        await ask(client, "get_timeline", lead_id=lead_id)
        await ask(client, "update_stage", lead_ids=[lead_id], stage=STAGES[-1])
        await ask(client, "assign_lead", lead_ids=[lead_id], assignee=PEOPLE[-1].name)
        missing = next(t for t in ("lakeside", "investor") if t not in str(lofty.leads[lead_id]["tags"]))
        await ask(client, "add_tag", lead_ids=[lead_id], tags=[missing])

    assert [(r.method, r.path, r.body) for r in lofty.writes] == [
        ("PUT", f"/v1.0/leads/{lead_id}", {"stage": STAGES[-1]}),
        (
            "POST",
            f"/v1.0/leads/{lead_id}/assignment",
            [{"role": "Agent", "assignee": PEOPLE[-1].email}],
        ),
        ("PUT", f"/v1.0/leads/{lead_id}", {"tagsAdd": [missing]}),
    ]
    for request in lofty.requests:
        assert request.headers["content-type"] == "application/json"
        assert request.headers["user-agent"].startswith("lofty-mcp/")
        assert request.headers["authorization"] == f"token {KOFI.key}"


async def test_the_viewer_is_found_although_me_knows_only_a_short_id(lofty: OtherLofty) -> None:
    async with client_of(lofty) as client:
        assert (await ask(client, "who_am_i"))["viewer_known"] is True
        for lead_id in (lofty.own_hidden, lofty.own_unsaid):
            assert (await ask(client, "get_lead", lead_id=lead_id))["last_name"] == "Underwhistle"


@pytest.mark.parametrize("era", ERAS)
async def test_a_hidden_lead_reads_like_one_that_never_was_in_every_tool_and_resource(
    lofty: OtherLofty, era: str
) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("get_lead", {}),
        ("get_lead", {"detail": "full"}),
        ("get_timeline", {}),
        ("get_timeline", {"kinds": ["note"]}),
        ("update_stage", {"stage": STAGES[3]}),
        ("assign_lead", {"assignee": KOFI.email}),
        ("add_tag", {"tags": ["lakeside"]}),
    ]
    people = Person()
    async with client_of(lofty, era=era, person=people) as client:
        for tool, arguments in calls:
            told = []
            for lead_id in (MISSING, lofty.hidden, lofty.unsaid, lofty.private):
                name = "lead_id" if tool.startswith("get") else "lead_ids"
                told.append(error(await client.call_tool(tool, arguments | {name: lead_id})))
            assert len(set(told)) == 1, tool
            assert "Not found" in told[0]
        for uri in ("lofty://leads/{}", "lofty://leads/{}/timeline"):
            said = {await _failure(client, uri.format(i)) for i in (MISSING, lofty.hidden, lofty.unsaid, lofty.private)}
            assert len({words.replace(MISSING, "#") for words in said}) == 1

    assert lofty.writes == []
    assert people.asked == []
    children = [r.path for r in lofty.requests if r.path.endswith(("activities", "notes", "tasks", "Logs"))]
    assert children == []


async def _failure(client: Client, uri: str) -> str:
    with pytest.raises(MCPError) as failure:
        await client.read_resource(uri)
    lead_id = uri.split("/")[3]
    return f"{failure.value.error.code} {failure.value.error.message}".replace(lead_id, MISSING)


async def test_a_tag_that_only_a_hidden_lead_bears_is_not_in_the_vocabulary(lofty: OtherLofty) -> None:
    async with client_of(lofty) as client:
        (content,) = (await client.read_resource("lofty://team/tags")).contents

    assert isinstance(content, TextResourceContents)
    assert set(json.loads(content.text)["tags"]) == {"lakeside", "investor", "first home"}


async def test_stages_and_members_are_whole_whatever_their_page_size(lofty: OtherLofty) -> None:
    async with client_of(lofty) as client:
        (stages,) = (await client.read_resource("lofty://team/stages")).contents
        (members,) = (await client.read_resource("lofty://team/members")).contents

    assert isinstance(stages, TextResourceContents)
    assert isinstance(members, TextResourceContents)
    assert json.loads(stages.text) == {"stages": list(STAGES)}
    assert {m["user_id"] for m in json.loads(members.text)["members"]} == {str(p.long) for p in PEOPLE}


@pytest.mark.parametrize("limit", [1, 3, 7, 20, 100])
@pytest.mark.parametrize("sort", ["created", "score"])
async def test_a_search_delivers_each_visible_lead_exactly_once(lofty: OtherLofty, limit: int, sort: str) -> None:
    async with client_of(lofty) as client:
        pages, found = await everything(client, "search_leads", limit=limit, sort=sort)

    assert sorted(row["lead_id"] for row in found) == sorted(lofty.visible_to(KOFI))
    assert pages[-1]["total"] == len(found)
    assert all("total" not in page for page in pages[:-1])
    assert any(int(row["lead_id"]) > BIG for row in found), "digit for digit"


@pytest.mark.parametrize("era", ERAS)
async def test_full_rows_and_records_hold_nothing_empty_and_both_halves_agree(lofty: OtherLofty, era: str) -> None:
    async with client_of(lofty, INES, era) as client:
        _, found = await everything(client, "search_leads", detail="full", limit=20)
        for row in found[:12]:
            lead = await ask(client, "get_lead", lead_id=row["lead_id"], detail="full")
            assert lead["lead_id"] == row["lead_id"]

    assert {row["lead_id"] for row in found} == lofty.visible_to(INES)


async def test_resources_hold_nothing_empty(lofty: OtherLofty) -> None:
    own = ("", "/timeline")
    async with client_of(lofty) as client:
        for uri in ("lofty://me", "lofty://team/members", *(f"lofty://leads/{lofty.busy}{end}" for end in own)):
            (content,) = (await client.read_resource(uri)).contents
            assert isinstance(content, TextResourceContents)
            assert not list(empty_values(json.loads(content.text))), uri


@pytest.mark.parametrize("past_end", ["repeat", "restart", "clamp"])
async def test_a_long_list_without_order_and_total_is_delivered_once(past_end: Any) -> None:
    lofty = OtherLofty(Manner(total=False, past_end=past_end, ordered=False), count=705)
    async with client_of(lofty) as client:
        pages, found = await everything(client, "search_leads", limit=100)

    assert sorted(row["lead_id"] for row in found) == sorted(lofty.visible_to(KOFI))
    assert pages[-1]["total"] == len(found)


async def test_filters_hold_even_where_lofty_ignores_them(lofty: OtherLofty) -> None:
    someone = lofty.plain[10]
    record = lofty.leads[someone]
    del lofty.leads[lofty.plain[11]]["tags"][:]
    wanted: dict[tuple[str, str], Callable[[dict[str, Any]], Any]] = {
        ("stage", STAGES[1]): lambda row: row["stage"] == STAGES[1],
        ("email", record["emails"][0]): lambda row: row is record,
        ("phone", record["phones"][0]): lambda row: row is record,
        ("source", "Open House"): lambda row: row["source"] == "Open House",
        ("assigned_to", INES.email): lambda row: row["assignedUser"] == INES.name,
        ("tags_any", "lakeside,investor"): lambda row: _tagged(row) & {"lakeside", "investor"},
        ("tags_all", "lakeside,investor"): lambda row: _tagged(row) >= {"lakeside", "investor"},
    }
    async with client_of(lofty) as client:
        for (name, value), fits in wanted.items():
            given = value.split(",") if name.startswith("tags") else value
            _, found = await everything(client, "search_leads", **{name: given}, limit=7)
            right = {i for i in lofty.visible_to(KOFI) if fits(lofty.leads[i])}
            assert right, name
            assert sorted(row["lead_id"] for row in found) == sorted(right), name


def _tagged(row: dict[str, Any]) -> set[str]:
    return {tag["tagName"] if isinstance(tag, dict) else tag for tag in row["tags"]}


async def test_a_stage_that_is_nowhere_is_refused_even_where_lofty_ignores_the_filter(lofty: OtherLofty) -> None:
    async with client_of(lofty, person=Person()) as client:
        told = error(await client.call_tool("update_stage", {"lead_ids": lofty.busy, "stage": "Zzzz"}))

    assert "There is no stage 'Zzzz'" in told
    assert lofty.writes == []


@pytest.mark.parametrize("limit", [pytest.param(4, marks=pytest.mark.slow), 20, 100])
async def test_a_timeline_delivers_each_event_exactly_once_newest_first(lofty: OtherLofty, limit: int) -> None:
    async with client_of(lofty) as client:
        pages, events = await everything(client, "get_timeline", lead_id=lofty.busy, limit=limit)

    assert all("incomplete" not in page for page in pages)
    words = [next(w for w in HISTORY if w in event["text"]) for event in events]
    assert sorted(words) == sorted(HISTORY)
    assert [event["at"] for event in events] == sorted((event["at"] for event in events), reverse=True)
    assert any("Tom & Jo" in event["text"] for event in events)


@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        ("/v1.0/leads/{}/activities", ["site"]),
        ("/v2.0/leads/{}/activities", ["call", "email", "text"]),
        ("/v1.0/notes", ["note"]),
        ("/v2.0/tasks", ["task"]),
        ("/v1.0/systemLogs", ["system"]),
    ],
)
async def test_a_source_that_fails_is_named_and_the_rest_is_there(path: str, kinds: list[str]) -> None:
    lofty = OtherLofty(MANNERS["chatty"])
    lofty.broken.add(path.format(lofty.busy))
    async with client_of(lofty) as client:
        pages, events = await everything(client, "get_timeline", lead_id=lofty.busy, limit=50)

    assert all(page["incomplete"] == kinds for page in pages)
    assert {event["kind"] for event in events} == {*("site", "call", "text", "email", "note", "task", "system")} - set(
        kinds
    )


async def test_a_change_log_that_is_not_the_callers_to_read_is_not_a_failure(lofty: OtherLofty) -> None:
    lofty.forbidden.add("/v1.0/systemLogs")
    async with client_of(lofty) as client:
        page = await ask(client, "get_timeline", lead_id=lofty.busy)

    assert "incomplete" not in page


async def test_a_lead_without_a_history_has_an_empty_one(lofty: OtherLofty) -> None:
    async with client_of(lofty) as client:
        page = await ask(client, "get_timeline", lead_id=lofty.plain[5])

    assert (page["rows"], page["has_more"], page["returned"]) == ([], False, 0)


def acts(lofty: OtherLofty) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """A write of each kind, on a lead whose id no JavaScript host holds, and what it leaves."""
    target = next(i for i in lofty.plain if int(i) > BIG and "first home" not in _tagged(lofty.leads[i]))
    tagged = [*(_name(tag) for tag in lofty.leads[target]["tags"]), "first home"]
    return [
        ("update_stage", {"lead_ids": [target], "stage": "Sphere"}, {"stage": "Sphere"}),
        ("assign_lead", {"lead_ids": [target], "assignee": PEOPLE[9].email}, {"agent": PEOPLE[9].name}),
        ("add_tag", {"lead_ids": [target], "tags": ["first home"]}, {"tags": tagged}),
    ]


def _name(tag: Any) -> Any:
    return tag["tagName"] if isinstance(tag, dict) else tag


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("by_code", [True, False], ids=["by code", "by question"])
async def test_a_write_is_one_request_and_is_judged_by_what_is_there_then(
    lofty: OtherLofty, era: str, by_code: bool
) -> None:
    person, mode = (None, "code") if by_code else (Person(), "ask")
    async with client_of(lofty, era=era, person=person, mode=mode, ask_from="add") as client:
        for tool, arguments, left in acts(lofty):
            told, sent = await outcome(client, lofty, tool, by_code=by_code, **arguments)
            assert (told["outcome"], told["after"], sent) == ("applied", left, 1), tool
            assert told["lead_id"] == arguments["lead_ids"][0]
            again, sent = await outcome(client, lofty, tool, by_code=by_code, **arguments)
            assert (again["outcome"], sent) == ("no_change", 0), tool

    if person is not None:
        assert len(person.asked) == 3


@pytest.mark.parametrize(("fate", "said"), [("lost", "applied"), ("nothing", "unknown"), ("no change", "not_applied")])
async def test_a_write_that_goes_otherwise_is_told_as_it_is_and_not_sent_twice(
    lofty: OtherLofty, fate: Any, said: str
) -> None:
    lofty.write = fate
    async with client_of(lofty, mode="code") as client:
        for tool, arguments, _ in acts(lofty):
            told, sent = await outcome(client, lofty, tool, by_code=True, **arguments)
            assert (told["outcome"], sent) == (said, 1), tool


async def test_a_declined_write_sends_nothing(lofty: OtherLofty) -> None:
    async with client_of(lofty, person=Person("decline", None)) as client:
        for tool, arguments, _ in acts(lofty)[:2]:
            assert (await ask(client, tool, **arguments))["status"] == "declined"

    assert lofty.writes == []


async def test_the_agent_of_a_hidden_lead_may_give_it_away_and_then_sees_it_no_more(lofty: OtherLofty) -> None:
    person = Person()
    async with client_of(lofty, person=person) as client:
        told, sent = await outcome(
            client, lofty, "assign_lead", by_code=False, lead_ids=lofty.own_hidden, assignee=INES.email
        )
        gone = error(await client.call_tool("get_lead", {"lead_id": lofty.own_hidden}))

    # Where Lofty itself stops showing the lead, nobody can read the change back.
    assert (told["outcome"], sent) == ("applied" if lofty.manner.foreign == "shown" else "unknown", 1)
    assert str(lofty.leads[lofty.own_hidden]["assignedUserId"]) == str(INES.long)
    assert "loses access to this hidden lead" in person.asked[0]
    assert "Not found" in gone


@contextlib.contextmanager
def served(lofty: OtherLofty) -> Iterator[str]:
    """`lofty` on a free port of this machine."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(lofty.app(), lifespan="off", ws="none", log_level="error"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


async def test_as_a_process_of_its_own_it_searches_reads_and_tags(tmp_path: Path) -> None:
    lofty = OtherLofty(MANNERS["terse"])
    tool, arguments, left = acts(lofty)[2]
    with served(lofty) as url, anyio.fail_after(60):
        environment = os.environ | {
            "LOFTY_BASE_URL": url,
            "LOFTY_API_KEY": KOFI.key,
            "LOFTY_MCP_REQUESTS_PER_MINUTE": "10000",
            "LOFTY_MCP_STATE_DIR": str(tmp_path / "state"),
        }
        started = StdioServerParameters(
            command=sys.executable, args=["-m", "lofty_mcp", "serve"], env=environment, cwd=Path(__file__).parents[1]
        )
        async with Client(stdio_client(started)) as client:
            _, found = await everything(client, "search_leads", limit=20)
            lead = await ask(client, "get_lead", lead_id=arguments["lead_ids"][0])
            told = await ask(client, tool, **arguments)
            lost: CallToolResult = await client.call_tool("get_lead", {"lead_id": lofty.hidden})

    assert {row["lead_id"] for row in found} == lofty.visible_to(KOFI)
    assert lead["lead_id"] == arguments["lead_ids"][0]
    assert (told["results"][0]["outcome"], told["results"][0]["after"]) == ("applied", left)
    assert "Not found" in text(lost)
    assert len(lofty.writes) == 1
