"""Thousands of writes in bad weather, and whether what was told of each is what became of it."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from lofty_mcp.sandbox.world import LogEntry
from tests.support import rpc
from tests.support.process import Town, Web, environment, town, until
from tests.support.verdict import Intended, Judgement, Told
from tests.support.weather import Kind, Passed, Weather, weather
from tests.support.web import accounts, token

WRITES: dict[Kind, float] = {
    "slow": 3,
    "drip": 3,
    "429": 4,
    "503 before": 3,
    "503 after": 4,
    "reset before": 3,
    "reset after": 5,
    "half a body": 4,
    "black hole before": 0.4,
    "black hole after": 0.4,
    "late": 0.2,
}
READS: dict[Kind, float] = {
    "slow": 2,
    "drip": 2,
    "429": 1,
    "503 before": 1.5,
    "reset before": 1.5,
    "half a body": 1.5,
    "black hole before": 0.1,
}
"""What befalls so many of a hundred writes and reads; the rest is carried as it is."""
PRIYA = "priya.nair@summitpeak.example"
STEPS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("update_stage", "Qualified", {"stage": "Qualified"}),
    ("add_tag", "Storm One", {"tags": ["Storm One"]}),
    ("assign_lead", PRIYA, {"assignee": PRIYA, "role": "Assistant"}),
    ("add_tag", "Storm Two", {"tags": ["Storm Two"]}),
    ("update_stage", "Closed", {"stage": "Closed"}),
    ("add_note", "storm-note", {"text": "storm-note"}),
    ("create_task", "storm-task", {"text": "storm-task", "due": "2099-01-05"}),
    ("log_communication", "storm-log", {"kind": "email", "text": "storm-log"}),
)
"""What is done to each lead in turn: a tool, the word that its request is known by, its arguments."""
CREATIONS = {"add_note", "create_task", "log_communication"}
"""What no record shows to be done already, so that nothing but the ledger keeps it from being done again."""
BATCH = 5
WORKERS = 40
MOST_TRIES = 60
AGAIN_SECONDS = 0.2
SQUALL = 3
"""As often as a read is tried."""
REFUSED_SECONDS, REFUSED_EVERY = 0.03, 3.0
SENT_NOTHING = ("Nothing was sent", "Lofty took nothing up", "Not begun yet", "Another call for the same was put off")


class WritesOnly(list[LogEntry]):
    """A log of the sandbox that forgets reads at once, and so never grows long enough to be cut."""

    def append(self, entry: LogEntry) -> None:
        """Keep a write."""
        if entry.method != "GET":
            super().append(entry)


@dataclass
class Storm:
    """The sandbox, the weather before it, two servers that share a ledger, and all that is wanted of them."""

    lofty: Town
    sky: Weather
    webs: tuple[Web, Web]
    """One that asks nobody, one that wants a code for everything."""
    random: random.Random
    intended: list[Intended] = field(default_factory=list)
    calls: int = 0
    seconds: float = 0.0

    async def rage(self, writes: int) -> None:
        """Have so many writes carried out."""
        began = time.monotonic()
        groups = self._groups(writes)
        limits = httpx2.Limits(max_connections=4 * WORKERS)
        async with httpx2.AsyncClient(timeout=60, trust_env=False, limits=limits) as http:
            refusing = asyncio.create_task(self._refuse())
            await asyncio.gather(*(self._work(http, groups) for _ in range(WORKERS)))
            refusing.cancel()
        late = [one for one in self.sky.passed if one.kind == "late"]
        await asyncio.to_thread(until, lambda: all(one.carried for one in late), "what is late")
        self.seconds = time.monotonic() - began

    def _groups(self, writes: int) -> list[tuple[str, list[str]]]:
        """Leads that are written to together, each with whose they are."""
        groups, left = list[tuple[str, list[str]]](), writes // len(STEPS)
        while left > 0:
            member = self.random.choice(self.lofty.world.members)
            size = min(left, self.random.choice((1, 1, 1, 1, BATCH)))
            left -= size
            leads = [str(self.lofty.world.add_lead(assignedUserId=member.user_id)) for _ in range(size)]
            groups.append((member.email.partition("@")[0].replace(".", "-"), leads))
        return groups

    async def _refuse(self) -> None:
        while True:
            await asyncio.sleep(REFUSED_EVERY)
            await asyncio.to_thread(self.sky.refuse, REFUSED_SECONDS)

    async def _work(self, http: httpx2.AsyncClient, groups: list[tuple[str, list[str]]]) -> None:
        while groups:
            who, leads = groups.pop()
            for tool, word, arguments in STEPS:
                for some in ([lead_id] for lead_id in leads) if tool in CREATIONS else (leads,):
                    crowded = self.random.random() < 0.08
                    wanted = {lead_id: Intended(lead_id, tool, word, crowded) for lead_id in some}
                    self.intended.extend(wanted.values())
                    await _Asking(self, http, who, arguments, wanted).until_told()

    def judged(self) -> Judgement:
        """Compare what was told with what came by and with what the sandbox did."""
        return Judgement(self.intended, self.sky.passed, self.lofty.world)

    def figures(self) -> dict[str, Any]:
        """What happened, and what was found wrong in it."""
        judged, passed = self.judged(), self.sky.passed
        return {
            "writes intended": len(self.intended),
            "calls": self.calls,
            "requests": len(passed),
            "weather of writes": dict(Counter(one.kind for one in passed if one.method != "GET").most_common()),
            "weather of reads": dict(Counter(one.kind for one in passed if one.method == "GET").most_common()),
            "outcomes": dict(judged.outcomes.most_common()),
            "why unknown": dict(judged.unknown.most_common()),
            "wrong": judged.wrong,
            "seconds": round(self.seconds, 1),
        }


@dataclass
class _Asking:
    """Somebody who asks for one write to some leads, and asks again until each is told of for good."""

    storm: Storm
    http: httpx2.AsyncClient
    who: str
    arguments: dict[str, Any]
    wanted: dict[str, Intended]

    async def until_told(self) -> None:
        """By a code or without one."""
        creates = self._one.tool in CREATIONS
        if (self._one.crowded and not creates) or self.storm.random.random() < 0.5:
            await self._by_code()
            return
        await self._without()
        if creates and self.storm.random.random() < 0.3:
            await self._call(0, list(self.wanted))  # says what it said before

    @property
    def _one(self) -> Intended:
        return next(iter(self.wanted.values()))

    async def _without(self) -> None:
        left = list(self.wanted)
        for turn in range(MOST_TRIES):
            answers = await asyncio.gather(*(self._call(0, left) for _ in range(1 + self._one.crowded)))
            told = next((answer for answer in answers if answer is not None), None)
            if told is not None and told.get("confirmation"):  # ran out of time: the rest goes on under this code
                await self._repeat(left, told["confirmation"])
                return
            if told is not None:
                left = [row["lead_id"] for row in told["results"] if not _is_final(row)]
            if not left:
                return
            await _pause(turn)

    async def _by_code(self) -> None:
        leads = list(self.wanted)
        for turn in range(MOST_TRIES):
            preview = await self._call(1, leads)
            if preview is not None and preview.get("confirmation"):
                await self._repeat(leads, preview["confirmation"])
                return
            await _pause(turn)

    async def _repeat(self, leads: list[str], code: str) -> None:
        """The same code until nothing is open, and once more where something is unknown."""
        curious = True
        hangs_up = self._one.crowded and self.storm.random.random() < 0.4
        for turn in range(MOST_TRIES):
            servers = (0, 1) if self._one.crowded else (self.storm.random.randrange(2),)
            patience = self.storm.random.uniform(0.005, 0.1) if hangs_up and turn == 0 else 60
            answers = await asyncio.gather(*(self._call(n, leads, patience, confirmation=code) for n in servers))
            told = next((answer for answer in answers if answer is not None), None)
            if told is not None:
                code = told.get("confirmation") or code
                unknown = any(row["outcome"] == "unknown" for row in told["results"])
                if all(map(_is_final, told["results"])) and not (unknown and curious):
                    return
                curious = curious and not unknown
            await _pause(turn)

    async def _call(self, server: int, leads: list[str], patience: float = 60, **code: str) -> dict[str, Any] | None:
        """What a server answered; None if it failed, or if nobody waited for it."""
        web, sky = self.storm.webs[server], self.storm.sky
        ids = {"lead_id": leads[0]} if self._one.tool in CREATIONS else {"lead_ids": leads}
        message = rpc.call(self._one.tool, **ids, **self.arguments, **code)
        headers = message["headers"] | {"authorization": f"Bearer {token(self.who)}"}
        asked = sky.now()
        self.storm.calls += 1
        try:
            async with asyncio.timeout(patience):
                answer = await self.http.post(web.url, json=message["json"], headers=headers)
        except (httpx2.TransportError, TimeoutError):
            return None
        result, at = rpc.result(answer), sky.now()
        if result.get("isError"):
            text = result["content"][0]["text"]
            if "Nothing was changed" in text or "nothing is sent" in text:
                for lead_id in leads:
                    self.wanted[lead_id].told.append(Told("refused", text, asked, at))
            return None
        told: dict[str, Any] = result["structuredContent"]
        if told["status"] != "confirmation_required":
            for row in told["results"]:
                self.wanted[row["lead_id"]].told.append(Told(row["outcome"], row.get("note", ""), asked, at))
        return told


async def _pause(turn: int) -> None:
    await asyncio.sleep(AGAIN_SECONDS * min(turn + 1, 10))


def _is_final(row: dict[str, Any]) -> bool:
    """Whether asking again could only tell the same."""
    return row["outcome"] != "not_applied" or not row.get("note", "").startswith(SENT_NOTHING)


@dataclass
class Chance:
    """Picks the weather: by lot, and at times a squall that no reading gets through after a write."""

    random: random.Random
    writes: dict[Kind, float]
    reads: dict[Kind, float]
    squalls: float
    """How often, of all writes."""
    _left: Counter[str] = field(default_factory=Counter)

    def __call__(self, one: Passed) -> Kind:
        """The weather for one request."""
        if (lead_id := one.lead_id) is None:
            return "carried"  # the account's own words, which a server asks for once
        if one.method == "GET" and self._left[lead_id]:
            self._left[lead_id] -= 1
            return "503 before"
        if one.method != "GET" and self.random.random() < self.squalls:
            self._left[lead_id] = SQUALL
            return self.random.choice(("503 before", "503 after", "reset before", "reset after"))
        kinds = self.reads if one.method == "GET" else self.writes
        return self.random.choices([*kinds, "carried"], [*kinds.values(), 100 - sum(kinds.values())])[0]


@contextmanager
def storm(
    folder: Path,
    *,
    seed: int = 42,
    writes: dict[Kind, float] = WRITES,
    reads: dict[Kind, float] = READS,
    squalls: float = 0.005,
    program: tuple[str, ...] = ("-m", "lofty_mcp"),
) -> Iterator[Storm]:
    """A storm over two servers that run `program`, with a principal for each member of the sandbox."""
    chance = random.Random(seed)  # noqa: S311 - weather, not a secret
    with ExitStack() as stack:
        lofty = stack.enter_context(town(rate_limit=900_000, keep_alive=600))
        lofty.world.log = WritesOnly()
        tags = [word for tool, word, _ in STEPS if tool == "add_tag"]
        lofty.world.add_lead(tags=tags)
        sky = stack.enter_context(weather(lofty.url, Chance(chance, writes, reads, squalls)))
        names = {m.email: m.email.partition("@")[0].replace(".", "-") for m in lofty.world.members}
        keys = {f"KEY_{n}": m.key for n, m in enumerate(lofty.world.members)}
        file = folder / "accounts.toml"
        tables = {
            names[m.email]: {"credential": f"env:KEY_{n}", "mode": "auto"} for n, m in enumerate(lofty.world.members)
        }
        file.write_text(accounts(**tables), encoding="utf-8")
        limits = ("CALLS_PER_MINUTE", "OPEN_CALLS", "NOT_FOUND_PER_MINUTE", "WRITES_PER_DAY")
        settings = {
            "LOFTY_API_KEY": "the-key-of-nobody",
            "LOFTY_MCP_REQUESTS_PER_MINUTE": "6000",
            "LOFTY_BASE_URL": sky.url,
            "LOFTY_MCP_ACCOUNTS": str(file),
            "LOFTY_MCP_ASK_FROM": "add",
            **keys,
            **{f"LOFTY_MCP_{name}": "0" for name in limits},
        }
        webs = []
        for mode in ("auto", "code"):
            env = environment(folder, LOFTY_MCP_MODE=mode, **settings)
            webs.append(stack.enter_context(Web(env=env, stderr=folder / mode, program=program)))
        yield Storm(lofty, sky, (webs[0], webs[1]), chance)
