"""For everybody but its agent, a hidden lead is as one that never was, whatever is called in whatever order."""

import pytest
from hypothesis import Phase, settings

from tests.noninterference.machine import BUDGET, Told, run
from tests.noninterference.plants import PLANTS, Plant

QUICK = settings(BUDGET, max_examples=5, stateful_step_count=60, phases=[Phase.generate])
LONG = settings(QUICK, max_examples=60)
SOON = ("loftys_total", "short_page", "one_request_more", "no_floor", "gate_before_arguments")
"""Plants that the quick tests look for too."""
PASSED = 0.5
"""The share of the calls of each door that have to get past the checks of their arguments."""


def test_whatever_is_called_a_hidden_lead_reads_as_one_that_never_was() -> None:
    tally = run(QUICK)

    assert set(tally.called) == tally.listed


@pytest.mark.slow
def test_whatever_else_is_called_a_hidden_lead_reads_as_one_that_never_was() -> None:
    tally = run(LONG)

    passed = {door: tally.passed[door] / count for door, count in tally.called.items()}
    assert {door: share for door, share in passed.items() if share < PASSED} == {}, "its calls prove little"


@pytest.mark.parametrize("plant", [p for p in PLANTS if p.__name__ in SOON], ids=lambda plant: plant.__name__)
def test_a_planted_leak_is_found_soon(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)

    with pytest.raises(Told):
        run(QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_leak_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)

    with pytest.raises(Told):
        run(LONG)


@pytest.mark.slow
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_leak_is_no_difference_where_nothing_is_hidden(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)

    run(settings(QUICK, max_examples=2), differ=False)
