"""How Lofty is spoken to, as tables: requests as they leave, answers as they are read. No network."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from lofty_mcp.client import endpoints, requests, wire
from lofty_mcp.client.client import LoftyClient, open_pool
from lofty_mcp.client.credentials import ApiKey
from lofty_mcp.client.pacing import Pacer
from lofty_mcp.errors import (
    CredentialRejected,
    InvalidInput,
    LoftyError,
    NotFound,
    PermissionDenied,
    RejectedByLofty,
    UpstreamFailed,
)

LEAD = "1141834283710023"
WITH_A_LEAD_ID: tuple[Callable[[str], requests.Request], ...] = (
    requests.lead,
    requests.notes,
    requests.tasks,
    lambda lead_id: requests.put_lead(lead_id, {}),
    lambda lead_id: requests.delete_lead(lead_id, "duplicate"),
    lambda lead_id: requests.assign_lead(lead_id, "Agent", "mark@example.com"),
    lambda lead_id: requests.site_activities(lead_id, 0),
    lambda lead_id: requests.communications(lead_id, 0),
    lambda lead_id: requests.system_logs(lead_id, 0),
)

BODIES: list[tuple[Any, int | None]] = [
    ({"code": 20006, "message": "no such lead"}, 20006),
    ({"code": "20006"}, 20006),
    ({"errorCode": 990105, "errorMsg": "off"}, 990105),
    ({"message": "BaseApplicationException:errorCode=20042,errorMsg=Limit must be between 1 and 100"}, 20042),
    ({"message": "errorCode = 20005"}, 20005),
    ({"error": "BAD_CREDENTIALS"}, 20004),
    ("LEAD_NOT_EXIST", 20006),
    ("BaseApplicationException:errorCode=20017,errorMsg=PERMISSION_DENIED", 20017),
    ({"message": "VENDOR_HAS_NO_PERMISSION"}, 200100),
    ({"code": True, "message": "Too Many Requests"}, None),
    ({"message": None}, None),
    ("something went wrong", None),
    (["LEAD_NOT_EXIST"], None),
    (None, None),
]


@pytest.mark.parametrize(("body", "code"), BODIES)
def test_the_business_code_is_found_in_each_of_the_three_error_bodies(body: Any, code: int | None) -> None:
    assert wire.business_code(body) == code


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, None, CredentialRejected),
        (401, 20004, CredentialRejected),
        (400, 20004, CredentialRejected),
        (400, 200058, CredentialRejected),
        (404, 20003, NotFound),
        (404, 20006, NotFound),
        (400, 20006, NotFound),
        (404, 20007, NotFound),
        (404, None, NotFound),
        (404, 200060, RejectedByLofty),
        (403, None, PermissionDenied),
        (403, 200100, PermissionDenied),
        (400, 200100, PermissionDenied),
        (400, 20017, PermissionDenied),
        (400, 20042, RejectedByLofty),
        (400, None, RejectedByLofty),
        (406, None, RejectedByLofty),
        (415, None, RejectedByLofty),
        (408, None, UpstreamFailed),
        (425, None, UpstreamFailed),
        (500, 20005, UpstreamFailed),
        (500, None, UpstreamFailed),
        (503, None, UpstreamFailed),
    ],
)
def test_a_refusal_is_told_by_its_code_and_only_without_one_by_its_status(
    status: int, code: int | None, expected: type[LoftyError]
) -> None:
    assert type(wire.classify(status, code)) is expected


@pytest.mark.parametrize(("code", "scope"), [(200100, True), (20017, False), (None, False)])
def test_only_code_200100_says_that_the_whole_operation_is_closed(code: int | None, scope: bool) -> None:
    error = wire.classify(403, code)
    assert isinstance(error, PermissionDenied)
    assert error.scope is scope


def test_only_an_unclear_answer_leaves_open_whether_a_write_was_carried_out() -> None:
    assert wire.classify(502, None).sent
    for status, code in ((401, None), (404, 20006), (403, None), (400, 20012)):
        assert not wire.classify(status, code).sent
    assert wire.classify(400, 20012).processed


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", None),
        (b" \n", None),
        (b'{"leadId": 1}', {"leadId": 1}),
        (b'{"code": 0, "data": []}', {"code": 0, "data": []}),
        (b'{"code": 200, "data": []}', {"code": 200, "data": []}),
        (b'[{"id": 1}]', [{"id": 1}]),
        (b'"no change"', "no change"),
    ],
)
def test_a_200_is_its_json_and_an_empty_one_is_nothing(content: bytes, expected: Any) -> None:
    assert wire.decipher(200, content) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"code": 20006, "message": "x"}', NotFound),
        (b'{"code": "200058"}', CredentialRejected),
        (b'{"errorCode": 990106, "errorMsg": "is owner"}', RejectedByLofty),
        (b'{"status": {"code": 20017, "msg": "x"}, "data": null}', PermissionDenied),
    ],
)
def test_a_failure_inside_a_200_is_a_failure(content: bytes, expected: type[LoftyError]) -> None:
    with pytest.raises(expected):
        wire.decipher(200, content)


@pytest.mark.parametrize("content", [b"<html>ok</html>", b"{", b"\xff\xfe", b"[" * 200_000])
def test_a_200_that_cannot_be_read_is_no_clear_answer(content: bytes) -> None:
    with pytest.raises(UpstreamFailed):
        wire.decipher(200, content)


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (404, b"<html>nginx</html>", NotFound),
        (502, b"<html>Bad gateway</html>", UpstreamFailed),
        (401, b"", CredentialRejected),
        (302, b"", UpstreamFailed),
        (400, b'"PERMISSION_DENIED"', PermissionDenied),
        (404, b'{"message":"BaseApplicationException:errorCode=20006,errorMsg=LEAD_NOT_EXIST"}', NotFound),
    ],
)
def test_a_refusal_without_json_is_told_by_its_status(status: int, content: bytes, expected: type[LoftyError]) -> None:
    with pytest.raises(expected):
        wire.decipher(status, content)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500])
def test_no_error_repeats_what_lofty_wrote(status: int) -> None:
    content = json.dumps({"code": 20012, "message": "call +1 555 0100 or visit evil.example"}).encode()
    with pytest.raises(LoftyError) as caught:
        wire.decipher(status, content)
    assert "evil.example" not in str(caught.value)
    assert "555" not in str(caught.value)


@pytest.mark.parametrize("body", [{"lead": {"leadId": 1}}, {"leadId": 1}])
def test_one_record_is_found_wrapped_or_bare(body: Any) -> None:
    assert wire.unwrap(body, "lead") == {"leadId": 1}


@pytest.mark.parametrize("body", [None, [], [{"leadId": 1}], {}, {"lead": {}}, {"lead": None}, {"lead": [1]}, "lead"])
def test_an_answer_without_a_record_is_no_clear_answer(body: Any) -> None:
    with pytest.raises(UpstreamFailed):
        wire.unwrap(body, "lead")


@pytest.mark.parametrize(
    "body",
    [
        {"_metadata": {"total": 1}, "leads": [{"leadId": 1}]},
        {"code": 0, "data": {"leads": [{"leadId": 1}]}},
        {"data": [{"leadId": 1}]},
        [{"leadId": 1}],
        [{"leadId": 1}, None, "x"],
    ],
)
def test_a_list_is_found_in_every_envelope(body: Any) -> None:
    assert wire.rows(body, "leads") == [{"leadId": 1}]


def test_a_list_that_is_null_is_empty() -> None:
    assert wire.rows({"leads": None}, "leads") == []


@pytest.mark.parametrize("body", [None, {}, {"leads": "none"}, {"data": None}, "x", 3])
def test_an_answer_without_a_list_is_not_taken_for_an_empty_one(body: Any) -> None:
    with pytest.raises(UpstreamFailed):
        wire.rows(body, "leads")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"_metadata": {"total": 12}}, 12),
        ({"_metadata": {"total": "12"}}, 12),
        ({"get_metadata": {"total": 12}}, 12),
        ({"_metadata": {"total": -1}}, None),
        ({"_metadata": {"total": True}}, None),
        ({"_metadata": None}, None),
        ({}, None),
        ([], None),
    ],
)
def test_the_total_is_read_under_its_name_on_the_wire_and_under_the_documented_one(
    body: Any, expected: int | None
) -> None:
    assert wire.total(body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("no change", True),
        ({"data": "no change"}, True),
        ({"message": "No Change "}, True),
        ({"leadId": 1}, False),
        ({"data": {"leadId": 1}}, False),
        ("no change was needed for the third lead", False),
        (None, False),
    ],
)
def test_no_change_is_recognised_in_a_200(body: Any, expected: bool) -> None:
    assert wire.unchanged(body) is expected


@pytest.mark.parametrize(
    ("count", "asked", "more"),
    [(100, 100, True), (10, 100, True), (25, 1000, True), (50, 1000, True), (7, 100, False), (0, 100, False)],
)
def test_a_page_may_have_a_successor_if_it_is_full_or_a_round_number(count: int, asked: int, more: bool) -> None:
    assert wire.looks_full(count, asked) is more


def test_a_repeated_page_ends_a_list() -> None:
    assert wire.same_rows([{"id": 1}], [{"id": 1}])
    assert not wire.same_rows([{"id": 2}], [{"id": 1}])
    assert not wire.same_rows([], None)


@pytest.mark.parametrize("make", WITH_A_LEAD_ID)
@pytest.mark.parametrize(
    "bad",
    [
        "",
        "0",
        "01",
        "-1",
        "1.0",
        " 1",
        "1\n",
        "1/../2",
        "1?withTrash=true",
        "1#",
        "%31",
        "１２",
        "1e3",
        str(2**63),
        "me",
    ],
)
def test_what_is_no_lead_id_never_becomes_part_of_a_request(make: Callable[[str], requests.Request], bad: str) -> None:
    with pytest.raises(InvalidInput):
        make(bad)


@pytest.mark.parametrize("good", ["1", LEAD, str(2**63 - 1)])
def test_a_lead_id_stands_in_the_path_as_it_is(good: str) -> None:
    assert requests.lead(good).path == f"/v1.0/leads/{good}"


def test_an_account_cannot_leave_its_place_in_the_path() -> None:
    assert requests.member("a/../../v1.0/leads?x=1#@example.com").path == (
        "/v1.0/members/a%2F..%2F..%2Fv1.0%2Fleads%3Fx%3D1%23@example.com"
    )


def test_a_query_leaves_out_what_is_none_and_spells_booleans_in_lower_case() -> None:
    assert requests.get("/v1.0/x", a=None, b=True, c=False, d=0).query == (("b", "true"), ("c", "false"), ("d", "0"))


def test_the_lead_list_is_paged_by_limit_and_offset() -> None:
    assert dict(requests.leads({"sort": "CreateTime"}, offset=50, limit=100).query) == {
        "sort": "CreateTime",
        "offset": "50",
        "limit": "100",
    }


def test_a_filter_that_lofty_does_not_know_is_refused_instead_of_ignored() -> None:
    with pytest.raises(ValueError, match="keyword"):
        requests.leads({"keyword": "ana"}, offset=0, limit=1)


def test_an_assignment_is_a_list_with_the_assignee_by_e_mail() -> None:
    request = requests.assign_lead(LEAD, "Agent", "mark@example.com")
    assert (request.method, request.path) == ("POST", f"/v1.0/leads/{LEAD}/assignment")
    assert request.body == [{"role": "Agent", "assignee": "mark@example.com"}]


def test_communications_are_asked_for_a_thousand_at_a_time_since_they_come_oldest_first() -> None:
    request = requests.communications(LEAD, 1000)
    assert request.path == f"/v2.0/leads/{LEAD}/activities"
    assert dict(request.query) == {"offset": "1000", "limit": "1000"}


def test_only_a_get_may_be_sent_twice() -> None:
    assert requests.lead(LEAD).repeatable
    for write in (
        requests.put_lead(LEAD, {}),
        requests.delete_lead(LEAD, "x"),
        requests.assign_lead(LEAD, "Agent", "a@b.c"),
    ):
        assert not write.repeatable


@pytest.mark.parametrize(
    ("typed", "digits"),
    [
        ("(555) 010-0123", "5550100123"),
        ("+1 555 010 0123", "5550100123"),
        ("15550100123", "5550100123"),
        ("+44 20 7946 0958", "442079460958"),
        ("0123", "0123"),
        ("1234", "1234"),
        ("call me", ""),
    ],
)
def test_a_phone_number_is_reduced_to_the_digits_that_lofty_compares(typed: str, digits: str) -> None:
    assert requests.phone_digits(typed) == digits


def _client(answers: Callable[[httpx2.Request], httpx2.Response]) -> tuple[LoftyClient, httpx2.AsyncClient]:
    pool = open_pool("https://lofty.example", httpx2.MockTransport(answers), proxies=False)
    return LoftyClient(pool, ApiKey("made-up"), Pacer("test", None), user_agent="lofty-mcp/test"), pool


@pytest.mark.parametrize(
    "request_",
    [
        requests.lead(LEAD),
        requests.put_lead(LEAD, {"stage": "New"}),
        requests.delete_lead(LEAD, "x"),
        requests.notes(LEAD),
    ],
    ids=lambda request: request.method,
)
async def test_every_request_carries_the_content_type_the_key_and_our_own_name(request_: requests.Request) -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={})

    client, pool = _client(answer)
    async with pool:
        await client.send(request_)
    assert seen[0].headers["content-type"] == "application/json"
    assert seen[0].headers["authorization"] == "token made-up"
    assert seen[0].headers["user-agent"] == "lofty-mcp/test"
    assert seen[0].headers["accept"] == "application/json"


async def test_tags_applied_to_a_lead_are_not_taken_for_tags_of_the_account() -> None:
    rows = [
        {"leadId": 0, "tagName": "VIP"},
        {"leadId": int(LEAD), "tagName": "Secret of a hidden lead"},
        {"tagName": "Open House"},
        {"leadId": 0, "tagName": "VIP"},
        {"leadId": 0, "tagName": 7},
    ]
    client, pool = _client(lambda _: httpx2.Response(200, json={"tags": rows}))
    async with pool:
        assert await endpoints.tags(client) == ["VIP", "Open House"]


async def test_a_list_that_repeats_its_last_page_for_ever_is_read_once() -> None:
    page = [{"type": "View", "created": n} for n in range(100)]
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.params["curPage"])
        return httpx2.Response(200, json=page)

    client, pool = _client(answer)
    async with pool:
        pages = [found async for found in endpoints.site_activities(client, LEAD)]
    assert pages == [page]
    assert asked == ["0", "1"]
