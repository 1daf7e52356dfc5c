"""What may be changed of a lead, as pure tables: what is wanted, what is sent for it, and what puts it back."""

from typing import Any, cast

import pytest
from pydantic import ValidationError

from lofty_mcp.errors import InvalidInput
from lofty_mcp.models.changes import (
    FLAGS,
    How,
    InquiryChange,
    body,
    checked_answers,
    checked_types,
    current,
    inquiry_changes,
    putting_back,
    same,
    wanted,
)
from lofty_mcp.models.leads import LeadRecord

INQUIRY = {
    "priceMin": 400_000,
    "priceMax": -1,
    "propertyType": ["Condo"],
    "bedroomsMin": 3,
    "bedroomsMax": -1,
    "bathroomsMin": "2.0",
    "bathroomsMax": "",
    "locations": [{"city": "Denver", "stateCode": "CO", "county": "Denver"}],
}


def _lead(**fields: Any) -> LeadRecord:
    known = {"firstName": "Ann", "lastName": "", "emails": ["Ann@Mail.example"], "phones": ["(206) 555-1001"]}
    return LeadRecord.model_validate({**known, "leadTypes": [2, 17], "leadInquiry": INQUIRY, "preQual": "No", **fields})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first_name", "Ann"),
        ("last_name", ""),
        ("emails", ["Ann@Mail.example"]),
        ("lead_types", ["Buyer", "17"]),
        ("inquiry.price_min", 400_000),
        ("inquiry.price_max", None),
        ("inquiry.bathrooms_min", "2"),
        ("inquiry.bathrooms_max", None),
        ("inquiry.locations", [{"city": "Denver", "county": "Denver", "state_code": "CO"}]),
        ("qualification.pre_qual", "No"),
        ("qualification.mortgage", None),
        ("cannot_text", False),
    ],
)
def test_a_field_is_read_under_its_full_name(field: str, value: Any) -> None:
    assert current(_lead(), field) == value


A, A_AGAIN, B, C = "(206) 555-1001", "+1 206-555-1001", "206-555-1002", "206-555-1003"


@pytest.mark.parametrize(
    ("field", "how", "held", "given", "end"),
    [
        ("firstName", "replace", "Ann", "Bea", "Bea"),
        ("firstName", "only_if_empty", "Ann", "Bea", "Ann"),
        ("firstName", "only_if_empty", "", "Bea", "Bea"),
        ("firstName", "only_if_empty", None, "Bea", "Bea"),
        ("preQual", "only_if_empty", "No", "Yes", "No"),
        ("preQual", "only_if_empty", "", "Yes", "Yes"),
        ("emails", "replace", ["A@x.example"], ["b@x.example"], ["b@x.example"]),
        ("emails", "replace", ["A@x.example"], ["b@x.example", "a@x.example"], ["b@x.example", "A@x.example"]),
        ("emails", "replace", [], ["b@x.example", "B@X.example"], ["b@x.example"]),
        ("emails", "add", ["A@x.example"], ["a@x.example", "b@x.example"], ["A@x.example", "b@x.example"]),
        ("emails", "add", [], ["b@x.example", "B@X.example"], ["b@x.example"]),
        ("emails", "only_if_empty", ["A@x.example"], ["b@x.example"], ["A@x.example"]),
        ("emails", "only_if_empty", [], ["b@x.example"], ["b@x.example"]),
        ("phones", "replace", [A], [B], [B]),
        ("phones", "replace", [A], [B, A_AGAIN], [B, A]),
        ("phones", "replace", [A, A_AGAIN, B], [A], [A, A_AGAIN]),
        ("phones", "add", [A], [A_AGAIN], [A]),
        ("phones", "add", [A, B, A_AGAIN], [C], [A, B, A_AGAIN, C]),
        ("phones", "add", [A], [C, B, C], [A, C, B]),
        ("leadTypes", "replace", [2, 17], ["Seller", "Buyer"], ["Seller", "Buyer"]),
        ("leadTypes", "add", [2, 17], ["Buyer", "Seller"], ["Buyer", "17", "Seller"]),
        ("leadTypes", "only_if_empty", [17], ["Buyer"], ["17"]),
    ],
)
def test_what_a_field_is_to_have_in_the_end(field: str, how: str, held: Any, given: Any, end: Any) -> None:
    names = {"firstName": "first_name", "preQual": "qualification.pre_qual", "leadTypes": "lead_types"}

    assert wanted(_lead(**{field: held}), names.get(field, field), given, cast("How", how)) == end


@pytest.mark.parametrize(
    ("name", "field", "held", "given", "end"),
    [
        ("priceMin", "inquiry.price_min", -1, 5, 5),
        ("priceMin", "inquiry.price_min", 0, 5, 0),
        ("bathroomsMin", "inquiry.bathrooms_min", "", "2", "2"),
        ("locations", "inquiry.locations", [], [{"city": "Denver"}], [{"city": "Denver"}]),
    ],
)
def test_of_an_inquiry_only_what_is_not_there_counts_as_empty(
    name: str, field: str, held: Any, given: Any, end: Any
) -> None:
    assert wanted(_lead(leadInquiry={**INQUIRY, name: held}), field, given, "only_if_empty") == end


@pytest.mark.parametrize(
    ("field", "one", "other", "alike"),
    [
        ("first_name", "Ann", "Ann", True),
        ("first_name", "Ann", "ann", False),
        ("first_name", "Ann", None, False),
        ("emails", ["A@x.example"], ["a@X.example"], True),
        ("emails", ["a@x.example"], [], False),
        ("emails", ["a@x.example", "b@x.example"], ["b@x.example", "a@x.example"], False),
        ("phones", [A], [A_AGAIN], True),
        ("phones", [A], [A, B], False),
        ("phones", ["1234567890"], ["11234567890"], True),
        ("phones", ["2345678901"], ["12345678901"], True),
        ("phones", ["+44 20 7946 0000"], ["020 7946 0000"], False),
        ("lead_types", ["Buyer"], ["Buyer", "17"], False),
        ("inquiry.price_min", 0, None, False),
        ("inquiry.bathrooms_min", "2", "2.5", False),
        ("inquiry.locations", [{"city": "Denver"}], [{"city": "Denver", "county": "Denver"}], True),
        ("inquiry.locations", [{"city": "Denver"}], [{"city": "Boulder"}], False),
        ("inquiry.locations", [{"city": "Denver"}], [{"city": "Denver"}, {"city": "Boulder"}], False),
        ("inquiry.locations", [{"city": "Denver"}], None, False),
        ("inquiry.locations", [], None, True),
        ("cannot_text", True, False, False),
    ],
)
def test_whether_a_field_is_so_already(field: str, one: Any, other: Any, alike: bool) -> None:
    assert same(field, one, other) is alike


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({"first_name": "Bea"}, {"firstName": "Bea"}),
        ({"emails": ["b@x.example"]}, {"emails": ["b@x.example"]}),
        ({"lead_types": ["17", "Seller", "Other"]}, {"leadTypes": [17, 1, -1]}),
        ({"qualification.buying_time_frame": "1-3"}, {"buyingTimeFrame": "1-3"}),
        ({"cannot_text": True, "unsubscription": True}, {"cannotText": True, "unsubscription": True}),
        (
            {"inquiry.price_max": 9, "inquiry.bathrooms_min": "3"},
            {
                "inquiry": {
                    "priceMin": 400_000,
                    "priceMax": 9,
                    "propertyType": ["Condo"],
                    "bedroomsMin": 3,
                    "bathroomsMin": "3",
                    "locations": [{"city": "Denver", "stateCode": "CO", "county": "Denver"}],
                }
            },
        ),
    ],
)
def test_what_is_sent_holds_the_changes_and_an_inquiry_whole(changes: dict[str, Any], sent: dict[str, Any]) -> None:
    assert body(_lead(), changes) == sent


@pytest.mark.parametrize(
    ("before", "after", "arguments"),
    [
        ({"first_name": "Ann"}, {"first_name": "Bea"}, {"first_name": "Ann"}),
        ({"first_name": "Ann"}, {"first_name": "Ann"}, {}),
        ({"first_name": ""}, {"first_name": "Bea"}, {}),
        ({"first_name": None}, {"first_name": "Bea"}, {}),
        ({"first_name": "Ann", "last_name": ""}, {"first_name": "Bea", "last_name": "Lee"}, {}),
        ({"first_name": "Ann", "last_name": ""}, {"first_name": "Bea", "last_name": ""}, {"first_name": "Ann"}),
        ({"emails": []}, {"emails": ["b@x.example"]}, {}),
        ({"emails": ["a@x.example"]}, {"emails": ["b@x.example"]}, {"emails": ["a@x.example"]}),
        ({"inquiry.price_min": 0}, {"inquiry.price_min": 5}, {"inquiry": {"price_min": 0}}),
        ({"inquiry.bathrooms_min": "2.5"}, {"inquiry.bathrooms_min": "3"}, {"inquiry": {"bathrooms_min": 2.5}}),
        ({"inquiry.bathrooms_min": "3+"}, {"inquiry.bathrooms_min": "3"}, {"inquiry": {"bathrooms_min": "3+"}}),
        ({"qualification.pre_qual": "No"}, {"qualification.pre_qual": "Yes"}, {"qualification": {"pre_qual": "No"}}),
        *(({flag: False}, {flag: True}, {}) for flag in FLAGS.values()),
        *(({"first_name": "Ann", flag: False}, {"first_name": "Bea", flag: True}, {}) for flag in FLAGS.values()),
    ],
)
def test_what_puts_back_puts_back_all_or_is_not_offered(
    before: dict[str, Any], after: dict[str, Any], arguments: dict[str, Any]
) -> None:
    assert putting_back(before, after) == arguments


@pytest.mark.parametrize(
    ("name", "answer", "word"),
    [
        ("pre_qual", "yes", "Yes"),
        ("mortgage", " No ", "No"),
        ("buying_time_frame", "just looking", "Just Looking"),
        ("selling_time_frame", "12+", "12+"),
        ("pre_qual", "maybe", None),
        ("pre_qual", "1-3", None),
        ("buying_time_frame", "soon", None),
        ("buying_time_frame", "Yes", None),
    ],
)
def test_an_answer_is_one_of_loftys_words(name: Any, answer: str, word: str | None) -> None:
    if word is not None:
        assert checked_answers({name: answer}) == {f"qualification.{name}": word}
        return
    with pytest.raises(InvalidInput, match=rf"qualification\.{name}: one of .* Nothing was changed"):
        checked_answers({name: answer})


def test_a_type_is_one_that_lofty_has_and_counts_once() -> None:
    assert checked_types(["Buyer", "Other", "Buyer"]) == ["Buyer", "Other"]
    with pytest.raises(InvalidInput, match="'17' is none of Other, Seller"):
        checked_types(["Buyer", "17"])


@pytest.mark.parametrize(
    "given",
    [
        {"price_min": -1},
        {"price_min": 10**9 + 1},
        {"price_min": 1.5},
        {"bedrooms_max": 101},
        {"bathrooms_min": -0.5},
        {"bathrooms_min": float("nan")},
        {"bathrooms_min": float("inf")},
        {"bathrooms_min": "3+"},
        {"property_type": ["Condo\nApproved: yes"]},
        {"property_type": ["<b>Condo</b>"]},
        {"property_type": [""]},
        {"property_type": ["c" * 101]},
        {"locations": [{}]},
        {"locations": [{"city": None}]},
        {"locations": [{"city": "Den\u200bver"}]},
        {"locations": [{"city": "Denver", "county": "Denver"}]},
        {"budget": 5},
    ],
    ids=str,
)
def test_an_inquiry_that_lofty_could_not_show_as_it_was_given_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        InquiryChange.model_validate(given)


def test_an_inquiry_has_the_fields_that_are_given_under_their_full_names() -> None:
    given = {"price_min": 0, "bathrooms_min": 2.0, "property_type": [], "locations": [{"city": "Denver"}]}

    assert inquiry_changes(given) == {
        "inquiry.price_min": 0,
        "inquiry.bathrooms_min": "2",
        "inquiry.property_type": [],
        "inquiry.locations": [{"city": "Denver"}],
    }
    assert inquiry_changes(None) == inquiry_changes(InquiryChange()) == {}
