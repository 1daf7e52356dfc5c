"""How much one principal may do: requests, leads not found, and writes, each in a moving window of its own."""

import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import anyio
from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from lofty_mcp.errors import Refused
from lofty_mcp.settings import Settings


@dataclass(frozen=True)
class UsedUp:
    """A limit that is reached, in a sentence, and the seconds until it is not."""

    why: str
    seconds: int


class FairUse:
    """The counters of one process; a limit of 0 is none. Spans are in whole seconds, rounded up."""

    def __init__(self, settings: Settings) -> None:
        self._storage = MemoryStorage()
        self._windows = MovingWindowRateLimiter(self._storage)
        self._requests = _item(RateLimitItemPerMinute, settings.calls_per_minute, "requests")
        self._not_found = _item(RateLimitItemPerMinute, settings.not_found_per_minute, "not found")
        self._writes = _item(RateLimitItemPerDay, settings.writes_per_day, "writes")
        self._most_open = settings.open_calls or math.inf
        self._most_streams = settings.open_streams or math.inf
        self._open: Counter[tuple[str, bool]] = Counter()
        self._looking: Counter[str] = Counter()
        self._looked = anyio.Event()

    def take_request(self, name: str) -> UsedUp | None:
        """Count a request of principal `name`, unless a limit is reached."""
        if (reached := self._no_more_misses(name)) is not None:
            return reached
        if self._requests is None or self._windows.hit(self._requests, name):
            return None
        return UsedUp(
            f"These are more than {self._requests.amount} requests in a minute.", self._wait(self._requests, name)
        )

    @contextmanager
    def open_request(self, name: str, *, stream: bool) -> Iterator[UsedUp | None]:
        """Hold one of the principal's places, if there is one; a `stream`, which stays, has a kind of its own."""
        most = self._most_streams if stream else self._most_open
        if self._open[name, stream] >= most:
            yield UsedUp(f"{most} {'streams' if stream else 'requests'} of yours are open already.", 1)
            return
        self._open[name, stream] += 1
        try:
            yield None
        finally:
            self._open[name, stream] -= 1
            if not self._open[name, stream]:
                del self._open[name, stream]

    @asynccontextmanager
    async def looking(self, name: str, leads: int) -> AsyncIterator[None]:
        """Keep room in the budget of leads not found while so many are looked up; wait for others who keep some.

        Raises:
            Refused: the budget is used up.
        """
        if self._not_found is None:
            yield
            return
        while self._looking[name] and self._looking[name] + leads > self._misses_left(name) > 0:
            await self._looked.wait()
        if (reached := self._no_more_misses(name)) is not None:
            raise Refused(f"{reached.why} Try again in {reached.seconds} s. Nothing was changed.")
        self._looking[name] += leads
        try:
            yield
        finally:
            self._looking[name] -= leads
            self._looked.set()  # wakes all who wait, who look again; the next to wait gets an event of its own
            self._looked = anyio.Event()

    def count_not_found(self, name: str, leads: int) -> None:
        """Note that so many leads were answered as not found, hidden and missing alike."""
        if self._not_found is not None:
            for _ in range(min(leads, self._not_found.amount)):
                self._windows.hit(self._not_found, name)

    def no_more_writes(self, name: str) -> UsedUp | None:
        """Whether not one write is possible any more."""
        if self._writes is None or (wait := self._wait(self._writes, name)) == 0:
            return None
        return UsedUp(f"You have written to {self._writes.amount} leads in 24 hours; reading goes on.", wait)

    def take_writes(self, name: str, leads: int) -> float:
        """Count writes to so many leads, or answer the seconds until so many are possible; 0 if they are counted.

        Infinity: they are more than a whole day allows.
        """
        if self._writes is None or leads == 0 or self._windows.hit(self._writes, name, cost=leads):
            return 0.0
        return math.inf if leads > self._writes.amount else self._wait(self._writes, name, leads) or 1.0

    def _no_more_misses(self, name: str) -> UsedUp | None:
        if self._not_found is None or (wait := self._wait(self._not_found, name)) == 0:
            return None
        return UsedUp(f"{self._not_found.amount} leads that you asked for in a minute were not found.", wait)

    def _misses_left(self, name: str) -> int:
        assert self._not_found is not None  # nosec B101 # noqa: S101 - narrowed by the caller
        return self._windows.get_window_stats(self._not_found, name).remaining

    def _wait(self, item: RateLimitItem, name: str, cost: int = 1) -> int:
        if self._windows.test(item, name, cost=cost):
            return 0
        # Newest first: once this one has left the window, there is room for `cost`.
        last = self._storage.events[item.key_for(name)][item.amount - cost]
        return max(1, math.ceil(last.atime + item.get_expiry() - time.time()))


def _item(kind: type[RateLimitItem], amount: int, namespace: str) -> RateLimitItem | None:
    return kind(amount, namespace=namespace) if amount else None
