"""How fast requests may leave: one budget per credential, adapted to what Lofty says, shared through the ledger.

Lofty documents limits per 60 s for OAuth applications and none for personal keys (/authentication/overview), so a pacer
starts at 60 per minute with bursts of 5 and at most 4 in flight, and follows `X-RateLimit-*` from the first answer on.
"""

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import anyio

__all__ = ["Advice", "Budget", "LocalBudget", "MustWait", "Pacer", "advise"]

WINDOW_SECONDS = 60.0
LARGEST_LIMIT = 1_000_000
LONGEST_RESET_SECONDS = 3600.0
# Below this a reset is milliseconds left, as in Lofty's own 429 sample (21000); from here on it is an epoch second.
FIRST_EPOCH_SECOND = 1_000_000_000
BLOCK_SECONDS = 1.0
SHORTEST_WAIT_SECONDS = 0.001
DISTRUST_SECONDS = 5.0

BURST = 5
"""Requests that may leave at once at the first pace."""


class MustWait(Exception):
    """The turn would come after the caller's deadline; nothing was sent."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The next request may leave in {seconds:.1f} s.")
        self.seconds = seconds


class Budget(Protocol):
    """A token bucket that lives longer or wider than one pacer; the ledger is one."""

    async def take(self, key: str, want: int, rate: float, burst: float) -> tuple[int, float]:
        """Draw up to `want` tokens, refilled at `rate` per second up to `burst`: (granted, seconds until one more)."""


class LocalBudget:
    """One token bucket in this process, for when there is no shared one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tokens = math.inf
        self._at = clock()

    async def take(self, key: str, want: int, rate: float, burst: float) -> tuple[int, float]:
        now = self._clock()
        self._tokens = min(burst, self._tokens + max(0.0, now - self._at) * rate)
        self._at = now
        # The epsilon forgives the rounding of a wait that was exactly long enough.
        granted = min(want, int(self._tokens + 1e-6))
        self._tokens -= granted
        return granted, max(0.0, (1 - self._tokens) / rate)


@dataclass(frozen=True, slots=True)
class Advice:
    """What an answer's headers say: requests per 60 s, requests left, seconds until the window ends."""

    limit: int | None = None
    remaining: int | None = None
    reset_in: float | None = None


def advise(headers: Mapping[str, str], now: float) -> Advice:
    """Read `X-RateLimit-*`, dropping what cannot be true; `now` is in epoch seconds."""
    lowered = {name.lower(): value for name, value in headers.items()}
    limit = _whole(lowered.get("x-ratelimit-limit"))
    remaining = _whole(lowered.get("x-ratelimit-remaining"))
    reset = _whole(lowered.get("x-ratelimit-reset"))
    if limit is not None and not 1 <= limit <= LARGEST_LIMIT:
        limit = None
    if remaining is not None and remaining > (limit or LARGEST_LIMIT):
        remaining = None
    return Advice(limit, remaining, None if reset is None else _reset_in(reset, now))


def _whole(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if len(text) <= 15 and text.isascii() and text.isdigit() else None


def _reset_in(reset: int, now: float) -> float | None:
    seconds = max(0.0, reset - now) if reset >= FIRST_EPOCH_SECOND else reset / 1000
    return seconds if seconds <= LONGEST_RESET_SECONDS else None


class Pacer:
    """Hands out turns to send; one per credential and process.

    `clock` is any steady clock in seconds and `sleep` waits on it. Without a budget the bucket is this process's own.
    """

    def __init__(
        self,
        key: str,
        budget: Budget | None,
        *,
        per_minute: int = 60,
        burst: int = BURST,
        in_flight: int = 4,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._key = key
        self._local = LocalBudget(clock)
        self._budget = self._local if budget is None else budget
        self._rate = per_minute / WINDOW_SECONDS
        self._burst = burst
        self._clock = clock
        self._sleep = sleep
        self._places = anyio.Semaphore(in_flight, fast_acquire=True)
        self._queue = anyio.Lock(fast_acquire=True)
        self._waiting = 0
        self._held = 0
        self._held_until = -math.inf
        self._head_until = -math.inf
        self._paused_until = -math.inf
        self._distrusted_until = -math.inf

    @property
    def per_minute(self) -> float:
        """The pace now in force."""
        return self._rate * WINDOW_SECONDS

    @asynccontextmanager
    async def slot(self, check: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
        """Wait for a turn, then hold one of the places in flight; raises MustWait if the turn comes too late.

        What `check` raises ends the waiting, so that nobody queues for what will not be sent.
        """
        self._refuse_if_late(self._queue_wait())
        self._waiting += 1
        try:
            await self._places.acquire()
            try:
                async with self._queue:
                    await self._turn(check)
            except BaseException:
                self._places.release()
                raise
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()

    def learn(self, headers: Mapping[str, str], now: float) -> None:
        """Follow an answer's `X-RateLimit-*` headers; `now` is in epoch seconds, whatever the pacer's own clock."""
        advice = advise(headers, now)
        if advice.limit is not None:
            self._rate = advice.limit / WINDOW_SECONDS
        if advice.remaining == 0 and advice.reset_in is not None:
            self.pause(advice.reset_in)

    def pause(self, seconds: float) -> None:
        """Let nothing leave for so long, at most one window (60 s); a longer pause under way stands."""
        if seconds > 0:
            self._paused_until = max(self._paused_until, self._clock() + min(seconds, WINDOW_SECONDS))
            self._held = 0

    def _queue_wait(self) -> float:
        """Seconds until a newcomer's turn, as far as known: the pause, or the one at the head and all behind it."""
        now = self._clock()
        behind = self._head_until - now + self._waiting / self._rate if self._head_until > now else 0.0
        return max(behind, self._paused_until - now)

    def _refuse_if_late(self, wait: float) -> None:
        if wait > 0 and wait > anyio.current_effective_deadline() - anyio.current_time():
            raise MustWait(wait)

    async def _turn(self, check: Callable[[], None]) -> None:
        try:
            check()
            while (wait := await self._draw()) > 0:
                self._refuse_if_late(wait)
                self._head_until = self._clock() + wait
                await self._sleep(wait)
                check()
        finally:
            self._head_until = -math.inf

    async def _draw(self) -> float:
        """Use one token and answer 0, or answer the seconds until it is worth asking again."""
        now = self._clock()
        if self._paused_until > now:
            return self._paused_until - now
        if self._held == 0 or now >= self._held_until:
            # A fast pace draws tokens in blocks, so that a read seldom costs a visit to the ledger.
            block = min(50, max(1, int(self._rate * 0.25)))
            self._held, wait = await self._take(block)
            self._held_until = now + BLOCK_SECONDS
            if self._held == 0:
                return max(wait, SHORTEST_WAIT_SECONDS)
        self._held -= 1
        return 0.0

    async def _take(self, want: int) -> tuple[int, float]:
        burst = max(self._burst, 2 * want)
        if self._clock() >= self._distrusted_until:
            try:
                return await self._budget.take(self._key, want, self._rate, burst)
            except Exception:  # noqa: BLE001 - whatever the shared budget fails with, requests must stay paced
                self._distrusted_until = self._clock() + DISTRUST_SECONDS
        # Half the pace alone: others may be in the same plight.
        return await self._local.take(self._key, want, self._rate / 2, max(1, burst // 2))
