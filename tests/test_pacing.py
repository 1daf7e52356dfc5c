"""The pace: what is read out of Lofty's headers, and when requests may leave."""

import math
from collections.abc import Callable

import anyio
import pytest

from lofty_mcp.client.pacing import Advice, LocalBudget, MustWait, Pacer, advise

NOW = 1_760_000_000.0


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await anyio.lowlevel.checkpoint()


class CountedBudget:
    """A shared budget that counts visits and can fail."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.bucket = LocalBudget(clock)
        self.visits: list[tuple[str, int, float, float]] = []
        self.broken = False

    async def take(self, key: str, want: int, rate: float, burst: float) -> tuple[int, float]:
        self.visits.append((key, want, rate, burst))
        if self.broken:
            raise RuntimeError("the disk is gone")
        return await self.bucket.take(key, want, rate, burst)


def a_pacer(time: Time, budget: CountedBudget | None = None, *, per_minute: int = 60, in_flight: int = 4) -> Pacer:
    return Pacer("key", budget, per_minute=per_minute, in_flight=in_flight, clock=time, sleep=time.sleep)


async def turns(pacer: Pacer, count: int) -> None:
    for _ in range(count):
        async with pacer.slot():
            pass


def limits(limit: object = None, remaining: object = None, reset: object = None) -> dict[str, str]:
    names = {"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": remaining, "X-RateLimit-Reset": reset}
    return {name: str(value) for name, value in names.items() if value is not None}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, Advice(), id="missing"),
        pytest.param(limits(100, 42, int(NOW) + 30), Advice(100, 42, 30.0), id="epoch seconds"),
        pytest.param(limits(20, 0, 21000), Advice(20, 0, 21.0), id="milliseconds left, as in Lofty's 429 sample"),
        pytest.param(limits(20, 0, 0), Advice(20, 0, 0.0), id="no time left"),
        pytest.param(limits(100, 0, int(NOW) - 5), Advice(100, 0, 0.0), id="a window that has ended"),
        pytest.param({"x-ratelimit-limit": " 500 "}, Advice(500), id="lower case and padded"),
        pytest.param(limits("many", "none", "soon"), Advice(), id="text"),
        pytest.param(limits("", "", ""), Advice(), id="empty"),
        pytest.param(limits(-1, -1, -1), Advice(), id="negative"),
        pytest.param(limits("1.5", "1e3", "0x10"), Advice(), id="not whole numbers"),
        pytest.param(limits("١٠٠", "²", "٣"), Advice(), id="digits of other scripts"),
        pytest.param(limits(0, 0, 1000), Advice(None, 0, 1.0), id="a limit of nothing"),
        pytest.param(limits(10**7, 10**7, 10**9 - 1), Advice(), id="absurd"),
        pytest.param(limits("9" * 5000, "9" * 5000, "9" * 5000), Advice(), id="huge"),
        pytest.param(limits(100, 101, None), Advice(100), id="more left than there were"),
        pytest.param(limits(100, 0, int(NOW) * 1000), Advice(100, 0), id="epoch milliseconds are not guessed at"),
    ],
)
def test_headers_are_read_or_dropped(headers: dict[str, str], expected: Advice) -> None:
    assert advise(headers, NOW) == expected


async def test_a_burst_of_five_leaves_at_once_and_the_sixth_waits_a_second() -> None:
    time = Time()
    pacer = a_pacer(time)
    await turns(pacer, 5)
    assert time.slept == []
    await turns(pacer, 1)
    assert time.slept == [pytest.approx(1.0)]


async def test_a_minute_of_turns_keeps_to_sixty_and_the_burst() -> None:
    time = Time()
    pacer = a_pacer(time)
    await turns(pacer, 66)
    assert time.now - 1000.0 >= 60.9


async def test_a_learnt_limit_changes_the_pace() -> None:
    time = Time()
    pacer = a_pacer(time)
    pacer.learn(limits(20, 7, 5000), NOW)
    assert pacer.per_minute == pytest.approx(20)
    await turns(pacer, 6)
    assert time.slept == [pytest.approx(3.0)]


@pytest.mark.parametrize("nonsense", [limits("fast", "none", "never"), limits(-5, -1, -1), limits(0), limits(10**9)])
async def test_nonsense_changes_nothing(nonsense: dict[str, str]) -> None:
    time = Time()
    pacer = a_pacer(time)
    pacer.learn(nonsense, NOW)
    await turns(pacer, 5)
    assert (pacer.per_minute, time.slept) == (60, [])


async def test_nothing_remaining_stops_until_the_reset() -> None:
    time = Time()
    pacer = a_pacer(time)
    pacer.learn(limits(100, 0, int(NOW) + 12), NOW)
    await turns(pacer, 1)
    assert time.slept == [pytest.approx(12.0)]


async def test_a_far_reset_of_a_skewed_clock_stops_for_one_window_only() -> None:
    time = Time()
    pacer = a_pacer(time)
    pacer.learn(limits(100, 0, int(NOW) + 1800), NOW)
    await turns(pacer, 1)
    assert time.slept == [pytest.approx(60.0)]


async def test_a_pause_is_kept_never_shortened_and_never_nonsense() -> None:
    time = Time()
    pacer = a_pacer(time)
    for seconds in (20.0, 2.0, -1.0, math.nan):
        pacer.pause(seconds)
    await turns(pacer, 1)
    assert time.slept == [pytest.approx(20.0)]


async def test_a_pause_drops_the_tokens_in_hand() -> None:
    time = Time()
    budget = CountedBudget(time)
    pacer = a_pacer(time, budget, per_minute=6000)
    await turns(pacer, 1)
    pacer.pause(0.5)
    await turns(pacer, 1)
    assert len(budget.visits) == 2
    assert time.slept == [pytest.approx(0.5)]


async def test_a_wait_beyond_the_deadline_is_refused_at_once() -> None:
    time = Time()
    pacer = a_pacer(time)
    pacer.pause(30)
    with anyio.move_on_after(5):
        with pytest.raises(MustWait) as caught:
            await turns(pacer, 1)
        assert caught.value.seconds == pytest.approx(30)
    assert time.slept == []


async def test_an_empty_bucket_beyond_the_deadline_is_refused_and_the_place_given_back() -> None:
    time = Time()
    pacer = a_pacer(time, per_minute=2, in_flight=1)
    await turns(pacer, 5)
    with anyio.move_on_after(5), pytest.raises(MustWait):
        await turns(pacer, 1)
    await turns(pacer, 1)
    assert time.slept == [pytest.approx(30)]


async def test_a_newcomer_counts_those_who_wait_before_it() -> None:
    time = Time()
    woken = anyio.Event()

    async def sleep(seconds: float) -> None:
        await woken.wait()
        time.now += seconds

    pacer = Pacer("key", None, clock=time, sleep=sleep)
    await turns(pacer, 5)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(turns, pacer, 1)
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(3.5), pytest.raises(MustWait) as caught:
            await turns(pacer, 1)
        woken.set()
    assert caught.value.seconds == pytest.approx(4.0)


async def test_no_more_than_four_are_in_flight() -> None:
    time = Time()
    pacer = a_pacer(time, per_minute=6000)
    inside, most = 0, 0
    done = anyio.Event()

    async def request() -> None:
        nonlocal inside, most
        async with pacer.slot():
            inside += 1
            most = max(most, inside)
            await done.wait()
            inside -= 1

    async with anyio.create_task_group() as group:
        for _ in range(9):
            group.start_soon(request)
        await anyio.wait_all_tasks_blocked()
        assert inside == 4
        done.set()
    assert (most, inside) == (4, 0)


async def test_a_failed_or_cancelled_request_gives_its_place_back() -> None:
    time = Time()
    pacer = a_pacer(time, in_flight=1)
    with pytest.raises(ValueError, match="upstream"):
        async with pacer.slot():
            raise ValueError("upstream")
    with anyio.CancelScope() as scope:
        async with pacer.slot():
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    with anyio.fail_after(1):
        await turns(pacer, 1)


async def test_a_waiter_that_is_cancelled_gives_its_place_back() -> None:
    time = Time()
    pacer = Pacer("key", None, in_flight=1, clock=time, sleep=lambda _: anyio.sleep_forever())
    pacer.pause(1)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(turns, pacer, 1)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    time.now += 2
    with anyio.fail_after(1):
        await turns(pacer, 1)


async def test_a_slow_pace_asks_the_shared_budget_for_one_token_at_a_time() -> None:
    time = Time()
    budget = CountedBudget(time)
    await turns(a_pacer(time, budget), 3)
    assert budget.visits == [("key", 1, 1.0, 5)] * 3


async def test_a_fast_pace_draws_blocks_and_seldom_visits_the_shared_budget() -> None:
    time = Time()
    budget = CountedBudget(time)
    await turns(a_pacer(time, budget, per_minute=60_000), 100)
    assert [want for _, want, _, _ in budget.visits] == [50, 50]


async def test_tokens_in_hand_are_dropped_after_a_second() -> None:
    time = Time()
    budget = CountedBudget(time)
    pacer = a_pacer(time, budget, per_minute=60_000)
    await turns(pacer, 1)
    time.now += 1.0
    await turns(pacer, 1)
    assert len(budget.visits) == 2


async def test_two_pacers_share_one_budget() -> None:
    time = Time()
    budget = CountedBudget(time)
    one, other = a_pacer(time, budget), a_pacer(time, budget)
    await turns(one, 3)
    await turns(other, 2)
    assert time.slept == []
    await turns(other, 1)
    assert time.slept == [pytest.approx(1.0)]


async def test_a_broken_budget_halves_the_pace_instead_of_lifting_it() -> None:
    time = Time()
    budget = CountedBudget(time)
    budget.broken = True
    await turns(a_pacer(time, budget), 12)
    assert time.slept == [pytest.approx(2.0)] * 10


async def test_a_broken_budget_is_left_alone_for_a_while_and_then_tried_again() -> None:
    time = Time()
    budget = CountedBudget(time)
    budget.broken = True
    pacer = a_pacer(time, budget)
    await turns(pacer, 2)
    assert len(budget.visits) == 1
    time.now += 5
    budget.broken = False
    await turns(pacer, 2)
    assert len(budget.visits) == 3
