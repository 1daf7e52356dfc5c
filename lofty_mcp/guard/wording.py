"""What a person reads before a write: the records just read, and what would become of them."""

from typing import Any

from lofty_mcp.guard.plans import Act, Plan, Step


def question(plan: Plan) -> str:
    """What a person is asked: the records just read, from → to, and a reference to exactly this plan."""
    return f"{preview(plan)}\n(reference {plan.reference})"


def preview(plan: Plan) -> str:
    """What would happen, lead by lead."""
    lines = [plan.act.title]
    for step in plan.steps:
        if step.lead is not None:
            change = "already so" if plan.settled(step) else _change(plan.act, step)
            lines.append(f"- {step.lead.name} ({step.lead_id}): {change}")
    missing = sum(step.lead is None for step in plan.steps)
    if missing:
        lines.append(f"- {missing} of the ids given: no such lead")
    return "\n".join(lines)


def _change(act: Act[Any], step: Step) -> str:
    before, after = act.before(step.record), act.after(step.record)
    moves = "; ".join(_move(name, before.get(name), value) for name, value in after.items())
    consequence = act.consequence(step.record)
    return f"{moves}. {consequence}" if consequence else moves


def _move(name: str, before: Any, after: Any) -> str:
    if isinstance(after, list):  # what stays need not be read again for every lead
        return f"{name} + {', '.join(str(item) for item in after if item not in (before or ()))}"
    return f"{name} {before or 'none'} → {after}"
