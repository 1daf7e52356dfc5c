"""What a person reads before a write: the records just read, and what would become of them."""

from typing import Any

from lofty_mcp.guard.plans import Act, Plan, Step, Values

LONGEST_BEFORE = 200
"""Characters of an old value that are shown, so that none pushes the new one out of sight."""


def question(plan: Plan) -> str:
    """What a person is asked: the records just read, from → to, and a reference to exactly this plan."""
    return f"{preview(plan)}\n(reference {plan.reference})"


def preview(plan: Plan) -> str:
    """What would happen, lead by lead."""
    lines = [plan.act.title]
    for step in plan.steps:
        if step.lead is not None:
            change = "already so" if plan.settled(step) else _change(plan.act, step)
            lines.append(f"- {_tame(step.lead.name)} ({step.lead_id}): {change}")
    missing = sum(step.lead is None for step in plan.steps)
    if missing:
        lines.append(f"- {missing} of the ids given: no such lead")
    return "\n".join(lines)


def _change(act: Act[Any], step: Step) -> str:
    before, after = act.before(step.record), act.after(step.record)
    moves = [_move(name, before, value) for name, value in after.items() if before.get(name) != value]
    told = "; ".join(sorted(moves, key=lambda move: "\n" in move))  # what has several lines comes last
    why = (act.consequence(step.record), act.must_ask(step.record))
    return "\n  ".join([told, *(line for line in why if line)])


def _move(name: str, before: Values, after: Any) -> str:
    called = name.replace("_", " ").replace(".", " ")
    if name not in before:
        return f"{called}: {_shown(after)}"
    was = before[name]
    if name == "tags":  # what stays need not be read again for every lead
        gone, fresh = [item for item in was if item not in after], [item for item in after if item not in was]
        return f"tags {' '.join([*(f'+ {item}' for item in fresh), *(f'- {item}' for item in gone)])}"
    old, new = _shown(_tame(was)) or "none", _shown(after) or "none"
    return f"{called} {old} → {new}" if "\n" not in old + new else f"{called}, so far: {old}\n  from now on: {new}"


def _tame(value: Any) -> Any:
    """What outsiders may have written: no longer than need be, and without the arrow that is ours to draw."""
    if isinstance(value, list):
        return [_tame(item) for item in value]
    if isinstance(value, dict):
        return {key: _tame(item) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    more = len(value) - LONGEST_BEFORE
    return value[:LONGEST_BEFORE].replace("→", "->") + (f"… (+{more} characters)" if more > 0 else "")


def _shown(value: Any) -> str:
    """A value as it is read in a question; lines of a text stand in from the margin, so that none passes for ours."""
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if isinstance(value, dict):
        return " ".join(map(_shown, value.values()))
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value if value is not None else "")
    return text if "\n" not in text else "".join(f"\n    | {line}" for line in text.split("\n"))
