"""How much one principal may do: requests, leads not found, and writes, each in a moving window of its own."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from lofty_mcp.settings import Settings


class FairUse:
    """The counters of one process; a limit of 0 is none. Spans are in whole seconds, rounded up."""

    def __init__(self, settings: Settings) -> None:
        self._storage = MemoryStorage()
        self._windows = MovingWindowRateLimiter(self._storage)
        self._requests = _item(RateLimitItemPerMinute, settings.calls_per_minute, "requests")
        self._not_found = _item(RateLimitItemPerMinute, settings.not_found_per_minute, "not found")
        self._writes = _item(RateLimitItemPerDay, settings.writes_per_day, "writes")
        self._most_open = settings.open_calls or math.inf
        self._open: Counter[str] = Counter()

    def take_request(self, name: str) -> int:
        """Count a request of principal `name`, or answer the seconds until one is possible again; 0 if it is now."""
        if wait := self._wait(self._not_found, name):
            return wait
        if self._requests is None or self._windows.hit(self._requests, name):
            return 0
        return self._wait(self._requests, name)

    @contextmanager
    def open_request(self, name: str) -> Iterator[bool]:
        """Hold one of the principal's places; False if they are all taken."""
        if self._open[name] >= self._most_open:
            yield False
            return
        self._open[name] += 1
        try:
            yield True
        finally:
            self._open[name] -= 1
            if not self._open[name]:
                del self._open[name]

    def count_not_found(self, name: str, leads: int) -> None:
        """Note that so many leads were answered as not found, hidden and missing alike."""
        if self._not_found is not None:
            for _ in range(min(leads, self._not_found.amount)):
                self._windows.hit(self._not_found, name)

    def wait_for_writes(self, name: str) -> int:
        """Seconds until one more write is possible; 0 if it is now."""
        return self._wait(self._writes, name)

    def take_writes(self, name: str, leads: int) -> float:
        """Count writes to so many leads, or answer the seconds until so many are possible; 0 if they are counted.

        Infinity: they are more than a whole day allows.
        """
        if self._writes is None or leads == 0 or self._windows.hit(self._writes, name, cost=leads):
            return 0.0
        return math.inf if leads > self._writes.amount else self._wait(self._writes, name, leads) or 1.0

    def _wait(self, item: RateLimitItem | None, name: str, cost: int = 1) -> int:
        if item is None or self._windows.test(item, name, cost=cost):
            return 0
        # Newest first: once this one has left the window, there is room for `cost`.
        last = self._storage.events[item.key_for(name)][item.amount - cost]
        return max(1, math.ceil(last.atime + item.get_expiry() - time.time()))


def _item(kind: type[RateLimitItem], amount: int, namespace: str) -> RateLimitItem | None:
    return kind(amount, namespace=namespace) if amount else None
