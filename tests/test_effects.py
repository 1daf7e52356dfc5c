"""What may be done unasked, what is asked about and what is refused: the whole table, without a server."""

from itertools import product
from typing import Any

import pytest

from lofty_mcp.guard.effects import MOST_UNASKED, Allow, Ask, Decision, Effect, Policy, Refuse, decide, effective
from lofty_mcp.settings import Mode

READ, ADD, CHANGE, REMOVE, SEND = Effect
WRITES = (ADD, CHANGE, REMOVE, SEND)
LEADS = (1, MOST_UNASKED, MOST_UNASKED + 1, 50)


def word(decision: Decision) -> str:
    """A decision as one word of the tables below."""
    if isinstance(decision, Ask):
        return "two-steps" if decision.two_steps else "ask"
    return {Allow: "allow", Refuse: "refuse"}[type(decision)]


TABLE = """
mode  from    leads  can ask  act     | READ   ADD        CHANGE     REMOVE     SEND
read  *       *      *        *       | allow  refuse     refuse     refuse     refuse
auto  *       *      *        usual   | allow  allow      allow      allow      allow
ask   add     few    yes      usual   | allow  ask        ask        ask        ask
ask   add     many   yes      usual   | allow  ask        ask        ask        ask
ask   add     few    no       plain   | allow  two-steps  two-steps  refuse     refuse
ask   add     few    no       away    | allow  refuse     refuse     refuse     refuse
ask   add     many   no       usual   | allow  refuse     refuse     refuse     refuse
ask   change  few    yes      usual   | allow  allow      ask        ask        ask
ask   change  many   yes      usual   | allow  allow      ask        ask        ask
ask   change  few    no       plain   | allow  allow      two-steps  refuse     refuse
ask   change  few    no       away    | allow  allow      refuse     refuse     refuse
ask   change  many   no       usual   | allow  allow      refuse     refuse     refuse
ask   remove  few    yes      usual   | allow  allow      allow      ask        ask
ask   remove  many   yes      usual   | allow  allow      allow      ask        ask
ask   remove  few    no       usual   | allow  allow      allow      refuse     refuse
ask   remove  many   no       usual   | allow  allow      allow      refuse     refuse
ask   send    few    yes      usual   | allow  allow      allow      allow      ask
ask   send    many   yes      usual   | allow  allow      allow      allow      ask
ask   send    few    no       usual   | allow  allow      allow      allow      refuse
ask   send    many   no       usual   | allow  allow      allow      allow      refuse
code  add     few    yes      usual   | allow  ask        ask        ask        ask
code  add     many   yes      usual   | allow  ask        ask        ask        ask
code  add     few    no       usual   | allow  two-steps  two-steps  two-steps  two-steps
code  add     many   no       usual   | allow  two-steps  two-steps  two-steps  two-steps
code  change  few    yes      usual   | allow  allow      ask        ask        ask
code  change  many   yes      usual   | allow  allow      ask        ask        ask
code  change  few    no       usual   | allow  allow      two-steps  two-steps  two-steps
code  change  many   no       usual   | allow  allow      two-steps  two-steps  two-steps
code  remove  few    yes      usual   | allow  allow      allow      ask        ask
code  remove  many   yes      usual   | allow  allow      allow      ask        ask
code  remove  few    no       usual   | allow  allow      allow      two-steps  two-steps
code  remove  many   no       usual   | allow  allow      allow      two-steps  two-steps
code  send    few    yes      usual   | allow  allow      allow      allow      ask
code  send    many   yes      usual   | allow  allow      allow      allow      ask
code  send    few    no       usual   | allow  allow      allow      allow      two-steps
code  send    many   no       usual   | allow  allow      allow      allow      two-steps
auto  *       *      yes      must    | allow  ask        ask        ask        ask
auto  *       *      no       must    | allow  refuse     refuse     refuse     refuse
ask   *       *      yes      must    | allow  ask        ask        ask        ask
ask   *       *      no       must    | allow  refuse     refuse     refuse     refuse
code  *       *      yes      must    | allow  ask        ask        ask        ask
code  *       *      no       must    | allow  refuse     refuse     refuse     refuse
"""
"""Every call there can be; few leads are up to five, `*` stands for all values.

An act gives the lead away, must be answered by a person, or neither; `usual` is plain or away.
"""
ROWS = TABLE.strip().splitlines()[1:]
EVERY: tuple[tuple[Any, ...], ...] = (tuple(Mode), WRITES, LEADS, (True, False), ("plain", "away", "must"))
MEANT: dict[str, tuple[Any, ...]] = {
    **{mode.value: (mode,) for mode in Mode},
    **{effect.name.lower(): (effect,) for effect in WRITES},
    "plain": ("plain",),
    "away": ("away",),
    "usual": ("plain", "away"),
    "must": ("must",),
    "few": (1, MOST_UNASKED),
    "many": (MOST_UNASKED + 1, 50),
    "yes": (True,),
    "no": (False,),
}


def cases(row: str) -> list[tuple[Any, ...]]:
    """The calls that a row of the table is about: mode, line, leads, whether the client can be asked, the act."""
    cells = zip(row.split("|")[0].split(), EVERY, strict=True)
    return [*product(*(every if cell == "*" else MEANT[cell] for cell, every in cells))]


def test_the_table_holds_every_case_once() -> None:
    assert sorted(case for row in ROWS for case in cases(row)) == sorted(product(*EVERY))


@pytest.mark.parametrize("row", ROWS)
def test_a_call_is_allowed_asked_about_or_refused(row: str) -> None:
    expected = row.split("|")[1].split()
    for mode, ask_from, leads, can_ask, act in cases(row):
        policy = Policy(mode, ask_from, can_ask)
        kind = {"gives_away": act == "away", "must_ask": act == "must"}
        assert [word(decide(effect, leads, policy, **kind)) for effect in Effect] == expected


@pytest.mark.parametrize(("mode", "ask_from", "leads", "can_ask"), [*product(Mode, WRITES, LEADS, (True, False))])
def test_whatever_the_policy_the_order_of_severity_holds(
    mode: Mode, ask_from: Effect, leads: int, can_ask: bool
) -> None:
    severity = {"allow": 0, "ask": 1, "two-steps": 1, "refuse": 2}
    words = [word(decide(effect, leads, Policy(mode, ask_from, can_ask))) for effect in Effect]

    assert words[READ] == "allow"
    assert [severity[w] for w in words] == sorted(severity[w] for w in words), "a stronger effect is never freer"
    assert can_ask or "ask" not in words, "nobody is asked who cannot be"
    assert not can_ask or "two-steps" not in words, "no code where a person can be asked"
    if mode is Mode.AUTO:
        assert set(words) == {"allow"}
    if mode is Mode.READ:
        assert set(words[ADD:]) == {"refuse"}
    if mode in (Mode.ASK, Mode.CODE):
        assert all((words[effect] == "allow") == (effect < ask_from) for effect in WRITES)


@pytest.mark.parametrize(("mode", "effect"), [*product(("read", "ask"), (CHANGE, REMOVE))])
def test_a_refusal_says_what_would_make_it_possible_and_that_nothing_happened(mode: str, effect: Effect) -> None:
    refused = decide(effect, 6, Policy(Mode(mode), CHANGE, can_ask=False))

    assert isinstance(refused, Refuse)
    assert "LOFTY_MCP_MODE" in refused.why
    assert refused.why.endswith("Nothing was changed.")


@pytest.mark.parametrize(
    ("effect", "leads", "widens", "expected"),
    [
        (ADD, 1, False, ADD),
        (ADD, 5, False, ADD),
        (ADD, 6, False, CHANGE),
        (ADD, 1, True, CHANGE),
        (READ, 50, True, READ),
        (CHANGE, 50, True, CHANGE),
        (SEND, 50, True, SEND),
    ],
)
def test_an_addition_to_many_leads_or_beyond_them_counts_as_a_change(
    effect: Effect, leads: int, widens: bool, expected: Effect
) -> None:
    assert effective(effect, leads=leads, widens=widens) is expected


@pytest.mark.parametrize(
    ("effect", "read_only", "destructive"),
    [(READ, True, False), (ADD, False, False), (CHANGE, False, True), (REMOVE, False, True), (SEND, False, True)],
)
def test_all_four_hints_are_written_out_from_the_effect(effect: Effect, read_only: bool, destructive: bool) -> None:
    hints = effect.hints

    assert hints.read_only_hint is read_only
    assert hints.destructive_hint is destructive
    assert isinstance(hints.idempotent_hint, bool)
    assert hints.open_world_hint is True
    assert effect is not SEND or hints.idempotent_hint is False
