"""What one principal may do in a span of time, as the guard asks for it."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol


class Limits(Protocol):
    """Counters by the name of a caller."""

    def looking(self, name: str, leads: int) -> AbstractAsyncContextManager[None]:
        """Hold room for so many leads that may turn out not to be found; raises Refused if there is none."""

    def count_not_found(self, name: str, leads: int) -> None:
        """Note that so many leads were answered as not found."""

    def take_writes(self, name: str, leads: int) -> float:
        """Count writes to so many leads, or answer the seconds until they are possible; 0 if they are counted."""


class NoLimits:
    """For the one person behind stdio."""

    @asynccontextmanager
    async def looking(self, name: str, leads: int) -> AsyncIterator[None]:
        """Nothing to wait for."""
        yield

    def count_not_found(self, name: str, leads: int) -> None:
        """Nothing."""

    def take_writes(self, name: str, leads: int) -> float:
        """0: as many as they like."""
        return 0.0
