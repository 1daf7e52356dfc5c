"""The issuer's keys: fetched or read, kept, renewed, and given up."""

import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lofty_mcp.web.bearer_jwt import Claims
from lofty_mcp.web.jwks import read_jwks
from lofty_mcp.web.keys import KeysUnavailable
from tests.support.issuer import NOW, Desk, Issuer, b64, jwk, private_key

JWKS_URL = "https://issuer.example/keys"
STRANGER = private_key("ES256")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)

Answer = Callable[[httpx2.Request], Coroutine[None, None, httpx2.Response]]


def answering(answer: Answer) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.MockTransport(answer))


async def test_a_rotated_key_is_accepted_at_once_and_the_old_one_no_more() -> None:
    desk = Desk()
    old = desk.issuer.token()
    assert await desk.accepts(old)
    desk.issuer.rotate()
    assert await desk.accepts(old)
    assert await desk.accepts(desk.issuer.token())
    assert not await desk.accepts(old)
    assert desk.issuer.fetches == 2


async def test_a_key_taken_out_is_refused_after_ten_minutes() -> None:
    desk = Desk()
    old = desk.issuer.token(exp=NOW + 3600)
    assert await desk.accepts(old)
    desk.issuer.rotate()
    desk.clock.passed = 599.0
    assert await desk.accepts(old)
    desk.clock.passed = 600.0
    assert not await desk.accepts(old)
    assert desk.issuer.fetches == 2


async def test_both_keys_are_good_while_both_are_published() -> None:
    desk = Desk()
    old = desk.issuer.token()
    desk.issuer.rotate("RS256", keep=True)
    assert await desk.accepts(old)
    assert await desk.accepts(desk.issuer.token())


async def test_keys_are_fetched_when_first_needed_and_kept() -> None:
    desk = Desk()
    assert desk.issuer.fetches == 0
    assert not await desk.accepts("junk")
    assert desk.issuer.fetches == 0
    for _ in range(20):
        assert await desk.accepts(desk.issuer.token())
    assert desk.issuer.fetches == 1


async def test_unknown_key_ids_fetch_at_most_once_in_thirty_seconds() -> None:
    desk = Desk()
    assert await desk.accepts(desk.issuer.token())
    for number in range(50):
        desk.clock.passed = number * 0.5
        assert not await desk.accepts(desk.issuer.sign(desk.issuer.claims(), kid=f"made-up-{number}"))
    assert desk.issuer.fetches == 2
    desk.clock.passed = 30.0
    assert not await desk.accepts(desk.issuer.sign(desk.issuer.claims(), kid="made-up"))
    assert desk.issuer.fetches == 3


async def test_an_unknown_key_id_on_the_first_call_fetches_once() -> None:
    desk = Desk()
    assert not await desk.accepts(desk.issuer.sign(desk.issuer.claims(), kid="made-up"))
    assert desk.issuer.fetches == 1


class Gate:
    """An issuer's address that answers when it is let."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.asked = 0
        self.open = anyio.Event()

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        await self.open.wait()
        return httpx2.Response(200, json=self.issuer.jwks())


async def test_concurrent_calls_share_one_fetch_even_if_the_first_hangs_up() -> None:
    desk = Desk()
    gate = Gate(desk.issuer)
    verifier = desk.hire(jwks=JWKS_URL, http=answering(gate))
    accepted: list[Claims | None] = []

    async def call(token: str) -> None:
        accepted.append(await verifier.verify(token))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as first:
            first.start_soon(call, desk.issuer.token())
            await anyio.wait_all_tasks_blocked()
            first.cancel_scope.cancel()
        async with anyio.create_task_group() as rest:
            for _ in range(20):
                rest.start_soon(call, desk.issuer.token())
            await anyio.wait_all_tasks_blocked()
            gate.open.set()
    assert len(accepted) == 20
    assert None not in accepted
    assert gate.asked == 1


async def test_calls_with_a_new_key_share_the_refetch_under_way() -> None:
    desk = Desk()
    gate = Gate(desk.issuer)
    gate.open.set()
    verifier = desk.hire(jwks=JWKS_URL, http=answering(gate))
    assert await verifier.verify(desk.issuer.token())
    desk.issuer.rotate()
    gate.open = anyio.Event()
    accepted: list[Claims | None] = []

    async def call() -> None:
        accepted.append(await verifier.verify(desk.issuer.token()))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            gate.open.set()
    assert len(accepted) == 5
    assert None not in accepted
    assert gate.asked == 2


async def test_closing_ends_a_fetch_under_way() -> None:
    desk = Desk()
    verifier = desk.hire(jwks=JWKS_URL, http=answering(Gate(desk.issuer)))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:

            async def call() -> None:
                with pytest.raises(KeysUnavailable):
                    await verifier.verify(desk.issuer.token())

            group.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            await verifier.aclose()


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b" " * 65_536


async def hang(_: httpx2.Request) -> httpx2.Response:
    await anyio.sleep_forever()
    raise AssertionError


async def drip(_: httpx2.Request) -> httpx2.Response:
    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await anyio.sleep_forever()

    return httpx2.Response(200, content=body())


async def no_route(_: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("no route")


async def redirecting(request: httpx2.Request) -> httpx2.Response:
    if request.url.path == "/keys":
        return httpx2.Response(302, headers={"location": "https://issuer.example/elsewhere"})
    return httpx2.Response(200, json={"keys": []})


def saying(status: int, body: Any, **headers: str) -> Answer:
    async def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=body() if callable(body) else body, headers=headers)

    return answer


DOWN: dict[str, tuple[Answer, str]] = {
    "not there": (no_route, "unreachable"),
    "an error": (saying(500, b'{"keys": []}'), "status"),
    "a redirect": (redirecting, "status"),
    "never answering": (hang, "timeout"),
    "stuck in the middle": (drip, "timeout"),
    "endless": (saying(200, endless), "too large"),
    "a little too large": (saying(200, b'{"keys": []}' + b" " * 262_144), "too large"),
    "compressed": (saying(200, b"", **{"content-encoding": "gzip"}), "encoding"),
    "a web page": (saying(200, b"<html>"), "not a JWKS"),
    "no text": (saying(200, b"\xff\x00"), "not a JWKS"),
    "nested without end": (saying(200, b"[" * 200_000), "not a JWKS"),
    "a list": (saying(200, b"[]"), "not a JWKS"),
    "a table of keys": (saying(200, b'{"keys": {}}'), "not a JWKS"),
}


@pytest.mark.parametrize("name", DOWN)
async def test_without_keys_no_token_is_judged_and_the_issuer_is_let_alone_for_a_while(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer, fault = DOWN[name]
    asked = 0

    async def counted(request: httpx2.Request) -> httpx2.Response:
        nonlocal asked
        asked += 1
        return await answer(request)

    desk = Desk()
    verifier = desk.hire(jwks=JWKS_URL, http=answering(counted), patience=0.05)
    with anyio.fail_after(5):
        for _ in range(3):
            with pytest.raises(KeysUnavailable):
                await verifier.verify(desk.issuer.token())
        assert asked == 1
        desk.clock.passed = 5.0
        with pytest.raises(KeysUnavailable):
            await verifier.verify(desk.issuer.token())
        assert asked == 2
    assert [vars(record)["outcome"] for record in caplog.records] == [fault, fault]


async def test_a_client_already_closed_is_an_issuer_out_of_reach(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    http = desk.issuer.http()
    await http.aclose()
    with pytest.raises(KeysUnavailable):
        await desk.hire(jwks=JWKS_URL, http=http).verify(desk.issuer.token())
    assert [vars(record)["outcome"] for record in caplog.records] == ["unreachable"]


class Moody(Gate):
    """An issuer's address that can go down."""

    answer: Answer | None = None

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        return httpx2.Response(200, json=self.issuer.jwks()) if self.answer is None else await self.answer(request)


@pytest.mark.parametrize("name", DOWN)
async def test_old_keys_serve_for_an_hour_while_the_issuer_is_down(name: str) -> None:
    desk = Desk()
    moody = Moody(desk.issuer)
    verifier = desk.hire(jwks=JWKS_URL, http=answering(moody), patience=0.05)
    token = desk.issuer.token(exp=NOW + 86_400)
    with anyio.fail_after(5):
        assert await verifier.verify(token)
        moody.answer = DOWN[name][0]
        for seconds in (600.0, 604.0, 3599.0):
            desk.clock.passed = seconds
            assert await verifier.verify(token)
        desk.clock.passed = 3605.0
        with pytest.raises(KeysUnavailable):
            await verifier.verify(token)
        moody.answer = None
        desk.clock.passed = 3611.0
        assert await verifier.verify(token)


async def test_an_issuer_that_hangs_holds_no_call_up_twice() -> None:
    """After one failure it is asked again beside the calls; the fetch here has no end but the closing."""
    desk = Desk()
    moody = Moody(desk.issuer)
    verifier = desk.hire(jwks=JWKS_URL, http=answering(moody), patience=3600.0)
    assert await verifier.verify(desk.issuer.token())
    moody.answer = DOWN["an error"][0]
    desk.clock.passed = 600.0
    assert await verifier.verify(desk.issuer.token())
    moody.answer = hang
    desk.clock.passed = 605.0
    with anyio.fail_after(5):
        for _ in range(3):
            assert await verifier.verify(desk.issuer.token())
        await anyio.wait_all_tasks_blocked()
        assert moody.asked == 3
        await verifier.aclose()


async def test_a_fetch_shows_nothing_of_the_token_and_no_credential_of_its_client() -> None:
    requests: list[httpx2.Request] = []
    desk = Desk()

    async def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(200, json=desk.issuer.jwks())

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(answer), auth=("name", "sekret"), follow_redirects=True)
    token = desk.issuer.token()
    assert await desk.hire(jwks=JWKS_URL, http=http).verify(token)
    (request,) = requests
    assert str(request.url) == JWKS_URL
    assert "authorization" not in request.headers
    assert desk.issuer.kid not in str(request.headers)


# A file of keys


async def test_a_changed_file_is_read_at_the_next_call(tmp_path: Path) -> None:
    desk = Desk()
    desk.verifier = desk.hire(jwks=desk.issuer.save(tmp_path / "keys.json"))
    old = desk.issuer.token()
    assert await desk.accepts(old)
    desk.issuer.rotate()
    desk.issuer.save(tmp_path / "keys.json")
    assert await desk.accepts(desk.issuer.token())
    assert not await desk.accepts(old)


async def test_a_file_written_in_place_with_its_old_time_and_size_is_noticed(tmp_path: Path) -> None:
    desk = Desk()
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(desk.issuer.jwks()).ljust(2000))
    os.utime(path, (1, 1))
    desk.verifier = desk.hire(jwks=str(path))
    old = desk.issuer.token()
    assert await desk.accepts(old)
    desk.issuer.rotate()
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:
        path.write_text(json.dumps(desk.issuer.jwks()).ljust(2000))
        os.utime(path, (1, 1))
    assert not await desk.accepts(old)
    assert await desk.accepts(desk.issuer.token())


async def test_an_unchanged_file_is_good_for_ever(tmp_path: Path) -> None:
    desk = Desk()
    desk.verifier = desk.hire(jwks=desk.issuer.save(tmp_path / "keys.json"))
    assert await desk.accepts(desk.issuer.token())
    desk.clock.passed = 86_400.0
    assert await desk.accepts(desk.issuer.token())


async def test_a_file_that_vanishes_or_breaks_leaves_the_old_keys_for_an_hour(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk()
    path = tmp_path / "keys.json"
    desk.verifier = desk.hire(jwks=desk.issuer.save(path))
    token = desk.issuer.token(exp=NOW + 86_400)
    assert await desk.accepts(token)
    path.write_text("{")
    desk.clock.passed = 3599.0
    assert await desk.accepts(token)
    path.unlink()
    desk.clock.passed = 3600.0
    with pytest.raises(KeysUnavailable):
        await desk.accepts(token)
    desk.issuer.save(path)
    assert await desk.accepts(token)
    assert [vars(record)["outcome"] for record in caplog.records] == ["not a JWKS"]


@pytest.mark.parametrize("name", ["missing", "a folder", "a pipe", "too large", "no path"])
async def test_without_a_file_of_keys_no_token_is_judged(name: str, tmp_path: Path) -> None:
    desk = Desk()
    path = tmp_path / "keys.json"
    if name == "a folder":
        path.mkdir()
    elif name == "a pipe":
        os.mkfifo(path)
    elif name == "too large":
        path.write_text(json.dumps(desk.issuer.jwks()) + " " * 262_144)
    desk.verifier = desk.hire(jwks="no\0path" if name == "no path" else str(path))
    with pytest.raises(KeysUnavailable):
        await desk.accepts(desk.issuer.token())


# What a document may hold


def entry(**fields: Any) -> dict[str, Any]:
    return jwk(STRANGER, kid="one") | fields


def private_entry() -> dict[str, Any]:
    assert isinstance(STRANGER, ec.EllipticCurvePrivateKey)
    number = STRANGER.private_numbers().private_value
    return entry(d=b64(number.to_bytes(32, "big")))


UNUSABLE: dict[str, Callable[[], object]] = {
    "a symmetric key": lambda: {"kty": "oct", "k": b64(b"s" * 32), "kid": "one", "alg": "HS256"},
    "a symmetric key that claims to be more": lambda: {"kty": "oct", "k": b64(b"s" * 32), "kid": "one", "alg": "ES256"},
    "a private key": private_entry,
    "an RSA key of 1024 bits": lambda: jwk(rsa.generate_private_key(65537, 1024), kid="one"),  # noqa: S505 - too weak on purpose
    "an RSA key of no number": lambda: {"kty": "RSA", "n": "", "e": "AQAB", "kid": "one"},
    "a key for encryption": lambda: entry(use="enc"),
    "a key for signing only": lambda: entry(key_ops=["sign"]),
    "operations in a string": lambda: entry(key_ops="verify"),
    "an algorithm of another curve": lambda: entry(alg="ES384"),
    "an algorithm for encryption": lambda: entry(alg="ECDH-ES"),
    "a list of algorithms": lambda: entry(alg=["ES256"]),
    "an unknown type": lambda: entry(kty="XYZ"),
    "an unknown curve": lambda: entry(crv="secp256k1"),
    "a curve that is no text": lambda: entry(crv=["P-256"]),
    "no type": lambda: {"kid": "one"},
    "no point": lambda: {"kty": "EC", "crv": "P-256", "kid": "one"},
    "a point off its curve": lambda: entry(x=b64(b"\1" * 32)),
    "a point that is no text": lambda: entry(x=7),
    "a key id that is no text": lambda: entry(kid=1),
    "no table": lambda: "key",
    "nothing": lambda: None,
}


@pytest.mark.parametrize("name", UNUSABLE)
async def test_an_entry_that_cannot_be_used_is_passed_over(name: str) -> None:
    unusable = UNUSABLE[name]()
    assert read_jwks(json.dumps({"keys": [unusable]}).encode()) == ()
    desk = Desk()
    desk.issuer.entries.insert(0, unusable)  # type: ignore[arg-type]
    assert await desk.accepts(desk.issuer.token())


@pytest.mark.parametrize("fields", [{}, {"use": "sig"}, {"key_ops": ["verify"]}, {"alg": "ES256"}, {"x5c": ["x"]}])
def test_an_entry_says_what_it_is_for_or_nothing(fields: dict[str, Any]) -> None:
    found = read_jwks(json.dumps({"keys": [entry(**fields)]}).encode())
    assert found is not None
    assert [(key.kid, key.algorithms) for key in found] == [("one", frozenset({"ES256"}))]


FIELDS = st.sampled_from(["kty", "crv", "kid", "alg", "use", "key_ops", "n", "e", "x", "y", "d", "k"])
KTY = st.fixed_dictionaries({"kty": st.sampled_from(["RSA", "EC", "OKP", "oct"])})
CRV = st.fixed_dictionaries({"crv": st.sampled_from(["P-256", "Ed25519", "P-521"])})


@settings(suppress_health_check=[HealthCheck.too_slow])  # which on a busy machine any is
@given(st.lists(st.tuples(KTY, CRV, st.dictionaries(FIELDS, VALUES | st.binary(max_size=70).map(b64))), max_size=3))
def test_no_document_of_odd_entries_raises(entries: list[tuple[dict[str, Any], ...]]) -> None:
    document = json.dumps({"keys": [a | b | c for a, b, c in entries]}).encode()
    assert read_jwks(document) is not None


async def test_an_empty_document_refuses_everybody() -> None:
    desk = Desk()
    desk.issuer.entries = []
    assert not await desk.accepts(desk.issuer.token())


async def test_a_token_that_names_no_key_needs_exactly_one_that_fits() -> None:
    desk = Desk()
    desk.issuer.rotate("EdDSA", keep=True)
    nameless = desk.issuer.sign(desk.issuer.claims(), kid=None)
    assert await desk.accepts(nameless)
    desk.issuer.rotate("EdDSA", keep=True)
    desk.clock.passed = 600.0
    assert not await desk.accepts(desk.issuer.sign(desk.issuer.claims(), kid=None))
    assert await desk.accepts(desk.issuer.token())


async def test_two_keys_of_one_name_are_told_apart_by_their_algorithm_or_refused() -> None:
    desk = Desk()
    other = private_key("EdDSA")
    desk.issuer.entries.append(jwk(other, kid=desk.issuer.kid))
    assert await desk.accepts(desk.issuer.token())
    desk.issuer.entries.append(jwk(STRANGER, kid=desk.issuer.kid))
    desk.clock.passed = 600.0
    assert not await desk.accepts(desk.issuer.token())


# What cannot be a verifier


@pytest.mark.parametrize(
    "settings",
    [
        {"jwks": "http://issuer.example/keys"},
        {"jwks": "http://localhost.evil.example/keys"},
        {"jwks": "http://127.0.0.1.evil.example/keys"},
        {"jwks": "ftp://issuer.example/keys"},
        {"jwks": "file:///etc/keys.json"},
        {"jwks": "https:///keys"},
        {"jwks": "https:issuer.example"},
        {"jwks": "https://name:word@issuer.example/keys"},
        {"jwks": JWKS_URL, "http": None},
        {"jwks": JWKS_URL, "issuer": ""},
        {"jwks": JWKS_URL, "audience": ""},
    ],
)
def test_settings_that_cannot_be_right_are_refused_at_the_start(settings: dict[str, Any]) -> None:
    desk = Desk()
    with pytest.raises(ValueError, match=r"JWKS|issuer"):
        desk.hire(**({"http": desk.issuer.http()} | settings))


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/keys", "http://localhost/keys", "http://[::1]/keys", JWKS_URL])
def test_plain_http_is_allowed_to_this_machine(url: str) -> None:
    desk = Desk()
    desk.hire(jwks=url, http=desk.issuer.http())
