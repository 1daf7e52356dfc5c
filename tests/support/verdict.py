"""Whether what was told of writes is what became of them, by what came by and by what the sandbox did."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TypeVar

from lofty_mcp.sandbox import World
from lofty_mcp.sandbox.people import STAGES as ALL_STAGES
from tests.support.weather import CLEAN, Passed, lead_in

T = TypeVar("T")
STAGES = {name for _, name, _ in ALL_STAGES}
SHOWN_BY = {"add_note": "/notes?", "create_task": "/tasks?", "log_communication": "/logType?"}
"""The list that shows what a tool makes; of every other tool it is the lead itself."""

NO_LOOK = "no read-back came by"
"""The breaker was open or the turn would have come too late: rare, or else nobody looks."""
SELDOM = 0.01


@dataclass(frozen=True)
class Told:
    """What an answer said of one write, and between which moments it was asked and given."""

    outcome: str
    note: str
    asked: int
    at: int


@dataclass
class Intended:
    """One write that somebody wants, however often they have to ask for it."""

    lead_id: str
    tool: str
    word: str
    crowded: bool
    """Whether several calls ask for it at the same time, and so may each tell what another did."""
    told: list[Told] = field(default_factory=list)

    def is_in(self, body: str) -> bool:
        """Whether a request about the lead is this write."""
        return self.word in body

    def is_seen_by(self, path: str) -> bool:
        """Whether a read shows what this write does."""
        return SHOWN_BY.get(self.tool, f"/v1.0/leads/{self.lead_id}") in path

    def is_planned_on(self, path: str) -> bool:
        """Whether a call that repeats it reads this first; what a creation made is looked for only afterwards."""
        return "/leads/" in path if self.tool in SHOWN_BY else self.is_seen_by(path)


@dataclass
class Judgement:
    """What is wrong, and the figures."""

    intended: list[Intended]
    passed: list[Passed]
    world: World
    wrong: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        came = _by_lead([(one.lead_id, one) for one in self.passed])
        done = _by_lead(
            [(lead_in(f"{e.path} {e.body}"), json.dumps(e.body)) for e in self.world.log if e.status == 200]
        )
        for one in self.intended:
            here = came[one.lead_id]
            writes = [each for each in here if each.method != "GET" and one.is_in(each.body.decode())]
            reads = [each for each in here if each.method == "GET"]
            self._once(one, writes, sum(map(one.is_in, done[one.lead_id])))
            self.outcomes[one.told[-1].outcome if one.told else "never told"] += 1
            for told in one.told:
                self._truly(one, told, writes, reads)
        self._as_the_world_is(done)
        if self.unknown[NO_LOOK] > SELDOM * len(self.intended):
            self.wrong.append(f"{self.unknown[NO_LOOK]} times there was no look at what became of it")

    def _once(self, one: Intended, writes: list[Passed], times: int) -> None:
        if times > 1:
            self._say(one, f"done {times} times")
        if sum(write.kind != "429" for write in writes) > 1:
            self._say(one, f"sent again after {writes[0].kind}")
        if times != sum(write.carried > 0 for write in writes):
            self._say(one, "the sandbox and the weather disagree")

    def _truly(self, one: Intended, told: Told, writes: list[Passed], reads: list[Passed]) -> None:
        before = [write for write in writes if write.came < told.at]
        match told.outcome:
            case "not_applied":
                if any(write.carried for write in before):
                    self._say(one, f"told not_applied, and it was done ({told.note})")
            case "refused":  # which speaks of this call alone
                if any(write.carried and write.came > told.asked for write in before) and not one.crowded:
                    self._say(one, f"told that nothing was changed, and it was ({told.note})")
            case "applied" | "no_change":
                if not any(0 < write.carried < told.at for write in before):
                    self._say(one, f"told {told.outcome}, and it was not done")
            case "unknown":
                self._open(one, told, before, reads)
            case _:
                self._say(one, f"told {told.outcome}")

    def _open(self, one: Intended, told: Told, writes: list[Passed], reads: list[Passed]) -> None:
        """An unknown is honest where the last look failed, or came before the write was done, or never came."""
        sent = [write for write in writes if write.kind != "429"]
        looks = [read for read in reads if told.asked < read.came < told.at and (not sent or read.came > sent[-1].came)]
        if sent and sent[-1].came < told.asked:  # sent by an earlier call: this one has read first what it plans on
            planned = (n for n, look in enumerate(looks) if one.is_planned_on(look.path) and _arrived(look))
            looks = looks[next(planned, len(looks)) + 1 :]
        shows = [one.is_seen_by(look.path) and _shows(look, sent) for look in looks]
        if not looks:
            self.unknown[NO_LOOK] += 1
        elif not shows[-1] or (one.crowded and not all(shows)):
            self.unknown["the read-back failed" if not _arrived(looks[-1]) else "it showed the old value"] += 1
        else:
            self._say(one, f"told unknown, and the read-back showed it ({sent[-1].kind}, {looks[-1].kind})")

    def _as_the_world_is(self, done: dict[str, list[str]]) -> None:
        """The log is the world's: every lead shows what was done to it, as often as it was done, and no more."""
        words = {one.word for one in self.intended}
        for lead_id in {one.lead_id for one in self.intended}:
            found = sorted(word for text in _texts(self.world, int(lead_id)) for word in words if word in text)
            logged = [word for body in done[lead_id] for word in words if word in body]
            stages = [word for word in logged if word in STAGES]
            for former in stages[:-1]:
                logged.remove(former)
            if found != sorted(logged):
                self.wrong.append(f"{lead_id}: the world shows {found}, the log {sorted(logged)}")

    def _say(self, one: Intended, what: str) -> None:
        self.wrong.append(f"{one.tool} {one.word} on {one.lead_id}: {what}")


def _arrived(look: Passed) -> bool:
    return look.kind in CLEAN and look.answered > 0


def _shows(look: Passed, sent: list[Passed]) -> bool:
    return bool(sent) and _arrived(look) and 0 < sent[-1].carried < look.came


def _by_lead(requests: list[tuple[str | None, T]]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = defaultdict(list)
    for lead_id, what in requests:
        found[str(lead_id)].append(what)
    return found


def _texts(world: World, lead_id: int) -> list[str]:
    """What a lead and what hangs on it show."""
    lead = world.lead(lead_id)
    rows = [row for kind in ("note", "task", "communication") for row in world.store.items(kind, lead_id)]
    hanging = [json.loads(row["data"]) for row in rows]
    return [
        lead["stage"],
        *(tag["tagName"] for tag in lead["tags"]),
        *(role["assignee"] for role in lead["customRoleList"]),
        *(text.get("content") or text.get("note") or "" for text in hanging),
    ]
