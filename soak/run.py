"""What a whole run shares: the server's address, the world, the counts, the time."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal, get_args

import anyio
import httpx2

from soak.judge import Intent
from soak.lofty import Lofty
from soak.tally import Tally

WORKERS = 8
CALLS_PER_SECOND = 24.0
"""For all workers together, so that two shared cores have room."""

Plant = Literal["duplicate", "outcome", "leak"]
PLANTS: tuple[Plant, ...] = get_args(Plant)


@dataclass(frozen=True)
class Principal:
    """Who calls: by which token, with whose eyes, and whether a person is there to be asked."""

    token: str
    email: str
    answers: bool


@dataclass
class Run:
    """One run."""

    url: str
    lofty: Lofty
    tally: Tally
    principals: Sequence[Principal]
    chance: random.Random
    until: float
    """On the monotonic clock."""
    plant: Plant | None = None
    absent: set[str] = field(default_factory=set)
    """The words in which leads were said not to be there; there must not be two."""
    _next: float = 0.0

    @property
    def over(self) -> bool:
        """Whether it is time to stop."""
        return monotonic() >= self.until

    async def pace(self) -> None:
        """Wait for the turn of one more call."""
        now = monotonic()
        turn = max(now, self._next)
        self._next = turn + 1 / CALLS_PER_SECOND
        await anyio.sleep(turn - now)

    async def spoil(self, intent: Intent) -> None:
        """Do what is planted: send a write again past the server, or undo it behind its back."""
        if intent.tool != "update_stage" or self.plant not in ("outcome", "duplicate"):
            return
        key = self.lofty.world.key_of(self.principals[0].email)
        headers = {"authorization": f"token {key}", "x-sandbox-fault": "latency=0"}
        async with httpx2.AsyncClient(base_url=self.lofty.url, headers=headers, trust_env=False) as http:
            for lead_id in intent.leads:
                if self.plant == "outcome":
                    self.lofty.world.update_lead(int(lead_id), stage="Past Client")
                else:
                    await http.put(f"/v1.0/leads/{lead_id}", json={"stage": intent.arguments["stage"]})
