"""The Lofty of a soak: a sandbox in this event loop, in changing weather, with leads to work on and leads to hide."""

import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from socket import socket
from time import monotonic
from typing import Any

import anyio
import uvicorn

from lofty_mcp.sandbox import Faults, World, build_app
from lofty_mcp.sandbox.faults import Fault, parse

KINDS = ("latency=0.3", "status=503", "status_after=503", "429=1000", "reset_before", "reset_after", "half_body")
UNTOUCHED = ("status", "429", "reset_before")
"""Faults under which nothing was processed."""
RAIN, STORM = 0.02, 0.5
"""The share of requests that fail, usually and in a storm."""
STORM_EVERY, STORM_SECONDS, AFTER_STORM = 60.0, 3.0, 20.0
WORK_LEADS, HIDING_LEADS, HIDDEN_LEADS = 48, 8, 12
LONGEST_USE = 40
"""Writes to a lead before another takes its place, so that its change log does not grow for an hour."""


@dataclass(frozen=True)
class Arrival:
    """A request that reached Lofty: whom it was about, and what befell it."""

    write: bool
    ids: frozenset[str]
    fault: str

    @property
    def processed(self) -> bool:
        """Whether Lofty did what it asked."""
        return self.fault not in UNTOUCHED


class Weather(Faults):
    """Faults at a rate, light but for a storm once a minute; those who watch a lead see what arrives for it."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.struck: Counter[str] = Counter()
        self.world: World | None = None
        self._chance = random.Random(seed)
        self._began = monotonic()
        self._watched: dict[str, list[Arrival]] = {}

    def pick(self, method: str, path: str, header: str | None) -> Fault | None:
        """The fault for this request, if any; also notes that it arrived."""
        fault = super().pick(method, path, header) or self._strike()
        kind = fault.kind if fault else ""
        if kind:
            self.struck[kind] += 1
        assert self.world is not None
        entry = self.world.log[-1]  # this very request
        ids = frozenset(re.findall(r"\d{6,}", f"{path} {json.dumps(entry.query)} {json.dumps(entry.body)}"))
        for watcher in {id(seen): seen for seen in map(self._watched.get, ids) if seen is not None}.values():
            watcher.append(Arrival(method != "GET", ids, kind))
        return fault

    @contextmanager
    def watching(self, ids: Sequence[str]) -> Iterator[list[Arrival]]:
        """What arrives for these ids from now on."""
        arrived: list[Arrival] = []
        self._watched |= dict.fromkeys(ids, arrived)
        try:
            yield arrived
        finally:
            for one in ids:
                del self._watched[one]

    @property
    def stormy(self) -> bool:
        """Whether there is a storm, or was one so lately that the server may still hold its requests back."""
        return self._in_a_storm(AFTER_STORM)

    def _in_a_storm(self, longer: float = 0.0) -> bool:
        began = monotonic() - self._began
        return began > STORM_EVERY and began % STORM_EVERY < STORM_SECONDS + longer

    def _strike(self) -> Fault | None:
        rate = STORM if self._in_a_storm() else RAIN
        return parse(self._chance.choice(KINDS)) if self._chance.random() < rate else None


@dataclass(frozen=True)
class Hidden:
    """A lead that is there for one member only, since a moment, and a name that nobody else bears."""

    email: str
    name: str
    since: float


@dataclass
class Lofty:
    """A running sandbox, and the hands on its world."""

    url: str
    world: World
    weather: Weather
    chance: random.Random
    hidden: dict[str, Hidden] = field(default_factory=dict)
    work: set[str] = field(default_factory=set)
    """Leads to read, and to write to while nobody else does."""
    hiding: list[str] = field(default_factory=list)
    """Leads that are hidden and shown again all the time."""
    _uses: Counter[str] = field(default_factory=Counter)
    _named: int = 0

    def fill(self, emails: Sequence[str]) -> None:
        """Make the leads that the soak is about, of these members by turns."""
        for number in range(WORK_LEADS):
            self._new_work(emails[number % len(emails)])
        for number in range(HIDING_LEADS):
            self.hiding.append(self._new(emails[number % len(emails)], f"Comesandgoes{number}"))
        for number in range(HIDDEN_LEADS):
            email, name = emails[number % len(emails)], f"Under{number:02}whistle"  # none is part of another
            lead_id = self._new(email, name, hiddenFlag=1, ownershipScope="PERSONAL", source=f"{name} source")
            self.world.add_note(int(lead_id), content=f"{name} has a note.", creatorId=self.user_id(email))
            self.hidden[lead_id] = Hidden(email, name, 0.0)

    def user_id(self, email: str) -> int:
        """The user id that records use for a member."""
        member = self.world.member(email)
        assert member is not None
        return member.user_id

    def take(self, count: int) -> list[str]:
        """Leads to write to, which nobody else gets until they are given back."""
        taken = self.chance.sample(sorted(self.work), count)
        self.work -= set(taken)
        return taken

    def give_back(self, taken: Sequence[str]) -> None:
        """Put leads back, or others in their place."""
        for lead_id in taken:
            self._uses[lead_id] += 1
            if self._uses[lead_id] < LONGEST_USE:
                self.work.add(lead_id)
            else:
                email = self._agent(lead_id)
                self.world.remove_lead(int(lead_id))
                del self._uses[lead_id]
                self._new_work(email)

    def lead(self, lead_id: str) -> dict[str, Any]:
        """A lead as it is."""
        return self.world.lead(int(lead_id))

    def tags(self, lead_id: str) -> list[str]:
        """The tags of a lead."""
        return [tag["tagName"] for tag in self.lead(lead_id)["tags"]]

    def made(self, lead_id: str, text: str) -> list[tuple[str, int]]:
        """Everything on a lead that bears this text, as kind and id."""
        sql = "SELECT kind, id FROM items WHERE leadId = ? AND kind <> 'log' AND data LIKE ?"
        return [(row["kind"], row["id"]) for row in self.world.store.rows(sql, (int(lead_id), f"%{text}%"))]

    def finished(self, task: str) -> bool:
        """Whether a task is done."""
        row = self.world.store.item("task", int(task))
        return row is not None and bool(json.loads(row["data"])["finishTime"])

    def come_and_go(self) -> None:
        """Hide one of the leads that come and go, or show it again."""
        lead_id = self.chance.choice(self.hiding)
        if self.hidden.pop(lead_id, None) is not None:
            self.world.update_lead(int(lead_id), hiddenFlag=0)
            return
        self.world.update_lead(int(lead_id), hiddenFlag=1)
        self.hidden[lead_id] = Hidden(self._agent(lead_id), self.lead(lead_id)["lastName"], monotonic())

    def _agent(self, lead_id: str) -> str:
        """The e-mail of the member whom a lead is assigned to."""
        member = self.world.user(self.lead(lead_id)["assignedUserId"])
        assert member is not None
        return member.email

    def _new_work(self, email: str) -> None:
        self.work.add(self._new(email, f"Workbench{self._named}"))

    def _new(self, email: str, name: str, **fields: Any) -> str:
        self._named += 1
        usual = {
            "firstName": "Soak",
            "phones": [f"970556{self._named:04d}"],
            "phoneStatuses": [2],
            "emails": [f"soak{self._named}@mail.example"],
            "stage": "New Lead",
            "state": "CO",
            "ownershipScope": "TEAM",
            "hiddenFlag": 0,
        }
        owned = {"assignedUserId": self.user_id(email), "lastName": name}
        return str(self.world.add_lead(**{**usual, **fields, **owned}))


class _Server(uvicorn.Server):
    """uvicorn that says when it listens, and leaves the signals of this process alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = anyio.Event()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def lofty(seed: int) -> AsyncIterator[Lofty]:
    """A sandbox on a free port of this machine."""
    weather = Weather(seed)
    app = build_app(leads=200, seed=seed, rate_limit=1_000_000, faults=weather)
    weather.world = app.state.world
    server = _Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off", access_log=False))
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve)
        with anyio.fail_after(30):
            await server.listens.wait()
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield Lofty(f"http://127.0.0.1:{port}", app.state.world, weather, random.Random(seed))
        finally:
            server.should_exit = server.force_exit = True
    app.state.world.store.close()
