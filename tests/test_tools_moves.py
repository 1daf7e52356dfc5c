"""update_stage, assign_lead and add_tag through a real client: names, batches, limits, modes; and who is asked when."""

from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from rs_bpe import openai

from tests.support.world import ANA, ERAS, MARK, OWNER, Bench, Person, data, error, text, warm

CHRISTINA = "christina.lee@summitpeak.example"
PRIYA = "priya.nair@summitpeak.example"
LEO = "leo.grant@firstharbor.example"
TAG_LIMIT, STAGE_LIMIT = 64, 20
CALLS: dict[str, dict[str, Any]] = {
    "update_stage": {"stage": "Qualified"},
    "assign_lead": {"assignee": MARK},
    "add_tag": {"tags": ["VIP"]},
}


def _leads(bench: Bench, count: int = 1) -> list[str]:
    """Leads of Ana's that every call of `CALLS` changes."""
    found = bench.visible_leads(count)
    for lead_id in found:
        bench.world.update_lead(int(lead_id), stage="New Lead", tags=[])
    return found


async def _done(bench: Bench, tool: str, viewer: str = ANA, mode: str = "auto", **arguments: Any) -> dict[str, Any]:
    async with bench.client(viewer, mode=mode) as client:
        return data(await client.call_tool(tool, arguments))


async def _refused(bench: Bench, tool: str, mode: str = "auto", **arguments: Any) -> str:
    async with bench.client(ANA, mode=mode) as client:
        refused = error(await client.call_tool(tool, arguments))
    assert "Nothing was changed." in refused
    assert bench.sent() == []
    return refused


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("tool", "before", "after", "request_sent", "undo"),
    [
        (
            "update_stage",
            {"stage": "New Lead"},
            {"stage": "Qualified"},
            ("PUT", "", {"stage": "Qualified"}),
            ("update_stage", {"stage": "New Lead"}),
        ),
        (
            "assign_lead",
            {"agent": "Ana Reyes"},
            {"agent": "Mark Silva"},
            ("POST", "/assignment", [{"role": "Agent", "assignee": MARK}]),
            ("assign_lead", {"assignee": ANA, "role": "Agent"}),
        ),
        (
            "add_tag",
            {"tags": []},
            {"tags": ["VIP"]},
            ("PUT", "", {"tagsAdd": ["VIP"]}),
            ("remove_tag", {"tags": ["VIP"]}),
        ),
    ],
)
async def test_a_write_is_one_request_and_tells_before_and_after(
    bench: Bench, era: str, tool: str, before: dict[str, Any], after: dict[str, Any], request_sent: Any, undo: Any
) -> None:
    [lead_id] = _leads(bench)
    async with bench.client(era=era, person=Person()) as client:
        done = data(await client.call_tool(tool, {"lead_ids": [lead_id], **CALLS[tool]}))

    method, tail, body = request_sent
    [row] = done["results"]
    assert done["status"] == "done"
    assert row == {"lead_id": lead_id, "outcome": "applied", "after": after} | (
        {"before": before} if before != {"tags": []} else {}
    ) | {"undo": {"tool": undo[0], "arguments": {"lead_ids": [lead_id], **undo[1]}}}
    assert bench.sent() == [(method, f"/v1.0/leads/{lead_id}{tail}", body)]


@pytest.mark.parametrize("tool", CALLS)
async def test_calls_upstream_are_one_for_a_preview_and_three_for_a_commit(bench: Bench, tool: str) -> None:
    [lead_id] = _leads(bench)
    call: dict[str, Any] = {"lead_ids": [lead_id], **CALLS[tool]}
    async with bench.client(ask_from="add", mode="code") as client:
        await warm(client)
        start = len(bench.world.log)
        preview = data(await client.call_tool(tool, call))
        middle = len(bench.world.log)
        done = data(await client.call_tool(tool, {**call, "confirmation": preview["confirmation"]}))
        spent = [entry.method for entry in bench.world.log[middle:]]

    assert middle - start == 1
    assert spent in (["GET", "PUT", "GET"], ["GET", "POST", "GET"])
    assert done["results"][0]["outcome"] == "applied"


@pytest.mark.parametrize("tool", CALLS)
@pytest.mark.parametrize("shape", ["bare string", "bare number", "JSON text", "repeated"])
async def test_lead_ids_may_come_bare_or_twice_and_count_once(bench: Bench, tool: str, shape: str) -> None:
    [lead_id] = _leads(bench)
    given = {
        "bare string": lead_id,
        "bare number": int(lead_id),
        "JSON text": f'["{lead_id}"]',
        "repeated": [lead_id, lead_id, int(lead_id)],
    }[shape]
    done = await _done(bench, tool, lead_ids=given, **CALLS[tool])

    assert [(row["lead_id"], row["outcome"]) for row in done["results"]] == [(lead_id, "applied")]
    assert len(bench.sent()) == 1


@pytest.mark.parametrize("tool", CALLS)
async def test_between_one_and_fifty_leads_are_taken(bench: Bench, tool: str) -> None:
    assert "lead_ids" in await _refused(bench, tool, lead_ids=[], **CALLS[tool])
    too_many = [str(number) for number in range(1, 52)]
    assert "lead_ids" in await _refused(bench, tool, lead_ids=too_many, **CALLS[tool])


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("tool", CALLS)
async def test_a_bulk_write_reports_its_progress_lead_by_lead(bench: Bench, era: str, tool: str) -> None:
    told: list[tuple[float, float | None]] = []

    async def heard(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total))

    async with bench.client(era=era, mode="auto") as client:
        call = {"lead_ids": _leads(bench, 4), **CALLS[tool]}
        data(await client.call_tool(tool, call, progress_callback=heard))

    assert sorted(told) == [(1, 4), (2, 4), (3, 4), (4, 4)]


async def test_a_batch_tells_each_lead_apart_in_the_order_given(bench: Bench) -> None:
    done, missing, moved = bench.visible_lead(), "1100000999999999", bench.visible_leads(2)[1]
    bench.world.update_lead(int(done), stage="Qualified")
    bench.world.update_lead(int(moved), stage="New Lead")
    result = await _done(bench, "update_stage", lead_ids=[missing, moved, done], stage="Qualified")

    assert [(row["lead_id"], row["outcome"]) for row in result["results"]] == [
        (missing, "not_found"),
        (moved, "applied"),
        (done, "no_change"),
    ]
    assert result["status"] == "partial"


async def test_the_preview_shows_each_lead_by_name_and_the_code_stands_only_in_its_field(bench: Bench) -> None:
    ids = _leads(bench, 2)
    for lead_id, name in zip(ids, ("Mei", "Noor"), strict=True):
        bench.world.update_lead(int(lead_id), firstName=name, lastName="Okafor")
    async with bench.client() as client:
        result = await client.call_tool("update_stage", {"lead_ids": ids, "stage": "Qualified"})
    preview = data(result)

    assert preview["status"] == "confirmation_required"
    assert len(preview["confirmation"]) == 16
    assert datetime.fromisoformat(preview["expires_at"]).tzinfo is not None
    for lead_id, name in zip(ids, ("Mei Okafor", "Noor Okafor"), strict=True):
        assert f"{name} ({lead_id}): stage New Lead → Qualified" in preview["preview"]
    assert result.model_dump_json().count(preview["confirmation"]) == 2, "once in either half of the result"
    assert [row["outcome"] for row in preview["results"]] == ["not_applied", "not_applied"]


@pytest.mark.parametrize(
    ("near", "meant"), [("Qualifed", "Qualified"), ("qualified", "Qualified"), ("Close", "Closed")]
)
async def test_a_near_miss_of_a_stage_is_refused_with_the_valid_names(bench: Bench, near: str, meant: str) -> None:
    refused = await _refused(bench, "update_stage", lead_ids=_leads(bench), stage=near)

    assert f"Did you mean {meant!r}?" in refused
    assert "New Lead, Contacted, Qualified" in refused


async def test_a_stage_that_no_list_names_is_found_by_asking_lofty(bench: Bench) -> None:
    [lead_id] = _leads(bench)
    done = await _done(bench, "update_stage", lead_ids=[lead_id], stage="Past Client")

    assert done["results"][0]["outcome"] == "applied"
    assert bench.world.lead(int(lead_id))["stage"] == "Past Client"
    assert any(entry.query.get("stage") == ["Past Client"] for entry in bench.world.log)


async def test_an_unheard_of_stage_is_refused(bench: Bench) -> None:
    assert "There is no stage 'Moon'" in await _refused(bench, "update_stage", lead_ids=_leads(bench), stage="Moon")


async def test_a_stage_of_exactly_the_limit_is_taken_and_a_longer_one_refused_with_the_limit(bench: Bench) -> None:
    longest = "Open House Follow-Up"
    assert len(longest) == STAGE_LIMIT
    [lead_id] = _leads(bench)
    refused = await _refused(bench, "update_stage", lead_ids=[lead_id], stage=f"{longest}s")
    done = await _done(bench, "update_stage", lead_ids=[lead_id], stage=longest)

    assert f"{STAGE_LIMIT} characters" in refused
    assert done["results"][0]["after"] == {"stage": longest}


async def test_a_stage_that_lofty_lists_but_would_cut_is_refused_with_the_limit(bench: Bench) -> None:
    name = "Open House Follow-Up Two"
    listed = {"_metadata": {}, "pipelines": [{"id": 1, "name": name}]}
    bench.network.before = lambda r: httpx2.Response(200, json=listed) if "pipelines" in r.url.path else None

    assert f"{STAGE_LIMIT} characters" in await _refused(bench, "update_stage", lead_ids=_leads(bench), stage=name)


@pytest.mark.parametrize(
    "written", [MARK, "Mark Silva", "mark silva", "Silva", "550118203344913", "48113", MARK.upper()]
)
async def test_an_assignee_is_named_by_id_email_or_name(bench: Bench, written: str) -> None:
    [lead_id] = _leads(bench)
    done = await _done(bench, "assign_lead", lead_ids=[lead_id], assignee=written)

    assert done["results"][0]["after"] == {"agent": "Mark Silva"}
    assert bench.world.lead(int(lead_id))["assignedUserId"] == bench.user_id(MARK)


async def test_an_assignee_may_be_me(bench: Bench) -> None:
    lead_id = bench.visible_lead(MARK, ownershipScope="TEAM")
    done = await _done(bench, "assign_lead", ANA, lead_ids=[lead_id], assignee="me")

    assert done["results"][0]["after"] == {"agent": "Ana Reyes"}
    assert bench.world.lead(int(lead_id))["assignedUserId"] == bench.user_id(ANA)


async def test_an_ambiguous_assignee_is_refused_with_the_candidates(bench: Bench) -> None:
    refused = await _refused(bench, "assign_lead", lead_ids=_leads(bench), assignee="Chris Lee")

    assert "chris.lee@summitpeak.example" in refused
    assert CHRISTINA in refused


async def test_of_two_members_with_one_name_the_right_one_is_assigned_by_email(bench: Bench) -> None:
    [lead_id] = _leads(bench)
    for email in ("chris.lee@summitpeak.example", CHRISTINA):
        done = await _done(bench, "assign_lead", OWNER, lead_ids=[lead_id], assignee=email)
        assert done["results"][0]["outcome"] == "applied"
        assert done["results"][0]["after"] == {"agent": f"Chris Lee <{email}>"}
        assert bench.world.lead(int(lead_id))["assignedUserId"] == bench.user_id(email)


async def test_an_unknown_assignee_is_refused_with_names_that_are_known(bench: Bench) -> None:
    assert "Mark Silva" in await _refused(bench, "assign_lead", lead_ids=_leads(bench), assignee="Marc Silva")


@pytest.mark.parametrize(("role", "email", "name"), [("Lender", LEO, "Leo Grant"), ("Assistant", PRIYA, "Priya Nair")])
async def test_a_lender_and_an_assistant_leave_the_agent_alone(bench: Bench, role: str, email: str, name: str) -> None:
    [lead_id] = _leads(bench)
    bench.world.update_lead(int(lead_id), lenderUserId=0, assistantUserId=0)
    first = await _done(bench, "assign_lead", lead_ids=[lead_id], assignee=email, role=role)
    again = await _done(bench, "assign_lead", lead_ids=[lead_id], assignee=email, role=role)

    assert first["results"][0]["after"] == {role.lower(): name}
    assert first["results"][0]["outcome"] == "applied"
    assert again["results"][0]["outcome"] == "no_change"
    assert bench.world.lead(int(lead_id))["assignedUser"] == "Ana Reyes"
    assert len(bench.sent()) == 1


async def test_a_role_that_is_not_one_is_refused_with_those_that_are(bench: Bench) -> None:
    refused = await _refused(bench, "assign_lead", lead_ids=_leads(bench), assignee=LEO, role="lender")

    assert "'Agent', 'Assistant' or 'Lender'" in refused


async def test_tags_are_added_to_those_there_and_only_missing_ones_are_sent(bench: Bench) -> None:
    [lead_id] = _leads(bench)
    bench.world.update_lead(int(lead_id), tags=["Buyer"])
    done = await _done(bench, "add_tag", mode="ask", lead_ids=lead_id, tags=["VIP", "Buyer", "VIP"])

    assert done["results"][0]["before"] == {"tags": ["Buyer"]}
    assert set(done["results"][0]["after"]["tags"]) == {"Buyer", "VIP"}
    assert bench.sent() == [("PUT", f"/v1.0/leads/{lead_id}", {"tagsAdd": ["VIP"]})]


async def test_a_tag_that_is_there_is_no_change(bench: Bench) -> None:
    [lead_id] = _leads(bench)
    bench.world.update_lead(int(lead_id), tags=["VIP"])
    done = await _done(bench, "add_tag", mode="ask", lead_ids=lead_id, tags="VIP")

    assert (done["status"], done["results"][0]["outcome"]) == ("done", "no_change")
    assert bench.sent() == []


@pytest.mark.parametrize(("tag", "meant"), [("Relocaton", "Relocation"), ("vip", "VIP"), ("Zebra", "Buyer")])
async def test_a_new_tag_name_is_refused_with_near_ones_unless_it_is_meant(bench: Bench, tag: str, meant: str) -> None:
    refused = await _refused(bench, "add_tag", lead_ids=_leads(bench), tags=[tag])

    assert meant in refused
    assert repr(tag) in refused


async def test_create_new_makes_a_tag_after_asking(bench: Bench) -> None:
    [lead_id], person = _leads(bench), Person()
    async with bench.client(person=person) as client:
        call = {"lead_ids": [lead_id], "tags": ["Garden lover", "VIP"], "create_new": True}
        done = data(await client.call_tool("add_tag", call))

    assert set(done["results"][0]["after"]["tags"]) == {"Garden lover", "VIP"}
    assert "New to the account: Garden lover" in person.asked[0]
    assert len(bench.sent()) == 1


async def test_a_tag_of_exactly_the_limit_is_taken_and_a_longer_one_refused_with_the_limit(bench: Bench) -> None:
    [lead_id] = _leads(bench)
    refused = await _refused(bench, "add_tag", lead_ids=lead_id, tags=["t" * (TAG_LIMIT + 1)], create_new=True)
    done = await _done(bench, "add_tag", lead_ids=lead_id, tags=["t" * TAG_LIMIT], create_new=True)

    assert f"{TAG_LIMIT} characters" in refused
    assert done["results"][0]["after"] == {"tags": ["t" * TAG_LIMIT]}


@pytest.mark.parametrize(
    ("leads", "more", "asked"),
    [
        (1, {"tags": ["VIP"]}, False),
        (5, {"tags": ["VIP"]}, False),
        (6, {"tags": ["VIP"]}, True),
        (1, {"tags": ["VIP"], "create_new": True}, False),
        (1, {"tags": ["Brand new"], "create_new": True}, True),
        (1, {"tags": ["Newsletter"]}, True),
        (1, {"tags": ["VIP", "Newsletter"]}, True),
    ],
    ids=str,
)
async def test_adding_tags_asks_only_for_what_reaches_far(
    bench: Bench, leads: int, more: dict[str, Any], asked: bool
) -> None:
    ids, person = _leads(bench, leads), Person()
    async with bench.client(person=person, automation_tags="newsletter") as client:
        done = data(await client.call_tool("add_tag", {"lead_ids": ids, **more}))

    assert done["status"] == "done"
    assert len(person.asked) == int(asked)
    assert len(bench.sent()) == leads


async def test_a_question_about_an_automation_tag_says_what_it_may_start(bench: Bench) -> None:
    person = Person("decline")
    async with bench.client(person=person, automation_tags="Newsletter") as client:
        data(await client.call_tool("add_tag", {"lead_ids": _leads(bench), "tags": "Newsletter"}))

    assert "automation" in person.asked[0]
    assert bench.sent() == []


async def test_six_ids_of_five_leads_count_as_five(bench: Bench) -> None:
    ids = _leads(bench, 5)
    async with bench.client() as client:
        preview = data(await client.call_tool("update_stage", {"lead_ids": [*ids, ids[0]], "stage": "Qualified"}))

    assert preview["status"] == "confirmation_required"
    assert len(preview["results"]) == 5


@pytest.mark.parametrize("tool", CALLS)
async def test_auto_asks_nothing_however_many_leads(bench: Bench, tool: str) -> None:
    person = Person()
    async with bench.client(mode="auto", person=person, automation_tags="VIP") as client:
        done = data(await client.call_tool(tool, {"lead_ids": _leads(bench, 7), **CALLS[tool]}))

    assert {row["outcome"] for row in done["results"]} == {"applied"}
    assert person.asked == []


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("tool", CALLS)
async def test_code_lets_six_leads_through_two_steps(bench: Bench, era: str, tool: str) -> None:
    call: dict[str, Any] = {"lead_ids": _leads(bench, 6), **CALLS[tool]}
    async with bench.client(era=era, mode="code") as client:
        preview = data(await client.call_tool(tool, call))
        sent = bench.sent()
        done = data(await client.call_tool(tool, {**call, "confirmation": preview["confirmation"]}))

    assert preview["status"] == "confirmation_required"
    assert sent == []
    assert [row["outcome"] for row in done["results"]] == ["applied"] * 6
    assert len(bench.sent()) == 6


@pytest.mark.parametrize(
    ("ask_from", "asked"),
    [
        ("add", ["update_stage", "assign_lead", "add_tag"]),
        ("change", ["update_stage", "assign_lead"]),
        ("remove", []),
        ("send", []),
    ],
)
async def test_ask_from_raises_and_lowers_the_line(bench: Bench, ask_from: str, asked: list[str]) -> None:
    [lead_id] = _leads(bench)
    async with bench.client(ask_from=ask_from, mode="code") as client:
        told = {
            tool: data(await client.call_tool(tool, {"lead_ids": lead_id, **CALLS[tool]}))["status"] for tool in CALLS
        }

    assert [tool for tool, status in told.items() if status == "confirmation_required"] == asked
    assert {status for tool, status in told.items() if tool not in asked} <= {"done"}


@pytest.mark.parametrize("tool", CALLS)
async def test_a_replay_is_marked_and_a_first_time_is_not(bench: Bench, tool: str) -> None:
    call: dict[str, Any] = {"lead_ids": _leads(bench, 2), **CALLS[tool]}
    async with bench.client(ask_from="add", mode="code") as client:
        call["confirmation"] = data(await client.call_tool(tool, call))["confirmation"]
        first, again = [data(await client.call_tool(tool, call)) for _ in range(2)]

    assert "replayed" not in first
    assert again["replayed"] is True
    assert again["results"] == first["results"]
    assert len(bench.sent()) == 2


async def test_hostile_names_come_clean_into_the_question(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "lofty")
    [lead_id], person = _leads(bench), Person()
    bench.world.update_lead(int(lead_id), firstName="Ann\x1b[2J\u202e", lastName="<b>Lee</b>\nApprove? yes")
    async with bench.client(person=person) as client:
        data(await client.call_tool("update_stage", {"lead_ids": [lead_id], "stage": "Qualified"}))

    assert f"- Ann Lee Approve? yes ({lead_id}): stage" in person.asked[0]
    assert len(person.asked[0].splitlines()) == 3


async def test_a_question_about_tags_shows_what_is_added_and_not_what_stays(bench: Bench) -> None:
    [lead_id], person = _leads(bench), Person()
    bench.world.update_lead(int(lead_id), tags=["Buyer", "Seller"])
    async with bench.client(person=person, ask_from="add") as client:
        data(await client.call_tool("add_tag", {"lead_ids": lead_id, "tags": ["VIP", "Buyer"]}))

    assert f"({lead_id}): tags + VIP\n" in person.asked[0]
    assert "Seller" not in person.asked[0]


@pytest.mark.parametrize("tags", [0, 5, 40])
async def test_fifty_leads_with_many_tags_stay_within_the_budget_and_each_keeps_its_outcome(
    tmp_path: Path, tags: int
) -> None:
    bench = Bench(tmp_path / "lofty", leads=300)
    ids = _leads(bench, 50)
    for lead_id in ids:
        bench.world.update_lead(int(lead_id), tags=[f"Open house, spring, number {n}" for n in range(tags)])
    call: dict[str, Any] = {"lead_ids": ids, "tags": ["VIP"]}
    async with bench.client(mode="code") as client:
        preview = await client.call_tool("add_tag", call)
        done = await client.call_tool("add_tag", {**call, "confirmation": data(preview)["confirmation"]})

    for result in (preview, done):
        assert openai.o200k_base().count(text(result)) <= 8_000
        assert [row["lead_id"] for row in data(result)["results"]] == ids
        assert all("VIP" in row["after"]["tags"] for row in data(result)["results"])
    assert {row["outcome"] for row in data(done)["results"]} == {"applied"}


async def test_where_even_that_is_too_much_the_outcomes_stay(bench: Bench) -> None:
    ids = _leads(bench, 8)
    for lead_id in ids:
        bench.world.update_lead(int(lead_id), tags=[f"Tag {n}" for n in range(30)])
    async with bench.client(mode="auto", result_tokens=500) as client:
        result = await client.call_tool("add_tag", {"lead_ids": ids, "tags": ["VIP"]})

    assert [(row["lead_id"], row["outcome"]) for row in data(result)["results"]] == [(i, "applied") for i in ids]
    assert "left out" in data(result)["note"]
    assert openai.o200k_base().count(text(result)) <= 500


async def test_only_what_was_told_again_whole_says_that_nothing_was_sent(bench: Bench) -> None:
    first, second = _leads(bench, 2)
    lost = [second] * 3

    def refused(request: httpx2.Request) -> None:
        if request.method == "PUT" and lost and request.url.path.endswith(lost[0]):
            lost.pop()
            raise httpx2.ConnectError("refused", request=request)

    call: dict[str, Any] = {"lead_ids": [first, second], "stage": "Qualified"}
    async with bench.client(mode="code") as client:
        call["confirmation"] = data(await client.call_tool("update_stage", call))["confirmation"]
        bench.network.before = refused
        half, rest, again = [data(await client.call_tool("update_stage", call)) for _ in range(3)]

    assert [[row["outcome"] for row in told["results"]] for told in (half, rest)] == [
        ["applied", "not_applied"],
        ["applied", "applied"],
    ]
    assert rest["replayed"] is True
    assert "note" not in rest, "the second was sent now"
    assert again["note"] == "Nothing was sent now: this tells again what became of it before."
    assert len(bench.sent()) == 2
