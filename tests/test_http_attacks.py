"""The HTTP mode under attack: what a stranger, or a principal who means ill, tries on it."""

import asyncio
import json
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from tests.support import rpc
from tests.support.issuer import Issuer
from tests.support.process import Web, environment, run
from tests.support.web import BASE, Builder, Site, accounts, token
from tests.support.world import ANA, ERAS, MARK, Bench, HeldUp, Network, data, rows, text

LISTEN = rpc.message("subscriptions/listen", notifications={"toolsListChanged": True})
METADATA = "/.well-known/oauth-protected-resource/mcp"
JSON = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
MIB = 1024 * 1024
BUDGET = 20


PEOPLE = {"ana": {"credential": "env:KEY_ANA"}, "mark": {"credential": "env:KEY_MARK"}}


class Place(Web):
    """A server with Ana and Mark in its accounts file, for whom no Lofty is there."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "accounts.toml"
        self.list(*PEOPLE)
        settings = {"KEY_ANA": "never.shown.here", "KEY_MARK": "nor.this.one", "LOFTY_BASE_URL": "http://127.0.0.1:9"}
        settings |= {"LOFTY_MCP_ACCOUNTS": str(self.file), "LOFTY_MCP_TOKEN": "", "LOFTY_MCP_OPEN_STREAMS": "3"}
        super().__init__(env=environment(folder, **settings), stderr=folder / "stderr")

    def list(self, *names: str) -> None:
        """Let the accounts file hold these two, or one of them."""
        draft = self.file.with_suffix(".new")
        draft.write_text(accounts(**{name: PEOPLE[name] for name in names}), encoding="utf-8")
        draft.replace(self.file)

    def client(self, who: str) -> httpx2.AsyncClient:
        """A client of one of the two."""
        own = {"authorization": f"Bearer {token(who)}"}
        return httpx2.AsyncClient(base_url=self.origin, headers=own, timeout=10, trust_env=False)

    def said(self, *parts: bytes) -> bytes:
        """What the server says until it hangs up, be it in the middle of what it is sent."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as way_in:
            with suppress(BrokenPipeError, ConnectionResetError):
                for part in parts:
                    way_in.sendall(part)
            with suppress(ConnectionResetError):
                while got := way_in.recv(65_536):
                    answer += got
        return answer

    def asked(self, *lines: str, method: str = "GET", path: str = "/mcp", body: bytes = b"") -> int:
        """The status of the answer to a request with these header lines."""
        head = "\r\n".join((f"{method} {path} HTTP/1.1", "Connection: close", *lines, "", ""))
        return int(self.said(head.encode("latin-1") + body).split()[1])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A running server."""
    with Place(tmp_path_factory.mktemp("place")) as running:
        yield running
        assert '"error"' not in running.stderr(), "nothing that was tried made it fail"


async def ask(site: Site, tool: str, who: str = "ana", **arguments: Any) -> httpx2.Response:
    """A tool call of a principal."""
    return await site.post("tools/call", token(who), params={"name": tool, "arguments": arguments})


# What is behind a body


def chunked(host: str = "", shown: str = "", trailers: str = "") -> tuple[list[str], bytes]:
    """A ping in one chunk: its header lines, and its body with what comes behind."""
    lines = ["Transfer-Encoding: chunked", *(f"{name}: {value}" for name, value in JSON.items())]
    lines += ["MCP-Protocol-Version: 2025-11-25", *([host] if host else []), *([shown] if shown else [])]
    return lines, b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(PING), PING, trailers.encode())


def test_what_comes_behind_a_body_is_no_header(place: Place) -> None:
    host, shown = f"Host: 127.0.0.1:{place.port}", f"Authorization: Bearer {token('ana')}"

    def status(host: str, shown: str, behind: str) -> int:
        lines, body = chunked(host, shown, f"{behind}\r\n")
        return place.asked(*lines, method="POST", body=body)

    assert status(host, shown, "X-Sum: 1") == 200, "such fields are no fault"
    assert status(host, "", shown) == 401
    assert status("", shown, host) == 421


@pytest.mark.parametrize("line", [b"a:bbbbbbbbbbbbbbb\r\n", b"bbbbbbbbbbbbbbbb"], ids=["short lines", "one line"])
@pytest.mark.parametrize("path", ["/mcp", "/healthz"])
def test_what_comes_behind_a_body_is_not_kept(place: Place, path: str, line: bytes) -> None:
    lines, body = chunked(f"Host: 127.0.0.1:{place.port}")
    head = "\r\n".join((f"POST {path} HTTP/1.1", *lines, "", "")).encode()
    piece = line * (65_536 // len(line))
    most = before = place.resident()

    def pieces() -> Iterator[bytes]:
        nonlocal most
        yield head + body.removesuffix(b"\r\n") + b"a: "
        for _ in range(20 * MIB // len(piece)):
            yield piece
            most = max(most, place.resident())

    began = time.monotonic()
    place.said(*pieces())
    assert most - before < 20 * 1024, "KiB"
    assert time.monotonic() - began < 5, "and nobody keeps sending"


# What a stranger costs


async def test_what_a_stranger_sends_is_not_parsed(builder: Builder, both: dict[str, Any]) -> None:
    """A body that is costly to parse, or cannot be, takes as long as one that is no JSON from the start."""
    size = 8 * MIB
    costly, plain = b"[" + b"[]," * (size // 3) + b"[]]", b"x" * (size + 5)
    took: dict[bytes, float] = {}
    async with builder.site(**both, body_bytes=16 * MIB) as site:
        for body in (plain, costly, b"[" * size) * 3:
            began = time.process_time()
            refused = await site.http.post("/mcp", content=body, headers=JSON)
            took[body[:3]] = min(took.get(body[:3], 9.9), time.process_time() - began)
            assert refused.status_code == 401
    # Measured: 0.01 s each; with json.loads, 0.3 s for the costly one.
    assert took[costly[:3]] < 4 * took[plain[:3]] + 0.05, took
    assert took[b"[[["] < 4 * took[plain[:3]] + 0.05, took


# Streams


@asynccontextmanager
async def streaming(place: Place, who: str) -> AsyncIterator[AsyncIterator[str]]:
    """The lines of an open stream of a principal, behind its first."""
    async with place.client(who) as http, http.stream("POST", "/mcp", **LISTEN) as stream:
        assert stream.status_code == 200
        lines = stream.aiter_lines()
        assert await anext(lines) == "event: message"
        yield lines


@pytest.mark.parametrize(
    "wanted",
    [
        {"resourceSubscriptions": [f"lofty://leads/{n}" for n in range(5_000)]},
        {"toolsListChanged": True, "more": [[]] * 30_000},
    ],
    ids=["known", "unknown"],
)
async def test_a_stream_cannot_be_asked_for_at_length(place: Place, wanted: dict[str, Any]) -> None:
    async with place.client("ana") as http:
        with anyio.fail_after(5):
            refused = await http.post("/mcp", **rpc.message("subscriptions/listen", notifications=wanted))
    assert rpc.said(refused)["error"]["code"] == -32_602
    assert "up to 16384 characters" in rpc.said(refused)["error"]["message"]


async def opens(http: httpx2.AsyncClient) -> bool:
    """Whether there is a place for a stream, which is closed again."""
    async with http.stream("POST", "/mcp", **LISTEN) as stream:
        return stream.status_code == 200


async def test_only_so_many_streams_of_a_principal_are_open_and_they_keep_nobody_else_waiting(place: Place) -> None:
    async with place.client("ana") as ana:
        async with streaming(place, "ana"), streaming(place, "ana"), streaming(place, "ana"):
            refused = await ana.post("/mcp", **LISTEN)
            assert refused.status_code == 429
            assert "3 streams" in refused.json()["error"]["message"]
            assert refused.headers["retry-after"] == "1"
            assert (await ana.post("/mcp", **rpc.message("tools/list"))).status_code == 200
            async with streaming(place, "mark"):
                pass
        with anyio.fail_after(5):
            while not await opens(ana):
                pass


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP")
@pytest.mark.parametrize("moment", ["SIGHUP", "anybody's request"])
async def test_the_streams_of_whoever_is_taken_out_end_and_those_of_others_go_on(place: Place, moment: str) -> None:
    try:
        async with streaming(place, "ana") as others, streaming(place, "mark") as own, place.client("ana") as http:
            place.list("ana")
            if moment == "SIGHUP":
                place.signal(signal.SIGHUP)
            else:
                assert (await http.post("/mcp", **rpc.message("tools/list"))).status_code == 200
            with anyio.fail_after(5):
                rest = [line async for line in own]
            last = json.loads([line for line in rest if line.startswith("data:")][-1].removeprefix("data:"))
            assert last["result"]["_meta"], "it ends as a stream does, not as a connection lost"
            async with place.client("mark") as out:
                assert (await out.post("/mcp", **LISTEN)).status_code == 401

            async def to_its_end() -> None:
                async for _ in others:
                    pass

            going_on = asyncio.create_task(to_its_end())
            assert (await http.post("/mcp", **rpc.message("tools/list"))).status_code == 200
            assert not going_on.done()
            going_on.cancel()
    finally:
        place.list(*PEOPLE)
        place.signal(signal.SIGHUP)


# Leads not found


def not_there(bench: Bench, kind: str, count: int) -> list[str]:
    """Ids of leads that Ana does not find: Mark's hidden ones, or none at all."""
    if kind == "missing":
        return [str(1_199_999_999_000_000 + n) for n in range(count)]
    mark = bench.user_id(MARK)
    return [str(bench.world.add_lead(assignedUserId=mark, hiddenFlag=True, lastName=f"No {n}")) for n in range(count)]


@pytest.fixture
def held_up(bench: Bench) -> HeldUp:
    """The network of all sites, on which calls can be held until all of them are under way."""
    bench.network = network = HeldUp(bench.app)
    network.until.set()
    return network


async def all_at_once(
    site: Site, held_up: HeldUp, calls: list[tuple[str, dict[str, Any]]], *, for_ever: bool = False
) -> Counter[str]:
    """What Ana is answered to calls that she makes at once: the outcome of each lead, or once for all of a call.

    Lofty answers none of them before all are under way, or not at all.
    """
    told: Counter[str] = Counter()

    async def one(tool: str, arguments: dict[str, Any]) -> None:
        answer = await ask(site, tool, **arguments)
        if answer.status_code == 429:
            told["refused"] += 1
            return
        found = rpc.result(answer)
        if not found["isError"]:
            results = found["structuredContent"].get("results", [{"outcome": "found"}])
            told.update(row["outcome"] for row in results)
        elif "were not found" in (why := found["content"][0]["text"]):
            told["refused"] += 1
        else:
            told["not_found" if why.startswith("Not found") else why] += 1

    assert (await ask(site, "who_am_i")).status_code == 200
    held_up.until = anyio.Event()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for call in calls:
                group.start_soon(one, *call)
            await anyio.wait_all_tasks_blocked()
            if not for_ever:
                held_up.until.set()
    held_up.until.set()
    return told


@pytest.mark.parametrize("kind", ["hidden", "missing"])
async def test_reads_at_once_find_no_more_leads_missing_than_one_after_the_other(
    builder: Builder, held_up: HeldUp, both: dict[str, Any], kind: str
) -> None:
    ids = not_there(builder.bench, kind, 200)
    async with builder.site(**both, not_found_per_minute=BUDGET) as site:
        told = await all_at_once(site, held_up, [("get_lead", {"lead_id": lead_id}) for lead_id in ids])
    assert told == {"not_found": BUDGET, "refused": 200 - BUDGET}


@pytest.mark.parametrize("kind", ["hidden", "missing"])
async def test_batches_at_once_overstep_the_budget_by_less_than_one_of_them(
    builder: Builder, held_up: HeldUp, both: dict[str, Any], kind: str
) -> None:
    ids = not_there(builder.bench, kind, 400)
    calls = [("add_tag", {"lead_ids": ids[n : n + 40], "tags": ["VIP"]}) for n in range(0, 400, 40)]
    async with builder.site(**both, not_found_per_minute=100) as site:
        told = await all_at_once(site, held_up, calls)
        after = await ask(site, "get_lead", lead_id=ids[0])
    assert told == {"not_found": 3, "refused": 7}, "two batches together and then one alone are 120 leads"
    assert after.status_code == 429
    assert builder.bench.sent() == []


async def test_the_budget_keeps_nobody_from_the_leads_that_are_there(
    builder: Builder, held_up: HeldUp, both: dict[str, Any]
) -> None:
    bench = builder.bench
    seen = bench.visible_lead()
    batch = [str(bench.world.add_lead(assignedUserId=bench.user_id(ANA), lastName=f"No {n}")) for n in range(30)]
    calls = [("get_lead", {"lead_id": seen})] * 100 + [("add_tag", {"lead_ids": batch, "tags": ["VIP"]})]
    async with builder.site(**both, not_found_per_minute=BUDGET) as site:
        assert await all_at_once(site, held_up, calls) == {"found": 100, "applied": 30}
        assert await all_at_once(site, held_up, [("get_lead", {"lead_id": "1199999999000000"})]) == {"not_found": 1}


async def test_who_waits_for_room_in_the_budget_waits_no_longer_than_a_call_may(
    builder: Builder, held_up: HeldUp, both: dict[str, Any]
) -> None:
    read = ("get_lead", {"lead_id": builder.bench.visible_lead()})
    async with builder.site(**both, not_found_per_minute=5, call_seconds=1) as site:
        began = time.monotonic()
        told = await all_at_once(site, held_up, [read] * 20, for_ever=True)
        assert time.monotonic() - began < 4
        assert (sum(told.values()), told["found"], told["refused"]) == (20, 0, 0)
        assert await all_at_once(site, held_up, [read] * 20) == {"found": 20}, "all room is back"


@pytest.mark.parametrize("era", ERAS)
async def test_over_stdio_there_is_no_budget(bench: Bench, era: str) -> None:
    answers: list[str] = []
    async with bench.client(era=era, not_found_per_minute=5) as client, anyio.create_task_group() as group:

        async def one(lead_id: str) -> None:
            answers.append(text(await client.call_tool("get_lead", {"lead_id": lead_id})))

        for lead_id in not_there(bench, "missing", 30):
            group.start_soon(one, lead_id)
    assert len(answers) == 30
    assert len(set(answers)) == 1
    assert answers[0].startswith("Not found")


@pytest.mark.parametrize("era", ERAS)
async def test_a_search_that_finds_nothing_takes_as_long_whether_something_is_hidden_or_not(
    bench: Bench, era: str
) -> None:
    mark = bench.user_id(MARK)
    bench.world.add_lead(assignedUserId=mark, hiddenFlag=True, lastName="Zephyrine", emails=["zephyrine@inbox.example"])
    own = bench.world.add_lead(assignedUserId=bench.user_id(ANA), lastName="Quillfeather")
    async with bench.client(era=era) as client:

        async def took(**wanted: Any) -> tuple[int, float]:
            before = bench.tick
            found = rows(data(await client.call_tool("search_leads", wanted)))
            assert all(row["lead_id"] == str(own) for row in found)
            return len(found), bench.tick - before

        assert await took(query="Quillfeather") == (1, 0.0)
        for wanted in ({"query": "Zephyrine"}, {"query": "Zephyrinx"}, {"email": "zephyrine@inbox.example"}):
            count, seconds = await took(**wanted)
            assert count == 0
            assert seconds == pytest.approx(0.3), wanted


# What a request says of itself

OURS = ("127.0.0.1", "127.0.0.1:80", "LOCALHOST", "Localhost:99999", "[::1]:1")
ODD = (
    "127.0.0.1:[",
    "127.0.0.1:80@evil.com",
    '127.0.0.1:"x',
    "127.0.0.1:8766/..",
    "127.0.0.1:",
    "127.0.0.1:80 evil.com",
    "[::1]:x]",
    "[",
    "localhost:\xe9",
    "user@localhost",
    "evil.com",
)


@pytest.mark.parametrize(
    ("path", "status"), [("/mcp", 401), (METADATA, 200), ("/.well-known/oauth-protected-resource", 200)]
)
def test_a_host_is_ours_or_is_refused_however_odd_it_is(place: Place, path: str, status: int) -> None:
    assert {host: place.asked(f"Host: {host}", path=path) for host in OURS} == dict.fromkeys(OURS, status)
    assert {host: place.asked(f"Host: {host}", path=path) for host in ODD} == dict.fromkeys(ODD, 421)
    assert place.asked("Host: localhost", "Host: localhost", path=path) == 421
    assert place.asked("Host: localhost", "Host: evil.com", path=path) == 421
    assert place.asked(path=path) == 421


@pytest.mark.parametrize(("path", "status"), [("/mcp", 401), (METADATA, 200)])
def test_an_origin_is_ours_or_is_refused_however_odd_it_is(place: Place, path: str, status: int) -> None:
    def asked(*origins: str) -> int:
        return place.asked("Host: localhost", *(f"Origin: {origin}" for origin in origins), path=path)

    ours = [f"HTTP://{host}" for host in OURS]
    assert {origin: asked(origin) for origin in ours} == dict.fromkeys(ours, status)
    odd = [f"http://{host}" for host in ODD]
    assert {origin: asked(origin) for origin in odd} == dict.fromkeys(odd, 403)
    for second in ("http://localhost", "http://evil.com", ""):
        assert asked("http://localhost", second) == 403


def test_a_long_address_is_refused_before_anybody_reads_it(place: Place) -> None:
    assert place.asked("Host: localhost", path=f"/mcp?{'&' * 8_000}") == 401
    assert place.asked("Host: localhost", path=f"/mcp?{'&' * 8_200}") == 414


@pytest.mark.parametrize("number", ['"\\ud800"', "[1]", '{"a":1}', f'"{"a" * 5_000}"', '"a\\nb"', "1.5"])
async def test_a_refusal_repeats_no_odd_id(builder: Builder, both: dict[str, Any], number: str) -> None:
    shown = {**JSON, "authorization": f"Bearer {token('ana')}"}
    body = PING.replace(b'"id":1', b'"id":' + number.encode())
    async with builder.site(**both, calls_per_minute=1) as site:
        assert (await site.post("ping", token("ana"))).status_code == 200
        refused = await site.http.post("/mcp", content=body, headers=shown)
    assert refused.status_code == 429
    assert refused.json()["id"] is None
    assert refused.json()["error"]["data"]["retryAfter"] > 0


@pytest.mark.parametrize(
    ("asked", "held_to"),
    [
        (["auto", "read"], "read"),
        (["read", "auto"], "read"),
        (["auto, read"], "read"),
        (["ask", "Code", "auto"], "ask"),
        (["auto,code", "auto"], "code"),
        ([" READ "], "read"),
    ],
)
async def test_of_several_modes_that_a_request_names_the_tightest_holds(
    builder: Builder, both: dict[str, Any], asked: list[str], held_to: str
) -> None:
    call = rpc.call("who_am_i", "legacy")
    shown = [*call["headers"].items(), ("authorization", f"Bearer {token('ana')}")]
    async with builder.site(**both) as site:
        answer = await site.http.post(
            "/mcp", headers=[*shown, *(("lofty-mode", word) for word in asked)], json=call["json"]
        )
        wrong = await site.http.post("/mcp", headers=[*shown, ("lofty-mode", "read, yolo")], json=call["json"])
    assert rpc.result(answer)["structuredContent"]["mode"] == held_to
    assert wrong.status_code == 400


FORWARDED = {
    "x-forwarded-proto": "https",
    "x-forwarded-host": "evil.com",
    "x-forwarded-port": "1",
    "x-forwarded-for": "10.1.2.3",
    "forwarded": "for=10.1.2.3;proto=https;host=evil.com",
}


async def test_nobody_can_say_how_they_reached_this_server(place: Place) -> None:
    async with httpx2.AsyncClient(base_url=place.origin, trust_env=False) as http:
        plain, forwarded = await http.get(METADATA), await http.get(METADATA, headers=FORWARDED)
        assert forwarded.json() == plain.json()
        assert forwarded.json()["resource"] == f"{place.origin}/mcp"
        refused = await http.post("/mcp", json={}, headers=FORWARDED)
        assert f'resource_metadata="{place.origin}{METADATA}"' in refused.headers["www-authenticate"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("era", ERAS)
async def test_there_is_no_session_to_listen_to_or_to_end(place: Place, method: str, era: str) -> None:
    async with place.client("ana") as http:
        with anyio.fail_after(5):
            refused = await http.request(method, "/mcp", headers=rpc.message("ping", era)["headers"])
    assert refused.status_code == 405
    assert refused.headers["allow"] == "POST"


# Whether anybody can be recognised


class Answering(Network):
    """A network on which a look at whether anybody is there finds somebody."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer for the address itself, and carry all else."""
        if request.url.path == "/":
            return httpx2.Response(404, request=request)
        return await super().handle_async_request(request)


async def test_readiness_says_whether_callers_can_be_recognised(builder: Builder, tmp_path: Path) -> None:
    builder.bench.network = Answering(builder.bench.app)
    issuer, keys = Issuer(audience=f"{BASE}/mcp"), tmp_path / "jwks.json"
    known = accounts(ana={"subject": "ana", "credential": "env:KEY_ANA"})
    found: dict[str, tuple[int, bool, bool]] = {}
    for case in ("well", "no accounts", "no keys"):
        issuer.save(keys)
        file = builder.write_accounts(known)
        settings: dict[str, Any] = {"issuer": issuer.url, "audience": issuer.audience, "jwks": str(keys)}
        if case == "no keys":
            keys.write_text("[]", encoding="utf-8")
        async with builder.site(accounts=file, **settings) as site:
            assert (await site.post("ping", issuer.token("ana"))).status_code == (503 if case == "no keys" else 200)
            if case == "no accounts":
                builder.write_accounts(known + "\nbroken")
            ready = await site.http.get("/readyz")
            found[case] = ready.status_code, ready.json()["accounts"], ready.json()["keys"]
            assert ready.json()["lofty"]
            lets_in = (await site.post("ping", issuer.token("ana"))).status_code == 200
            assert lets_in == (case == "well")
    assert found == {
        "well": (200, True, True),
        "no accounts": (503, False, True),
        "no keys": (503, True, False),
    }


def no_file(folder: Path) -> dict[str, str]:
    """A JWKS file that is not there."""
    return {"LOFTY_MCP_JWKS": str(folder / "jwks.json")}


def no_keys(folder: Path) -> dict[str, str]:
    """A JWKS file that is something else."""
    (folder / "jwks.json").write_text('{"issuer": "https://issuer.example/"}', encoding="utf-8")
    return no_file(folder)


def no_issuer(_: Path) -> dict[str, str]:
    """A subject whose JWT nobody could judge."""
    return {"LOFTY_MCP_ISSUER": "", "LOFTY_MCP_AUDIENCE": ""}


def no_credential(folder: Path) -> dict[str, str]:
    """A token for a Lofty credential that is not there."""
    Issuer().save(folder / "jwks.json")
    return {**no_file(folder), "LOFTY_MCP_TOKEN": Web.TOKEN}


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (no_file, ("LOFTY_MCP_JWKS", "cannot be read")),
        (no_keys, ("LOFTY_MCP_JWKS", "is no JWKS")),
        (no_issuer, ("'ana' has a subject", "LOFTY_MCP_ISSUER is not set")),
        (no_credential, ("LOFTY_MCP_TOKEN", "set LOFTY_API_KEY")),
    ],
)
def test_a_server_that_would_let_in_fewer_than_it_was_told_does_not_start(
    tmp_path: Path, missing: Callable[[Path], dict[str, str]], said: tuple[str, ...]
) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text(accounts(ana={"subject": "ana", "credential": "env:KEY_ANA"}), encoding="utf-8")
    settings = {"LOFTY_MCP_ISSUER": "https://issuer.example/", "LOFTY_MCP_AUDIENCE": "https://lofty.example/mcp"}
    settings |= {"LOFTY_MCP_ACCOUNTS": str(file), "KEY_ANA": "never.shown.here", **missing(tmp_path)}
    refused = run("serve", "--http", "--port", "0", env=environment(tmp_path, **settings))
    assert (refused.returncode, refused.stdout) == (2, "")
    last = refused.stderr.splitlines()[-1]
    assert last.startswith("lofty-mcp: ")
    assert all(part in last for part in said)
    assert "Traceback" not in refused.stderr
    assert "Serving MCP" not in refused.stderr
    assert "never.shown.here" not in refused.stderr


async def test_a_token_that_may_only_read_is_told_of_no_write(builder: Builder, tmp_path: Path) -> None:
    issuer = Issuer(audience=f"{BASE}/mcp")
    file = builder.write_accounts(accounts(ana={"subject": "ana", "credential": "env:KEY_ANA"}))
    settings: dict[str, Any] = {"issuer": issuer.url, "audience": issuer.audience}
    settings["jwks"] = issuer.save(tmp_path / "jwks.json")
    may: dict[str, set[str]] = {}
    listed = []
    async with builder.site(accounts=file, **settings) as site:
        for scopes in ("leads:read", "leads:read leads:write"):
            async with site.client(issuer.token("ana", scopes)) as client:
                may[scopes] = set(data(await client.call_tool("who_am_i", {}))["may"])
                listed = (await client.list_tools()).tools
    reads = {tool.name for tool in listed if tool.annotations and tool.annotations.read_only_hint}
    assert may == {"leads:read": reads, "leads:read leads:write": {tool.name for tool in listed}}
    assert {"who_am_i", "get_lead"} <= reads
    assert "add_tag" not in reads
