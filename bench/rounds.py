"""The measuring itself: the same calls to ours and to the bare server, turn by turn, round after round."""

import itertools
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter

from bench.figures import percentile
from bench.inside import Cost
from bench.load import Request, Taken, tool
from bench.replies import TAG, Replies
from bench.subjects import BARE, BARE_4, OURS, ROOT, TRANSPORTS, Place, Subject, Transport

LEVELS = (1, 16, 64)
WARM_UP = 30
DELAY_MS = 20
"""What Lofty takes in the table of waiting; on a real network it is more."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int
    calls: dict[int, int]
    """Calls of one slice of a taking, by how many are in flight."""
    waiting: dict[int, int]
    """The same while Lofty takes its time."""


FULL = Plan(5, {1: 30, 16: 48, 64: 96}, {1: 5, 16: 32, 64: 64})
QUICK = Plan(1, {1: 5, 16: 16, 64: 64}, {1: 2, 16: 16, 64: 64})
SLICES = 4
"""A taking is cut up, so that what disturbs the machine for a second disturbs everybody's."""


@dataclass(frozen=True)
class Key:
    """What was measured of whom."""

    transport: Transport
    tool: str
    in_flight: int
    who: str


@dataclass
class Series:
    """One figure per round."""

    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)

    def add(self, taken: Taken) -> None:
        """Note one taking."""
        self.p50_ms.append(median(taken.calls) * 1e3)
        self.p99_ms.append(percentile(taken.calls, 0.99) * 1e3)
        self.per_second.append(len(taken.calls) / taken.whole)


Speeds = dict[Key, Series]


@dataclass
class Starts:
    """Seconds from starting the program, and MB: one figure per round."""

    to_list: list[float] = field(default_factory=list)
    """To the list of tools, the first answer that needs no Lofty."""
    to_lead: list[float] = field(default_factory=list)
    """To the first lead, asked for right after."""
    at_rest: list[float] = field(default_factory=list)


@dataclass
class Measured:
    """Everything that a clock had a part in."""

    speeds: Speeds = field(default_factory=lambda: defaultdict(Series))
    waiting: Speeds = field(default_factory=lambda: defaultdict(Series))
    starts: dict[tuple[Transport, str], Starts] = field(default_factory=lambda: defaultdict(Starts))
    loaded: dict[tuple[Transport, str], float] = field(default_factory=dict)
    """MB after all rounds."""
    costs: list[Cost] = field(default_factory=list)


class Calls:
    """The measured calls. A tag goes to a lead that was not written to before, so that every write takes hold."""

    def __init__(self, lead_id: str) -> None:
        self._fresh: Iterator[int] = itertools.count(int(lead_id) + 1)
        self.by_tool: dict[str, Callable[[], Request]] = {
            "get_lead": lambda: tool("get_lead", lead_id=lead_id),
            "search_leads": lambda: tool("search_leads", limit=25),
            "get_timeline": lambda: tool("get_timeline", lead_id=lead_id),
            "add_tag": lambda: tool("add_tag", lead_ids=[str(next(self._fresh))], tags=[TAG]),
        }

    def some(self, name: str, count: int) -> list[Request]:
        """So many calls of a tool."""
        return [self.by_tool[name]() for _ in range(count)]


def measure(place: Place, replies: Replies, plan: Plan, say: Callable[[str], None]) -> Measured:
    """Take all figures; `say` tells how far it is."""
    measured, calls = Measured(), Calls(replies.lead_id)
    for number in range(plan.rounds):
        say(f"starts, round {number + 1} of {plan.rounds}")
        _start_each(place, calls, measured, first=number % 2)
        measured.costs.append(_inside(place.folder / "replies.json"))
    for transport in TRANSPORTS:
        with ExitStack() as stack:
            subjects = {who: stack.enter_context(place.start(who, transport)) for who in (OURS, BARE, BARE_4)}
            _warm_up(subjects, calls)
            for number in range(plan.rounds):
                say(f"{transport}, round {number + 1} of {plan.rounds}")
                _round(subjects, calls, plan, transport, measured.speeds)
                place.delay(DELAY_MS)
                for level in LEVELS:
                    _take(subjects, calls, Key(transport, "get_lead", level, ""), plan.waiting[level], measured.waiting)
                place.delay(0)
            measured.loaded |= {(transport, who): one.memory or 0.0 for who, one in subjects.items()}
    return measured


def same_shapes(place: Place, calls: Calls) -> None:
    """Raise AssertionError unless the bare server answers each call with at least the fields that ours has."""
    with place.start(OURS, "stdio") as ours, place.start(BARE, "stdio") as bare:
        for name, request in calls.by_tool.items():
            mine, plain = (one.way.ask(request())["structuredContent"] for one in (ours, bare))
            assert mine.keys() <= plain.keys(), (name, mine.keys() - plain.keys())
            for listed in ("rows", "columns", "results"):
                assert len(mine.get(listed, ())) == len(plain.get(listed, ())), (name, listed)


def _round(subjects: dict[str, Subject], calls: Calls, plan: Plan, transport: Transport, into: Speeds) -> None:
    for name in calls.by_tool:
        for level in LEVELS:
            _take(subjects, calls, Key(transport, name, level, ""), plan.calls[level], into)


def _take(subjects: dict[str, Subject], calls: Calls, key: Key, count: int, into: Speeds) -> None:
    """One taking of each, in an order that turns about from round to round."""
    names = [who for who in subjects if who != BARE_4 or key.in_flight > 1]
    if len(into[Key(key.transport, key.tool, key.in_flight, OURS)].p50_ms) % 2:
        names.reverse()
    slices: dict[str, list[Taken]] = {who: [] for who in names}
    for _ in range(SLICES):
        for who in names:
            slices[who].append(subjects[who].way.run(calls.some(key.tool, count), key.in_flight))
    for who, taken in slices.items():
        whole = Taken([call for part in taken for call in part.calls], sum(part.whole for part in taken))
        into[Key(key.transport, key.tool, key.in_flight, who)].add(whole)


def _warm_up(subjects: dict[str, Subject], calls: Calls) -> None:
    for subject in subjects.values():
        for name in calls.by_tool:
            subject.way.run(calls.some(name, WARM_UP), 4)


def _start_each(place: Place, calls: Calls, measured: Measured, *, first: int) -> None:
    for transport in TRANSPORTS:
        for who in (OURS, BARE) if first else (BARE, OURS):
            found = measured.starts[transport, who]
            began = perf_counter()
            with place.start(who, transport, only="get_lead") as subject:
                subject.way.ask(Request("tools/list", {}))
                found.to_list.append(perf_counter() - began)
                subject.way.ask(calls.by_tool["get_lead"]())
                found.to_lead.append(perf_counter() - began)
                found.at_rest.append(subject.memory or 0.0)


def _inside(replies: Path) -> Cost:
    command = [sys.executable, "-m", "bench.inside", str(replies)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    return Cost(**json.loads(done.stdout))
