"""Masked mode: initials and last digits of leads, everywhere, while ids, codes, times and the team's words stay."""

import json
import re
from collections.abc import Iterator
from itertools import repeat
from typing import Annotated, Any, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.types import TextResourceContents

from lofty_mcp.guard.plans import NamedApproval
from lofty_mcp.models.base import Upstream
from lofty_mcp.models.clean import clean
from lofty_mcp.models.leads import LeadRecord
from lofty_mcp.models.masking import FIELDS, MASK, SMALL_WORDS, Masking
from lofty_mcp.models.people import Member
from lofty_mcp.server import INSTRUCTIONS, MASKED
from tests.support.canaries import Tour
from tests.support.outsiders import Outsider
from tests.support.world import ANA, ERAS, MARK, Bench, Person, data, error, rows

LEAD_ID = "1100000000000228"
TEAM = [
    Member(first_name="Mark", last_name="Silva", email="mark.silva@summitpeak.example"),
    Member(first_name="Chris", last_name="Lee", email="chris.lee@summitpeak.example"),
]


def record(**fields: Any) -> LeadRecord:
    """A lead with these fields of Lofty's."""
    return LeadRecord.model_validate({"leadId": LEAD_ID, **fields})


REYES = record(
    firstName="Ana",
    lastName="Reyes",
    emails=["Ana.Reyes@mail.example"],
    phones=["3035550142", "442079460958"],
    birthday="05/11/1980",
    referredBy="Otto Quist",
    leadPropertyList=[{"streetAddress": "12 Oak Street"}],
    leadInquiry={"locations": [{"streetAddress": "7 Elm Row", "city": "Denver"}]},
    leadFamilyMemberList=[{"firstName": "Jo", "lastName": "Li", "emails": ["jo@x.example"], "birthday": "3 May"}],
    assignedUser="Mark Silva",
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ana Reyes", "A••• R•••"),
        ("Reyes, Ana", "R•••, A•••"),
        ("ana's house; REYES-Smith", "A•••'s house; R•••-Smith"),
        ("Anatole and Reyeson", "Anatole and Reyeson"),
        ("ana.reyes@mail.example", "a•••@•••"),
        ("Write to bob+x@post.example.", "Write to b•••@•••."),
        ("303-555-0142, (303) 555 0142, +1 303.555.0142, 3035550142, 555-0142", ", ".join(["•••0142"] * 5)),
        ("+44 20 7946 0958 or 442079460958 or 020 7946 0958", "•••0958 or •••0958 or •••0958"),
        ("Call 720 555 0199", "Call •••0199"),
        ("born 05/11/1980, not 06/11/1980", "born •••, not 06/11/1980"),
        ("at 12 oak street or 7 Elm Row", "at ••• or •••"),
        ("Otto Quist says", "O••• Q••• says"),
        ("Jo Li, or Jo; jo and li are words", "J••• L•••, or J•••; jo and li are words"),
        ("2026-11-20T17:00:00-07:00 and 2026-11-20", "2026-11-20T17:00:00-07:00 and 2026-11-20"),
        ("01/05/2026 5:30 PM", "01/05/2026 5:30 PM"),
        ("$450,000 or 450000-500000, 900-1200 sqft, 1850 sqft", "$450,000 or 450000-500000, 900-1200 sqft, 1850 sqft"),
        (f"- Ana Reyes ({LEAD_ID}): stage", f"- A••• R••• ({LEAD_ID}): stage"),
        ("(reference 05d0f612)", "(reference 05d0f612)"),
        ("Chris Lee <chris.lee@summitpeak.example>", "Chris Lee <chris.lee@summitpeak.example>"),
        ("", ""),
    ],
)
def test_what_is_personal_in_a_text_is_masked_and_nothing_else(text: str, shown: str) -> None:
    masking = Masking([REYES], TEAM)

    assert masking.text(text) == shown
    assert masking.text(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Please call Ana Rey… (+12 characters)", "Please call A••• •••… (+12 characters)"),
        ("Please call 303-555-0… (+2 characters)", "Please call •••… (+2 characters)"),
        ("Please write to ana.reyes@ma… (+9 characters)", "Please write to •••… (+9 characters)"),
        ("It is 12 Oak Str… (+3 characters)", "It is •••… (+3 characters)"),
        ("… (+3 that stay)", "… (+3 that stay)"),
    ],
)
def test_the_torn_end_of_a_text_that_was_cut_tells_nothing(text: str, shown: str) -> None:
    assert Masking([REYES], TEAM).text(text) == shown


@pytest.mark.parametrize(
    ("lead", "text", "shown"),
    [
        ({"firstName": "小明", "lastName": "王"}, "请联系小明 王先生", "请联系小••• 王先生"),
        ({"firstName": "प्रिया", "lastName": "नायर"}, "प्रिया से बात", "प••• से बात"),
        ({"firstName": "Zoë", "lastName": "Müller"}, "ZOË MÜLLER", "Z••• M•••"),
    ],
)
def test_a_name_is_found_in_any_writing(lead: dict[str, str], text: str, shown: str) -> None:
    assert Masking([record(**lead)], []).text(text) == shown


@pytest.mark.parametrize(
    ("lead", "shown"),
    [
        ({"firstName": "Mark", "lastName": "Jones"}, "Mark Silva, M•••, J•••"),
        ({"firstName": "Mark", "lastName": "Silva"}, "M••• S•••, M•••, Jones"),
    ],
)
def test_a_colleague_stays_whole_beside_a_lead_of_the_same_first_name_but_not_of_the_same_name(
    lead: dict[str, str], shown: str
) -> None:
    assert Masking([record(**lead)], TEAM).text("Mark Silva, Mark, Jones") == shown


def test_a_colleagues_address_that_is_a_leads_too_is_masked() -> None:
    assert Masking([record(emails=["Mark.Silva@summitpeak.example"])], TEAM).text(MARK) == "m•••@•••"


def test_ids_codes_times_and_words_of_the_team_are_left_and_all_else_is_masked() -> None:
    payload = {
        "lead_id": LEAD_ID,
        "note_id": "3035550142",
        "first_name": "Ana",
        "emails": ["ana.reyes@mail.example"],
        "phones": ["303 555 0142"],
        "birthday": "5/11/80",
        "stage": "Reyes",
        "tags": ["Ana", "VIP"],
        "created_at": "2026-11-20T17:00:00-07:00",
        "confirmation": "ana-303-555-0142",
        "score": 3035550142,
        "custom_fields": {"stage": "Ana's"},
        "assigned_to": {"name": "Mark Silva", "email": MARK},
    }

    assert Masking([REYES], TEAM).payload(payload) == payload | {
        "first_name": "A•••",
        "emails": ["a•••@•••"],
        "phones": ["•••0142"],
        "birthday": MASK,
        "custom_fields": {"stage": "A•••'s"},
    }


def test_the_cells_of_a_table_are_masked_by_their_column() -> None:
    columns = ["lead_id", "name", "tags", "outcome"]
    table = {"columns": columns, "rows": [[LEAD_ID, "Ana Reyes", "Ana", "Ana called"]], "note": "Ana"}

    shown = Masking([REYES], []).payload(table)

    assert shown == table | {"rows": [[LEAD_ID, "A••• R•••", "Ana", "A••• called"]], "note": "A•••"}


@pytest.mark.parametrize(
    ("arguments", "offered"), [({"stage": "Reyes"}, True), ({"text": "Ana"}, False), ({"first_name": "Zoe"}, False)]
)
def test_an_undo_that_would_write_masked_values_is_not_offered(arguments: dict[str, str], offered: bool) -> None:
    undo = {"tool": "x", "arguments": {"lead_id": LEAD_ID, **arguments}}

    shown = Masking([REYES], []).payload({"results": [{"lead_id": LEAD_ID, "undo": undo}]})

    assert shown == {"results": [{"lead_id": LEAD_ID} | ({"undo": undo} if offered else {})]}


NAMES = st.text(st.characters(categories=["Lu", "Ll"], exclude_characters="ªº"), min_size=3, max_size=12).filter(
    lambda name: name.lower() not in SMALL_WORDS
)
PHONES = st.from_regex(r"[2-9][0-9]{9}", fullmatch=True)
EMAILS = st.from_regex(r"[a-z][a-z0-9.]{0,8}@[a-z]{1,8}\.example", fullmatch=True)
WORDS = st.sampled_from(["called", "about", "2026-11-20", "450,000", LEAD_ID, "•••0142", MASK, "A•••", "", "(", "—"])
GAPS = st.sampled_from([" ", ", ", "\n", ": ", "; ", " / "])


@given(st.data(), NAMES, NAMES, PHONES, EMAILS)
def test_no_known_value_survives_and_masking_again_changes_nothing(
    draw: st.DataObject, first: str, last: str, phone: str, email: str
) -> None:
    spellings = [first, first.upper(), last, last.lower(), phone, f"({phone[:3]}) {phone[3:6]}-{phone[6:]}", email]
    parts = draw.draw(st.lists(st.tuples(WORDS | st.sampled_from(spellings), GAPS), max_size=12))
    text = clean("".join(part + gap for part, gap in parts))
    masking = Masking([record(firstName=first, lastName=last, phones=[phone], emails=[email])], TEAM)

    shown = masking.text(text)

    words = {word.casefold() for word in re.split(r"[\s,:;/()—]+", shown)}
    assert not words & {first.casefold(), last.casefold()}
    assert phone not in re.sub(r"[^\d•]", "", shown)
    assert email not in shown
    assert masking.text(shown) == shown
    assert shown.count(LEAD_ID) == text.count(LEAD_ID)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(["Ana Reyes", "303-555-0142"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["lead_id", "text", "name", "phones", "stage", "first_name"]), inner)
    ),
    max_leaves=12,
)


@given(JSON)
def test_the_shape_of_a_result_survives(value: Any) -> None:
    masking = Masking([REYES], TEAM)

    shown = masking.payload(value)

    assert _shape(shown) == _shape(value)
    assert masking.payload(shown) == shown


def _shape(value: Any, field: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _shape(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_shape(item, field) for item in value]
    return str if isinstance(value, str) and field not in ("lead_id", "stage") else value


NOT_PERSONAL = {
    *("source", "stage", "assigned_user", "tags.tag_name", "custom_role_list.role", "custom_role_list.assignee"),
    "lead_inquiry.property_type",
    *(f"lead_inquiry.locations.{name}" for name in ("city", "county", "state_code", "zip_code", "description")),
    *(f"lead_property_list.{name}" for name in ("city", "state", "zip_code", "county", "property_type", "label")),
    *(f"lead_property_list.{name}" for name in ("listing_status", "note")),
    *("custom_attributes.attribute_name", "custom_attributes.value", "segments", "buying_time_frame", "pre_qual"),
    *(
        "state",
        "house_to_sell",
        "fthb",
        "with_buyer_agent",
        "selling_time_frame",
        "mortgage",
        "buy_house",
        "opportunity",
    ),
    *("with_listing_agent", "lead_family_member_list.relationship", "pond_name", "language", "ownership_scope"),
}
"""Text of a record that says nothing of a person, or is prose and masked where it names one."""


def test_every_text_of_a_record_is_learnt_as_personal_or_named_as_not() -> None:
    texts = dict(_texts(LeadRecord))
    assert texts.keys() > NOT_PERSONAL
    for path in texts.keys() - NOT_PERSONAL:
        value = "12345" if path.endswith("phones") else "Quetzal"
        read = LeadRecord.model_validate(_nested(path.split("."), value, texts[path]))
        assert path.split(".")[-1] in FIELDS, f"{path} is new: learn it as personal, or say that it is not"
        assert Masking([read], []).text(f"see {value} there") != f"see {value} there", path


def _texts(model: type[Upstream], before: str = "") -> list[tuple[str, list[bool]]]:
    """Paths of a model's texts by our names, each with which of its steps are lists."""
    found: list[tuple[str, list[bool]]] = []
    for name, field in model.model_fields.items():
        inner, listed = _inner(field.annotation)
        if isinstance(inner, type) and issubclass(inner, Upstream):
            found += [(f"{name}.{path}", [listed, *steps]) for path, steps in _texts(inner)]
        elif inner is str and not name.endswith("id"):
            found.append((name, [listed]))
    return found


def _inner(annotation: Any) -> tuple[Any, bool]:
    while get_args(annotation):
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) is list:
            return _inner(get_args(annotation)[0])[0], True
        else:
            arms = [_inner(arm)[0] for arm in get_args(annotation)]
            models = [arm for arm in arms if isinstance(arm, type) and issubclass(arm, Upstream)]
            return (models[0] if models else str if str in arms and int not in arms else None), False
    return annotation, False


def _nested(path: list[str], value: str, listed: list[bool]) -> Any:
    inner: Any = _nested(path[1:], value, listed[1:]) if path[1:] else value
    return {path[0]: [inner] if listed[0] else inner}


# Through the server


def _someone(bench: Bench, **fields: Any) -> str:
    """The id of a lead whose name, numbers and notes nobody can mistake."""
    lead_id = bench.visible_lead(stage="New Lead")
    bench.world.update_lead(
        int(lead_id),
        **{
            "firstName": "Quetzal",
            "lastName": "Finkbeiner",
            "emails": ["q.finkbeiner@mail.example"],
            "phones": ["6465550142"],
            **fields,
        },
    )
    bench.world.add_note(int(lead_id), content="Quetzal F. calls from 646-555-0142, or Bob at bob@post.example")
    return lead_id


OF_SOMEONE = ("Quetzal", "Finkbeiner", "q.finkbeiner", "0142646", "6465550142", "646-555", "bob@post")


async def test_a_masked_lead_reads_alike_in_tools_and_resources_and_keeps_its_id(bench: Bench) -> None:
    lead_id = _someone(bench)
    async with bench.client(pii="masked") as client:
        lead = data(await client.call_tool("get_lead", {"lead_id": lead_id, "detail": "full"}))
        found = rows(data(await client.call_tool("search_leads", {"query": "finkbeiner", "detail": "full"})))
        timeline = data(await client.call_tool("get_timeline", {"lead_id": lead_id, "kinds": ["note"]}))
        resource = (await client.read_resource(f"lofty://leads/{lead_id}")).contents[0]
        assert isinstance(resource, TextResourceContents)

    assert (lead["lead_id"], lead["name"], lead["emails"], lead["phones"]) == (
        *(lead_id, "Q••• F•••", ["q•••@•••"], ["•••0142"]),
    )
    assert lead["assigned_to"] == {"user_id": str(bench.user_id(ANA)), "name": "Ana Reyes", "email": ANA}
    assert [(row["lead_id"], row["name"], row["phones"]) for row in found] == [(lead_id, "Q••• F•••", ["•••0142"])]
    assert "Q••• F. calls from •••0142, or Bob at b•••@•••" in json.dumps(timeline, ensure_ascii=False)
    assert json.loads(resource.text)["name"] == "Q••• F•••"
    said = json.dumps([lead, found, timeline, resource.text], ensure_ascii=False)
    assert not [value for value in OF_SOMEONE if value in said]


async def test_a_masked_lead_is_found_by_name_address_and_number(bench: Bench) -> None:
    lead_id = _someone(bench)
    async with bench.client(pii="masked") as client:
        for by in ({"query": "Finkbeiner"}, {"email": "q.finkbeiner@mail.example"}, {"phone": "(646) 555-0142"}):
            assert [row["lead_id"] for row in rows(data(await client.call_tool("search_leads", by)))] == [lead_id]


@pytest.mark.parametrize("era", ERAS)
async def test_a_question_shows_the_masked_name_and_the_write_works_by_id(bench: Bench, era: str) -> None:
    lead_id, person = _someone(bench), Person()
    async with bench.client(era=era, person=person, pii="masked") as client:
        moved = data(await client.call_tool("update_stage", {"lead_ids": [lead_id], "stage": "Qualified"}))

    assert moved["results"][0]["outcome"] == "applied"
    assert f"- Q••• F••• ({lead_id}): stage New Lead → Qualified" in person.asked[0]
    assert not [value for value in OF_SOMEONE if value in person.asked[0]]


async def test_two_steps_show_a_masked_preview_and_take_the_code(bench: Bench) -> None:
    call: dict[str, Any] = {"lead_ids": [_someone(bench)], "assignee": MARK}
    async with bench.client(pii="masked", mode="code") as client:
        shown = data(await client.call_tool("assign_lead", call))
        call["confirmation"] = shown["confirmation"]
        done = data(await client.call_tool("assign_lead", call))

    assert f"Assign to Mark Silva <{MARK}> as Agent?\n- Q••• F••• (" in shown["preview"]
    assert done["status"] == "done"


async def test_masked_values_are_not_written_back(bench: Bench) -> None:
    async with bench.client(pii="masked", mode="auto") as client:
        call = {"lead_ids": [_someone(bench)], "tags": ["Friend of Q•••"], "create_new": True}
        refused = error(await client.call_tool("add_tag", call))

    assert "hold masked text" in refused
    assert refused.endswith("Nothing was changed.")
    assert bench.sent() == []


async def test_what_an_error_names_of_the_team_stays(bench: Bench) -> None:
    async with bench.client(pii="masked") as client:
        refused = error(await client.call_tool("assign_lead", {"lead_ids": [_someone(bench)], "assignee": "Chris Lee"}))

    assert "chris.lee@summitpeak.example" in refused
    assert "christina.lee@summitpeak.example" in refused


async def test_the_client_is_told_that_data_is_masked_and_nothing_of_it_otherwise(bench: Bench) -> None:
    async with bench.client(pii="masked") as client:
        assert client.instructions == f"{INSTRUCTIONS}\n{MASKED}"
    async with bench.client() as client:
        assert MASK not in (client.instructions or "")
        shown = data(await client.call_tool("get_lead", {"lead_id": _someone(bench)}))
    assert shown["name"] == "Quetzal Finkbeiner"


@pytest.mark.parametrize(
    ("shown", "typed", "yes"),
    [
        ("Ana Reyes", "ana  reyes", True),
        ("Ana Reyes", "Ana", False),
        ("Ana Reyes", "A R", False),
        ("A••• R•••", "a r", True),
        ("A••• R•••", "A••• R•••", True),
        ("A••• R•••", "A", False),
        ("A••• R•••", "", False),
    ],
)
def test_whoever_has_to_type_a_name_types_what_is_shown_of_it(shown: str, typed: str, yes: bool) -> None:
    assert NamedApproval(ok=True, name=typed).approves([shown]) is yes


PERSON = {
    "firstName": "Xylophon",
    "lastName": "Finkbeiner",
    "emails": ["x.fink@mail.example"],
    "phones": ["6465550142"],
    "phoneStatuses": [2],
    "birthday": "05/11/1961",
    "referredBy": "Umbrel Tarkas",
    "leadPropertyList": [{"streetAddress": "77 Quagga Lane"}],
    "leadInquiry": {"locations": [{"streetAddress": "8 Ytterby Row"}]},
    "leadFamilyMemberList": [{"firstName": "Ottokar", "lastName": "Vlk", "phones": ["7185550177"]}],
}
PROSE = (
    "Xylophon FINKBEINER of 77 Quagga Lane, born 05/11/1961, calls from (646) 555-0142 or 6465550142, writes from "
    "x.fink@mail.example and zwirbel@post.example, looks at 8 ytterby row, came by Umbrel Tarkas, and is married to "
    "ottokar Vlk, 718.555.0177. "
) * 4
PLAIN = {"stage": "New Lead", "source": "Website", "segments": ["A"], "language": "en", "state": "CO"}
"""The team's own words, which stay."""
BARE = "xylophon|finkbeiner|quagga|ytterby|1961|umbrel|tarkas|ottokar|vlk|x.fink|zwirbel|646\\D*555|718\\D*555"


def _people(bench: Bench) -> Iterator[str]:
    """Leads with the same unmistakable person in every text of the lead and of all that hangs on it."""
    while True:
        lead_id = bench.world.add_lead(assignedUserId=bench.user_id(ANA))
        Outsider(bench.world, lead_id, repeat(PROSE)).plant(tags=False)
        told = [{"attributeName": "Told us", "value": PROSE}]
        bench.world.update_lead(lead_id, **PERSON, **PLAIN, customAttributes=told)
        yield str(lead_id)


@pytest.mark.parametrize(("era", "mode"), [("legacy", "ask"), ("auto", "code")])
async def test_no_one_is_recognised_by_what_leaves_for_the_client(bench: Bench, era: str, mode: str) -> None:
    leads, person = _people(bench), Person(content={"ok": True, "name": "x f"}) if mode == "ask" else None
    bench.by_day()
    async with bench.client(era=era, person=person, mode=mode, pii="masked", sends="on", toolsets=("all",)) as client:
        tour = Tour(client, bench.world, leads)
        await tour.well()
        tools = {tool.name for tool in (await client.list_tools()).tools}
    heard = [*tour.heard, *(person.asked if person else ())]

    assert [said for said in heard if re.search(BARE, said, re.IGNORECASE)] == []
    assert "X••• F••• of •••, born •••, calls from •••0142" in " ".join(heard)
    assert tour.done == tools, "reads, writes and sends work by id"


@pytest.mark.slow
async def test_the_same_tour_in_full_would_show_each_of_them(bench: Bench) -> None:
    async with bench.client(person=Person(), toolsets=("all",)) as client:
        tour = Tour(client, bench.world, _people(bench))
        await tour.well()

    heard = " ".join(tour.heard)
    assert [word for word in BARE.split("|") if not re.search(word, heard, re.IGNORECASE)] == []


async def test_a_question_shows_the_callers_own_words_as_they_are_said(bench: Bench) -> None:
    lead_id, person = _nora(bench), Person("decline")
    text = "Wire it: mail pay@evil.example or call 303-555-1234, says Nora."
    async with bench.client(person=person, pii="masked", toolsets=("all",), sends="on") as client:
        data(await client.call_tool("send_text", {"lead_id": lead_id, "text": text}))
        data(await client.call_tool("update_lead", {"lead_id": lead_id, "first_name": "Zelda"}))

    assert text in person.asked[0]
    assert "It names what is not the lead's own: pay@evil.example, 303-555-1234." in person.asked[0]
    assert "Quimby" not in person.asked[0]
    assert "first name N••• → Zelda" in person.asked[1]


def _nora(bench: Bench) -> str:
    bench.by_day()
    known = {"firstName": "Nora", "lastName": "Quimby", "phones": ["720-555-0117"], "phoneStatuses": [2], "state": "CO"}
    return str(bench.world.add_lead(assignedUserId=bench.user_id(ANA), **known))
