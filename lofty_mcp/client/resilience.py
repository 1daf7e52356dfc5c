"""When to try again and when to stop trying: plain arithmetic, no I/O."""

from collections.abc import Callable
from dataclasses import dataclass, field

from lofty_mcp.errors import LoftyError, RateLimited, Unreachable, UpstreamFailed

ATTEMPTS = 3
LONGEST_WAIT = 5.0
"""A 429 that asks for more is handed to the caller, who can wait better than an open call."""


@dataclass
class RetryBucket:
    """Retries allowed beside first attempts: ten at once, refilled by a tenth per call."""

    tokens: float = 10.0
    limit: float = 10.0

    def refill(self) -> None:
        """Count one call."""
        self.tokens = min(self.limit, self.tokens + 0.1)

    def take(self) -> bool:
        """Use a retry, if one is left."""
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def pause_before_retry(error: LoftyError, *, attempt: int, repeatable: bool, jitter: float) -> float | None:
    """Seconds to wait before attempt `attempt + 1`, or None to give up.

    429 and a refused connection are tried again for every method, since nothing was processed; 5xx, timeouts and
    resets only for reads. `jitter` is between 0 and 1.
    """
    if attempt >= ATTEMPTS:
        return None
    if isinstance(error, RateLimited):
        return error.seconds if error.seconds <= LONGEST_WAIT else None
    if isinstance(error, Unreachable) or (isinstance(error, UpstreamFailed) and repeatable):
        return float(0.2 * 2 ** (attempt - 1) * (0.5 + jitter / 2))
    return None


@dataclass
class Breaker:
    """Stops calling a Lofty that keeps failing: opens after `threshold` failures in a row for `rest` seconds."""

    clock: Callable[[], float]
    threshold: int = 5
    rest: float = 15.0
    failures: int = 0
    opened_at: float | None = None
    probing: bool = field(default=False)

    def enter(self) -> None:
        """Let a request leave, or raise Unreachable while open; after the rest a single one leaves, to probe.

        Raises:
            Unreachable: the breaker is open.
        """
        self.check()
        self.probing = self.opened_at is not None

    def check(self) -> None:
        """Whether a request could leave now; raises as `enter` does.

        Raises:
            Unreachable: the breaker is open.
        """
        if self.opened_at is None:
            return
        remaining = self.opened_at + self.rest - self.clock()
        if remaining > 0 or self.probing:
            raise Unreachable(
                f"Lofty has failed repeatedly, so nothing is sent for {max(1, round(remaining))} s more. If that goes "
                "on, check the network and LOFTY_BASE_URL; `lofty-mcp doctor` shows what is wrong."
            )

    def record(self, error: LoftyError | None) -> None:
        """Learn from the end of a call: only failures of the way or of the server count against it."""
        self.probing = False
        if isinstance(error, Unreachable | UpstreamFailed):
            self.failures += 1
            if self.failures >= self.threshold:
                self.opened_at = self.clock()
        elif not isinstance(error, RateLimited):
            self.failures, self.opened_at = 0, None
