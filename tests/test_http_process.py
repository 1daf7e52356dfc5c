"""The HTTP mode as operators run it: a real process, real sockets, and every way in which they can go wrong."""

import asyncio
import json
import resource
import shutil
import signal
import socket
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from lofty_mcp.guard.tickets import LOOK_SECONDS, ONE_WRITE_SECONDS, PLAN_SECONDS
from tests.support import rpc
from tests.support.process import Host, Town, Web, environment, run, town, until
from tests.support.way import SICK, Kind, Way, way
from tests.support.web import accounts, token
from tests.support.world import ANA, ERAS, MARK, OWNER

STOPS_WITHIN = 5.0
LISTEN = rpc.message("subscriptions/listen", notifications={"toolsListChanged": True})
AUTO = {"LOFTY_MCP_MODE": "auto"}


@pytest.fixture
def lofty() -> Iterator[Town]:
    """A sandbox of the test's own."""
    with town() as running:
        yield running


@pytest.fixture
def start(lofty: Town, tmp_path: Path) -> Callable[..., Web]:
    """Makes a server that acts as Ana, on one state folder; further settings by variable."""

    def started(*arguments: str, **settings: str) -> Web:
        env = environment(tmp_path, **{**lofty.settings(ANA), **settings})
        return Web(*arguments, env=env, stderr=tmp_path / f"stderr-{time.monotonic_ns()}")

    return started


def client(web: Web, most: int = 300) -> httpx2.AsyncClient:
    """Whom the server lets in."""
    limits = httpx2.Limits(max_connections=most, max_keepalive_connections=most)
    return httpx2.AsyncClient(base_url=web.origin, headers=web.headers, timeout=30, limits=limits, trust_env=False)


def fresh_leads(lofty: Town, count: int, email: str = ANA) -> list[str]:
    """Ids of new leads of a member."""
    member = lofty.world.member(email)
    assert member is not None
    return [str(lofty.world.add_lead(assignedUserId=member.user_id, lastName=f"No {n}")) for n in range(count)]


async def soon(held: Callable[[], bool], what: str) -> None:
    """Wait for another process to get somewhere, while this one's own servers go on."""
    await asyncio.to_thread(until, held, what)


async def ended(web: Web) -> tuple[int, float]:
    """The exit code and how long it took from now on, with nothing said that would worry an operator."""
    began = time.monotonic()
    code = await asyncio.to_thread(web.ended)
    return code, time.monotonic() - began


def troubles(web: Web) -> list[str]:
    """What the server logged of itself failing."""
    return [line for line in web.stderr().splitlines() if "Traceback" in line or '"error"' in line]


# Stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_an_open_stream_and_an_idle_connection_hold_up_no_end(
    start: Callable[..., Web], number: signal.Signals
) -> None:
    with start() as web:
        async with client(web) as http, client(web) as idle:
            assert (await idle.post("/mcp", **rpc.call("who_am_i"))).status_code == 200
            async with http.stream("POST", "/mcp", **LISTEN) as stream:
                lines = stream.aiter_lines()
                assert await anext(lines) == "event: message"
                if hasattr(signal, "SIGHUP"):
                    web.signal(signal.SIGHUP)
                assert (await idle.post("/mcp", **rpc.call("who_am_i"))).status_code == 200, "SIGHUP ends nothing"
                web.signal(number)
                code, seconds = await ended(web)
                rest = [line async for line in lines]
        assert (code, troubles(web)) == (0, [])
        assert seconds < STOPS_WITHIN
        last = json.loads([line for line in rest if line.startswith("data:")][-1].removeprefix("data:"))
        assert last["result"]["_meta"], "the stream ends as a stream does, not as a connection lost"


async def all_written(
    http: httpx2.AsyncClient, tool: str, leads: list[str], codes: dict[str, str], **arguments: Any
) -> dict[str, httpx2.Response | Exception]:
    """The answers to one call per lead, all at once."""
    answers: dict[str, httpx2.Response | Exception] = {}

    async def one(lead_id: str) -> None:
        code = {"confirmation": codes[lead_id]} if lead_id in codes else {}
        try:
            answers[lead_id] = await http.post("/mcp", **rpc.call(tool, lead_ids=[lead_id], **arguments, **code))
        except httpx2.TransportError as error:
            answers[lead_id] = error

    async with anyio.create_task_group() as group:
        for lead_id in leads:
            group.start_soon(one, lead_id)
    return answers


async def stopped_in_the_middle(
    start: Callable[..., Web], lofty: Town, mode: str, after: int, seconds: float, numbers: tuple[signal.Signals, ...]
) -> None:
    """50 writes, a signal once `after` of them have arrived, a new server, and the same 50 calls again."""
    leads = fresh_leads(lofty, 50)
    tool, arguments = ("update_stage", {"stage": "Closed"}) if mode == "code" else ("add_tag", {"tags": ["VIP"]})
    codes: dict[str, str] = {}
    with start(LOFTY_MCP_MODE=mode) as web:
        async with client(web) as http:
            if mode == "code":
                for lead_id in leads:
                    asked = rpc.result(await http.post("/mcp", **rpc.call(tool, lead_ids=[lead_id], **arguments)))
                    codes[lead_id] = asked["structuredContent"]["confirmation"]
            reads = len(lofty.world.log)
            lofty.world.faults.next("PUT", "/v1.0/leads/*", f"latency={seconds}", times=1000)
            async with anyio.create_task_group() as group:
                answers: dict[str, httpx2.Response | Exception] = {}

                async def write() -> None:
                    answers.update(await all_written(http, tool, leads, codes, **arguments))

                group.start_soon(write)
                await soon(lambda: len(lofty.writes()) >= after and len(lofty.world.log) > reads, "the writes")
                for number in numbers:
                    web.signal(number)
                    await anyio.sleep(0.2)
                code, took = await ended(web)
        assert code == 0
        assert took < STOPS_WITHIN
        if seconds < 1:
            assert troubles(web) == []
    await soon(lambda: all(entry.status for entry in lofty.world.log if entry.method == "PUT"), "the last write")
    sent = {path.rsplit("/", 1)[1] for _, path in lofty.writes()}
    for lead_id, answer in answers.items():
        if isinstance(answer, httpx2.Response) and answer.status_code == 200 and lead_id not in sent:
            told = json.dumps(rpc.result(answer))
            assert "stopping" in told, "who was not served learns why"
    lofty.world.faults = type(lofty.world.faults)()
    with start(LOFTY_MCP_MODE=mode) as web:
        async with client(web) as http:
            again = await all_written(http, tool, leads, codes, **arguments)
    found = {lead_id: rpc.outcomes(answer)[0] for lead_id, answer in again.items() if not isinstance(answer, Exception)}
    assert found == {lead_id: "applied" if mode == "code" or lead_id not in sent else "no_change" for lead_id in leads}
    assert set(Counter(path for _, path in lofty.writes()).values()) == {1}, "each lead is written once"
    replayed = [rpc.result(again[i])["structuredContent"].get("replayed", False) for i in leads]  # type: ignore[arg-type]
    assert replayed == [mode == "code" and lead_id in sent for lead_id in leads]


@pytest.mark.parametrize(
    ("mode", "after", "numbers"),
    [("auto", 8, (signal.SIGTERM, signal.SIGTERM)), ("code", 5, (signal.SIGINT, signal.SIGINT))],
)
async def test_of_50_writes_each_is_carried_out_and_found_again_or_never_sent(
    start: Callable[..., Web], lofty: Town, mode: str, after: int, numbers: tuple[signal.Signals, ...]
) -> None:
    await stopped_in_the_middle(start, lofty, mode, after, 0.4, numbers)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["auto", "code"])
@pytest.mark.parametrize(("after", "seconds"), [(0, 0.3), (1, 0.3), (20, 0.2), (45, 0.2), (4, 3.0), (4, 6.0)])
async def test_at_whatever_moment_the_end_comes_no_write_is_lost_or_done_twice(
    start: Callable[..., Web], lofty: Town, mode: str, after: int, seconds: float
) -> None:
    await stopped_in_the_middle(start, lofty, mode, after, seconds, (signal.SIGTERM,))


# Load and sickness


@pytest.fixture
async def rough(lofty: Town) -> AsyncIterator[Way]:
    """A rough way to the sandbox."""
    async with way(lofty.url) as found:
        yield found


async def test_a_read_that_nobody_waits_for_any_more_is_dropped_at_lofty_too(
    start: Callable[..., Web], lofty: Town, rough: Way
) -> None:
    lead_id = fresh_leads(lofty, 1)[0]
    with start(LOFTY_BASE_URL=rough.url) as web:
        async with client(web) as http:
            for era in ERAS:
                read = rpc.call("get_lead", era, lead_id=lead_id)
                assert not rpc.result(await http.post("/mcp", **read))["isError"]
                rough.kind = "never answers"
                asking = asyncio.create_task(http.post("/mcp", **read))
                await soon(lambda: rough.held == 1, "the read")
                asking.cancel()
                await soon(lambda: rough.held == 0, f"the end of the read ({era})")
                rough.kind = "carries"


@pytest.mark.slow
async def test_of_200_callers_of_a_stalling_lofty_those_who_stay_are_answered_and_nothing_is_left_behind(
    start: Callable[..., Web], lofty: Town, rough: Way
) -> None:
    lead_id = fresh_leads(lofty, 1)[0]
    with start(LOFTY_BASE_URL=rough.url, LOFTY_MCP_CALL_SECONDS="2") as web:

        async def round_of_200() -> list[httpx2.Response]:
            stayed: list[httpx2.Response] = []
            async with client(web) as http, anyio.create_task_group() as group:

                async def one(scope: anyio.CancelScope, era: str) -> None:
                    with scope:
                        stayed.append(await http.post("/mcp", **rpc.call("get_lead", era, lead_id=lead_id)))

                scopes = [anyio.CancelScope() for _ in range(200)]
                for number, scope in enumerate(scopes):
                    group.start_soon(one, scope, ERAS[number // 2 % 2])
                if rough.kind != "carries":
                    await soon(lambda: rough.held > 0, "the first read")
                    await anyio.sleep(0.5)  # mid-call, for as many as possible
                    for scope in scopes[::2]:
                        scope.cancel()
            return stayed

        async with client(web) as http:
            await http.post("/mcp", **rpc.call("get_lead", lead_id=lead_id))
        descriptors = web.descriptors()
        assert len(await round_of_200()) == 200
        rough.kind = "never answers"
        await round_of_200()  # the first one raises what the process keeps for good, by some 13 MB
        await soon(lambda: rough.held == 0, "the reads at Lofty")
        resident = web.resident()
        stayed = await round_of_200()
        assert [answer.status_code for answer in stayed] == [200] * 100
        told = Counter(rpc.result(answer)["content"][0]["text"] for answer in stayed)
        assert all("took too long" in text or "rate limit" in text for text in told)
        await soon(lambda: rough.held == 0, "the reads at Lofty")
        rough.kind = "carries"
        async with client(web) as http:
            began = time.monotonic()
            assert not rpc.result(await http.post("/mcp", **rpc.call("get_lead", lead_id=lead_id)))["isError"]
            assert time.monotonic() - began < 2, "at once"
        # The pool to Lofty may keep a connection for each of its four places.
        await soon(lambda: web.descriptors() <= descriptors + 4, "the descriptors")
        assert web.resident() <= resident + 4 * 1024, "KiB; 200 calls that leave 25 KiB each behind are more"
        assert troubles(web) == []


CALLS: dict[str, Callable[[str], dict[str, Any]]] = {
    "search_leads": lambda _: rpc.call("search_leads"),
    "get_lead": lambda lead_id: rpc.call("get_lead", "legacy", lead_id=lead_id),
    "get_timeline": lambda lead_id: rpc.call("get_timeline", lead_id=lead_id),
    "a lead as resource": lambda lead_id: rpc.message("resources/read", uri=f"lofty://leads/{lead_id}"),
    "the tags as resource": lambda _: rpc.message("resources/read", "legacy", uri="lofty://team/tags"),
    "completion": lambda lead_id: rpc.message(
        "completion/complete",
        ref={"type": "ref/resource", "uri": "lofty://leads/{lead_id}"},
        argument={"name": "stage", "value": ""},
    ),
    "prompt": lambda lead_id: rpc.message("prompts/get", name="prepare_call", arguments={"lead": lead_id}),
}


Sick = tuple[Way, httpx2.AsyncClient, str]


@asynccontextmanager
async def lofties(start: Callable[..., Web], lofty: Town, count: int, **settings: str) -> AsyncIterator[list[Sick]]:
    """Servers that all run before anything is timed, each on a way and with a lead of its own, and well so far."""
    async with AsyncExitStack() as stack:
        found: list[Sick] = []
        webs: list[Web] = []
        for lead_id in fresh_leads(lofty, count):
            rough = await stack.enter_async_context(way(lofty.url))
            webs.append(stack.enter_context(start(LOFTY_BASE_URL=rough.url, **settings)))
            http = await stack.enter_async_context(client(webs[-1]))
            assert not rpc.result(await http.post("/mcp", **rpc.call("get_lead", lead_id=lead_id)))["isError"]
            found.append((rough, http, lead_id))
        yield found
        assert [line for web in webs for line in troubles(web)] == []


async def lateness(start: Callable[..., Web], lofty: Town) -> dict[tuple[Kind, str], float]:
    """By how many seconds each read of each sick Lofty misses its deadline, all of them at once."""
    late: dict[tuple[Kind, str], float] = {}

    async def one(kind: Kind, http: httpx2.AsyncClient, name: str, lead_id: str) -> None:
        began = time.monotonic()
        told = rpc.said(await http.post("/mcp", **CALLS[name](lead_id)))
        late[kind, name] = time.monotonic() - began - 2
        if name not in ("completion", "prompt"):
            assert told.get("error") or told["result"]["isError"], "nothing was known to answer with"

    async with lofties(start, lofty, len(SICK), LOFTY_MCP_CALL_SECONDS="2") as found:
        async with anyio.create_task_group() as group:
            for kind, (rough, http, lead_id) in zip(SICK, found, strict=True):
                rough.kind = kind
                for name in CALLS:
                    group.start_soon(one, kind, http, name, lead_id)
        assert all(rough.asked >= 4 for rough, _, _ in found), "as many as are let out at once"
    return late


@pytest.mark.slow
async def test_a_sick_lofty_holds_no_read_past_its_deadline(start: Callable[..., Web], lofty: Town) -> None:
    late = await lateness(start, lofty)
    # Measured: under 0.02. What a busy machine makes late is so once; what is late by design is late every time.
    for _ in range(4):
        if max(late.values()) < 0.1:
            break
        again = await lateness(start, lofty)
        late = {read: min(seconds, again[read]) for read, seconds in late.items()}
    assert max(late.values()) < 0.1, late
    assert all(seconds < -1 for (_, name), seconds in late.items() if name == "prompt"), "a prompt asks nobody"


@pytest.mark.slow
async def test_reads_that_run_out_of_time_at_lofty_open_the_breaker(
    start: Callable[..., Web], lofty: Town, rough: Way
) -> None:
    read = rpc.call("get_lead", lead_id=fresh_leads(lofty, 1)[0])
    with start(LOFTY_BASE_URL=rough.url, LOFTY_MCP_CALL_SECONDS="6") as web:
        async with client(web) as http:
            await http.post("/mcp", **read)
            rough.kind = "never answers"
            for _ in range(2):
                async with anyio.create_task_group() as group:
                    for _ in range(4):
                        group.start_soon(lambda: http.post("/mcp", **read))
            asked = rough.asked
            assert "nothing is sent" in rpc.result(await http.post("/mcp", **read))["content"][0]["text"]
            assert rough.asked == asked == 8


@pytest.mark.slow
async def test_a_sick_lofty_holds_no_write_past_its_own_limits(start: Callable[..., Web], lofty: Town) -> None:
    async def one(http: httpx2.AsyncClient, lead_id: str, method: str) -> None:
        began = time.monotonic()
        told = rpc.result(await http.post("/mcp", **rpc.call("add_tag", lead_ids=[lead_id], tags=["VIP"])))
        took = time.monotonic() - began
        if method == "GET":
            assert told["isError"]
            assert took < PLAN_SECONDS + 1
        else:
            assert told["structuredContent"]["results"][0]["outcome"] == "unknown"
            assert took < ONE_WRITE_SECONDS + LOOK_SECONDS + 1

    ways = [(kind, method) for kind in SICK for method in ("GET", "PUT")]
    async with lofties(start, lofty, len(ways), **AUTO) as found, anyio.create_task_group() as group:
        for (kind, method), (rough, http, lead_id) in zip(ways, found, strict=True):
            rough.sick_for, rough.kind = (method.encode(),), kind
            group.start_soon(one, http, lead_id, method)
    assert lofty.writes() == [], "the sick way carried none"


async def test_an_open_breaker_answers_at_once(start: Callable[..., Web]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    asked, idle = rpc.call("get_lead", lead_id="1100000000000001"), rpc.call("get_lead", lead_id="not an id")
    with start(LOFTY_BASE_URL=f"http://127.0.0.1:{closed}") as web:
        async with client(web) as http:

            async def timed(message: dict[str, Any]) -> tuple[float, str]:
                began = time.perf_counter()
                answer = await http.post("/mcp", **message)
                return time.perf_counter() - began, rpc.result(answer)["content"][0]["text"]

            while "nothing is sent" not in (await timed(asked))[1]:
                pass
            rounds = [(await timed(asked), await timed(idle)) for _ in range(100)]
    assert all("nothing is sent" in refused for (_, refused), _ in rounds)
    # What HTTP and the client take, a call that is refused for its arguments takes as well.
    extra = statistics.median(refused - unread for (refused, _), (unread, _) in rounds)
    assert extra < 0.005


@pytest.mark.slow
async def test_what_waits_for_its_turn_when_the_breaker_opens_is_not_sent(tmp_path: Path) -> None:
    with town(rate_limit=120) as lofty:
        leads = fresh_leads(lofty, 20)
        settings = {**lofty.settings(ANA), "LOFTY_MCP_REQUESTS_PER_MINUTE": "120"}
        with Web(env=environment(tmp_path, **settings), stderr=tmp_path / "stderr") as web:
            async with client(web) as http:
                assert not rpc.result(await http.post("/mcp", **rpc.call("get_lead", lead_id=leads[0])))["isError"]
                before = len(lofty.world.log)
                lofty.world.faults.next("GET", "/v1.0/leads/*", "status=500", times=1000)
                began = time.monotonic()
                async with anyio.create_task_group() as group:
                    for lead_id in leads:
                        group.start_soon(lambda i: http.post("/mcp", **rpc.call("get_lead", lead_id=i)), lead_id)
                assert time.monotonic() - began < 8, "one by one it would take 10 s, and with repetitions longer"
                assert len(lofty.world.log) - before <= 5 + 4, "those that open it, and those under way by then"


# What a request may look like

IMPATIENT = """
import sys
from functools import partial
from lofty_mcp import logs
from lofty_mcp.settings import load
from lofty_mcp.web import serve
logs.configure()
serve.run(load(), "127.0.0.1", 0, partial(print, file=sys.stderr, flush=True), patience=0.5)
"""
"""`lofty-mcp serve --http` with twenty times less patience."""
POST = b"POST /mcp HTTP/1.1\r\n"


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server that waits half a second for headers and for a body, and holds at most 8 connections."""
    state = tmp_path_factory.mktemp("impatient")
    settings = {"LOFTY_API_KEY": "never.shown.here", "LOFTY_BASE_URL": "http://127.0.0.1:9"}
    env = environment(state, **settings, LOFTY_MCP_CONNECTIONS="8", LOFTY_MCP_ALLOWED_HOSTS="mcp.agency.example")
    with Web("-c", IMPATIENT, env=env, stderr=state / "stderr", program=()) as web:
        yield web


def headers(web: Web, **more: str) -> bytes:
    """The headers of a request of the 2025 era, as they go over the wire."""
    own = {"host": f"127.0.0.1:{web.port}", "content-type": "application/json", **web.headers}
    own |= rpc.message("ping", "legacy")["headers"]
    return "".join(f"{name}: {value}\r\n" for name, value in (own | more).items()).encode()


def spoken(web: Web, *parts: bytes, pause: float = 0.0) -> tuple[bytes, float]:
    """What the server says until it hangs up, and after how many seconds it does."""
    began, said = time.monotonic(), b""
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as way_in:
        with suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                way_in.sendall(part)
                time.sleep(pause)
        with suppress(ConnectionResetError):
            while data := way_in.recv(65_536):
                said += data
    return said, time.monotonic() - began


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "in chunks"])
async def test_a_body_that_is_too_large_is_answered_413_even_while_it_is_being_sent(
    impatient: Web, *, chunked: bool
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 10_000

    async with client(impatient) as http:
        answer = await http.post("/mcp", content=chunks() if chunked else b" " * 400_000)
        assert answer.status_code == 413
        assert "131072" in answer.text


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"content-length: 99999999\r\n\r\n", b"413"),
        (b"content-length: -1\r\n\r\n", b"400"),
        (b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"x-large: " + b"y" * 33_000 + b"\r\n\r\n", b"431"),
        (b"".join(b"x-%d: y\r\n" % n for n in range(101)) + b"\r\n", b"431"),
    ],
    ids=["huge body", "negative length", "two lengths", "large header", "many headers"],
)
def test_a_request_out_of_bounds_is_refused_before_it_is_read(impatient: Web, sent: bytes, status: bytes) -> None:
    said, _ = spoken(impatient, POST, headers(impatient, connection="close"), sent)
    assert said.split()[1] == status


def test_headers_without_end_are_hung_up_on(impatient: Web) -> None:
    said, seconds = spoken(impatient, POST, b"x: ", *[b"y" * 65_536] * 100)
    assert (said.split()[1:2], seconds < 5) in (([], True), ([b"431"], True))


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([b""], []),
        ([POST, *(b"x-%d: y\r\n" % n for n in range(9))], []),
        ([b"HEADERS", b"content-length: 99\r\n\r\n", *[b"{"] * 8], [b"408"]),
        ([b"HEADERS", b"transfer-encoding: chunked\r\n\r\n", *[b"1\r\n{\r\n"] * 8], [b"408"]),
    ],
    ids=["silence", "slow headers", "slow body", "slow chunks"],
)
def test_whoever_sends_slowly_is_hung_up_on(impatient: Web, parts: list[bytes], status: list[bytes]) -> None:
    sent = [POST + headers(impatient) if part == b"HEADERS" else part for part in parts]
    said, seconds = spoken(impatient, *sent, pause=0.15)
    assert said.split()[1:2] == status
    assert 0.4 < seconds < 5


def test_a_second_request_on_a_connection_gets_no_more_patience_than_the_first(impatient: Web) -> None:
    ping = json.dumps(rpc.message("ping", "legacy")["json"]).encode()
    whole = POST + headers(impatient) + b"content-length: %d\r\n\r\n" % len(ping) + ping
    said, seconds = spoken(impatient, whole, POST, *(b"x-%d: y\r\n" % n for n in range(9)), pause=0.15)
    assert (said.split()[1], said.count(b"HTTP/1.1")) == (b"200", 1)
    assert seconds < 5


async def test_more_connections_than_there_may_be_are_answered_503_until_there_is_room(impatient: Web) -> None:
    ping = rpc.message("ping", "legacy")
    async with client(impatient) as http:
        silent = [socket.create_connection(("127.0.0.1", impatient.port)) for _ in range(8)]
        try:
            assert (await http.post("/mcp", **ping)).status_code == 503
        finally:
            for one in silent:
                one.close()
        await anyio.sleep(0.1)
        assert (await http.post("/mcp", **ping)).status_code == 200


def test_white_space_around_the_values_of_mcp_headers_is_no_difference(impatient: Web) -> None:
    asked = rpc.message("tools/call", name="get_lead", arguments={"lead_id": "x"})
    body = json.dumps(asked["json"]).encode()
    padded = {name: f"  {value} \t" for name, value in asked["headers"].items() if name.startswith("mcp-")}
    assert len(padded) == 3
    whole = headers(impatient, connection="close", **padded) + b"content-length: %d\r\n\r\n" % len(body)
    said, _ = spoken(impatient, POST, whole, body)
    assert said.split()[1] == b"200", said
    assert b"lead_id" in said


OWN = ("127.0.0.1", "127.0.0.1:1", "localhost", "localhost:9999", "[::1]:80", "mcp.agency.example")
FOREIGN = ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example:80", "")


async def test_only_its_own_names_are_answered_and_only_pages_of_its_own_may_ask(impatient: Web) -> None:
    ping = rpc.message("ping", "legacy")

    async def status(host: str, origin: str | None = None) -> int:
        given = {"host": host} | ({"origin": origin} if origin is not None else {})
        return (await http.post("/mcp", json=ping["json"], headers=ping["headers"] | given)).status_code

    async with client(impatient) as http:
        assert {host: await status(host) for host in OWN} == dict.fromkeys(OWN, 200)
        assert {host: await status(host) for host in FOREIGN} == dict.fromkeys(FOREIGN, 421)
        ours = [f"{scheme}://{host}" for host in OWN for scheme in ("http", "https")]
        assert {origin: await status("localhost", origin) for origin in ours} == dict.fromkeys(ours, 200)
        others = ["null", "http://", "localhost", *(f"https://{host}" for host in FOREIGN if host)]
        assert {origin: await status("localhost", origin) for origin in others} == dict.fromkeys(others, 403)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_server_for_every_address_must_be_told_its_names(tmp_path: Path, host: str) -> None:
    env = environment(tmp_path, LOFTY_API_KEY="never.shown.here", LOFTY_MCP_TOKEN=Web.TOKEN)
    refused = run("serve", "--http", "--port", "0", "--host", host, env=env)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert "LOFTY_MCP_ALLOWED_HOSTS" in refused.stderr


# Shared by processes


@pytest.mark.slow
async def test_all_processes_and_principals_with_one_key_keep_its_pace_together(tmp_path: Path) -> None:
    """600 requests a minute are 10 a second, and the first 5 at once."""
    with town(rate_limit=600) as lofty:
        key = {**lofty.settings(OWNER), "LOFTY_MCP_REQUESTS_PER_MINUTE": "600", "KEY": lofty.world.key_of(OWNER)}
        everybody = {n: {"credential": "env:KEY", "member": e} for n, e in (("ana", ANA), ("mark", MARK))}
        file = tmp_path / "accounts.toml"
        file.write_text(accounts(**everybody), encoding="utf-8")
        lead = {e: fresh_leads(lofty, 1, e)[0] for e in (ANA, MARK)}
        env = environment(tmp_path, **key)
        with (
            Web(env={**env, "LOFTY_MCP_ACCOUNTS": str(file)}, stderr=tmp_path / "one") as one,
            Web(env=env, stderr=tmp_path / "two") as two,
            Host("serve", env=env, stderr=tmp_path / "three") as three,
        ):
            asking = [
                (one, {"authorization": f"Bearer {token('ana')}"}, lead[ANA]),
                (one, {"authorization": f"Bearer {token('mark')}"}, lead[MARK]),
                (two, two.headers, lead[ANA]),
            ]
            over = False

            async def flood(web: Web, headers: dict[str, str], lead_id: str) -> None:
                async with client(web) as http:
                    while not over:
                        call = rpc.call("get_lead", lead_id=lead_id)
                        answer = rpc.result(
                            await http.post("/mcp", json=call["json"], headers=call["headers"] | headers)
                        )
                        assert not answer["isError"]

            def pipes() -> None:
                while not over:
                    assert not three.call("get_lead", lead_id=lead[ANA])["isError"]

            began, before = time.monotonic(), len(lofty.world.log)
            async with anyio.create_task_group() as group:
                for web, headers, lead_id in asking:
                    for _ in range(5):
                        group.start_soon(flood, web, headers, lead_id)
                group.start_soon(asyncio.to_thread, pipes)
                await anyio.sleep(4)
                over = True
            took, sent = time.monotonic() - began, len(lofty.world.log) - before
        assert sent <= 5 + 10 * took + 1
        assert sent >= 10 * took * 0.6, "and the pace is used"
        assert {entry.status for entry in lofty.world.log} == {200}


async def test_pause_stops_the_writes_of_every_running_server_at_once_and_resume_lets_them_go_on(
    start: Callable[..., Web], lofty: Town, tmp_path: Path
) -> None:
    leads = fresh_leads(lofty, 10)
    env = environment(tmp_path, **lofty.settings(ANA), **AUTO)
    lofty.world.faults.next("PUT", "/v1.0/leads/*", "latency=0.4", times=1000)
    with start(**AUTO) as web, Host("serve", env=env, stderr=tmp_path / "pipes") as host:
        async with client(web) as http:
            answers: list[httpx2.Response] = []

            async def batch() -> None:
                answers.append(await http.post("/mcp", **rpc.call("add_tag", lead_ids=leads, tags=["VIP"])))

            async with anyio.create_task_group() as group:
                group.start_soon(batch)
                await soon(lambda: len(lofty.writes()) >= 2, "the second write")
                paused = await asyncio.to_thread(run, "pause", env=env)
                sent = len(lofty.writes())
            assert (paused.returncode, "paused" in paused.stdout) == (0, True)
            assert len(lofty.writes()) == sent < 10
            table = rpc.result(answers[0])["structuredContent"]
            assert [row["outcome"] for row in table["results"]] == ["applied"] * sent + ["not_applied"] * (10 - sent)
            assert all("paused writes" in row["note"] for row in table["results"][sent:])
            write: dict[str, Any] = {"lead_ids": leads[-1:], "tags": ["Investor"]}
            assert (
                "paused writes"
                in rpc.result(await http.post("/mcp", **rpc.call("add_tag", **write)))["content"][0]["text"]
            )
            assert "paused writes" in await asyncio.to_thread(lambda: host.text("add_tag", **write))
            assert not rpc.result(await http.post("/mcp", **rpc.call("get_lead", lead_id=leads[0])))["isError"]
            assert len(lofty.writes()) == sent
            assert (await asyncio.to_thread(run, "resume", env=env)).returncode == 0
            assert rpc.outcomes(await http.post("/mcp", **rpc.call("add_tag", **write))) == ["applied"]
            write["lead_ids"] = leads[-2:-1]
            assert '"outcome":"applied"' in await asyncio.to_thread(lambda: host.text("add_tag", **write))


# Alive and ready


async def test_readiness_names_what_is_missing_and_asks_lofty_seldom(start: Callable[..., Web], lofty: Town) -> None:
    with start() as web:
        async with client(web) as anybody:
            began = time.monotonic()
            for _ in range(20):
                ready = await anybody.get("/readyz", headers={"authorization": ""})
                assert (ready.status_code, ready.json()) == (
                    200,
                    {"ready": True, "lofty": True, "ledger": True, "running": True},
                )
            asked = [entry for entry in lofty.world.log if entry.path == "/"]
            assert len(asked) <= 1 + (time.monotonic() - began) // 5
            assert all("authorization" not in entry.headers for entry in asked)


async def gone(lofty: Town, web: Web, tmp_path: Path) -> None:
    """Nothing: Lofty was not there to begin with."""


async def removed(lofty: Town, web: Web, tmp_path: Path) -> None:
    """The state folder goes away under the running server."""
    shutil.rmtree(tmp_path / "lofty-mcp")


async def full(lofty: Town, web: Web, tmp_path: Path) -> None:
    """No file may grow any more."""
    resource.prlimit(web.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


@pytest.mark.parametrize(("part", "break_it"), [("lofty", gone), ("ledger", removed), ("ledger", full)])
async def test_what_is_not_ready_is_named_and_the_process_is_alive_all_the_same(
    start: Callable[..., Web],
    lofty: Town,
    tmp_path: Path,
    part: str,
    break_it: Callable[[Town, Web, Path], Awaitable[None]],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    missing = {"LOFTY_BASE_URL": f"http://127.0.0.1:{closed}"} if part == "lofty" else {}
    with start(**AUTO, **missing) as web:
        async with client(web) as http:
            await break_it(lofty, web, tmp_path)
            ready = await http.get("/readyz")
            assert ready.status_code == 503
            assert ready.json() == {"ready": False, "lofty": True, "ledger": True, "running": True} | {part: False}
            assert (await http.get("/healthz")).status_code == 200
            if part == "ledger":
                lead_id = fresh_leads(lofty, 1)[0]
                assert not rpc.result(await http.post("/mcp", **rpc.call("get_lead", lead_id=lead_id)))["isError"]
                refused = rpc.result(await http.post("/mcp", **rpc.call("add_tag", lead_ids=[lead_id], tags=["VIP"])))
                assert "ledger cannot be written" in refused["content"][0]["text"]
                assert lofty.writes() == []


@pytest.mark.slow
async def test_2000_mixed_calls_leave_no_memory_behind(start: Callable[..., Web], lofty: Town) -> None:
    leads = fresh_leads(lofty, 5)
    # Once 60 leads are written to, every write is answered 429.
    with start(LOFTY_MCP_CALLS_PER_MINUTE="0", LOFTY_MCP_WRITES_PER_DAY="60", **AUTO) as web:
        async with client(web, 20) as http:
            seen: Counter[int] = Counter()

            async def mixed(number: int) -> None:
                era, lead_id = ERAS[number % 2], leads[number % 5]
                messages = [
                    rpc.call("search_leads", era, limit=10),
                    rpc.call("get_lead", era, lead_id=lead_id),
                    rpc.call("get_timeline", era, lead_id=lead_id),
                    rpc.call("add_tag", era, lead_ids=[lead_id], tags=["VIP"]),
                    rpc.call("update_stage", era, lead_ids=[lead_id], stage=("Closed", "Contacted")[number // 10 % 2]),
                    rpc.message("resources/read", era, uri=f"lofty://leads/{lead_id}"),
                    rpc.message("tools/list", era),
                ]
                message = messages[number % 7]
                if number % 9 == 0:
                    message["headers"]["authorization"] = "Bearer a-wrong-token-0123456789"
                seen[(await http.post("/mcp", **message)).status_code] += 1

            async def calls(count: int) -> None:
                for first in range(0, count, 20):
                    async with anyio.create_task_group() as group:
                        for number in range(first, first + 20):
                            group.start_soon(mixed, number)

            await calls(1_000)
            before = web.resident(), web.descriptors()
            await calls(2_000)
            assert seen.keys() == {200, 401, 429}
            # Measured: 0.3 MiB. A leak of 2 KiB a call would be as much as this.
            assert web.resident() <= before[0] + 4 * 1024
            assert web.descriptors() <= before[1] + 4
        assert troubles(web) == []
