"""What an intended write looks like, and whether what was told of it is so. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from soak.lofty import Arrival

Told = dict[str, str]
"""What was told of each lead: an outcome, or `declined` or `error` where nothing is said to have been done."""

DONE = ("applied", "no_change")


@dataclass(frozen=True)
class Intent:
    """One thing to be done to some leads, once."""

    tool: str
    arguments: dict[str, Any]
    leads: Sequence[str]
    shows: Callable[[str], bool]
    """Whether the world shows it done to a lead."""
    made: Callable[[str], int] | None = None
    """How many records it made on a lead; None if it makes none and only sets what may be set again."""
    clean: Callable[[], None] = lambda: None
    """Takes what it made out of the world."""
    on: str | None = None
    """The id of what it is about, where that is not the lead itself."""


def told_of(result: Mapping[str, Any] | None, leads: Sequence[str], *, failed: bool) -> Told:
    """What a call's result says of each lead."""
    rows = {} if failed or not result else {row["lead_id"]: row["outcome"] for row in result.get("results", ())}
    otherwise = "declined" if result and result.get("status") == "declined" else "error"
    return {lead_id: rows.get(lead_id, otherwise) for lead_id in leads}


def open_still(told: Told | None, *, uncertain: bool) -> bool:
    """Whether the same call has to be made again to know what came of it."""
    if told is None or "unknown" in told.values():
        return True
    return uncertain and "error" in told.values()


def wrong(told: str, *, shown: bool, excused: bool) -> str | None:
    """What is wrong with what was told of one lead, if anything; `excused` if something was in the way."""
    if told in DONE:
        return None if shown else f"told as {told}, and is not so"
    if told == "unknown":
        return None if excused else "told as unknown, though nothing was in the way"
    return f"told as {told}, and is done" if shown else None


def too_often(intent: Intent, lead_id: str, arrived: Sequence[Arrival], calls: int) -> bool:
    """Whether it was done to a lead more than once, or sent more often than it was called for."""
    sent = [one for one in arrived if one.write and (intent.on or lead_id) in one.ids and one.fault != "429"]
    done = sum(one.processed for one in sent) if intent.made is None else intent.made(lead_id)
    return done > 1 or len(sent) > calls
