"""What must have come back from a session (session.mjs, python1/session.py)."""

import json
from typing import Any

from clients.place import Json, demand

TOOLS = {"who_am_i", "search_leads", "get_lead", "get_timeline", "update_stage", "assign_lead", "add_tag"}
RESOURCES = {"lofty://me", "lofty://team/members", "lofty://team/stages", "lofty://team/tags"}
TEMPLATES = {"lofty://leads/{lead_id}", "lofty://leads/{lead_id}/timeline"}
PROMPTS = {"follow_up_plan", "lead_brief", "morning_briefing", "pipeline_review"}


def judge(told: Json, era: str, *, asked: bool) -> None:
    """Hold a session's answers against what a session in `era` must bring, whether or not its person was `asked`."""
    demand("error" not in told, f"it broke off: {str(told.get('error'))[:400]}")
    demand(told["version"] == era, f"they agreed on {told['version']}")
    demand(told["server"]["name"] == "lofty-mcp", f"the server calls itself {told['server']}")
    _lists(told)
    found = content(told["found"])
    demand(found["returned"] == 5, f"a search for five leads brought {found['returned']}")
    ids = [row[found["columns"].index("lead_id")] for row in found["rows"]]
    demand(told["read"]["lead_id"] == ids[0], "the lead's resource is not that lead")
    prompt = told["prompt"]
    demand([m["role"] for m in prompt] == ["user"] and ids[0] in prompt[0]["content"]["text"], "the prompt is not ours")
    missing = told["missing"]
    demand(missing["isError"] is True and "not found" in text(missing).lower(), "a missing lead is not told as missing")
    demand(outcomes(told["tagged"], "done") == ["applied"] * 5, f"tagging five leads: {text(told['tagged'])}")
    # The JavaScript clients drop a notification that arrives in one piece with the answer, so the last may be missing.
    told_of = told["progress"]
    demand(bool(told_of) and told_of == [[done, 5] for done in range(1, len(told_of) + 1)], f"progress: {told_of}")
    if asked:
        _questions(told, ids)
    else:
        _two_steps(told)
    demand(told["after"][0]["stage"] == told["stage"], "the lead is not in the stage it was moved to")
    demand(told["after"][1]["stage"] != told["stage"], "a lead was moved that nobody agreed to move")


def _lists(told: Json) -> None:
    for name, wanted in (("tools", TOOLS), ("resources", RESOURCES), ("templates", TEMPLATES), ("prompts", PROMPTS)):
        demand(wanted <= set(told[name]), f"{name} are missing: {sorted(wanted - set(told[name]))}")
        demand(len(set(told[name])) == len(told[name]), f"{name} are listed twice")


def _questions(told: Json, ids: list[str]) -> None:
    demand(len(told["questions"]) == 2, f"two questions were due, asked were {told['questions']}")
    for lead_id, question in zip(ids, told["questions"], strict=False):
        demand(lead_id in question and f"→ {told['stage']}" in question, f"a question that does not say: {question}")
    demand([outcomes(move, "done") for move in told["moved"]] == [["applied"]], f"yes: {text(told['moved'][-1])}")
    demand(outcomes(told["declined"], "declined") == ["not_applied"], f"no: {text(told['declined'])}")


def _two_steps(told: Json) -> None:
    demand(not told["questions"], "a question reached a person who could not be asked")
    first, second = told["moved"]
    demand(outcomes(first, "confirmation_required") == ["not_applied"], f"the first step: {text(first)}")
    demand(f"→ {told['stage']}" in content(first)["preview"], f"a preview that does not say: {text(first)}")
    demand(outcomes(second, "done") == ["applied"], f"the second step: {text(second)}")


def content(result: Json) -> Json:
    """The structured half of a tool's result, which the text half must equal."""
    structured: Any = result.get("structuredContent")
    demand(not result.get("isError") and isinstance(structured, dict), f"a tool failed: {text(result)}")
    demand(json.loads(text(result)) == structured, "text and structure of a result differ")
    return dict(structured)


def outcomes(result: Json, status: str) -> list[str]:
    """What became of each lead, if the whole has this status; nothing if not."""
    answered = content(result)
    return [row["outcome"] for row in answered["results"]] if answered["status"] == status else []


def text(result: Json) -> str:
    """The text half of a tool's result."""
    return str(result["content"][0]["text"])
