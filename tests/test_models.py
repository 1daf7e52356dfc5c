"""Lofty's records as read: lenient about shapes, strict about what restricts."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic.alias_generators import to_snake

from lofty_mcp.models.base import iso, moment, tidy
from lofty_mcp.models.leads import LeadRecord, contact_permissions, lead_view
from lofty_mcp.models.people import Member
from lofty_mcp.models.timeline import note_events, system_events

NOON = datetime(2026, 4, 30, 12, 0, tzinfo=UTC)


def read(**fields: Any) -> LeadRecord:
    """A lead with these fields of Lofty's."""
    return LeadRecord.model_validate(fields)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (1141834283710023, "1141834283710023"),
        ("1141834283710023", "1141834283710023"),
        (" 12 ", "12"),
        (12.0, "12"),
        (2**63 - 1, str(2**63 - 1)),
        (2**63, None),
        (1e19, None),
        (0, None),
        (-1, None),
        ("-1", None),
        ("012", None),
        ("12; drop", None),
        (True, None),
        (None, None),
        ([12], None),
    ],
)
def test_an_id_is_digits_or_nothing(sent: object, expected: str | None) -> None:
    assert read(leadId=sent).lead_id == expected


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("2026-04-30T12:00:00GMT", NOON),
        ("2026-04-30 12:00:00", NOON),
        ("2026-04-30T05:00:00-07:00", NOON),
        ("2026-04-30T12:00:00Z", NOON),
        (1777550400000, NOON),
        ("1777550400000", NOON),
        (0, None),
        (-1, None),
        ("", None),
        ("soon", None),
        (True, None),
        (float("nan"), None),
        (10**30, None),
        ({}, None),
    ],
)
def test_a_time_is_read_in_each_of_loftys_forms_or_not_at_all(sent: object, expected: datetime | None) -> None:
    assert moment(sent) == expected
    assert read(createTime=sent).create_time == expected


@pytest.mark.parametrize("unset", [-1, "-1", -1.0, "", True, None, [], "many"])
def test_an_unset_number_is_absent(unset: object) -> None:
    record = read(leadId=1, score=unset, leadInquiry={"priceMin": unset, "city": "Denver"})
    assert record.score is None
    assert "score" not in lead_view(record, UTC, full=True).payload()


def test_a_zero_is_a_number() -> None:
    assert read(score=0).score == 0


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (["VIP", "Hot"], ["VIP", "Hot"]),
        ([{"tagId": 1, "tagName": "VIP"}, {"tagId": 2, "tagName": "Hot"}], ["VIP", "Hot"]),
        (["VIP", {"tagName": "Hot"}], ["VIP", "Hot"]),
        ([{"tagId": 1}, {"tagName": ""}], []),
        ("VIP", []),
        (None, []),
    ],
)
def test_tags_are_read_as_names_or_as_objects(sent: object, expected: list[str]) -> None:
    assert read(tags=sent).tag_names == expected


@pytest.mark.parametrize("sent", ["false", "False", 0, 1, "", "true", None, [], {}, "no"])
def test_a_hidden_flag_that_is_no_boolean_is_not_taken_for_a_no(sent: object) -> None:
    assert read(hiddenFlag=sent).hidden_flag is None


def test_a_hidden_flag_is_read_if_it_is_a_boolean_and_is_not_guessed_if_it_is_missing() -> None:
    assert read(hiddenFlag=False).hidden_flag is False
    assert read(hiddenFlag=True).hidden_flag is True
    assert read().hidden_flag is None


@pytest.mark.parametrize("sent", [True, 1, "true", "yes", 2, "on", {"on": True}, -1])
@pytest.mark.parametrize("flag", ["privateFlag", "cannotCall", "cannotText", "cannotEmail", "unsubscription"])
def test_a_restriction_that_is_no_plain_no_counts_as_a_yes(flag: str, sent: object) -> None:
    assert getattr(read(**{flag: sent}), to_snake(flag)) is True


@pytest.mark.parametrize("sent", [False, 0, "0", "false", "", None])
def test_a_plain_no_is_no_restriction(sent: object) -> None:
    assert read(privateFlag=sent, cannotText=sent).private_flag is False
    assert contact_permissions(read(cannotText=sent))["text"] is True


@pytest.mark.parametrize(("statuses", "allowed"), [([1, 2], True), ([4], False), ([0, 5], False), ([], True)])
def test_a_number_on_a_do_not_contact_list_closes_calls_and_texts(statuses: list[int], allowed: bool) -> None:
    may = contact_permissions(read(phoneStatuses=statuses))
    assert (may["call"], may["text"], may["email"]) == (allowed, allowed, True)


def test_one_odd_field_does_not_lose_the_record() -> None:
    record = read(leadId=7, firstName=["Ana"], stage={"name": "New"}, emails="a@example.com", assignedUserId="me")
    assert record.lead_id == "7"
    assert (record.first_name, record.stage, record.emails, record.assigned_user_id) == (None, None, [], None)


def test_the_time_frame_is_free_text_since_lofty_sends_more_than_it_documents() -> None:
    for sent in ("1-3", "0-3", "N/A"):
        assert read(buyingTimeFrame=sent).buying_time_frame == sent


def test_lead_types_are_words_and_an_unknown_number_is_kept() -> None:
    assert read(leadTypes=[1, 2, -1, 42]).types == ["Seller", "Buyer", "Other", "42"]


def test_a_role_without_a_person_is_nobodys() -> None:
    roles = [{"role": "Agent", "assigneeId": 5, "assignee": "Mark"}, {"role": "Lender", "assigneeId": 0}]
    assert [role.role for role in read(customRoleList=roles).roles] == ["Agent"]


def test_fields_that_nobody_declared_do_not_come_through() -> None:
    record = read(leadId=1, ssn="123-45-6789")
    assert "123-45-6789" not in record.model_dump_json()


def test_lead_counters_of_a_member_do_not_come_through() -> None:
    assert "914" not in Member.model_validate({"id": 5, "newLeadCount": 914}).model_dump_json()


def test_a_note_shows_the_id_that_works_in_paths() -> None:
    (event,) = note_events([{"id": 111, "noteId": 222, "content": "hi", "createTime": "2026-04-30 12:00:00"}])
    assert event.extra["note_id"] == "222"


def test_a_deleted_note_is_none() -> None:
    assert note_events([{"noteId": 1, "content": "gone", "deleteFlag": True}]) == []


def test_a_change_log_entry_says_which_record_it_repeats_and_names_no_other_lead() -> None:
    (event,) = system_events(
        [
            {
                "id": "9",
                "refId": 333,
                "timelineTypeDesc": "Merged",
                "content": {"mergedLeadId": 444, "mergedLeadName": "Somebody Hidden", "by": "rule"},
            }
        ]
    )
    assert event.refers == {"9", "333"}
    assert "Somebody" not in event.text
    assert "444" not in event.text
    assert event.text == "Merged: by rule"


def test_a_result_shows_no_nulls_no_empty_values_and_keeps_the_places_of_a_row() -> None:
    data = {"a": None, "b": "", "c": [], "d": {}, "e": {"f": None}, "g": 0, "h": False, "rows": [[None, ""]]}
    assert tidy(data) == {"g": 0, "h": False, "rows": [[None, ""]]}


def test_a_time_is_shown_with_the_offset_of_its_zone() -> None:
    assert iso(NOON, UTC) == "2026-04-30T12:00:00+00:00"
    assert iso(None, UTC) is None


@pytest.mark.parametrize(("assignee", "key"), [("priya@brokerage.example", "email"), ("Priya Nair", "name")])
def test_the_holder_of_a_role_is_told_by_what_lofty_gives(assignee: str, key: str) -> None:
    role = {"roleId": 1, "role": "Assistant", "assigneeId": 7, "assignee": assignee}
    record = LeadRecord.model_validate({"leadId": 1, "customRoleList": [role, {"role": "Lender", "assigneeId": 0}]})

    routing = lead_view(record, UTC, full=True).payload()["routing"]

    assert routing["roles"] == [{"role": "Assistant", "user_id": "7", key: assignee}]
