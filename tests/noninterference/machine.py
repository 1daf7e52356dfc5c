"""The state machine: whatever is called, in whatever order, both worlds answer alike."""

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from mcp.types import ElicitResult

from tests.noninterference.calls import Call, Handed, Words, doors, said
from tests.noninterference.seat import seated
from tests.noninterference.transcript import Normaliser, alike
from tests.noninterference.wire import Asked
from tests.noninterference.worlds import NEVER, WHISPERED, Worlds
from tests.support.world import ANA, ERAS, MARK, OWNER, Bench

YES, NO = ElicitResult(action="accept", content={"ok": True}), ElicitResult(action="decline")
BUDGET = settings(
    deadline=None,
    database=None,
    derandomize=True,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)


# The simplest run, which always comes first, calls all that is listed once.
MIX = ["call"] * 12 + ["go on"] * 4 + ["flip"] * 3 + ["strike"] * 2 + ["work"]


class Told(AssertionError):
    """The two worlds could be told apart."""


@dataclass
class Tally:
    """What was listed, what was called, and how often a call got past the checks of its arguments."""

    listed: set[str] = field(default_factory=set)
    called: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)
    runs: int = 0


class Twins(RuleBasedStateMachine):
    """One viewer at both worlds: each call is made in both, and all that is told of it compared."""

    def __init__(self, portal: BlockingPortal, folder: Path, tally: Tally, *, differ: bool) -> None:
        super().__init__()
        self._portal, self._tally, self._differ = portal, tally, differ
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        self._turn = 0
        self._handed: list[tuple[Call, list[int]]] = []

    @initialize(
        viewer=st.sampled_from([OWNER, MARK]),
        era=st.sampled_from(ERAS),
        answer=st.sampled_from([YES, NO, None]),
        data=st.data(),
    )
    def open(self, viewer: str, era: str, answer: ElicitResult | None, data: st.DataObject) -> None:
        """Two worlds, and a client in each."""
        self._tally.runs += 1
        self._worlds = Worlds(self._folder, viewer, self._differ)
        self._seats = [
            self._stack.enter_context(self._portal.wrap_async_context_manager(seated(bench, viewer, era, answer)))
            for bench in self._worlds.benches
        ]
        self._normal = [
            Normaliser(_issued(bench), self._worlds.is_made, self._worlds.is_now) for bench in self._worlds.benches
        ]
        there, never = (self._portal.call(doors, seat.client) for seat in self._seats)
        _compare("what is listed", there, never)
        made = [normal.ids for normal in self._normal]
        self._worlds.known_as = lambda: {int(a): int(b) for a, b in zip(*made, strict=False)}
        self._tally.listed |= {str(door) for door in there}
        again = [door for door in there for _ in range(door.weight - 1)]
        self._deck = data.draw(st.permutations([*there, *again]))
        self._words = Words(pools(self._worlds))

    def teardown(self) -> None:
        """Close both."""
        self._stack.close()

    @rule(what=st.sampled_from(MIX), data=st.data())
    def step(self, what: str, data: st.DataObject) -> None:
        """Something is called, or somebody else does something."""
        match what if self._differ else "call":
            case "go on":
                self._go_on(data)
            case "flip":
                self._flip(data)
            case "strike":
                self._strike(data)
            case "work":
                self._worlds.work(data.draw(self._a_lead()))
            case _:
                self._call(data)

    def _call(self, data: st.DataObject) -> None:
        """The viewer calls whatever comes next in the deck."""
        door = self._deck[self._turn % len(self._deck)]
        self._turn += 1
        self._play(data.draw(self._words.call(door)))

    def _go_on(self, data: st.DataObject) -> None:
        """The viewer uses a code or cursor for the call that it was given for, if there was one."""
        if not self._handed:
            return
        call, numbers = data.draw(st.sampled_from(self._handed[-6:]))
        places = [name for name in (call.door.schema or {}).get("properties", ()) if name in ("confirmation", "cursor")]
        used = dict.fromkeys(places[:1], Handed(data.draw(st.sampled_from(numbers))))
        self._play(Call(call.door, {**call.arguments, **used}))

    def _flip(self, data: st.DataObject) -> None:
        """Somebody else hides, shows or reassigns a lead."""
        lead_id, hidden = data.draw(self._a_lead()), data.draw(st.sampled_from([True, False, None]))
        holder = data.draw(st.sampled_from([ANA, MARK, OWNER, None]))
        assigned = self._worlds.there.user_id(holder) if holder else 0
        self._worlds.edit(lead_id, hiddenFlag=hidden, privateFlag=False, assignedUserId=assigned)

    def _strike(self, data: st.DataObject) -> None:
        """The viewer writes to a lead that is hidden right after, and the answer to the write may be lost."""
        writes = [door for door in self._deck if "confirmation" in (door.schema or {}).get("properties", {})]
        call = data.draw(st.sampled_from(writes).flatmap(self._words.call))
        named = call.arguments.get("lead_ids", [call.arguments.get("lead_id")])
        lead_id = next((i for i in named if i in self._worlds.ids), self._worlds.ghost)
        self._worlds.strike(lead_id, lost=data.draw(st.booleans()))
        self._play(call)

    def _a_lead(self) -> st.SearchStrategy[str]:
        return st.sampled_from([lead_id for lead_id in self._worlds.ids if lead_id != self._worlds.ghost][:14])

    def _play(self, call: Call) -> None:
        told: list[list[str]] = []
        asked: list[list[Asked]] = []
        before = len(self._normal[0].handles)
        for seat, normal in zip(self._seats, self._normal, strict=True):
            arguments = said(dict(call.arguments), normal.handles, normal.ids)
            lines, requests = self._portal.call(seat.play, call.door, arguments)
            told.append(normal(lines))
            asked.append(requests)
        self._worlds.settle()
        _compare(f"{call.door} {dict(call.arguments)}", *told)
        pairs = zip(asked, self._normal, strict=True)
        _compare(f"upstream of {call.door}", *(upstream(requests, normal) for requests, normal in pairs))
        _compare_lists(*asked)
        if not alike(*(normal.seals for normal in self._normal)):
            raise Told(f"{call.door}: sealed states of {[normal.seals[-1] for normal in self._normal]} characters")
        self._count(call, told[0], asked[0])
        if new := list(range(before, len(self._normal[0].handles))):
            self._handed.append((call, new))
        self._words.handles, self._words.made = len(self._normal[0].handles), len(self._normal[0].ids)

    def _count(self, call: Call, told: Sequence[str], asked: Sequence[Asked]) -> None:
        self._tally.called[str(call.door)] += 1
        reached = any(request.leads or request.lists_leads for request in asked)
        failed = any(line.startswith("refused") or '"isError":true' in line for line in told)
        self._tally.passed[str(call.door)] += reached or not failed


def run(budget: settings, tally: Tally | None = None, *, differ: bool = True) -> Tally:
    """Let the machine run; `Told` if it found a difference. Without `differ` there is none to find."""
    tally = tally or Tally()
    with start_blocking_portal("asyncio") as portal, tempfile.TemporaryDirectory() as folder:
        run_state_machine_as_test(lambda: Twins(portal, Path(folder), tally, differ=differ), settings=budget)  # type: ignore[arg-type]
    return tally


def upstream(asked: Sequence[Asked], normal: Normaliser) -> list[str]:
    """What Lofty was asked beside pages of leads, in an order that does not depend on what ran at the same time."""
    return sorted(normal([f"{a.method} {a.path} {a.query} {a.body}" for a in asked if not a.lists_leads]))


def _compare_lists(there: Sequence[Asked], never: Sequence[Asked]) -> None:
    """Pages of leads: the same filters, and page by page the same where no hidden row was in the list."""
    lists = [[request for request in asked if request.lists_leads] for asked in (there, never)]
    _compare("filters of lists", *(list(dict.fromkeys(_filters(page) for page in pages)) for pages in lists))
    for pages in zip(*([page for page in pages if _alike(page, lists)] for pages in lists), strict=False):
        _compare("a page of a list", *(str(page.query) for page in pages))


def _filters(page: Asked) -> str:
    return str({name: value for name, value in sorted(page.query.items()) if name not in ("offset", "limit")})


def _alike(page: Asked, lists: Sequence[Sequence[Asked]]) -> bool:
    first = [next((other for other in pages if _filters(other) == _filters(page)), None) for pages in lists]
    return all(first) and first[0] == first[1]


def _compare(what: str, there: Any, never: Any) -> None:
    if there != never:
        differ = list(zip_longest(*(t if isinstance(t, list) else [t] for t in (there, never))))
        raise Told("\n".join([what, *(f"there: {a}\nnever: {b}" for a, b in differ if a != b)]))


def _issued(bench: Bench) -> Any:
    db = sqlite3.connect(f"file:{bench.state / 'ledger.db'}?mode=ro", uri=True, check_same_thread=False)
    return lambda: {row[0] for row in db.execute("SELECT code FROM handles")}


def pools(worlds: Worlds) -> Mapping[str, Sequence[Any]]:
    """What may be said to this server, most of it taken from leads that are hidden."""
    world, hidden = worlds.there.world, worlds.records
    seen = [world.lead(int(lead_id)) for lead_id in worlds.ids if not worlds.is_hidden(lead_id)][:6]
    ids = [str(lead["leadId"]) for lead in [*hidden, *seen]]
    trashed = [str(lead_id) for lead_id in world.trashed_ids()]
    of_kind = {kind: _items(world, kind, [*hidden[:3], *seen[:3]]) for kind in ("note", "task", "communication")}
    return {
        "^due$": ["2099-01-05", "2099-12-24T10:00:00", "soon"],
        "_frame$": ["1-3", "12+"],
        "^(pre_qual|house|fthb|mortgage|buy_house|with_)": ["Yes", "no", "perhaps"],
        "^lead": [*ids, *trashed, NEVER, "12x"],
        "note_id": of_kind["note"],
        "task_id": of_kind["task"],
        "_id$": of_kind["communication"],
        "stage": ["Qualified", "Contacted", "Past Client", "Qualifed"],
        "tag": ["VIP", "Buyer", WHISPERED, "Brand new"],
        "assign|agent|member": ["me", MARK, ANA, "Chris Lee", "nobody@nowhere.example"],
        "email": [email for lead in [*hidden, *seen[:2]] for email in lead["emails"]],
        "phone": [phone for lead in [*hidden, *seen[:2]] for phone in lead["phones"]],
        "source": [WHISPERED, "Zillow", "Website"],
        "since|until|after|before|due|date|time|_at$": ["2026-11-01", "2026-12-24T10:00:00", "soon"],
        "": [*(lead["lastName"] for lead in [*hidden, *seen[:2]]), WHISPERED, "970 555 0199", *ids[:2]],
    }


def _items(world: Any, kind: str, leads: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(row["id"]) for lead in leads for row in world.store.items(kind, lead["leadId"])] + ["999"]
