"""A lead that is not found is told so at the same moment whether it is hidden or missing; here the clock is real."""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client

from lofty_mcp.guard.gate import VisibleCrm
from lofty_mcp.server import build_server
from lofty_mcp.settings import load
from tests.noninterference.worlds import NEVER
from tests.support.world import OWNER, Bench, Network, error

PAIRS = 300
FLOOR, SLOW, QUICK = 0.06, 0.025, 0.005
"""Seconds: the floor of this test's server, and Lofty's own time over a hidden lead and over a missing one."""
PLANTED = 0.005
CERTAIN = 0.001
"""How unlikely a difference must be by chance alone before it counts as one."""


class Slow(Network):
    """A Lofty that takes its real time, more of it over a hidden lead."""

    def __init__(self, bench: Bench, hidden: str) -> None:
        super().__init__(bench.app)
        self._hidden = hidden

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Carry the request after a while."""
        await anyio.sleep(SLOW if self._hidden in request.url.path else QUICK)
        return await super().handle_async_request(request)


def chance(one: Sequence[float], other: Sequence[float]) -> float:
    """How likely two samples as different as these are if they come of one source (Mann-Whitney, both sides)."""
    both = sorted([*one, *other])
    rank = {value: both.index(value) + (both.count(value) + 1) / 2 for value in set(both)}
    n, m = len(one), len(other)
    u = sum(rank[value] for value in one) - n * (n + 1) / 2
    spread = (n * m * (n + m + 1) / 12) ** 0.5
    return 2 * (1 - statistics.NormalDist().cdf(abs(u - n * m / 2) / spread))


async def _times(bench: Bench) -> tuple[list[float], list[float]]:
    """How long a hidden and a missing lead take to be not found, asked for in pairs, in either order."""
    hidden = bench.hidden_lead()
    settings: dict[str, Any] = {"api_key": bench.world.key_of(OWNER), "base_url": "http://127.0.0.1"}
    server = build_server(
        load(**settings, state_dir=bench.state, requests_per_minute=10_000),
        transport=Slow(bench, hidden),
        floor=FLOOR,
    )
    took: dict[str, list[float]] = {hidden: [], NEVER: []}
    order = random.Random(42)  # noqa: S311 - the same pairs each time
    async with Client(server) as client:
        for _ in range(PAIRS):
            for lead_id in order.sample([hidden, NEVER], 2):
                started = time.perf_counter()
                result = await client.call_tool("get_lead", {"lead_id": lead_id})
                took[lead_id].append(time.perf_counter() - started)
                error(result)
    return took[hidden], took[NEVER]


def test_the_comparison_knows_alike_from_different() -> None:
    noise = random.Random(7)  # noqa: S311 - the same pairs each time
    one, other = ([noise.gauss(60, 3) for _ in range(PAIRS)] for _ in range(2))

    assert chance(one, other) > CERTAIN
    assert chance(one, [value + 1 for value in other]) < CERTAIN
    assert chance([1.0] * PAIRS, [1.0] * PAIRS) == 1


@pytest.mark.slow
async def test_hidden_and_missing_cannot_be_told_apart_by_time(bench: Bench) -> None:
    hidden, missing = await _times(bench)

    assert min(*hidden, *missing) >= FLOOR
    assert chance(hidden, missing) > CERTAIN, [statistics.median(times) for times in (hidden, missing)]


@pytest.mark.slow
async def test_five_milliseconds_more_would_be_noticed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Callable[..., Any] = VisibleCrm.leads

    async def late(self: VisibleCrm, lead_ids: Sequence[str]) -> Any:
        found = await honest(self, lead_ids)
        await anyio.sleep(0 if NEVER in lead_ids else PLANTED)
        return found

    monkeypatch.setattr(VisibleCrm, "leads", late)
    hidden, missing = await _times(bench)

    assert chance(hidden, missing) < CERTAIN
