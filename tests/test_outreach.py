"""Who may be reached, how, where and when: each rule, their order, and every clock that a state may live by."""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lofty_mcp.guard.outreach import (
    Channel,
    ContactPolicy,
    May,
    MayNot,
    Rule,
    contact_decision,
    destination,
)
from lofty_mcp.guard.zones import countries, local_time
from lofty_mcp.models.leads import LeadRecord

NOON = datetime(2026, 6, 3, 18, tzinfo=UTC)
"""Noon in Denver, 8:00 in Honolulu, 14:00 in New York."""
NIGHT = NOON + timedelta(hours=12)
POLICY = ContactPolicy("America/Denver", daily_cap=50)
TAGGED = replace(POLICY, consent="tagged", consent_tags=("Consent: texts",))
CHANNELS: tuple[Channel, ...] = get_args(Channel)
HOME, MOBILE, ADDRESS = "9705550001", "(720) 555-0002", "ana@mail.example"
EVERYBODY: dict[str, Any] = {
    "leadId": 1,
    "state": "CO",
    "phones": [HOME, MOBILE],
    "phoneStatuses": [2, 3],
    "emails": [ADDRESS, "ana@work.example"],
}
RESTRICTIONS: dict[str, dict[str, Any]] = {
    "permission": {"cannotText": True, "cannotEmail": True, "cannotCall": True},
    "unsubscribed": {"unsubscription": True},
    "number_status": {"phoneStatuses": [2, 5]},
    "do_not_contact": {"stage": "Do Not Contact"},
    "quiet_hours": {"state": "GU"},
    "destination": {"phones": [], "phoneStatuses": [], "emails": []},
}


def lead(**fields: Any) -> LeadRecord:
    """A lead who may be reached on every channel, but for these fields of Lofty's."""
    return LeadRecord.model_validate(EVERYBODY | fields)


def decided(
    fields: Mapping[str, Any] | None = None,
    channel: Channel = "text",
    now: datetime = NOON,
    policy: ContactPolicy = POLICY,
    sent_today: int = 0,
    to: str | None = None,
) -> str:
    """The rule that refuses, or where it goes."""
    answer = contact_decision(lead(**(fields or {})), channel, now, policy, sent_today=sent_today, to=to)
    return answer.to if isinstance(answer, May) else answer.rule


@pytest.mark.parametrize(
    ("fields", "text", "email", "call"),
    [
        ({}, HOME, ADDRESS, HOME),
        ({"cannotText": True}, "permission", ADDRESS, HOME),
        ({"cannotEmail": True}, HOME, "permission", HOME),
        ({"cannotCall": "yes"}, HOME, ADDRESS, "permission"),
        ({"unsubscription": 1}, HOME, "unsubscribed", HOME),
        # phone statuses: by number, and one that stands for the person
        ({"phoneStatuses": [4, 2]}, MOBILE, ADDRESS, MOBILE),
        ({"phoneStatuses": [1, 3]}, MOBILE, ADDRESS, MOBILE),
        ({"phoneStatuses": [4, 4]}, "number_status", ADDRESS, "number_status"),
        ({"phoneStatuses": [4, 1]}, "number_status", ADDRESS, "number_status"),
        ({"phoneStatuses": [2, 5]}, "number_status", ADDRESS, "number_status"),
        ({"phoneStatuses": [1, 1]}, "destination", ADDRESS, "destination"),
        # a status that is missing, new or odd may be any
        ({"phoneStatuses": []}, "number_status", ADDRESS, "number_status"),
        ({"phoneStatuses": None}, "number_status", ADDRESS, "number_status"),
        ({"phoneStatuses": [2]}, "number_status", ADDRESS, "number_status"),
        ({"phoneStatuses": [2, 2, 2]}, "number_status", ADDRESS, "number_status"),
        ({"phoneStatuses": [0, 9]}, "number_status", ADDRESS, "number_status"),
        ({"phoneStatuses": [2, "?"]}, "number_status", ADDRESS, "number_status"),
        ({"phones": [HOME, f"+1 {HOME}"], "phoneStatuses": [2, 4]}, "number_status", ADDRESS, "number_status"),
        # stages, tags and segments that say no, in any spelling
        ({"stage": "Do Not Contact"}, "do_not_contact", "do_not_contact", "do_not_contact"),
        ({"stage": " DO-NOT  contact\u200b"}, "do_not_contact", "do_not_contact", "do_not_contact"),
        ({"tags": [{"tagName": "do not contact"}]}, "do_not_contact", "do_not_contact", "do_not_contact"),
        ({"tags": [7, "Do Not Contact"]}, "do_not_contact", "do_not_contact", "do_not_contact"),
        ({"segments": ["Do not contact"]}, "do_not_contact", "do_not_contact", "do_not_contact"),
        ({"tags": ["Do Not Contact before June"]}, HOME, ADDRESS, HOME),
        # somewhere to go
        ({"phones": [], "phoneStatuses": []}, "destination", ADDRESS, "destination"),
        ({"phones": ["555-0001", "none"]}, "destination", ADDRESS, "destination"),
        ({"phones": ["9705550001 or 7205550002", MOBILE]}, MOBILE, ADDRESS, MOBILE),
        ({"phones": ["970-555-0001 x12", MOBILE]}, MOBILE, ADDRESS, MOBILE),
        ({"emails": []}, HOME, "destination", HOME),
        ({"emails": ["ana at mail", "ana@@mail.example", "ana@mail", "a b@mail.example"]}, HOME, "destination", HOME),
        ({"emails": ["unknown", "ana@work.example"]}, HOME, "ana@work.example", HOME),
    ],
)
def test_a_lead_is_reached_where_nothing_speaks_against_it(
    fields: dict[str, Any], text: str, email: str, call: str
) -> None:
    assert [decided(fields, channel) for channel in CHANNELS] == [text, email, call]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "consent"),
        ({"tags": ["Buyer"], "segments": ["Denver"]}, "consent"),
        ({"tags": ["CONSENT: TEXTS"]}, HOME),
        ({"segments": ["consent: texts"]}, HOME),
        ({"tags": ["No consent: texts"]}, "consent"),
        ({"stage": "Consent: texts"}, "consent"),
    ],
)
def test_where_consent_is_asked_for_a_tag_or_segment_records_it(fields: dict[str, Any], expected: str) -> None:
    assert decided(fields, policy=TAGGED) == expected
    assert decided(fields, policy=replace(TAGGED, consent="not_opted_out")) == HOME


@pytest.mark.parametrize("names", [(), ("",), ("...",)])
def test_consent_that_no_tag_can_record_is_never_given(names: tuple[str, ...]) -> None:
    assert decided({"tags": ["...", "-"]}, policy=replace(TAGGED, consent_tags=names)) == "consent"


@pytest.mark.parametrize(
    ("states", "hour", "reached"),
    [
        (["CO"], "14:00", True),  # 8:00 in Denver in summer
        (["CO"], "13:59", False),
        (["CO"], "02:59", True),
        (["CO"], "03:00", False),
        (["TN"], "12:30", False),  # 8:30 in Knoxville, 7:30 in Memphis
        (["TN"], "13:00", True),
        (["TN"], "01:30", False),  # 21:30 in Knoxville
        (["PR"], "12:00", True),
        (["HI"], "17:59", False),
        # several states: all of them
        (["CO", "ME"], "14:00", True),
        (["CO", "ME"], "01:00", False),
        # nobody knows: from 8:00 in Honolulu to 21:00 in New York
        ([""], "18:00", True),
        ([""], "17:59", False),
        ([None], "00:59", True),
        (["Atlantis"], "01:00", False),
        (["CO", "Atlantis"], "17:59", False),
        (["CO", ""], "14:00", True),
        ([7], "17:59", False),
    ],
)
def test_texts_and_calls_keep_to_the_day_of_every_zone_of_the_state(
    states: list[Any], hour: str, reached: bool
) -> None:
    now = datetime.fromisoformat(f"2026-06-03T{hour}:00+00:00")
    where = {"state": states[0], "leadPropertyList": [{"id": 1, "state": state} for state in states[1:]]}
    expected = HOME if reached else "quiet_hours"
    assert [decided(where, channel, now) for channel in CHANNELS] == [expected, ADDRESS, expected]


def test_the_state_of_a_property_counts_where_the_lead_has_none() -> None:
    where = {"state": None, "leadPropertyList": [{"id": 1, "state": "Tennessee"}]}
    assert decided(where, now=NOON.replace(hour=14)) == HOME
    assert decided(where, now=NOON.replace(hour=1)) == "quiet_hours"


@pytest.mark.parametrize(
    ("state", "first", "last"),
    [
        # Denver before, on and after the days on which clocks change there
        ("CO", "2026-03-07T15:00", "2026-03-08T03:59"),
        ("CO", "2026-03-08T14:00", "2026-03-09T02:59"),
        ("CO", "2026-10-31T14:00", "2026-11-01T02:59"),
        ("CO", "2026-11-01T15:00", "2026-11-02T03:59"),
        # Arizona keeps standard time, the Navajo Nation in it does not
        ("AZ", "2026-03-07T15:00", "2026-03-08T03:59"),
        ("AZ", "2026-07-01T15:00", "2026-07-02T02:59"),
        # no change in Hawaii and Puerto Rico
        ("HI", "2026-03-08T18:00", "2026-03-09T06:59"),
        ("HI", "2026-12-01T18:00", "2026-12-02T06:59"),
        ("PR", "2026-07-01T12:00", "2026-07-02T00:59"),
        ("PR", "2026-12-01T12:00", "2026-12-02T00:59"),
    ],
)
def test_the_day_begins_and_ends_by_the_clocks_of_that_day(state: str, first: str, last: str) -> None:
    begin, end = (datetime.fromisoformat(f"{moment}:00+00:00") for moment in (first, last))
    moments = (begin - timedelta(minutes=1), begin, end, end + timedelta(minutes=1))
    assert [decided({"state": state}, now=now) for now in moments] == ["quiet_hours", HOME, HOME, "quiet_hours"]


def test_hours_can_be_narrowed_and_not_widened() -> None:
    office = replace(POLICY, first_hour=9, last_hour=17)
    assert [decided(policy=office, now=NOON.replace(hour=hour)) for hour in (14, 15, 22, 23)] == [
        *("quiet_hours", HOME, HOME, "quiet_hours")
    ]
    for hours in ((7, 21), (8, 22), (12, 12), (20, 9)):
        with pytest.raises(ValueError, match="between 8 and 21"):
            replace(POLICY, first_hour=hours[0], last_hour=hours[1])


@pytest.mark.parametrize(("sent_today", "expected"), [(0, HOME), (49, HOME), (50, "daily_cap"), (51, "daily_cap")])
def test_no_more_go_out_in_a_day_than_the_cap(sent_today: int, expected: str) -> None:
    assert decided(sent_today=sent_today) == expected


def test_a_time_without_an_offset_decides_nothing() -> None:
    with pytest.raises(ValueError, match="offset"):
        decided(now=NOON.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("channel", "to", "fields", "expected"),
    [
        ("text", "(970) 555-0001", {}, HOME),
        ("text", "+1 970.555.0001", {}, HOME),
        ("call", "7205550002", {}, MOBILE),
        ("email", " ANA@work.example ", {}, "ana@work.example"),
        ("text", "7205550002", {"phoneStatuses": [2, 4]}, "number_status"),
        ("text", "9705550001", {"phoneStatuses": [2, 4]}, HOME),
        ("text", "9705550001", {"phoneStatuses": [2, 5]}, "number_status"),
        ("text", "9705550009", {}, "destination"),
        ("text", "97055500017205550002", {}, "destination"),
        ("text", ADDRESS, {}, "destination"),
        ("text", "", {"phones": ["", HOME]}, "destination"),
        ("email", HOME, {}, "destination"),
        ("email", "ana@mail.example, eve@evil.example", {}, "destination"),
        ("email", "", {"emails": ["", ADDRESS]}, "destination"),
        ("email", "nobody", {"emails": ["nobody", ADDRESS]}, "destination"),
    ],
)
def test_only_the_leads_own_numbers_and_addresses_are_used(
    channel: Channel, to: str, fields: dict[str, Any], expected: str
) -> None:
    answer = destination(lead(**fields), channel, to)
    assert (answer.to if isinstance(answer, May) else answer.rule) == expected
    assert decided(fields, channel, to=to) == expected


def _restricted(rules: frozenset[str], channel: Channel, *, to: str | None = None) -> May | MayNot:
    fields: dict[str, Any] = {}
    for rule in sorted(rules & set(RESTRICTIONS)):
        fields |= RESTRICTIONS[rule]  # in this order a lead without numbers keeps a status that speaks for the person
    policy = TAGGED if "consent" in rules else POLICY
    sent = POLICY.daily_cap if "daily_cap" in rules else 0
    return contact_decision(lead(**fields), channel, NOON, policy, sent_today=sent, to=to)


RULES: tuple[Rule, ...] = get_args(Rule)
SUBSETS = [
    frozenset(rule for place, rule in enumerate(RULES) if number >> place & 1) for number in range(2 ** len(RULES))
]


@pytest.mark.parametrize(
    ("channel", "silent"),
    [("text", {"unsubscribed"}), ("call", {"unsubscribed"}), ("email", {"number_status", "quiet_hours"})],
)
def test_whatever_is_restricted_the_first_rule_in_order_answers(channel: Channel, silent: set[str]) -> None:
    for rules in SUBSETS:
        answer = _restricted(rules, channel)
        first = next((rule for rule in RULES if rule in rules - silent), None)
        assert (answer.rule if isinstance(answer, MayNot) else None) == first, sorted(rules)


@pytest.mark.parametrize("rules", [{rule} for rule in RULES])
def test_a_refusal_is_one_sentence_without_anybodys_number_or_address(rules: set[str]) -> None:
    for channel in CHANNELS:
        answer = _restricted(frozenset(rules), channel)
        if isinstance(answer, MayNot):
            said = answer.why.removesuffix(" Nothing was sent.")
            assert said != answer.why
            assert said.endswith((".", ")."))
            assert not [word for word in (HOME, MOBILE, "555", "@") if word in said]


OPT_OUTS = ("permission", "unsubscribed", "number_status", "do_not_contact")
ANY_POLICY = st.builds(
    ContactPolicy,
    st.sampled_from(["America/Denver", "UTC", "Asia/Tokyo", ""]),
    st.integers(0, 1000),
    st.sampled_from(["not_opted_out", "tagged"]),
    st.lists(st.sampled_from(["Consent", "Do Not Contact", ""])).map(tuple),
    st.just(("Do Not Contact",)),
    st.integers(8, 14),
    st.integers(15, 21),
)
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone


@given(
    rule=st.sampled_from(OPT_OUTS),
    policy=ANY_POLICY,
    now=MOMENTS,
    sent_today=st.integers(0, 10),
    to=st.none() | st.sampled_from([HOME, MOBILE, ADDRESS, "+19705550001"]) | st.text(max_size=20),
    channel=st.sampled_from(CHANNELS),
)
def test_no_argument_and_no_policy_overrides_an_opt_out(
    rule: Rule, policy: ContactPolicy, now: datetime, sent_today: int, to: str | None, channel: Channel
) -> None:
    assume((rule, channel) not in {("unsubscribed", "text"), ("unsubscribed", "call"), ("number_status", "email")})
    answer = contact_decision(lead(**RESTRICTIONS[rule]), channel, now, policy, sent_today=sent_today, to=to)
    assert isinstance(answer, MayNot)
    assert answer.rule == rule


FLAGS: st.SearchStrategy[Any] = st.sampled_from([None, False, True, 0, 1, "yes", []])
WORDS = st.sampled_from(["Do Not Contact", "do not contact", "Consent: texts", "Buyer", "", 7, None])
LEADS = st.fixed_dictionaries(
    {
        "cannotText": FLAGS,
        "cannotCall": FLAGS,
        "cannotEmail": FLAGS,
        "unsubscription": FLAGS,
        "phones": st.lists(st.sampled_from([HOME, MOBILE, "12", f"+1 {HOME}"]), max_size=3),
        "phoneStatuses": st.lists(st.integers(0, 6), max_size=3),
        "emails": st.lists(st.sampled_from([ADDRESS, "nobody"]), max_size=2),
        "stage": WORDS,
        "tags": st.lists(WORDS, max_size=2),
        "segments": st.lists(WORDS, max_size=2),
        "state": st.sampled_from(["CO", "HI", "GU", "", "Atlantis", None]),
    }
)
FURTHER = st.sampled_from(
    [
        lambda one: {"cannotText": True},
        lambda one: {"cannotCall": True},
        lambda one: {"cannotEmail": True},
        lambda one: {"unsubscription": True},
        lambda one: {"phoneStatuses": [4 for _ in one["phoneStatuses"]]},
        lambda one: {"phoneStatuses": [*one["phoneStatuses"][:-1], 5]},
        lambda one: {"stage": "DO NOT CONTACT"},
        lambda one: {"tags": [*one["tags"], "Do Not Contact"]},
        lambda one: {"leadPropertyList": [{"state": "HI"}]} if one["state"] else {},
        lambda one: {"emails": [], "phones": []},
    ]
)


@given(LEADS, FURTHER, ANY_POLICY, MOMENTS, st.sampled_from(CHANNELS))
def test_a_further_restriction_never_opens_what_was_closed(
    fields: dict[str, Any], further: Any, policy: ContactPolicy, now: datetime, channel: Channel
) -> None:
    def may(fields: dict[str, Any], policy: ContactPolicy, sent_today: int) -> bool:
        one = LeadRecord.model_validate({"leadId": 1} | fields)
        return isinstance(contact_decision(one, channel, now, policy, sent_today=sent_today), May)

    if not may(fields, policy, 3):
        assert not may(fields | further(fields), policy, 3)
        assert not may(fields, replace(policy, consent="tagged"), 3)
        assert not may(fields, replace(policy, first_hour=14, last_hour=15), 3)
        assert not may(fields, policy, 4)


PUBLISHED = tomllib.loads((files("lofty_mcp.guard") / "states.toml").read_text(encoding="utf-8"))
STATES = {code: set(state["zones"]) for country in ("US", "CA") for code, state in PUBLISHED[country].items()}
COUNTRY = {zone for zone, country in countries().items() if country == "US"}


def _changes(zone: str) -> list[datetime]:
    """The days of 2026 and 2027 after which the clocks of `zone` have been put forward or back."""
    days = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(2 * 365)]
    return [a for a, b in pairwise(days) if local_time(a, zone).utcoffset() != local_time(b, zone).utcoffset()]


CHANGES = _changes("America/Denver") + _changes("America/St_Johns")


def test_clocks_are_changed_where_they_are() -> None:
    assert len(CHANGES) == 8
    assert [_changes(zone) for zone in ("America/Phoenix", "Pacific/Honolulu", "America/Puerto_Rico")] == [[], [], []]


@given(
    states=st.lists(st.sampled_from([*STATES, "Atlantis"]), max_size=2),
    now=MOMENTS
    | st.builds(lambda day, by: day + timedelta(minutes=by), st.sampled_from(CHANGES), st.integers(-1440, 2880)),
    channel=st.sampled_from(["text", "call"]),
)
def test_a_text_or_call_may_go_out_exactly_when_it_is_day_in_every_zone(
    states: list[str], now: datetime, channel: Channel
) -> None:
    where = {"state": None, "leadPropertyList": [{"state": state} for state in states]}
    answer = contact_decision(lead(**where), channel, now, POLICY, sent_today=0)

    known = all(state in STATES for state in states) and states
    zones = set[str]().union(*(STATES.get(state, set()) for state in states), set() if known else COUNTRY)
    assert isinstance(answer, May) == all(8 <= local_time(now, zone).hour < 21 for zone in zones)
