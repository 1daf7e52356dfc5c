"""remove_tag through a real client, and what takes a lead out of do-not-contact; add_tag is in test_tools_moves."""

from typing import Any

import pytest

from lofty_mcp.models.results import RowResult
from tests.support.cases import rest_slow
from tests.support.world import ERAS, MARK, Bench, Person, data, error

LEAD = "/v1.0/leads/{id}"
BARRED = "Do Not Contact"


def _lead(bench: Bench, *tags: str, stage: str = "New Lead") -> str:
    lead_id = bench.visible_lead()
    bench.world.update_lead(int(lead_id), tags=list(tags), stage=stage)
    return lead_id


def _tags(bench: Bench, lead_id: str) -> set[str]:
    return {tag["tagName"] for tag in bench.world.lead(int(lead_id))["tags"]}


async def _remove(bench: Bench, lead_id: str, *tags: str, **settings: Any) -> dict[str, Any]:
    async with bench.client(**{"mode": "auto", **settings}) as client:
        result = data(await client.call_tool("remove_tag", {"lead_ids": [lead_id], "tags": list(tags)}))
    return dict(result["results"][0])


@pytest.mark.parametrize("era", rest_slow(*ERAS))
async def test_a_tag_is_taken_off_in_one_request_and_the_undo_puts_it_on_again(bench: Bench, era: str) -> None:
    lead_id, person = _lead(bench, "Buyer", "VIP"), Person()
    async with bench.client(era=era, person=person) as client:
        call = {"lead_ids": lead_id, "tags": ["VIP", "Seller"]}
        [row] = data(await client.call_tool("remove_tag", call))["results"]
        left = _tags(bench, lead_id)
        [undone] = data(await client.call_tool(row["undo"]["tool"], row["undo"]["arguments"]))["results"]

    assert row == {
        "lead_id": lead_id,
        "outcome": "applied",
        "before": {"tags": ["Buyer", "VIP"]},
        "after": {"tags": ["Buyer"]},
        "undo": {"tool": "add_tag", "arguments": {"lead_ids": [lead_id], "tags": ["VIP"]}},
    }
    assert left == {"Buyer"}
    assert bench.sent() == [
        ("PUT", f"/v1.0/leads/{lead_id}", {"tagsRemove": ["VIP"]}),
        ("PUT", f"/v1.0/leads/{lead_id}", {"tagsAdd": ["VIP"]}),
    ]
    assert undone["outcome"] == "applied"
    assert _tags(bench, lead_id) == {"VIP", "Buyer"}
    assert len(person.asked) == 1, "adding a tag the account has is not asked about"
    assert f"({lead_id}): tags - VIP\n" in person.asked[0]


async def test_a_tag_that_is_not_on_the_lead_to_the_letter_is_no_change(bench: Bench) -> None:
    lead_id = _lead(bench, "VIP", "Buyer")
    async with bench.client(mode="auto") as client:
        for tag in ("Seller", "vip", "VIP+", "*", "<b></b>", "VIP, Buyer"):
            [row] = data(await client.call_tool("remove_tag", {"lead_ids": lead_id, "tags": [tag]}))["results"]
            assert row["outcome"] == "no_change", tag

    assert bench.sent() == []


@pytest.mark.parametrize("raw", rest_slow("<b>Hot</b>", "Hot ", "  Hot", "Ho&#116;", "Hot\u200b"))
async def test_a_tag_is_named_as_it_is_shown_and_taken_off_as_lofty_spells_it(bench: Bench, raw: str) -> None:
    lead_id = _lead(bench, raw, "VIP")
    row = await _remove(bench, lead_id, "Hot")

    assert row["outcome"] == "applied"
    assert bench.sent()[0][2] == {"tagsRemove": [raw]}
    assert _tags(bench, lead_id) == {"VIP"}


async def test_a_tag_that_cannot_be_named_to_add_tag_has_no_undo(bench: Bench) -> None:
    row = await _remove(bench, _lead(bench, "Denver, CO"), "Denver, CO")

    assert row["outcome"] == "applied"
    assert "undo" not in row


@pytest.mark.parametrize(
    ("fault", "outcome"),
    rest_slow(
        ("reset_after", "applied"),
        ("half_body", "applied"),
        ("status_after=500", "applied"),
        ("reset_before", "unknown"),
        ("status=503", "unknown"),
        ("status=403", "not_applied"),
    ),
)
async def test_what_became_of_a_tag_is_told_by_the_record(bench: Bench, fault: str, outcome: str) -> None:
    lead_id = _lead(bench, "Buyer", "VIP")
    bench.world.faults.next("PUT", LEAD, fault)
    row = await _remove(bench, lead_id, "VIP")

    assert row["outcome"] == outcome
    assert row["after"] == {"tags": ["Buyer"] if outcome == "applied" else ["Buyer", "VIP"]}
    assert ("undo" in row) is (outcome == "applied")
    assert len(bench.sent()) == 1


LOOSENING: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "remove_tag": ({"tags": [BARRED, "VIP"]}, {"tagsRemove": ["VIP", BARRED]}),
    "update_stage": ({"stage": "Qualified"}, {"stage": "Qualified"}),
}
"""What takes a lead out of do-not-contact."""


@pytest.mark.parametrize(
    ("era", "mode"),
    rest_slow(("auto", "auto"), ("legacy", "code"), ("legacy", "auto"), ("auto", "code"), ("auto", "ask")),
)
async def test_leaving_do_not_contact_needs_a_persons_answer_in_every_mode(bench: Bench, era: str, mode: str) -> None:
    lead_id = _lead(bench, "VIP", BARRED, stage=BARRED)
    yes, no = Person(), Person("decline")
    for tool, (arguments, _) in LOOSENING.items():
        call = {"lead_ids": [lead_id], **arguments}
        async with bench.client(era=era, mode=mode) as client:
            refused = error(await client.call_tool(tool, call))
            coded = error(await client.call_tool(tool, {**call, "confirmation": "a" * 16}))
        async with bench.client(era=era, mode=mode, person=no) as client:
            declined = data(await client.call_tool(tool, call))
        assert "needs a person's own answer" in refused
        assert refused.endswith("Nothing was changed.")
        assert coded == refused
        assert declined["status"] == "declined"
    assert bench.sent() == []

    async with bench.client(era=era, mode=mode, person=yes) as client:
        for tool, (arguments, _) in LOOSENING.items():
            [row] = data(await client.call_tool(tool, {"lead_ids": [lead_id], **arguments}))["results"]
            assert row["outcome"] == "applied"

    assert [sent for _, _, sent in bench.sent()] == [sent for _, sent in LOOSENING.values()]
    assert (len(yes.asked), len(no.asked)) == (2, 2)


@pytest.mark.parametrize(
    ("tag", "listed", "asks"),
    rest_slow(("Ｓtop", "Other,STOP", True), ("do not  contact", BARRED, True), (BARRED, "stop", False)),
)
async def test_which_tags_bar_is_the_operators_word_in_any_spelling(
    bench: Bench, tag: str, listed: str, asks: bool
) -> None:
    lead_id, person = _lead(bench, tag), Person()
    shown = " ".join(tag.split())
    async with bench.client(mode="auto", person=person, do_not_contact=listed) as client:
        data(await client.call_tool("remove_tag", {"lead_ids": [lead_id], "tags": [shown]}))

    assert len(person.asked) == int(asks)


async def test_a_lead_barred_between_preview_and_code_is_not_let_out_by_the_code(bench: Bench) -> None:
    lead_id = _lead(bench, "VIP")
    call = {"lead_ids": [lead_id], "tags": [BARRED, "VIP"]}
    async with bench.client(mode="code") as client:
        call["confirmation"] = data(await client.call_tool("remove_tag", call))["confirmation"]
        bench.world.update_lead(int(lead_id), tags=["VIP", BARRED])
        refused = error(await client.call_tool("remove_tag", call))

    assert "needs a person's own answer" in refused
    assert bench.sent() == []


@pytest.mark.slow
async def test_six_leads_need_a_client_that_can_ask(bench: Bench) -> None:
    ids = bench.visible_leads(6)
    for lead_id in ids:
        bench.world.update_lead(int(lead_id), tags=["VIP"])
    async with bench.client() as client:
        refused = error(await client.call_tool("remove_tag", {"lead_ids": ids, "tags": ["VIP"]}))

    assert "More than five leads" in refused
    assert bench.sent() == []


async def test_a_hidden_leads_tags_are_not_there_to_be_taken_off(bench: Bench) -> None:
    hidden, missing = bench.hidden_lead(MARK), "1100000999999999"
    bench.world.update_lead(int(hidden), tags=["VIP", BARRED])
    told = []
    async with bench.client(mode="auto") as client:
        for lead_id in (missing, hidden):
            said = error(await client.call_tool("remove_tag", {"lead_ids": [lead_id], "tags": ["VIP", BARRED]}))
            told.append(said.replace(lead_id, "#"))

    assert told[0] == told[1]
    assert bench.sent() == []


@pytest.mark.parametrize(("tools", "offered"), [(("remove_tag", "add_tag"), True), (("remove_tag",), False)])
def test_an_undo_is_offered_to_who_may_call_it(tools: tuple[str, ...], offered: bool) -> None:
    row = RowResult(lead_id="1", outcome="applied", undo={"tool": "add_tag", "arguments": {}})

    assert (row.without_undo_but(tools).undo is not None) is offered
