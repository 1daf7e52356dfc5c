"""Hidden leads: for everybody but their agent, a world that holds them and one that never did answer alike."""

import json
import re
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import PromptReference, ResourceTemplateReference

from lofty_mcp.errors import NotFound
from lofty_mcp.guard.visibility import Viewer, viewer_of, visible
from lofty_mcp.models.leads import LeadRecord
from lofty_mcp.models.people import Member
from tests.support.cases import rest_slow
from tests.support.world import ANA, ERAS, MARK, OWNER, Bench, Person, data, error, rows, text

NEVER = "1100000999999999"
VIEWERS = (OWNER, MARK)


@pytest.mark.parametrize(
    ("record", "seen"),
    [
        ({"hiddenFlag": False}, True),
        ({"hiddenFlag": False, "privateFlag": False}, True),
        ({"hiddenFlag": False, "privateFlag": None}, True),
        ({"hiddenFlag": True}, False),
        ({"hiddenFlag": None}, False),
        ({}, False),
        ({"hiddenFlag": "false"}, False),
        ({"hiddenFlag": 0}, False),
        ({"hiddenFlag": False, "privateFlag": True}, False),
        ({"hiddenFlag": False, "privateFlag": "yes"}, False),
        ({"hiddenFlag": True, "assignedUserId": 7}, True),
        ({"assignedUserId": "7"}, True),
        ({"hiddenFlag": True, "assignedUserId": 8}, False),
        ({"hiddenFlag": True, "assignedUserId": 0}, False),
        ({"hiddenFlag": True, "customRoleList": [{"role": "Assistant", "assigneeId": 7}]}, False),
    ],
)
def test_a_lead_is_visible_only_by_a_plain_flag_or_to_its_agent(record: dict[str, Any], seen: bool) -> None:
    lead = LeadRecord.model_validate({"leadId": 1, **record})

    assert visible(lead, Viewer(frozenset({"7"}))) is seen
    assert visible(lead, Viewer()) is (seen and "assignedUserId" not in record)


def test_with_any_assignee_the_people_in_its_roles_see_a_hidden_lead_too() -> None:
    lead = LeadRecord.model_validate(
        {"leadId": 1, "hiddenFlag": True, "customRoleList": [{"role": "Lender", "assigneeId": 7}, {"assigneeId": -1}]}
    )

    assert visible(lead, Viewer(frozenset({"7"})), "any_assignee")
    assert not visible(lead, Viewer(frozenset({"7"})), "assigned_agent")
    assert not visible(lead, Viewer(frozenset({"8"})), "any_assignee")


@pytest.mark.parametrize(
    ("me", "own", "claims", "ids", "disputed"),
    [
        ({"id": 1, "memberUserId": 700}, {"id": 1, "memberUserId": 700}, {}, {"700"}, False),
        ({"id": 1, "memberUserId": 1}, {"id": 1, "memberUserId": 700}, {}, {"1", "700"}, False),
        ({"id": 1}, None, {"userId": 700}, set(), True),
        ({"id": 700}, None, {"sub": "700"}, {"700"}, False),
        ({"id": 700}, None, {}, set(), False),
        ({"id": 0, "memberUserId": 0}, None, {"userId": 0}, set(), False),
        ({"id": 1, "memberUserId": 700}, None, {"userId": 999}, {"700"}, True),
        ({"id": 1, "memberUserId": 700}, None, {"userId": 700, "iat": 1_800_000_000}, {"700"}, False),
    ],
)
def test_only_ids_that_are_certainly_the_users_count(
    me: dict[str, Any], own: dict[str, Any] | None, claims: dict[str, Any], ids: set[str], disputed: bool
) -> None:
    viewer = viewer_of(Member.model_validate(me), Member.model_validate(own) if own else None, claims)

    assert viewer.ids == ids
    assert viewer.disputed is disputed


class Pair:
    """Two worlds that differ in hidden leads only: there, and never been there."""

    def __init__(self, folder: Path) -> None:
        self.there, self.never = Bench(folder / "a"), Bench(folder / "b")
        self.hidden = [str(lead_id) for lead_id in self.there.world.hidden_ids()]
        self.records = [self.there.world.lead(int(lead_id)) for lead_id in self.hidden]
        assert len(self.hidden) >= 3
        for lead_id in self.hidden:
            self.never.world.remove_lead(int(lead_id))


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """Two worlds."""
    return Pair(tmp_path)


def calls_about(pair: Pair, viewer: str) -> list[tuple[str, dict[str, Any]]]:
    """Calls that a nosy colleague might make."""
    ids = [lead_id for lead_id, r in zip(pair.hidden, pair.records, strict=True) if not _is_agent(pair, r, viewer)][:3]
    records = [pair.there.world.lead(int(lead_id)) for lead_id in ids]
    ordinary = pair.there.visible_leads(2)
    calls: list[tuple[str, dict[str, Any]]] = [("search_leads", {"limit": n}) for n in (1, 7, 20, 100)]
    for record in records:
        calls += [
            ("search_leads", {"query": record["lastName"]}),
            ("search_leads", {"email": record["emails"][0]}),
            ("search_leads", {"phone": record["phones"][0]}),
            ("search_leads", {"stage": record["stage"], "limit": 3}),
            ("search_leads", {"assigned_to": record["assignedUser"], "limit": 100}),
            ("search_leads", {"sort": "score", "limit": 9}),
        ]
    for lead_id in [*ids, NEVER]:
        calls += [
            ("get_lead", {"lead_id": lead_id}),
            ("get_lead", {"lead_id": lead_id, "detail": "full"}),
            ("get_timeline", {"lead_id": lead_id}),
            ("get_timeline", {"lead_id": lead_id, "kinds": ["note"]}),
            ("update_stage", {"lead_ids": lead_id, "stage": "Qualified"}),
            ("update_stage", {"lead_ids": lead_id, "stage": "Qualifed"}),
            ("update_stage", {"lead_ids": [lead_id, *ordinary], "stage": "Contacted"}),
            ("update_stage", {"lead_ids": [lead_id, *ordinary], "stage": "Contacted", "confirmation": NEVER}),
            ("assign_lead", {"lead_ids": lead_id, "assignee": MARK}),
            ("add_tag", {"lead_ids": lead_id, "tags": "VIP"}),
            ("add_tag", {"lead_ids": [ordinary[0], lead_id], "tags": ["VIP"]}),
            ("add_tag", {"lead_ids": lead_id, "tags": "Brand new", "create_new": True}),
        ]
    calls += [("search_leads", {"tags_any": [tag["tagName"]]}) for r in records for tag in r["tags"]]
    return [*calls, ("who_am_i", {}), ("search_leads", {"limit": 100})]


def _is_agent(pair: Pair, record: dict[str, Any], viewer: str) -> bool:
    return bool(record["assignedUserId"] == pair.there.user_id(viewer))


HANDLE = re.compile(r'"(confirmation|next_cursor|expires_at)":"[^"]*"')


async def transcript(client: Client, pair: Pair, viewer: str) -> list[str]:
    """Everything that comes back to the caller, handles and times removed."""
    said: list[str] = []
    for name, arguments in calls_about(pair, viewer):
        result = await client.call_tool(name, arguments)
        said.append(HANDLE.sub(r'"\1":"…"', f"{name} {arguments} {result.is_error} {text(result)}"))
        cursor = (result.structured_content or {}).get("next_cursor")
        while cursor:
            result = await client.call_tool(name, {**arguments, "cursor": cursor})
            said.append(HANDLE.sub(r'"\1":"…"', text(result)))
            cursor = (result.structured_content or {}).get("next_cursor")
    uris = [f"lofty://leads/{lead_id}{tail}" for lead_id in [*pair.hidden, NEVER] for tail in ("", "/timeline")]
    uris += ["lofty://me", "lofty://team/members", "lofty://team/stages", "lofty://team/tags"]
    said += [await _read(client, uri, viewer, pair) for uri in uris]
    for argument in ("stage", "tag", "source", "agent"):
        completed = await client.complete(
            PromptReference(type="ref/prompt", name="pipeline_review"), {"name": argument, "value": ""}
        )
        said.append(json.dumps(completed.completion.model_dump()))
    completed = await client.complete(
        ResourceTemplateReference(type="ref/resource", uri="lofty://leads/{lead_id}"),
        {"name": "lead_id", "value": pair.hidden[0][:3]},
    )
    said.append(json.dumps(completed.completion.model_dump()))
    prompt = await client.get_prompt("lead_brief", {"lead": pair.hidden[0]})
    return [*said, prompt.model_dump_json()]


async def _read(client: Client, uri: str, viewer: str, pair: Pair) -> str:
    lead_id = next((part for part in uri.split("/") if part.isdigit() and part != NEVER), None)
    if lead_id and _is_agent(pair, dict(zip(pair.hidden, pair.records, strict=True))[lead_id], viewer):
        return "own"
    try:
        result = await client.read_resource(uri)
    except MCPError as refusal:
        return f"{refusal.code} {refusal.message}"
    return result.model_dump_json()


def upstream_calls(bench: Bench) -> list[tuple[str, str]]:
    """What was asked of Lofty about single leads, and what was written."""
    return [(e.method, e.path) for e in bench.world.log if re.search(r"/leads/\d|notes|systemLogs|tasks", e.path)]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("viewer", rest_slow(*VIEWERS))
@pytest.mark.parametrize("asked", rest_slow(True, False))
async def test_a_world_with_hidden_leads_reads_as_one_without(pair: Pair, era: str, viewer: str, asked: bool) -> None:
    told = []
    for bench in (pair.there, pair.never):
        if viewer != OWNER:  # hidden leads of one's own are not hidden; leave them out of both worlds
            for lead_id, record in zip(pair.hidden, pair.records, strict=True):
                if _is_agent(pair, record, viewer) and bench is pair.there:
                    bench.world.remove_lead(int(lead_id))
        person = Person() if asked else None
        async with bench.client(viewer, era=era, person=person) as client:
            told.append(await transcript(client, pair, viewer))
            told[-1] += person.asked if person else []

    assert told[0] == told[1]
    assert upstream_calls(pair.there) == upstream_calls(pair.never)
    assert not any(str(record["lastName"]) in line for line in told[0] for record in pair.records if '"query"' in line)


async def test_missing_trashed_hidden_and_private_leads_are_refused_in_the_same_words(bench: Bench) -> None:
    private, unflagged = bench.visible_leads(2)
    bench.world.update_lead(int(private), privateFlag=True)
    bench.world.update_lead(int(unflagged), hiddenFlag=None)
    ids = [NEVER, bench.hidden_lead(), str(bench.world.trashed_ids()[0]), private, unflagged]
    async with bench.client(OWNER) as client:
        for tool in ("get_lead", "get_timeline"):
            assert {error(await client.call_tool(tool, {"lead_id": i})) for i in ids} == {str(NotFound())}
        writes: list[tuple[str, dict[str, Any]]] = [
            ("update_stage", {"stage": "Qualified"}),
            ("assign_lead", {"assignee": MARK}),
            ("add_tag", {"tags": ["VIP"]}),
        ]
        for tool, more in writes:
            assert {error(await client.call_tool(tool, {"lead_ids": [i], **more})) for i in ids} == {str(NotFound())}

    assert bench.sent() == []


@pytest.mark.parametrize("status", [(400, 20017), (403, None), (404, 20006), (404, None)])
async def test_not_yours_in_any_of_loftys_words_reads_as_not_found(
    bench: Bench, status: tuple[int, int | None]
) -> None:
    code, number = status
    body = {"code": number, "message": "no"} if number else {"message": "no"}
    bench.network.before = lambda r: httpx2.Response(code, json=body) if NEVER in r.url.path else None
    async with bench.client() as client:
        assert error(await client.call_tool("get_lead", {"lead_id": NEVER})) == str(NotFound())


async def test_its_own_agent_sees_a_hidden_lead_everywhere(bench: Bench) -> None:
    lead_id = bench.hidden_lead(ANA)
    last_name = bench.world.lead(int(lead_id))["lastName"]
    async with bench.client(ANA) as client:
        lead = data(await client.call_tool("get_lead", {"lead_id": lead_id}))
        found = rows(data(await client.call_tool("search_leads", {"query": last_name})))
        timeline = data(await client.call_tool("get_timeline", {"lead_id": lead_id}))
        resource = (await client.read_resource(f"lofty://leads/{lead_id}")).contents[0]

    assert lead["last_name"] == last_name
    assert [row["lead_id"] for row in found] == [lead_id]
    assert timeline["lead_id"] == lead_id
    assert last_name in resource.model_dump_json()


async def test_the_agent_whose_own_record_disagrees_with_the_member_list_sees_her_hidden_leads(bench: Bench) -> None:
    odd = next(member for member in bench.world.members if member.short_me)
    lead_id = bench.visible_lead(ANA)
    bench.world.update_lead(int(lead_id), hiddenFlag=True, assignedUserId=odd.user_id)
    async with bench.client(odd.email) as client:
        assert data(await client.call_tool("get_lead", {"lead_id": lead_id}))["lead_id"] == lead_id


async def test_visibility_that_changes_is_obeyed_at_the_next_call(bench: Bench) -> None:
    lead_id = bench.visible_lead(ANA)
    async with bench.client(OWNER) as client:
        before = data(await client.call_tool("get_lead", {"lead_id": lead_id}))
        bench.world.update_lead(int(lead_id), hiddenFlag=True)
        hidden = error(await client.call_tool("get_lead", {"lead_id": lead_id}))
        bench.world.update_lead(int(lead_id), hiddenFlag=False)
        again = data(await client.call_tool("get_lead", {"lead_id": lead_id}))

    assert hidden == str(NotFound())
    assert before["lead_id"] == again["lead_id"] == lead_id


async def test_a_code_does_not_outlive_the_sight_of_the_lead(bench: Bench) -> None:
    lead_id = bench.visible_lead(ANA)
    call = {"lead_ids": [lead_id], "stage": "Closed"}
    async with bench.client(OWNER) as client:
        call["confirmation"] = data(await client.call_tool("update_stage", call))["confirmation"]
        bench.world.update_lead(int(lead_id), hiddenFlag=True)
        refused = error(await client.call_tool("update_stage", call))

    assert refused == str(NotFound())
    assert bench.sent() == []


async def test_a_settled_write_is_not_told_again_to_somebody_who_no_longer_sees_the_lead(bench: Bench) -> None:
    lead_id = bench.visible_lead(ANA)
    call = {"lead_ids": [lead_id], "stage": "Closed"}
    async with bench.client(OWNER) as client:
        call["confirmation"] = data(await client.call_tool("update_stage", call))["confirmation"]
        data(await client.call_tool("update_stage", call))
        bench.world.update_lead(int(lead_id), hiddenFlag=True)
        assert error(await client.call_tool("update_stage", call)) == str(NotFound())


async def test_giving_a_hidden_lead_away_is_told_as_done_and_shows_no_more(bench: Bench) -> None:
    lead_id, person = bench.hidden_lead(ANA), Person()
    async with bench.client(ANA, person=person) as client:
        given = data(await client.call_tool("assign_lead", {"lead_ids": [lead_id], "assignee": MARK}))
        gone = error(await client.call_tool("get_lead", {"lead_id": lead_id}))

    assert given["results"][0]["outcome"] == "applied"
    assert given["results"][0]["after"] == {"agent": "Mark Silva"}
    assert "loses access to this hidden lead" in person.asked[0]
    assert gone == str(NotFound())


async def test_no_answer_with_a_lead_not_found_leaves_before_the_floor(bench: Bench) -> None:
    hidden, ordinary = bench.hidden_lead(ANA), bench.visible_lead(ANA)
    calls: list[tuple[str, dict[str, Any]]] = [
        ("get_lead", {"lead_id": hidden}),
        ("get_lead", {"lead_id": NEVER}),
        ("get_timeline", {"lead_id": hidden}),
        ("update_stage", {"lead_ids": [ordinary, hidden], "stage": "Closed"}),
        ("update_stage", {"lead_ids": [ordinary, NEVER], "stage": "Closed"}),
        ("add_tag", {"lead_ids": [hidden], "tags": ["VIP"]}),
    ]
    async with bench.client(OWNER) as client:
        for name, arguments in calls:
            started = bench.tick
            await client.call_tool(name, arguments)
            assert bench.tick - started == pytest.approx(0.3), name
        started = bench.tick
        await client.call_tool("get_lead", {"lead_id": ordinary})
        assert bench.tick == started


async def test_a_search_that_meets_hidden_leads_only_takes_as_long_as_one_that_meets_none(bench: Bench) -> None:
    hidden = bench.world.lead(int(bench.hidden_lead(ANA)))
    took = []
    async with bench.client(OWNER) as client:
        for email in (hidden["emails"][0], "nobody@nowhere.example"):
            started = bench.tick
            assert rows(data(await client.call_tool("search_leads", {"email": email}))) == []
            took.append(bench.tick - started)

    assert took == [pytest.approx(0.3), pytest.approx(0.3)]


@pytest.mark.parametrize("spent_on", ["a stage that is looked up", "a question that is thought about"])
async def test_what_a_call_did_before_does_not_use_up_the_floor(bench: Bench, spent_on: str) -> None:
    hidden, ordinary, looks_up = bench.hidden_lead(ANA), bench.visible_lead(ANA), spent_on.startswith("a stage")
    for lead_id in bench.world.lead_ids():
        if bench.world.lead(lead_id)["stage"] == "Past Client":
            bench.world.update_lead(lead_id, stage="Closed")  # a stage that no list names and no lead shows
    person = Person(meanwhile=lambda: setattr(bench, "tick", bench.tick + 5))

    def slower_over_what_is_there(request: httpx2.Request) -> None:
        bench.tick += 0.02 if hidden in request.url.path else 0.0

    bench.network.before = slower_over_what_is_there
    took = []
    async with bench.client(OWNER, era="legacy", person=None if looks_up else person) as client:
        for looked_for in (hidden, NEVER):
            bench.world.update_lead(int(ordinary), stage="New Lead")
            started = bench.tick
            lead_ids, stage = ([looked_for], "Past Client") if looks_up else ([ordinary, looked_for], "Contacted")
            await client.call_tool("update_stage", {"lead_ids": lead_ids, "stage": stage})
            took.append(bench.tick - started)

    assert took[0] == pytest.approx(took[1])


async def test_a_viewer_who_cannot_be_known_sees_no_hidden_lead_and_is_told_so(bench: Bench) -> None:
    lead_id = bench.hidden_lead(ANA)
    nameless = {"id": 48112, "email": ANA, "timeZoneId": "America/Denver"}
    bench.network.before = lambda r: (
        httpx2.Response(200, json=nameless) if r.url.path.startswith(("/v1.0/me", "/v1.0/members/")) else None
    )
    async with bench.client(ANA) as client:
        who = data(await client.call_tool("who_am_i", {}))
        refused = error(await client.call_tool("get_lead", {"lead_id": lead_id}))

    assert who["viewer_known"] is False
    assert "no hidden lead is visible" in who["viewer_note"]
    assert refused == str(NotFound())


@pytest.mark.parametrize(
    ("path", "rows_of"),
    [
        ("/v1.0/notes", lambda row: {"notes": [row]}),
        ("/v2.0/tasks", lambda row: {"tasks": [row]}),
        ("/v1.0/systemLogs", lambda row: {"hasMore": 0, "timeLines": [row]}),
        ("/v2.0/leads/{id}/activities", lambda row: {"activities": [row]}),
        ("/v1.0/leads/{id}/activities", lambda row: [row]),
    ],
)
async def test_rows_of_another_lead_in_a_childs_list_are_dropped(bench: Bench, path: str, rows_of: Any) -> None:
    lead_id, hidden = bench.visible_lead(ANA), bench.hidden_lead(ANA)
    row = {"id": "5", "noteId": 5, "channel": "Call"}
    row |= dict.fromkeys(("content", "timelineTypeDesc", "note", "text"), "SECRET")
    row |= dict.fromkeys(("createTime", "timelineTime", "activityTime", "created"), "2026-11-19T09:00:00+00:00")

    async def shown(owner: str) -> str:
        body = rows_of({**row, "leadId": int(owner)})
        asked = path.replace("{id}", lead_id)
        bench.network.before = lambda r: httpx2.Response(200, json=body) if r.url.path == asked else None
        async with bench.client(ANA) as client:
            return text(await client.call_tool("get_timeline", {"lead_id": lead_id, "limit": 100}))

    assert "SECRET" in await shown(lead_id)
    assert "SECRET" not in await shown(hidden)


async def test_a_lead_hidden_while_it_is_written_shows_nothing_of_its_new_state(bench: Bench) -> None:
    lead_id = bench.visible_lead(ANA)
    bench.world.update_lead(int(lead_id), stage="New Lead")

    def hide(request: httpx2.Request) -> None:
        if request.method == "PUT":
            bench.world.update_lead(int(lead_id), hiddenFlag=True, stage="Closed")
            bench.world.faults.next("PUT", "/v1.0/leads/{id}", "reset_before")

    bench.network.before = hide
    async with bench.client(OWNER, person=Person()) as client:
        told = data(await client.call_tool("update_stage", {"lead_ids": [lead_id], "stage": "Qualified"}))

    assert told["results"][0]["outcome"] == "unknown"
    assert "after" not in told["results"][0]
    assert "Closed" not in json.dumps(told)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: httpx2.Response(400, json={"code": 20012, "message": "x"}),
        lambda: httpx2.Response(410, json={"message": "gone"}),
        lambda: httpx2.Response(423, json={}),
        lambda: httpx2.Response(200, content=b""),
        lambda: httpx2.Response(200, json={}),
        lambda: httpx2.Response(200, json={"lead": None}),
        lambda: httpx2.Response(200, json={"code": 20017}),
        lambda: httpx2.Response(200, json={"lead": {"leadId": 7, "hiddenFlag": False}}),
    ],
)
async def test_an_answer_without_the_lead_is_a_lead_not_found(bench: Bench, answer: Any) -> None:
    bench.network.before = lambda r: answer() if NEVER in r.url.path else None
    async with bench.client() as client:
        assert error(await client.call_tool("get_lead", {"lead_id": NEVER})) == str(NotFound())

    assert bench.tick == pytest.approx(0.3)


@pytest.mark.parametrize("bomb", ["&#" + "9" * 5000 + ";", "![](" + " " * 20_000])
async def test_hostile_text_in_a_hidden_lead_is_not_noticed(bench: Bench, bomb: str) -> None:
    lead_id = bench.hidden_lead()
    bench.world.update_lead(int(lead_id), referredBy=bomb)
    async with bench.client(OWNER) as client:
        started = time.perf_counter()
        assert error(await client.call_tool("get_lead", {"lead_id": lead_id})) == str(NotFound())
        assert data(await client.call_tool("search_leads", {"limit": 100}))["has_more"] is False

    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    "hidden", [{}, {"createTime": "1971-01-01T00:00:00GMT"}, {"createTime": "2199-01-01T00:00:00GMT"}]
)
async def test_a_hidden_row_out_of_order_does_not_disturb_the_walk(bench: Bench, hidden: dict[str, Any]) -> None:
    async def walk() -> list[str]:
        shown: list[str] = []
        async with bench.client(OWNER) as client:
            page = data(await client.call_tool("search_leads", {"limit": 12}))
            shown += [row["lead_id"] for row in rows(page)]
            while "next_cursor" in page:
                page = data(await client.call_tool("search_leads", {"limit": 12, "cursor": page["next_cursor"]}))
                shown += [row["lead_id"] for row in rows(page)]
        return shown

    without = await walk()
    ghost = {"leadId": 4242, "hiddenFlag": True, "assignedUserId": 5, **hidden}
    listed = [json.loads(await _lead_json(bench, lead_id)) for lead_id in without]
    listed.insert(3, ghost)

    def answered(request: httpx2.Request) -> httpx2.Response | None:
        if request.url.path != "/v1.0/leads":
            return None
        start, count = int(request.url.params["offset"]), int(request.url.params["limit"])
        body = {"_metadata": {"total": len(listed)}, "leads": listed[start : start + count]}
        return httpx2.Response(200, json=body)

    bench.network.before = answered
    assert await walk() == without


async def _lead_json(bench: Bench, lead_id: str) -> str:
    return json.dumps({k: v for k, v in bench.world.lead(int(lead_id)).items() if k != "trashed"})


async def test_a_lead_hidden_meanwhile_reads_after_a_lost_answer_like_one_removed(bench: Bench) -> None:
    told = []
    for what in ("removed", "hidden", "hidden and moved by somebody else"):
        lead_id = bench.visible_leads(1)[0]
        bench.world.update_lead(int(lead_id), stage="New Lead")

        def lose(request: httpx2.Request, lead_id: str = lead_id, what: str = what) -> httpx2.Response | None:
            if request.method != "PUT":
                return None
            if what == "removed":
                bench.world.remove_lead(int(lead_id))
            else:
                bench.world.update_lead(
                    int(lead_id), hiddenFlag=True, stage="Qualified" if "moved" in what else "Closed"
                )
            return httpx2.Response(502, json={"message": "bad gateway"})

        bench.network.before = lose
        async with bench.client(OWNER, person=Person()) as client:
            result = data(await client.call_tool("update_stage", {"lead_ids": [lead_id], "stage": "Qualified"}))
        told.append({k: v for k, v in result["results"][0].items() if k != "lead_id"})

    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("add_note", {"text": "Called"}),
        ("create_task", {"kind": "Call", "text": "Call", "due": "2026-12-24T10:00:00"}),
        ("log_communication", {"kind": "call", "outcome": "Talked", "text": "Talked"}),
        ("send_text", {"text": "See you at noon"}),
    ],
)
async def test_what_hangs_on_a_lead_that_was_hidden_meanwhile_is_not_asked_for(
    bench: Bench, tool: str, arguments: dict[str, Any]
) -> None:
    bench.by_day()
    lead_id = bench.visible_lead(ANA)
    bench.world.update_lead(int(lead_id), state="CO", phones=["9705550101"], phoneStatuses=[2])
    asked: list[tuple[str, str]] = []

    def hide(request: httpx2.Request) -> None:
        asked.append((request.method, request.url.path))
        if request.method == "POST":
            asked.clear()
            bench.world.update_lead(int(lead_id), hiddenFlag=True)

    bench.network.before = hide
    async with bench.client(OWNER, mode="auto", toolsets=("all",), sends="on") as client:
        told = data(await client.call_tool(tool, {"lead_id": lead_id, **arguments}))["results"][0]

    assert asked == [("GET", f"/v1.0/leads/{lead_id}")]
    assert told["outcome"] in ("unknown", "applied")


async def test_a_lead_hidden_while_it_is_removed_reads_like_one_that_somebody_else_removed(bench: Bench) -> None:
    told = []
    for hidden in (True, False):
        lead_id = bench.visible_lead(ANA)

        def lose(request: httpx2.Request, lead_id: str = lead_id, hidden: bool = hidden) -> httpx2.Response | None:
            if request.method != "DELETE":
                return None
            if hidden:
                bench.world.update_lead(int(lead_id), hiddenFlag=True)
            else:
                bench.world.remove_lead(int(lead_id))
            return httpx2.Response(502, json={"message": "bad gateway"})

        bench.network.before = lose
        person = Person(content={"ok": True, "name": _name(bench, lead_id)})
        async with bench.client(OWNER, person=person, toolsets=("all",)) as client:
            done = data(await client.call_tool("delete_lead", {"lead_id": lead_id, "reason": "a duplicate"}))
        told.append({k: v for k, v in done["results"][0].items() if k != "lead_id"})

    assert told[0]["outcome"] == "unknown"
    assert told[0] | {"before": None} == told[1] | {"before": None}


def _name(bench: Bench, lead_id: str) -> str:
    lead = bench.world.lead(int(lead_id))
    return f"{lead['firstName']} {lead['lastName']}"


async def test_a_log_on_a_hidden_lead_does_not_settle_what_became_of_the_same_on_another(bench: Bench) -> None:
    lead_id, hidden = bench.visible_lead(ANA), bench.hidden_lead(MARK)
    strays: list[dict[str, Any]] = []

    def lose_and_mix_up(request: httpx2.Request) -> httpx2.Response | None:
        if request.url.path != "/v1.0/logType":
            return None
        if request.method == "GET":
            return httpx2.Response(200, json={"logType": strays})
        strays.append({"id": 4242, "leadId": int(hidden), "content": json.loads(request.content)["content"]})
        return httpx2.Response(502, json={"message": "bad gateway"})

    bench.network.before = lose_and_mix_up
    call = {"lead_id": lead_id, "kind": "call", "outcome": "Talked", "text": "Talked about the garden"}
    async with bench.client(OWNER, mode="auto") as client:
        told = data(await client.call_tool("log_communication", call))

    assert told["results"][0]["outcome"] == "unknown"


async def test_an_unknown_outcome_is_not_settled_by_a_record_that_is_hidden_by_now(bench: Bench) -> None:
    lead_id = bench.visible_lead(ANA)
    bench.world.update_lead(int(lead_id), stage="New Lead")
    call = {"lead_ids": [lead_id], "stage": "Qualified"}
    bench.world.faults.next("PUT", "/v1.0/leads/{id}", "reset_before")
    async with bench.client(OWNER) as client:
        call["confirmation"] = data(await client.call_tool("update_stage", call))["confirmation"]
        data(await client.call_tool("update_stage", call))
        reads: list[str] = []

        def hide_before_the_second_look(request: httpx2.Request) -> None:
            reads.extend([request.url.path] if lead_id in request.url.path else [])
            if len(reads) == 2:
                bench.world.update_lead(int(lead_id), hiddenFlag=True, stage="Qualified")

        bench.network.before = hide_before_the_second_look
        again = data(await client.call_tool("update_stage", call))

    assert len(reads) == 2
    assert again["results"][0]["outcome"] == "unknown"


async def test_a_message_of_a_hidden_lead_is_on_another_one_as_little_as_one_that_never_was(bench: Bench) -> None:
    hidden, other = bench.hidden_lead(), bench.visible_lead()
    theirs = str(bench.world.add_communication(int(hidden), channel="Text", note="Whispered"))
    told, waited = [], []
    async with bench.client(OWNER, toolsets=("messages",)) as client:  # to whom Lofty itself would show it
        for message_id in (theirs, "1241334726691799999"):
            before = bench.tick
            call = {"lead_id": other, "message_id": message_id, "kind": "text"}
            told.append(error(await client.call_tool("get_message", call)))
            waited.append(bench.tick - before)

    assert told[0] == told[1]
    assert "Whispered" not in told[0]
    assert waited == [pytest.approx(0.3)] * 2
