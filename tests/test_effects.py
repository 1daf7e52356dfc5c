"""What may be done unasked, what is asked about and what is refused: the whole table, without a server."""

from itertools import product

import pytest

from lofty_mcp.guard.effects import MOST_UNASKED, Allow, Ask, Decision, Effect, Policy, Refuse, decide, effective
from lofty_mcp.settings import Mode

READ, ADD, CHANGE, REMOVE, SEND = Effect
WRITES = (ADD, CHANGE, REMOVE, SEND)
LEADS = (1, MOST_UNASKED, MOST_UNASKED + 1, 50)


def word(decision: Decision) -> str:
    """A decision as one word of the tables below."""
    if isinstance(decision, Ask):
        return "two steps" if decision.two_steps else "ask"
    return {Allow: "allow", Refuse: "refuse"}[type(decision)]


@pytest.mark.parametrize(
    ("effect", "mode", "ask_from", "leads", "can_ask", "expected"),
    [
        # ask, the default, where the client can be asked
        (ADD, "ask", CHANGE, 1, True, "allow"),
        (CHANGE, "ask", CHANGE, 1, True, "ask"),
        (CHANGE, "ask", CHANGE, 50, True, "ask"),
        (REMOVE, "ask", CHANGE, 1, True, "ask"),
        (SEND, "ask", CHANGE, 1, True, "ask"),
        # ask, where it cannot
        (ADD, "ask", CHANGE, 1, False, "allow"),
        (CHANGE, "ask", CHANGE, 1, False, "two steps"),
        (CHANGE, "ask", CHANGE, 5, False, "two steps"),
        (CHANGE, "ask", CHANGE, 6, False, "refuse"),
        (REMOVE, "ask", CHANGE, 1, False, "refuse"),
        (SEND, "ask", CHANGE, 1, False, "refuse"),
        # the line raised and lowered
        (ADD, "ask", ADD, 1, True, "ask"),
        (ADD, "ask", ADD, 5, False, "two steps"),
        (ADD, "ask", ADD, 6, False, "refuse"),
        (CHANGE, "ask", REMOVE, 50, False, "allow"),
        (REMOVE, "ask", REMOVE, 1, False, "refuse"),
        (REMOVE, "ask", SEND, 1, False, "allow"),
        (SEND, "ask", SEND, 1, True, "ask"),
        # code: the two steps for everything, for those who cannot be asked
        (ADD, "code", CHANGE, 1, False, "allow"),
        (CHANGE, "code", CHANGE, 1, True, "ask"),
        (CHANGE, "code", CHANGE, 50, False, "two steps"),
        (REMOVE, "code", CHANGE, 50, False, "two steps"),
        (SEND, "code", CHANGE, 1, False, "two steps"),
        # auto asks nothing, read does nothing
        (SEND, "auto", ADD, 50, False, "allow"),
        (REMOVE, "auto", ADD, 50, True, "allow"),
        (ADD, "read", SEND, 1, True, "refuse"),
        (SEND, "read", SEND, 1, False, "refuse"),
    ],
)
def test_a_call_is_allowed_asked_about_or_refused(
    effect: Effect, mode: str, ask_from: Effect, leads: int, can_ask: bool, expected: str
) -> None:
    assert word(decide(effect, leads, Policy(Mode(mode), ask_from, can_ask))) == expected


@pytest.mark.parametrize(("mode", "ask_from", "leads", "can_ask"), [*product(Mode, WRITES, LEADS, (True, False))])
def test_whatever_the_policy_the_order_of_severity_holds(
    mode: Mode, ask_from: Effect, leads: int, can_ask: bool
) -> None:
    severity = {"allow": 0, "ask": 1, "two steps": 1, "refuse": 2}
    words = [word(decide(effect, leads, Policy(mode, ask_from, can_ask))) for effect in Effect]

    assert words[READ] == "allow"
    assert [severity[w] for w in words] == sorted(severity[w] for w in words), "a stronger effect is never freer"
    assert can_ask or "ask" not in words, "nobody is asked who cannot be"
    assert not can_ask or "two steps" not in words, "no code where a person can be asked"
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
