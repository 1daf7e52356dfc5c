"""The soak sees what it looks for: what is wrong in a table, and what is planted in short runs of the whole."""

import subprocess
import sys
from pathlib import Path

import pytest

from soak.judge import Intent, Told, open_still, told_of, too_often, wrong
from soak.lofty import Arrival
from soak.tally import Sample, grown, leaked, slope_mb_per_hour

ROOT = Path(__file__).parents[1]
LEAD = "1170000000000001"


def arrival(fault: str = "", *, write: bool = True, lead_id: str = LEAD) -> Arrival:
    return Arrival(write, frozenset({lead_id}), fault)


@pytest.mark.parametrize(
    ("told", "shown", "excused", "is_wrong"),
    [
        ("applied", True, False, False),
        ("applied", False, True, True),
        ("no_change", False, True, True),
        ("not_applied", False, False, False),
        ("not_applied", True, True, True),
        ("not_found", True, False, True),
        ("declined", True, False, True),
        ("error", False, False, False),
        ("unknown", True, True, False),
        ("unknown", False, False, True),
    ],
)
def test_what_was_told_is_compared_with_what_is(told: str, shown: bool, excused: bool, is_wrong: bool) -> None:
    assert (wrong(told, shown=shown, excused=excused) is not None) == is_wrong


@pytest.mark.parametrize(
    ("arrived", "calls", "doubled"),
    [
        ([], 1, False),
        ([arrival()], 1, False),
        ([arrival(), arrival(write=False)], 1, False),
        ([arrival(), arrival(lead_id="1170000000000014")], 1, False),
        ([arrival("429"), arrival()], 1, False),
        ([arrival("reset_before"), arrival()], 2, False),
        ([arrival("reset_before"), arrival()], 1, True),
        ([arrival("reset_after"), arrival()], 2, True),
        ([arrival(), arrival()], 2, True),
    ],
)
def test_a_write_that_is_done_twice_or_sent_unasked_is_one_too_many(
    arrived: list[Arrival], calls: int, doubled: bool
) -> None:
    intent = Intent("update_stage", {}, [LEAD], lambda _: True)
    assert too_often(intent, LEAD, arrived, calls) == doubled


def test_two_records_of_one_intent_are_one_too_many() -> None:
    assert not too_often(Intent("add_note", {}, [LEAD], lambda _: True, lambda _: 1), LEAD, [arrival()], 1)
    assert too_often(Intent("add_note", {}, [LEAD], lambda _: True, lambda _: 2), LEAD, [arrival()], 1)


def test_what_is_told_of_each_lead_is_read_from_the_result() -> None:
    rows = {"status": "partial", "results": [{"lead_id": LEAD, "outcome": "applied"}]}
    assert told_of(rows, [LEAD, "2"], failed=False) == {LEAD: "applied", "2": "error"}
    assert told_of({"status": "declined", "results": []}, [LEAD], failed=False) == {LEAD: "declined"}
    assert told_of(None, [LEAD], failed=True) == {LEAD: "error"}


@pytest.mark.parametrize(
    ("told", "uncertain", "still"),
    [
        (None, False, True),
        ({LEAD: "unknown"}, False, True),
        ({LEAD: "error"}, False, False),
        ({LEAD: "error"}, True, True),
        ({LEAD: "applied"}, True, False),
    ],
)
def test_a_call_is_made_again_while_it_is_open_what_came_of_it(told: Told | None, uncertain: bool, still: bool) -> None:
    assert open_still(told, uncertain=uncertain) == still


def test_growth_counts_from_the_end_of_the_warm_up() -> None:
    warm = [Sample(at, 80.0 + at, 10 + at) for at in range(25)]
    level = [Sample(at, 105.0, 35) for at in range(25, 100)]
    rising = [Sample(at, 80.0 + at, 10 + at) for at in range(25, 100)]
    assert grown([*warm, *level]) == []
    assert [line.split()[0] for line in grown([*warm, *rising])] == ["memory", "68"]
    assert slope_mb_per_hour([*warm, *level]) == 0
    assert slope_mb_per_hour([*warm, *rising]) == pytest.approx(3600)


def test_a_hidden_lead_shows_by_its_id_or_its_name_unless_it_was_asked_for() -> None:
    hidden = {LEAD: "Under01whistle"}
    assert leaked(f'{{"lead_id":"{LEAD}"}}', "{}", hidden) == [LEAD]
    assert leaked("a note of Under01whistle", "{}", hidden) == [LEAD]
    assert leaked(f"no lead {LEAD}", f'{{"lead_id":"{LEAD}"}}', hidden) == []
    assert leaked(f"no lead {LEAD}, but Under01whistle", f'{{"lead_id":"{LEAD}"}}', hidden) == [LEAD]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "code", "said"),
    [
        (None, 0, ""),
        ("duplicate", 1, "duplicates, such as: update_stage"),
        ("outcome", 1, "wrong outcomes, such as: update_stage"),
        ("leak", 1, "leaks, such as:"),
    ],
)
def test_a_short_soak_ends_well_unless_something_is_planted(plant: str | None, code: int, said: str) -> None:
    planted = ["--plant", plant] if plant else []
    command = [sys.executable, "-m", "soak", "--minutes", "0.2", *planted]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    assert ended.returncode == code, ended.stderr
    assert said in ended.stderr
    assert "| calls answered |" in ended.stdout
