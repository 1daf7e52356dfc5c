"""The daily writes against the second imitation of Lofty: the same verdicts in each of its manners."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.cases import rest_slow
from tests.support.other_lofty import INES, MISSING, Manner, OtherLofty
from tests.support.world import ERAS, Person, error
from tests.test_other_lofty import MANNERS, ask, client_of

DUE = "2099-11-20T16:30:00+00:00"
TEXT = "Tom & Jo: 3 < 4"
MAY: dict[str, Any] = {"toolsets": "all", "mode": "auto", "mark": "off"}
FATES = rest_slow(("lost", "applied"), ("nothing", "unknown"), ("no change", "not_applied"))

CREATIONS: dict[str, tuple[dict[str, Any], str, Callable[[OtherLofty, str], list[dict[str, Any]]]]] = {
    "add_note": ({"text": TEXT}, "note_id", lambda lofty, lead: _papers(lofty, "note", lead)),
    "create_task": ({"text": TEXT, "due": DUE}, "task_id", lambda lofty, lead: _papers(lofty, "task", lead)),
    "log_communication": (
        {"text": TEXT, "kind": "call", "phone": "2065551001"},
        "log_id",
        lambda lofty, lead: _papers(lofty, "log", lead),
    ),
}


def _papers(lofty: OtherLofty, kind: str, lead_id: str) -> list[dict[str, Any]]:
    papers = [paper for paper in lofty.desk.papers.values() if (paper.kind, paper.lead_id) == (kind, lead_id)]
    return [{"number": str(paper.number), "finished": paper.finished, **paper.body} for paper in papers]


@pytest.fixture(params=rest_slow(*MANNERS))
def lofty(request: pytest.FixtureRequest) -> OtherLofty:
    """An account of each manner."""
    return OtherLofty(MANNERS[request.param])


def _quiet(lofty: OtherLofty) -> str:
    """A lead of everybody's, without a history, whose id no JavaScript host holds."""
    lead_id = lofty.plain[8]
    lofty.leads[lead_id] |= {"emails": ["ann@mail.example"], "phones": ["(206) 555-1001"], "leadTypes": [2, 17]}
    lofty.leads[lead_id] |= {"leadInquiry": {"priceMin": 400_000, "priceMax": -1, "propertyType": ["Condo"]}}
    lofty.leads[lead_id] |= {"firstName": "Ann", "lastName": "Lee", "preQual": "No", "phoneStatuses": [2]}
    return lead_id


async def _row(client: Any, tool: str, **arguments: Any) -> dict[str, Any]:
    [row] = (await ask(client, tool, **arguments))["results"]
    return dict(row)


@pytest.mark.parametrize("era", rest_slow(*ERAS))
async def test_what_is_created_is_told_by_its_own_id_and_once(lofty: OtherLofty, era: str) -> None:
    lead_id = _quiet(lofty)
    async with client_of(lofty, era=era, **MAY) as client:
        for tool, (arguments, name, there) in CREATIONS.items():
            row = await _row(client, tool, lead_id=lead_id, **arguments)
            again = await ask(client, tool, lead_id=lead_id, **arguments)
            another = await _row(client, tool, lead_id=lead_id, allow_duplicate=True, **arguments)
            assert (row["outcome"], row["after"]["text"]) == ("applied", TEXT), tool
            assert (again["replayed"], again["results"]) == (True, [row]), tool
            assert [row["after"][name], another["after"][name]] == [paper["number"] for paper in there(lofty, lead_id)]

    assert len(lofty.writes) == 2 * len(CREATIONS)
    assert lofty.desk.sent == []


@pytest.mark.parametrize("alike", rest_slow(1, 0))
@pytest.mark.parametrize(("fate", "said"), FATES)
async def test_a_creation_that_goes_otherwise_is_told_as_it_is(
    lofty: OtherLofty, fate: Any, said: str, alike: int
) -> None:
    lead_id = _quiet(lofty)
    async with client_of(lofty, **MAY) as client:
        for tool, (arguments, name, there) in CREATIONS.items():
            lofty.write = "apply"
            for _ in range(alike):
                await _row(client, tool, lead_id=lead_id, **arguments)
            lofty.write = fate
            before = {paper["number"] for paper in there(lofty, lead_id)}
            row = await _row(client, tool, lead_id=lead_id, allow_duplicate=True, **arguments)
            fresh = {paper["number"] for paper in there(lofty, lead_id)} - before
            assert row["outcome"] == said, tool
            assert ({row["after"][name]} if "after" in row else set()) == fresh, tool

    assert len(lofty.writes) == (1 + alike) * len(CREATIONS)


@pytest.mark.parametrize(("late", "said"), rest_slow((2, "applied"), (1, "applied"), (9, "unknown")))
async def test_what_shows_late_is_waited_for_a_little(late: int, said: str) -> None:
    lofty = OtherLofty(Manner(late=late))
    lead_id = _quiet(lofty)
    async with client_of(lofty, **MAY) as client:
        for tool, (arguments, _, _) in CREATIONS.items():
            assert (await _row(client, tool, lead_id=lead_id, **arguments))["outcome"] == said, tool


ACTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "update_note": ({"text": "New\nwords"}, {"text": "New\nwords", "pinned": True}),
    "complete_task": ({}, {"task": TEXT, "finished": True}),
    "update_lead": (
        {"first_name": "Bea", "qualification": {"pre_qual": "yes"}},
        {"first_name": "Bea", "qualification.pre_qual": "Yes"},
    ),
    "remove_tag": ({"tags": ["investor"]}, {"tags": ["lakeside"]}),
    "delete_lead": ({"reason": "Tom & Jo moved"}, {"in_trash": True}),
}
"""Acts on what is there, in an order in which each finds it, and what each leaves."""


async def _acts(lofty: OtherLofty, client: Any) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Those acts on a lead that has a pinned note, a task and two tags."""
    lead_id = _quiet(lofty)
    wrap = lofty.manner.wrapped_tags
    lofty.leads[lead_id]["tags"] = [{"tagName": name} if wrap else name for name in ("lakeside", "investor")]
    note = await _row(client, "add_note", lead_id=lead_id, text="Old & plain", pin=True)
    task = await _row(client, "create_task", lead_id=lead_id, text=TEXT, due=DUE)
    children = {
        "update_note": {"note_id": note["after"]["note_id"]},
        "complete_task": {"task_id": task["after"]["task_id"]},
    }
    own = {"remove_tag": {"lead_ids": [lead_id]}}
    return [
        (tool, {**own.get(tool, {"lead_id": lead_id}), **children.get(tool, {}), **arguments}, left)
        for tool, (arguments, left) in ACTS.items()
    ]


@pytest.mark.parametrize("era", rest_slow(*ERAS))
async def test_an_act_is_one_request_is_judged_by_what_is_there_and_undone_by_its_own_offer(
    lofty: OtherLofty, era: str
) -> None:
    person = Person(content={"ok": True, "name": "Ann Lee"})
    async with client_of(lofty, era=era, person=person, **MAY | {"mode": "ask", "ask_from": "change"}) as client:
        for tool, arguments, left in await _acts(lofty, client):
            before = len(lofty.writes)
            row = await _row(client, tool, **arguments)
            assert (row["outcome"], row["after"], len(lofty.writes) - before) == ("applied", left, 1), tool
            if "undo" in row:
                undone = await _row(client, row["undo"]["tool"], **row["undo"]["arguments"])
                assert undone["outcome"] == "applied", tool
                assert undone["after"].items() >= row["before"].items(), tool
                assert (await _row(client, tool, **arguments))["outcome"] == "applied", tool
            if tool == "update_lead":
                person.content = {"ok": True, "name": "Bea Lee"}
            if tool != "delete_lead":
                assert (await _row(client, tool, **arguments))["outcome"] == "no_change", tool

    [(_, reason)] = lofty.trash.values()
    assert reason == "Tom & Jo moved"
    assert lofty.desk.sent == []


@pytest.mark.parametrize(("fate", "said"), FATES)
async def test_an_act_that_goes_otherwise_is_told_as_it_is_and_not_sent_twice(
    lofty: OtherLofty, fate: Any, said: str
) -> None:
    async with client_of(lofty, **MAY) as client:
        acts = await _acts(lofty, client)
        lofty.write = fate
        for tool, arguments, left in acts:
            before = len(lofty.writes)
            row = await _row(client, tool, **arguments)
            assert (row["outcome"], len(lofty.writes) - before) == (said, 1), tool
            assert (row["after"] == left) is (said == "applied"), tool


@pytest.mark.parametrize("arrays", ["replace", "merge"])
async def test_lists_and_an_inquiry_survive_a_lofty_that_replaces_and_one_that_merges(arrays: Any) -> None:
    lofty = OtherLofty(Manner(arrays=arrays))
    lead_id = _quiet(lofty)
    lead = lofty.leads[lead_id]
    async with client_of(lofty, **MAY) as client:
        more = await _row(client, "update_lead", lead_id=lead_id, how="add", phones=["303-555-1003"])
        types = await _row(client, "update_lead", lead_id=lead_id, how="add", lead_types=["Seller"])
        inquiry = await _row(client, "update_lead", lead_id=lead_id, inquiry={"price_max": 500_000})
        other = await _row(client, "update_lead", lead_id=lead_id, emails=["bea@mail.example"])

    assert [row["outcome"] for row in (more, types, inquiry)] == ["applied"] * 3
    assert (lead["phones"], lead["leadTypes"]) == (["(206) 555-1001", "303-555-1003"], [2, 17, 1])
    assert {"priceMin": 400_000, "priceMax": 500_000, "propertyType": ["Condo"]}.items() <= lead["leadInquiry"].items()
    # What a merging Lofty keeps is seen and not claimed to be gone.
    assert other["outcome"] == ("applied" if arrays == "replace" else "unknown")
    assert other["after"]["emails"] == lead["emails"]


async def test_a_task_of_a_smart_plan_is_refused_in_words(lofty: OtherLofty) -> None:
    lead_id = _quiet(lofty)
    task_id = str(lofty.desk.plan_task(lead_id))
    async with client_of(lofty, **MAY) as client:
        row = await _row(client, "complete_task", lead_id=lead_id, task_id=task_id)

    assert row["outcome"] == "not_applied"
    assert "smart plan" in row["note"]


async def test_nothing_of_a_hidden_lead_is_written_and_each_says_the_same(lofty: OtherLofty) -> None:
    lofty.desk._lay("note", INES.long, {"leadId": lofty.hidden, "content": "secret"}, late=0)
    calls = {tool: arguments for tool, (arguments, *_) in (CREATIONS | ACTS).items()}
    calls["update_note"] = {**calls["update_note"], "note_id": "9000"}
    calls["complete_task"] = {"task_id": "41000"}
    async with client_of(lofty, **MAY) as client:
        for tool, arguments in calls.items():
            told = set()
            for lead_id in (MISSING, lofty.hidden, lofty.unsaid, lofty.private):
                lead = {"lead_ids": [lead_id]} if tool == "remove_tag" else {"lead_id": lead_id}
                told.add(error(await client.call_tool(tool, {**arguments, **lead})))
            assert len(told) == 1, tool

    assert lofty.writes == []
