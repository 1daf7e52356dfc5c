"""update_lead through a real client: what is sent for it, what is told of it, and what it never does."""

from typing import Any

import pytest

from tests.support.cases import rest_slow
from tests.support.world import ERAS, MARK, Bench, Person, data, error

LEAD = "/v1.0/leads/{id}"
EMAILS, PHONES = ["ann@mail.example", "ann@work.example"], ["(206) 555-1001", "206-555-1002"]
INQUIRY = {
    "priceMin": 400_000,
    "priceMax": -1,
    "propertyType": ["Condo"],
    "bedroomsMin": 3,
    "bedroomsMax": -1,
    "bathroomsMin": "2",
    "bathroomsMax": "",
    "locations": [{"city": "Denver", "stateCode": "CO"}],
}
KNOWN: dict[str, Any] = {
    "priceMin": 400_000,
    "propertyType": ["Condo"],
    "bedroomsMin": 3,
    "bathroomsMin": "2",
    "locations": [{"city": "Denver", "stateCode": "CO"}],
}
"""What is known of that inquiry."""


def _lead(bench: Bench, **fields: Any) -> str:
    lead_id = bench.visible_lead()
    known: dict[str, Any] = {"firstName": "Ann", "lastName": "Lee", "emails": EMAILS, "phones": PHONES}
    known |= {"phoneStatuses": [2, 2], "leadTypes": [2, 17], "leadInquiry": INQUIRY, "preQual": "No", "mortgage": ""}
    known |= dict.fromkeys(("cannotCall", "cannotText", "cannotEmail", "unsubscription"), False)
    bench.world.update_lead(int(lead_id), **{**known, **fields})
    return lead_id


async def _change(bench: Bench, lead_id: str, **arguments: Any) -> dict[str, Any]:
    async with bench.client(mode="auto") as client:
        result = data(await client.call_tool("update_lead", {"lead_id": lead_id, **arguments}))
    return dict(result["results"][0])


async def _refused(bench: Bench, lead_id: str, **arguments: Any) -> str:
    async with bench.client(mode="auto") as client:
        refused = error(await client.call_tool("update_lead", {"lead_id": lead_id, **arguments}))
    assert refused.endswith("Nothing was changed.")
    assert bench.sent() == []
    return refused


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "names": (
        {"first_name": " Bea  Lou ", "last_name": "Lee"},
        {"firstName": "Bea Lou"},
        {"first_name": "Ann", "last_name": "Lee"},
        {"first_name": "Bea Lou", "last_name": "Lee"},
    ),
    "emails": (
        {"emails": ["bea@mail.example", "ANN@mail.example"]},
        {"emails": ["bea@mail.example", "ann@mail.example"]},
        {"emails": EMAILS},
        {"emails": ["bea@mail.example", "ann@mail.example"]},
    ),
    "a number more": (
        {"phones": ["303 555 1003", "2065551002"], "how": "add"},
        {"phones": [*PHONES, "303 555 1003"]},
        {"phones": PHONES},
        {"phones": [*PHONES, "303 555 1003"]},
    ),
    "a type more": (
        {"lead_types": ["Seller", "Buyer"], "how": "add"},
        {"leadTypes": [2, 17, 1]},
        {"lead_types": ["Buyer", "17"]},
        {"lead_types": ["Buyer", "17", "Seller"]},
    ),
    "an inquiry": (
        {"inquiry": {"price_max": 500_000, "bathrooms_min": 2.5, "price_min": 400_000}},
        {"inquiry": {**KNOWN, "priceMax": 500_000, "bathroomsMin": "2.5"}},
        {"inquiry.price_min": 400_000, "inquiry.bathrooms_min": "2"},
        {"inquiry.price_min": 400_000, "inquiry.price_max": 500_000, "inquiry.bathrooms_min": "2.5"},
    ),
    "places": (
        {"inquiry": {"locations": [{"city": "Boulder", "state_code": "CO"}, {"zip_code": "80202"}]}},
        {"inquiry": {**KNOWN, "locations": [{"city": "Boulder", "stateCode": "CO"}, {"zipCode": "80202"}]}},
        {"inquiry.locations": [{"city": "Denver", "state_code": "CO"}]},
        {"inquiry.locations": [{"city": "Boulder", "state_code": "CO"}, {"zip_code": "80202"}]},
    ),
    "answers": (
        {"qualification": {"pre_qual": "yes", "buying_time_frame": "just looking"}},
        {"preQual": "Yes", "buyingTimeFrame": "Just Looking"},
        {"qualification.pre_qual": "No"},
        {"qualification.pre_qual": "Yes", "qualification.buying_time_frame": "Just Looking"},
    ),
    "what is empty": (
        {"first_name": "Bea", "qualification": {"pre_qual": "Yes", "mortgage": "No"}, "how": "only_if_empty"},
        {"mortgage": "No"},
        {"first_name": "Ann", "qualification.pre_qual": "No"},
        {"first_name": "Ann", "qualification.pre_qual": "No", "qualification.mortgage": "No"},
    ),
    "what is forbidden": (
        {"forbid": ["text", "newsletters"]},
        {"cannotText": True, "unsubscription": True},
        {"cannot_text": False, "unsubscription": False},
        {"cannot_text": True, "unsubscription": True},
    ),
}
UNDONE: dict[str, dict[str, Any]] = {
    "names": {"first_name": "Ann"},
    "emails": {"emails": EMAILS},
    "a number more": {"phones": PHONES},
    "places": {"inquiry": {"locations": [{"city": "Denver", "state_code": "CO"}]}},
}
"""Those of them that can be taken back; the others filled what was empty, hold a type without a word, or forbid."""


async def test_a_change_sends_what_changes_and_tells_before_and_after(bench: Bench) -> None:
    async with bench.client(mode="auto") as client:
        for what, (arguments, sent, before, after) in CHANGES.items():
            lead_id, requests = _lead(bench, buyingTimeFrame=""), len(bench.sent())
            call = {"lead_id": lead_id, **arguments}
            row, again = [data(await client.call_tool("update_lead", call))["results"][0] for _ in range(2)]
            assert bench.sent()[requests:] == [("PUT", f"/v1.0/leads/{lead_id}", sent)], what
            assert (row["outcome"], row["before"], row["after"]) == ("applied", before, after), what
            undo = (
                {"tool": "update_lead", "arguments": {"lead_id": lead_id, **UNDONE[what]}} if what in UNDONE else None
            )
            assert row.get("undo") == undo, what
            assert again["outcome"] == "no_change", what


@pytest.mark.parametrize("era", rest_slow(*ERAS))
async def test_each_undo_puts_the_record_back_through_its_ordinary_question(bench: Bench, era: str) -> None:
    lead_id, person = _lead(bench), Person()
    before = {name: value for name, value in bench.world.lead(int(lead_id)).items() if "Time" not in name}
    async with bench.client(era=era, person=person) as client:
        for what, restored in UNDONE.items():
            [row] = data(await client.call_tool("update_lead", {"lead_id": lead_id, **CHANGES[what][0]}))["results"]
            assert row["undo"]["arguments"] == {"lead_id": lead_id, **restored}
            asked = len(person.asked)
            [undone] = data(await client.call_tool(row["undo"]["tool"], row["undo"]["arguments"]))["results"]
            assert (undone["outcome"], len(person.asked)) == ("applied", asked + 1), what
            now = bench.world.lead(int(lead_id))
            assert {name: now[name] for name in before} == before, what


async def test_no_undo_is_offered_that_could_not_put_everything_back(bench: Bench) -> None:
    county = {**INQUIRY, "locations": [{"city": "Denver", "county": "Denver"}]}
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"emails": [f"ann{n}@mail.example" for n in range(11)]}, {"emails": ["bea@mail.example"]}),
        ({"emails": ["none", "ann@mail.example"]}, {"emails": ["bea@mail.example"]}),
        ({"phones": ["ask her"], "phoneStatuses": [2]}, {"phones": ["303-555-1003"]}),
        ({"leadTypes": [17]}, {"lead_types": ["Buyer"]}),
        ({"leadInquiry": {**INQUIRY, "bathroomsMin": "3+"}}, {"inquiry": {"bathrooms_min": 4}}),
        ({"leadInquiry": county}, {"inquiry": {"locations": [{"city": "Boulder"}]}}),
        ({"preQual": "Perhaps"}, {"qualification": {"pre_qual": "Yes"}}),
        ({"lastName": ""}, {"first_name": "Bea", "last_name": "Lou"}),
        ({}, {"first_name": "Bea", "forbid": ["text"]}),
    ]
    async with bench.client(mode="auto") as client:
        for fields, arguments in cases:
            call = {"lead_id": _lead(bench, **fields), **arguments}
            [row] = data(await client.call_tool("update_lead", call))["results"]
            assert row["outcome"] == "applied", arguments
            assert "undo" not in row, arguments


async def test_a_change_that_says_nothing_or_what_lofty_could_not_keep_is_refused(bench: Bench) -> None:
    lead_id = _lead(bench)
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("There is nothing to change: give at least one field.", {}),
        ("There is nothing to change", {"forbid": []}),
        ("There is nothing to change", {"inquiry": {}}),
        ("There is nothing to change", {"qualification": {}}),
        ("emails: must not be empty", {"emails": [], "first_name": "Bea"}),
        ("phones: must not be empty", {"phones": [], "first_name": "Bea"}),
        ("lead_types: must not be empty", {"lead_types": [], "first_name": "Bea"}),
        ("first_name: must not be empty", {"first_name": ""}),
        ("first_name: Lofty cuts it at 30 characters, and this has 31", {"first_name": "n" * 31}),
        ("last_name: holds markup", {"last_name": "<b>Lee</b>"}),
        ("emails: 'ann at work' is not an e-mail address", {"emails": ["ann at work"]}),
        ("emails: at most 10 are taken", {"emails": [f"a{n}@x.example" for n in range(11)]}),
        ("phones: '555-1001' is not a whole telephone number", {"phones": ["555-1001"]}),
        ("phones: '206-555-1001 x9' is not a whole telephone number", {"phones": ["206-555-1001 x9"]}),
        ("lead_types.0:", {"lead_types": ["Tenant"]}),
        ("how=add goes with emails, phones, lead_types, not with first_name", {"how": "add", "first_name": "Bea"}),
        ("not with inquiry.price_min", {"how": "add", "inquiry": {"price_min": 1}, "emails": ["a@x.example"]}),
        ("not with qualification.pre_qual", {"how": "add", "qualification": {"pre_qual": "Yes"}}),
        ("inquiry.price_min: give a number from 0", {"inquiry": {"price_min": -1}}),
        ("inquiry.locations.0", {"inquiry": {"locations": [{}]}}),
        ("inquiry.budget", {"inquiry": {"budget": 1}}),
        ("qualification.pre_qual: one of Yes, No", {"qualification": {"pre_qual": "Perhaps"}}),
        ("qualification.budget", {"qualification": {"budget": "Yes"}}),
        ("forbid.0", {"forbid": ["fax"]}),
        ("There is no argument 'allow'", {"allow": ["text"]}),
        ("There is no argument 'cannot_text'", {"cannot_text": False}),
        ("There is no argument 'stage'", {"stage": "Closed"}),
    ]
    async with bench.client(mode="auto") as client:
        for said, arguments in wrong:
            refused = error(await client.call_tool("update_lead", {"lead_id": lead_id, **arguments}))
            assert said in refused
            assert refused.endswith("Nothing was changed."), arguments

    assert bench.sent() == []


async def test_contact_permissions_only_tighten_and_no_change_here_loosens_them(bench: Bench) -> None:
    barred = dict.fromkeys(("cannotCall", "cannotText", "cannotEmail", "unsubscription"), True)
    lead_id = _lead(bench, **barred)
    row = await _change(bench, lead_id, forbid=["call", "text", "email", "newsletters"])
    await _change(bench, lead_id, first_name="Bea", emails=["bea@mail.example"], phones=["303-555-1003"])

    assert row["outcome"] == "no_change"
    assert {name: bench.world.lead(int(lead_id))[name] for name in barred} == barred
    assert not [name for _, _, sent in bench.sent() for name, value in sent.items() if value is False]


@pytest.mark.parametrize("status", rest_slow(4, 5))
async def test_a_do_not_contact_number_stays_under_its_own_spelling(bench: Bench, status: int) -> None:
    lead_id = _lead(bench, phoneStatuses=[status, 2])
    refused = await _refused(bench, lead_id, phones=["303-555-1003", PHONES[1]])
    respelled = await _change(bench, lead_id, phones=["+1 (206) 555 1001", "303-555-1003"])
    undone = await _change(bench, lead_id, phones=respelled["undo"]["arguments"]["phones"])

    assert "such a number stays" in refused
    assert bench.sent()[0][2] == {"phones": [PHONES[0], "303-555-1003"]}
    assert undone["outcome"] == "applied"
    lead = bench.world.lead(int(lead_id))
    assert (lead["phones"], lead["phoneStatuses"]) == (PHONES, [status, 2])


async def test_where_nobody_can_tell_which_number_is_barred_all_of_them_stay(bench: Bench) -> None:
    lead_id = _lead(bench, phoneStatuses=[4])
    await _refused(bench, lead_id, phones=[PHONES[0]])
    row = await _change(bench, lead_id, phones=["303-555-1003"], how="add")

    assert row["outcome"] == "applied"


@pytest.mark.parametrize("era", ERAS)
async def test_a_number_barred_between_question_and_answer_stays(bench: Bench, era: str) -> None:
    lead_id, person = _lead(bench), Person()
    person.meanwhile = lambda: bench.world.update_lead(int(lead_id), phoneStatuses=[4, 2])
    async with bench.client(era=era, person=person) as client:
        refused = error(await client.call_tool("update_lead", {"lead_id": lead_id, "phones": ["303-555-1003"]}))

    assert "such a number stays" in refused
    assert len(person.asked) == 1
    assert bench.sent() == []


@pytest.mark.parametrize("era", rest_slow(*ERAS))
async def test_the_question_shows_what_changes_and_no_line_of_it_is_the_models(bench: Bench, era: str) -> None:
    lead_id, person = _lead(bench, firstName="Ann\n- Nobody (1): stage → Closed"), Person("decline")
    arguments = {"first_name": "Bea", "last_name": "Lee", "phones": [PHONES[1]], "forbid": ["call"]}
    async with bench.client(era=era, person=person) as client:
        result = data(await client.call_tool("update_lead", {"lead_id": lead_id, **arguments}))

    lines = person.asked[0].splitlines()
    assert result["status"] == "declined"
    assert len(lines) == 3
    assert "first name Ann - Nobody (1): stage -> Closed → Bea" in lines[1]
    assert "phones (206) 555-1001, 206-555-1002 → 206-555-1002" in lines[1]
    assert "cannot call no → yes" in lines[1]
    assert "last name" not in person.asked[0], "what stays need not be read"
    assert bench.sent() == []


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
async def test_what_became_of_a_change_is_told_by_the_record(bench: Bench, fault: str, outcome: str) -> None:
    lead_id = _lead(bench)
    bench.world.faults.next("PUT", LEAD, fault)
    row = await _change(bench, lead_id, first_name="Bea", phones=["303-555-1003"], how="replace")

    assert row["outcome"] == outcome
    assert row["after"]["first_name"] == ("Bea" if outcome == "applied" else "Ann")
    assert ("undo" in row) is (outcome == "applied")
    assert len(bench.sent()) == 1


@pytest.mark.parametrize(("fault", "outcome"), rest_slow(("reset_before", "unknown"), ("status=403", "not_applied")))
async def test_what_others_filled_in_meanwhile_is_not_taken_for_ours(bench: Bench, fault: str, outcome: str) -> None:
    lead_id = _lead(bench, lastName="", mortgage="")
    bench.world.faults.next("PUT", LEAD, fault)

    def others(request: Any) -> None:
        if request.method == "PUT":
            bench.world.update_lead(int(lead_id), lastName="Okafor", mortgage="No")

    bench.network.before = others
    call = {"last_name": "Lee", "qualification": {"mortgage": "Yes"}, "how": "only_if_empty"}
    row = await _change(bench, lead_id, **call)

    assert row["outcome"] == outcome
    assert row["after"] == {"last_name": "Okafor", "qualification.mortgage": "No"}


async def test_a_change_that_lofty_takes_in_part_is_unknown(bench: Bench) -> None:
    lead_id = _lead(bench)

    def in_part(request: Any) -> None:
        if request.method == "PUT":
            bench.world.update_lead(int(lead_id), firstName="Bea")
            bench.world.faults.next("PUT", LEAD, "reset_before")

    bench.network.before = in_part
    row = await _change(bench, lead_id, first_name="Bea", last_name="Lou")

    assert row["outcome"] == "unknown"
    assert row["after"] == {"first_name": "Bea", "last_name": "Lee"}


async def test_a_hidden_lead_is_not_there_to_be_changed_by_others(bench: Bench) -> None:
    hidden, missing, person = bench.hidden_lead(MARK), "1100000999999999", Person()
    told = []
    async with bench.client(person=person) as client:
        for lead_id in (missing, hidden):
            start = len(bench.world.log)
            said = error(await client.call_tool("update_lead", {"lead_id": lead_id, "first_name": "Bea"}))
            paths = [entry.path for entry in bench.world.log[start:] if "leads" in entry.path]
            told.append(str([said, *paths]).replace(lead_id, "#"))

    assert told[0] == told[1]
    assert not person.asked
    assert bench.sent() == []
