"""Two processes on one ledger; clients that hang up in the middle of a write; and kill -9 at every step of it."""

import asyncio
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support import rpc
from tests.support.process import Host, Town, Web, environment, town, until
from tests.support.weather import Kind, Weather, weather
from tests.support.world import ANA, ERAS
from tests.support.writes import a_call, a_lead

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")]
SHOWN_BY = {"update_stage": "/v1.0/leads/", "add_note": "/v1.0/notes?"}
"""A change and a creation, each with what is read last before it and read back after it."""
TOOLS = tuple(SHOWN_BY)
SETTINGS = {
    "LOFTY_MCP_MODE": "code",
    "LOFTY_MCP_ASK_FROM": "add",
    "LOFTY_MCP_OPEN_CALLS": "0",
    "LOFTY_MCP_CALLS_PER_MINUTE": "0",
}
"""Every write takes a code, and may be asked for by fifty at once."""


@dataclass
class Place:
    """A sandbox, a way to it whose weather the test makes, and servers that share one ledger."""

    lofty: Town
    sky: Weather
    folder: Path

    def host(self, name: str = "host") -> Host:
        """A server over pipes."""
        return Host("serve", env=self._env(), stderr=self.folder / name)

    def web(self, name: str = "web") -> Web:
        """A server over HTTP that acts for the same person."""
        return Web(env=self._env(), stderr=self.folder / name)

    def _env(self) -> dict[str, str]:
        settings = {**self.lofty.settings(ANA), "LOFTY_BASE_URL": self.sky.url, **SETTINGS}
        return environment(self.folder, **settings)

    def call(self, tool: str) -> dict[str, Any]:
        """A call that does something to a new lead."""
        return a_call(self.lofty.world, tool, a_lead(self.lofty.world))

    def ledger(self, sql: str = "SELECT state, outcome FROM tickets") -> list[tuple[Any, ...]]:
        """What the ledger says, or does, behind the servers' backs."""
        with closing(sqlite3.connect(self.folder / "lofty-mcp" / "ledger.db", isolation_level=None)) as db:
            return db.execute(sql).fetchall()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else can write to the ledger meanwhile."""
        with closing(sqlite3.connect(self.folder / "lofty-mcp" / "ledger.db", isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            yield

    def weather_of_the_write(self, kind: Kind) -> None:
        """What the next write meets; all else is carried."""
        self.sky.pick = lambda one: kind if one.method != "GET" and self.sky.last_write() is None else "carried"

    def weather_of_the_read(self, tool: str, kind: Kind) -> None:
        """What meets whoever reads what `tool` is about."""
        self.sky.pick = lambda one: kind if one.method == "GET" and SHOWN_BY[tool] in one.path else "carried"

    def meets(self, kind: Kind) -> bool:
        """Whether the latest request has met this."""
        return self.sky.passed[-1].kind == kind

    def writes(self) -> int:
        """How many writes Lofty carried out."""
        return sum(entry.method != "GET" and entry.status == 200 for entry in self.lofty.world.log)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Such a place."""
    with town(keep_alive=600) as lofty, weather(lofty.url) as sky:
        yield Place(lofty, sky, tmp_path)
        sky.release()


def post(web: Web, tool: str, **arguments: Any) -> dict[str, Any]:
    """A tool's result over HTTP."""
    with httpx2.Client(timeout=60, trust_env=False) as http:
        message = rpc.call(tool, **arguments)
        answer = http.post(web.url, json=message["json"], headers=message["headers"] | web.headers)
    result = rpc.result(answer)
    assert not result.get("isError"), result
    found: dict[str, Any] = result["structuredContent"]
    return found


def told(result: dict[str, Any]) -> tuple[str, bool]:
    """The outcome of the one lead, and whether it was told again."""
    [row] = result["results"]
    return row["outcome"], result.get("replayed", False)


# Two processes


@pytest.mark.parametrize(
    ("kind", "outcome", "writes"),
    [
        ("slow", "applied", 1),
        ("reset after", "applied", 1),
        ("black hole after", "applied", 1),
        ("reset before", "unknown", 0),
    ],
)
async def test_of_50_commits_of_one_code_at_two_servers_one_is_sent_and_all_tell_the_truth(
    place: Place, kind: Kind, outcome: str, writes: int
) -> None:
    call = place.call("update_stage")
    limits = httpx2.Limits(max_connections=60)
    with place.web("one") as one, place.web("two") as two:
        call["confirmation"] = (await asyncio.to_thread(post, one, "update_stage", **call))["confirmation"]
        place.weather_of_the_write(kind)
        async with httpx2.AsyncClient(timeout=60, trust_env=False, limits=limits) as http:
            message = rpc.call("update_stage", **call)
            headers = message["headers"] | one.headers
            asking = [http.post((one, two)[n % 2].url, json=message["json"], headers=headers) for n in range(50)]
            answers = await asyncio.gather(*asking)
        last = await asyncio.to_thread(post, two, "update_stage", **call)

    assert [rpc.outcomes(answer) for answer in answers] == [[outcome]] * 50
    fresh = [answer for answer in answers if "replayed" not in rpc.result(answer)["structuredContent"]]
    assert len(fresh) <= 1, "one call at most says that it did this"
    assert told(last) == (outcome, True)
    assert sum(one.method != "GET" for one in place.sky.passed) == 1
    assert place.writes() == writes
    assert place.ledger() == [("settled", outcome)]


# Clients that hang up


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("kind", ["slow", "reset after"])
def test_a_host_that_dies_in_mid_write_finds_it_done_once_when_it_asks_again(
    place: Place, tool: str, kind: Kind
) -> None:
    call = place.call(tool)
    with place.host() as host:
        call["confirmation"] = host.call(tool, **call)["structuredContent"]["confirmation"]
        place.weather_of_the_write(kind)
        host.request("tools/call", name=tool, arguments=call)
        until(lambda: place.sky.last_write() is not None, "the write")
        host.hang_up()
        host.ended(30)
    with place.host("again") as host:
        result = host.call(tool, **call)["structuredContent"]

    assert told(result) == ("applied", True)
    assert place.writes() == 1
    assert place.ledger() == [("settled", "applied")]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("kind", ["slow", "reset after"])
async def test_an_http_client_cut_off_in_mid_write_finds_it_done_once_when_it_asks_again(
    place: Place, era: str, kind: Kind
) -> None:
    call = place.call("update_stage")
    with place.web() as web:
        call["confirmation"] = (await asyncio.to_thread(post, web, "update_stage", **call))["confirmation"]
        place.weather_of_the_write(kind)
        message = rpc.call("update_stage", era, **call)
        async with httpx2.AsyncClient(timeout=60, trust_env=False) as http:
            asking = asyncio.create_task(
                http.post(web.url, json=message["json"], headers=message["headers"] | web.headers)
            )
            await asyncio.to_thread(until, lambda: place.sky.last_write() is not None, "the write")
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking
        result = await asyncio.to_thread(post, web, "update_stage", **call)

    assert told(result) == ("applied", True)
    assert place.writes() == 1
    assert place.ledger() == [("settled", "applied")]


# kill -9


def _before_its_claim(place: Place, tool: str, ask: Callable[[], None]) -> ExitStack:
    """All was read, and the ledger lets nobody write."""
    place.weather_of_the_read(tool, "held")
    ask()
    return _with_nobody_writing(place)


def _with_nobody_writing(place: Place) -> ExitStack:
    """A lock on the ledger, taken before the read that is held goes on its way back."""
    until(lambda: place.meets("held") and place.sky.passed[-1].carried > 0, "the read")
    stack = ExitStack()
    stack.enter_context(place.locked())
    place.sky.release()
    until(lambda: place.sky.passed[-1].answered > 0, "its way back")
    return stack


def _after_its_claim(place: Place, tool: str, ask: Callable[[], None]) -> ExitStack:
    """Lofty asks to wait before the next request."""
    place.weather_of_the_read(tool, "paused")
    ask()
    until(lambda: place.ledger() == [("claimed", None)], "the claim")
    return ExitStack()


def _after_sending(place: Place, _: str, ask: Callable[[], None]) -> ExitStack:
    """The request is on its way, and will never arrive."""
    place.weather_of_the_write("black hole before")
    ask()
    until(lambda: place.meets("black hole before"), "the write")
    return ExitStack()


def _after_it_was_done(place: Place, _: str, ask: Callable[[], None]) -> ExitStack:
    """Lofty has done it, and its answer will never arrive."""
    place.weather_of_the_write("black hole after")
    ask()
    until(lambda: place.writes() == 1, "the write")
    return ExitStack()


def _after_its_answer(place: Place, _: str, ask: Callable[[], None]) -> ExitStack:
    """Lofty has answered, and the lead is being read back."""
    place.sky.pick = lambda _: "black hole before" if place.sky.last_write() else "carried"
    ask()
    until(lambda: place.meets("black hole before"), "the read-back")
    return ExitStack()


def _before_its_settlement(place: Place, tool: str, ask: Callable[[], None]) -> ExitStack:
    """It was read back, and the ledger lets nobody write."""
    place.sky.pick = lambda one: "held" if place.sky.last_write() and SHOWN_BY[tool] in one.path else "carried"
    ask()
    return _with_nobody_writing(place)


def _after_its_settlement(place: Place, _: str, ask: Callable[[], None]) -> ExitStack:
    """All is done but the telling."""
    ask()
    until(lambda: place.ledger() == [("settled", "applied")], "the settlement")
    return ExitStack()


Killing = Callable[[Place, str, Callable[[], None]], ExitStack]
KILLED: list[tuple[Killing, list[tuple[Any, ...]], tuple[str, bool], tuple[str, bool]]] = [
    (_before_its_claim, [], ("applied", False), ("applied", True)),
    (_after_its_claim, [("claimed", None)], ("unknown", True), ("applied", False)),
    (_after_sending, [("sent", None)], ("unknown", True), ("unknown", True)),
    (_after_it_was_done, [("sent", None)], ("applied", True), ("applied", True)),
    (_after_its_answer, [("sent", None)], ("applied", True), ("applied", True)),
    (_before_its_settlement, [("sent", None)], ("applied", True), ("applied", True)),
    (_after_its_settlement, [("settled", "applied")], ("applied", True), ("applied", True)),
]
"""Where a process is killed, what it leaves in the ledger, what another tells at once and one tells after the lease."""


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    ("kill_at", "left", "at_once", "later"), KILLED, ids=lambda one: getattr(one, "__name__", " ")[1:]
)
def test_a_process_killed_at_any_step_leaves_nothing_done_twice_and_nothing_told_wrongly(
    place: Place,
    tool: str,
    kill_at: Killing,
    left: list[tuple[Any, ...]],
    at_once: tuple[str, bool],
    later: tuple[str, bool],
) -> None:
    call = place.call(tool)
    with place.web("other") as other:
        with place.host() as victim:
            call["confirmation"] = victim.call(tool, **call)["structuredContent"]["confirmation"]
            with kill_at(place, tool, lambda: victim.request("tools/call", name=tool, arguments=call)):
                victim.signal(signal.SIGKILL)
                victim.process.wait()
        place.sky.pick = lambda _: "carried"
        assert place.ledger() == left

        assert told(post(other, tool, **call)) == at_once
        place.ledger("UPDATE tickets SET lease_until = strftime('%s', 'now') - 1 WHERE state <> 'settled'")  # 2 minutes
        with place.host("restarted") as restarted:
            assert told(restarted.call(tool, **call)["structuredContent"]) == later
        assert told(post(other, tool, **call)) == (later[0], True)
        assert place.ledger() == [("settled", later[0])]
        assert place.writes() == (later[0] == "applied")

        del call["confirmation"]
        if later[0] == "unknown":  # it never arrived, so whoever has looked may do it anew
            call |= {"allow_duplicate": True} if tool == "add_note" else {}
            call["confirmation"] = post(other, tool, **call)["confirmation"]
            assert told(post(other, tool, **call)) == ("applied", False)
        else:
            assert told(post(other, tool, **call)) in [("no_change", False), ("applied", True)]
    assert place.writes() == 1
