"""What is taken out of transcripts, and what stands beside it and stays."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.noninterference.transcript import alike, handles_in_order, made_ids_in_order, without_clocks, without_seals

CODE, OTHER = "abcdefghijkmnpqr", "stuvwxyz23456789"


def timeless(line: str) -> str:
    """The line without clocks; the server's shows some moment between 11 and 12."""
    noon = datetime(2026, 11, 20, 19, tzinfo=UTC)
    return without_clocks(line, lambda moment: noon - timedelta(hours=1) <= moment < noon)


def codes(line: str, issued: tuple[str, ...] = (CODE, OTHER)) -> str:
    """The line with codes in order."""
    return handles_in_order(line, issued, [])


def ids(line: str) -> str:
    """The line with made ids in order."""
    return made_ids_in_order(line, lambda number: number in (700000001, 700000002), [])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"time": "2026-11-20T10:00:00", "level": "info"}', '{"time": "2026-11-21T11:11:11", "level": "info"}'),
        ('{"expires_at":"2026-11-20T11:15:00-07:00"}', '{"expires_at":"2026-11-20T11:15:01-07:00"}'),
        ('[["2026-11-20T18:00:00+00:00","get_lead"]]', '[["2026-11-20T18:00:59.5Z","get_lead"]]'),
    ],
)
def test_what_the_servers_clock_put_in_is_no_difference(one: str, other: str) -> None:
    assert timeless(one) == timeless(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"updated_at":"2026-11-20T10:59:59-07:00"}', '{"updated_at":"2026-11-20T10:59:58-07:00"}'),
        ('{"due":"2026-11-20T12:00:00-07:00"}', '{"due":"2026-11-20T12:00:01-07:00"}'),
        ('{"expires_at":"2026-11-20T11:15:00-07:00","n":1}', '{"expires_at":"2026-11-20T11:15:00-07:00","n":2}'),
        ('{"expires_at":"2026-11-20T11:15:00-07:00"}', '{"expires_at":null}'),
        ('{"time": "2026-11-20T10:00:00", "level": "info"}', '{"time": "2026-11-20T10:00:00", "level": "error"}'),
        ('{"n":1,"time": "2026-11-20T10:00:00"}', '{"n":1,"time": "2026-11-20T10:00:01"}'),
        ("after 0.300000 s", "after 0.320000 s"),
    ],
)
def test_a_time_of_another_kind_stays(one: str, other: str) -> None:
    assert timeless(one) != timeless(other)


def test_codes_are_the_same_in_the_same_order_of_appearance() -> None:
    assert codes(f'"{CODE}","{OTHER}","{CODE}"') == codes(f'"{OTHER}","{CODE}","{OTHER}"')
    assert codes(f'"{CODE}","{OTHER}"') != codes(f'"{CODE}","{CODE}"')


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('"next_cursor":"c2Nyb2xsOjIw"', '"next_cursor":"c2Nyb2xsOjI0"'),
        ('"next_cursor":"22222222222222 4"', '"next_cursor":"22222222222222 5"'),
        ('"next_cursor":"2222222222222224"', '"next_cursor":"2222222222222225"'),
        (f'"next_cursor":"{CODE}"', f'"next_cursor":"{CODE}.24"'),
        (f'"next_cursor":"{CODE}"', '"next_cursor":null'),
    ],
    ids=["a scroll id", "an offset", "an offset as long as a code", "something behind a code", "none"],
)
def test_a_cursor_that_the_ledger_did_not_issue_stays(one: str, other: str) -> None:
    assert codes(one) != codes(other)


def test_ids_of_what_was_made_are_the_same_in_the_same_order_of_appearance() -> None:
    assert ids("note 700000001, then 700000002") == ids("note 700000002, then 700000001")
    assert ids("note 700000001, then 700000001") != ids("note 700000001, then 700000002")


@pytest.mark.parametrize(("one", "other"), [("1100000000000228", "1100000000000229"), ("700000000", "700000003")])
def test_the_id_of_what_was_there_before_stays(one: str, other: str) -> None:
    assert ids(one) != ids(other)


def test_a_sealed_state_is_no_difference_unless_it_grew_by_more_than_a_clock_explains() -> None:
    there, never = list[int](), list[int]()
    one = without_seals('{"requestState":"' + "x" * 390 + '","n":1}', there)

    assert one == without_seals('{"requestState":"' + "y" * 387 + '","n":1}', never)
    assert one != without_seals('{"requestState":"' + "x" * 390 + '","n":2}', [])
    assert alike(there, never)
    assert not alike(there, [390 + len("Zephyrine Quillfeather") * 4 // 3])
    assert not alike(there, [])
