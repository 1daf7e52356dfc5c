"""Two worlds that differ in hidden leads only: there, and never been there.

Whatever others do to a lead is done where it is there; the other world then holds what the viewer may see of it, which
is the whole lead or nothing.
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

from lofty_mcp.sandbox import World
from lofty_mcp.sandbox.store import LEAD_COLUMNS
from tests.noninterference.wire import Temper, Wire
from tests.support.world import ANA, MARK, NOW, OWNER, Bench

LEADS = 22
NEVER = "1100000999999999"
"""The id of a lead that is in no world."""
MADE = ("note", "task", "communication", "log")
"""What hangs on leads and is shown with the number it got when it was made."""
BEGINS, LASTS = NOW + timedelta(hours=1), timedelta(hours=1)
"""What the servers' clocks show, while those of the worlds, which go by writes, are at the hour before."""
APART = 500
WHISPERED = "Whispered"
"""A word that only hidden leads bear, though the account knows it as a tag."""


@dataclass
class Worlds:
    """The two worlds of one viewer, and what others do in them meanwhile."""

    folder: Path
    viewer: str
    differ: bool = True
    """False: hidden leads were never in either, and nobody does anything."""
    there: Bench = field(init=False)
    never: Bench = field(init=False)
    hidden: list[str] = field(init=False)
    """The leads that are hidden from this viewer when it begins; the first of them stays so."""
    records: list[dict[str, Any]] = field(init=False)
    """What these are like."""
    first_ids: dict[str, int] = field(init=False)
    """The first id of each kind that is made after the beginning."""

    known_as: Callable[[], dict[int, int]] = dict
    """Ids of what the viewer has made, as the viewer knows them: there, and where hidden leads never were."""
    _struck: str = ""

    def __post_init__(self) -> None:
        self.there, self.never = (Bench(self.folder / name, leads=LEADS) for name in ("there", "never"))
        later = BEGINS.timestamp() - time.time()
        for bench in self.benches:
            bench.later = later
            _furnish(bench.world)
            bench.network = Wire(bench.app, self._temper(bench))
        self.hidden = [lead_id for lead_id in self.ids if self.is_hidden(lead_id)]
        self.records = [self.there.world.lead(int(lead_id)) for lead_id in self.hidden]
        for bench in self.benches[self.differ :]:
            for lead_id in self.hidden:
                bench.world.remove_lead(int(lead_id))
        self.first_ids = {kind: self.there.world.next_id(kind) for kind in MADE}
        for kind in MADE * APART:  # what is made where they never were has other numbers, as between two real accounts
            self.never.world.next_id(kind)

    @property
    def benches(self) -> tuple[Bench, Bench]:
        """The world where hidden leads are there, and the one where they never were."""
        return self.there, self.never

    @property
    def ids(self) -> list[str]:
        """Every lead there is."""
        return [str(lead_id) for lead_id in self.there.world.lead_ids()]

    @property
    def ghost(self) -> str:
        """A lead that stays hidden, and whose rows Lofty mixes into the lists of others."""
        return self.hidden[0]

    def is_hidden(self, lead_id: str, bench: Bench | None = None) -> bool:
        """Whether a lead is there, and not for this viewer: the rule of SECURITY.md in the sandbox's own words."""
        try:
            lead = (bench or self.there).world.lead(int(lead_id))
        except (KeyError, OverflowError):
            return False
        restricted = lead["hiddenFlag"] is not False or lead["privateFlag"]
        return restricted and lead["assignedUserId"] != self.there.user_id(self.viewer) and not lead["trashed"]

    def edit(self, lead_id: str, **fields: Any) -> None:
        """Somebody else changes a lead."""
        self.there.world.update_lead(int(lead_id), **fields)
        self._mirror(lead_id)

    def work(self, lead_id: str) -> None:
        """Somebody else writes a note on a lead."""
        self.there.world.add_note(int(lead_id), content=f"{WHISPERED} of {lead_id}")
        self._mirror(lead_id)

    def strike(self, lead_id: str, *, lost: bool) -> None:
        """The next write to the lead is its last: right after it the lead is hidden there, and removed elsewhere."""

        self._struck = lead_id

        def hide() -> None:
            self.there.world.update_lead(int(lead_id), hiddenFlag=True, assignedUserId=0)

        def remove() -> None:
            self.never.world.remove_lead(int(lead_id))
            self.never.world.tick()

        for bench, act in zip(self.benches, (hide, remove), strict=True):
            wire_of(bench).temper.at_write = _once(lead_id, act, lost=lost)

    def settle(self) -> None:
        """After a call: what was to strike in it strikes no more, and what the viewer gave out of sight is gone."""
        for bench in self.benches:
            wire_of(bench).temper.at_write = lambda _: False
        self._struck = ""
        restricted = "SELECT leadId FROM leads WHERE hiddenFlag IS NOT 0 OR data ->> 'privateFlag'"
        for row in self.never.world.store.rows(restricted):
            if self.is_hidden(str(row["leadId"]), self.never):
                self.never.world.remove_lead(row["leadId"])
        self._keep_time()

    def is_made(self, number: int) -> bool:
        """Whether a number is the id of something made since the beginning."""
        return any(first <= number < first + 2**24 for first in self.first_ids.values())

    def is_now(self, moment: datetime) -> bool:
        """Whether only a server's own clock can have shown a moment, or soon will."""
        return BEGINS <= moment < BEGINS + LASTS

    def _mirror(self, lead_id: str) -> None:
        there, never = self.there.world.store, self.never.world.store
        self.never.world.remove_lead(int(lead_id))
        if not self.is_hidden(lead_id):
            never.insert_leads([tuple(row[name] for name in LEAD_COLUMNS) for row in there.leads([int(lead_id)])])
            tags = there.rows("SELECT leadId, tagId, createTime FROM lead_tags WHERE leadId=?", [int(lead_id)])
            never.insert_lead_tags([(row[0], row[1], row[2]) for row in tags])
            items = there.rows("SELECT kind, id, leadId, at, data FROM items WHERE leadId=?", [int(lead_id)])
            known = self.known_as()
            never.insert_items([(row[0], known.get(row[1], row[1]), row[2], row[3], row[4]) for row in items])
        self._keep_time()

    def _keep_time(self) -> None:
        ahead, behind = sorted((bench.world for bench in self.benches), key=World.tick, reverse=True)
        now = ahead.tick()
        while behind.tick() < now:
            pass

    def _temper(self, bench: Bench) -> Temper:
        def spend(seconds: float) -> None:
            bench.tick += seconds

        def hides(lead_id: str) -> bool:
            return self.is_hidden(lead_id, bench)

        def sudden(lead_id: str) -> bool:
            return lead_id == self._struck

        return Temper(spend, hides, sudden, self._strays(is_there=bench is self.there))

    def _strays(self, *, is_there: bool) -> Callable[[httpx2.Request], Any]:
        inner = httpx2.ASGITransport(app=self.there.app)

        async def strays(request: httpx2.Request) -> Any:
            """What Lofty would have told the owner of the ghost; where it never was, as many rows of nobody."""
            url = re.sub(r"(/leads/|leadId=)\d+", rf"\g<1>{self.ghost}", str(request.url))
            headers = {"Authorization": f"token {self.there.world.key_of(OWNER)}", "Content-Type": "application/json"}
            response = await inner.handle_async_request(httpx2.Request("GET", url, headers=headers))
            return _of_the_ghost(json.loads(await response.aread()), self.ghost if is_there else NEVER)

        return strays


def wire_of(bench: Bench) -> Wire:
    """The way from a world's server to its Lofty."""
    assert isinstance(bench.network, Wire)
    return bench.network


def _furnish(world: World) -> None:
    """Hide leads of every kind: somebody's, nobody's, private ones, and one without a flag."""
    agents = {email: member.user_id for email in (ANA, MARK) if (member := world.member(email))}
    ordinary = [
        i for i in world.lead_ids() if (lead := world.lead(i))["hiddenFlag"] is False and not lead["privateFlag"]
    ]
    hidden: tuple[dict[str, Any], ...] = (
        {"hiddenFlag": True, "assignedUserId": agents[ANA], "firstName": "Zephyrine", "lastName": "Quillfeather"},
        {"hiddenFlag": True, "assignedUserId": agents[MARK], "emails": ["caspian@whisper.example"], "score": 99},
        {"hiddenFlag": True, "assignedUserId": 0, "phones": ["9705550199"], "createTime": NOW},
        {"hiddenFlag": None, "assignedUserId": agents[ANA], "stage": "Past Client"},
        {"privateFlag": True, "assignedUserId": agents[MARK], "referredBy": "<b>nobody</b>"},
    )
    for place, fields in zip((2, 5, 9, 13, 16), hidden, strict=True):
        world.update_lead(ordinary[place], source=WHISPERED, tags=[WHISPERED, "VIP"], **fields)
        world.add_note(ordinary[place], content=f"{WHISPERED}: call 970 555 0199", isPin=True)
        world.add_task(ordinary[place], content=f"{WHISPERED}: view the house")
    world.update_lead(ordinary[7], trashed=1)


def _once(lead_id: str, act: Callable[[], None], *, lost: bool) -> Callable[[str], bool]:
    waiting = [act]

    def at_write(written: str) -> bool:
        if written != lead_id or not waiting:
            return False
        waiting.pop()()
        return lost

    return at_write


def _of_the_ghost(answer: Any, lead_id: str) -> Any:
    """The lists of an answer, as rows of the lead `lead_id`; of a lead that is nowhere they say nothing."""
    if isinstance(answer, dict):
        return {name: _of_the_ghost(rows, lead_id) for name, rows in answer.items() if isinstance(rows, list)}
    says = {} if lead_id != NEVER else dict.fromkeys(("content", "note", "text", "emailSubject"), "nothing")
    return [{**row, "leadId": int(lead_id), **{k: v for k, v in says.items() if k in row}} for row in answer]
