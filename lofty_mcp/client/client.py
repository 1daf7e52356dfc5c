"""The one place that talks to Lofty."""

import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2

from lofty_mcp import telemetry
from lofty_mcp.client import requests, wire
from lofty_mcp.client.credentials import Credential
from lofty_mcp.client.pacing import MustWait, Pacer, advise
from lofty_mcp.client.resilience import Breaker, RetryBucket, pause_before_retry
from lofty_mcp.errors import CredentialRejected, LoftyError, RateLimited, Unreachable, UpstreamFailed

ATTEMPT_SECONDS = 20.0
SLOW_SECONDS = 5.0
"""An attempt that a call's own deadline cuts short after so long counts as one that failed."""
LARGEST_ANSWER = 16 * 2**20
NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
"""The only failures of `httpx2` that come before the first byte of the request."""


@dataclass
class LoftyClient:
    """A credential's way to Lofty: paced, retried where that is safe, and bounded in time and size.

    `http` is the process's one pool. The time left for a call is that of the surrounding `anyio` cancel scope.
    """

    http: httpx2.AsyncClient
    credential: Credential
    pacer: Pacer
    user_agent: str
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    clock: Callable[[], float] = anyio.current_time
    retries: RetryBucket = field(default_factory=RetryBucket)
    breaker: Breaker = field(init=False)

    def __post_init__(self) -> None:
        self.breaker = Breaker(self.clock)

    async def send(self, request: requests.Request, before: requests.Hook | None = None) -> Any:
        """The JSON that Lofty answers to `request`.

        `before` runs once the request's turn has come, right before its first byte leaves; what it raises stops it.

        Raises:
            LoftyError: `Unreachable` if no byte left, `UpstreamFailed` if the outcome is open, else Lofty's refusal.
        """
        self.retries.refill()
        attempt, renewed = 0, False
        while True:
            attempt += 1
            self.breaker.check()
            shown = await self.credential.authorization()
            answer, error = await self._attempt(request, shown, before)
            if error is None:
                return answer
            if not isinstance(error, CredentialRejected):
                await self._wait_or_raise(error, request, attempt)
            elif renewed or not await self.credential.renew(shown):
                raise error
            else:
                renewed, attempt = True, attempt - 1
                telemetry.retried(error)

    def _record(self, error: LoftyError | None) -> None:
        was_open = self.breaker.opened_at is not None
        self.breaker.record(error)
        telemetry.breaker(was_open=was_open, is_open=self.breaker.opened_at is not None)

    async def _wait_or_raise(self, error: LoftyError, request: requests.Request, attempt: int) -> None:
        pause = pause_before_retry(error, attempt=attempt, repeatable=request.repeatable, jitter=random.random())  # nosec B311 # noqa: S311 - spreads retries, guards nothing
        if pause is None or pause > _seconds_left() or not self.retries.take():
            raise error
        telemetry.retried(error)
        await self.sleep(pause)

    async def _attempt(
        self, request: requests.Request, authorization: str, before: requests.Hook | None
    ) -> tuple[Any, LoftyError | None]:
        """Lofty's answer, or how the request failed; raises what kept it from being sent."""
        asked = time.perf_counter()
        try:
            async with self.pacer.slot(self.breaker.check):
                telemetry.waited(time.perf_counter() - asked)
                self.breaker.enter()
                try:
                    if before is not None:
                        await before()
                    answer = await self._tried(request, authorization)
                finally:
                    self.breaker.probing = False
        except MustWait as wait:
            return None, RateLimited(wait.seconds)
        return answer

    async def _tried(self, request: requests.Request, authorization: str) -> tuple[Any, LoftyError | None]:
        began = anyio.current_time()
        try:
            answer = await self._answered(request, authorization)
        except LoftyError as error:
            self._record(error)
            return None, error
        except anyio.get_cancelled_exc_class():
            if _seconds_left() <= 0 and anyio.current_time() - began >= SLOW_SECONDS:
                self._record(UpstreamFailed())
            raise
        self._record(None)
        return answer, None

    async def _answered(self, request: requests.Request, authorization: str) -> Any:
        with telemetry.exchange(request.method, request.path) as told, _told_apart():
            status, headers, content = await self._exchange(request, authorization)
            told.status = status
        self.pacer.learn(headers, time.time())
        if status == 429:
            seconds = _asked_wait(headers)
            self.pacer.pause(seconds)
            raise RateLimited(seconds)
        return wire.decipher(status, content)

    async def _exchange(self, request: requests.Request, authorization: str) -> tuple[int, httpx2.Headers, bytes]:
        with anyio.fail_after(min(ATTEMPT_SECONDS, _seconds_left())):
            async with self.http.stream(
                request.method,
                request.path,
                params=request.query or None,
                json=request.body,
                headers=requests.headers(authorization, self.user_agent),
            ) as response:
                content = bytearray()
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > LARGEST_ANSWER:
                        raise UpstreamFailed("Lofty's answer is too large to read. Narrow the request.")
                return response.status_code, response.headers, bytes(content)


def open_pool(
    base_url: str, transport: httpx2.AsyncBaseTransport | None = None, *, proxies: bool
) -> httpx2.AsyncClient:
    """The process's one connection pool to Lofty: fixed host, no redirects, no cookies kept.

    `proxies` lets the usual proxy variables of the environment apply; a Lofty on this machine is reached directly.
    """
    return httpx2.AsyncClient(
        base_url=base_url,
        transport=transport,
        trust_env=proxies,
        follow_redirects=False,
        timeout=httpx2.Timeout(ATTEMPT_SECONDS, connect=5.0),
        limits=httpx2.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=30.0),
    )


@contextmanager
def _told_apart() -> Iterator[None]:
    try:
        yield
    except NEVER_SENT:
        raise Unreachable from None
    except (httpx2.HTTPError, httpx2.StreamError, TimeoutError):
        raise UpstreamFailed from None


def _asked_wait(headers: httpx2.Headers) -> float:
    after = headers.get("retry-after", "")
    if after.isdigit():
        return float(after)
    reset = advise(headers, time.time()).reset_in
    return min(60.0, reset) if reset is not None else 60.0


def _seconds_left() -> float:
    return anyio.current_effective_deadline() - anyio.current_time()
