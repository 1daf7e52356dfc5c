"""The credentials: keys as pasted, one renewal for all who wait, tokens that survive restarts and cancelled calls."""

import asyncio
import base64
import json
import logging
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import anyio
import httpx2
import pytest
from mcp import Client

from lofty_mcp.client.credentials import ApiKey, Credential, clean_key, jwt_claims
from lofty_mcp.client.oauth import OAuth
from lofty_mcp.client.tokens import OAuthSettings, token_url
from lofty_mcp.errors import CredentialRejected, LedgerUnavailable, LoftyError, Unreachable
from lofty_mcp.server import build_server
from lofty_mcp.settings import load

BASE = "http://127.0.0.1:9"
SECRETS = ("configured-refresh", "configured-access", "sekret", "customer.key", "rotated-", "access-")


class TokenService:
    """Lofty's token address: every refresh token works once, and asking takes a moment."""

    def __init__(self, *, valid: str = "configured-refresh", lifetime: object = 3600) -> None:
        self.valid = valid
        self.lifetime = lifetime
        self.requests: list[httpx2.Request] = []
        self.asked = anyio.Event()
        self.may_answer = anyio.Event()
        self.may_answer.set()

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        count = len(self.requests)
        self.asked.set()
        await anyio.lowlevel.checkpoint()
        sent = form(request).get("refresh_token")
        if sent is not None and sent != self.valid:
            return httpx2.Response(400, json={"error": "invalid_grant", "error_description": sent})
        self.valid = f"rotated-{count}"
        await self.may_answer.wait()
        return httpx2.Response(
            200, json={"access_token": f"access-{count}", "refresh_token": self.valid, "expires_in": self.lifetime}
        )

    @property
    def refresh_tokens(self) -> list[str]:
        return [form(request)["refresh_token"] for request in self.requests]


class Clock:
    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def form(request: httpx2.Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.content.decode()).items()}


def client(handler: Callable[[httpx2.Request], Any]) -> httpx2.AsyncClient:
    """A client set up for other calls than these, as the server's own is."""
    return httpx2.AsyncClient(
        transport=httpx2.MockTransport(handler),
        headers={"Content-Type": "application/json"},
        auth=("somebody", "else"),
        follow_redirects=True,
    )


def refreshing(
    handler: Callable[[httpx2.Request], Any], folder: Path, clock: Clock | None = None, **more: Any
) -> OAuth:
    settings = {"refresh_token": "configured-refresh", "client_id": "app", "client_secret": "sekret", "base_url": BASE}
    patience = more.pop("patience", 20.0)
    return OAuth(
        http=client(handler),
        settings=OAuthSettings(**(settings | more)),
        state_dir=folder,
        clock=clock or Clock(),
        patience=patience,
    )


def acting_for(handler: Callable[[httpx2.Request], Any], folder: Path) -> OAuth:
    return refreshing(handler, folder, refresh_token=None, customer_key="customer.key")


def kept(folder: Path) -> list[Path]:
    return list(folder.glob("tokens-*.json"))


def token_file(folder: Path) -> Path:
    (path,) = kept(folder)
    return path


def jwt(payload: dict[str, Any]) -> str:
    middle = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{middle}.c2ln"


# A personal API key


@pytest.mark.parametrize(
    "pasted",
    [
        "eyJa.b.c",
        "  eyJa.b.c\n",
        "token eyJa.b.c",
        "Bearer eyJa.b.c",
        "Authorization: token eyJa.b.c",
        '"eyJa.b.c"',
        "token 'eyJa.b.c'",
        "'token eyJa.b.c'",
        "\ufeffeyJa.b.c\u2028",
        "token\u00a0eyJa.b.c",
        "\u201ceyJa.b.c\u201d",
        "eyJa.\nb.c",
        "eyJa.\u200bb.c\x00",
    ],
)
async def test_a_pasted_key_is_sent_bare_behind_the_word_token(pasted: str) -> None:
    assert await ApiKey(pasted).authorization() == "token eyJa.b.c"


@pytest.mark.parametrize("nothing", ["", "  ", "''", "token", "Bearer ", "\u2028", "\u043a\u043b\u044e\u0447"])
def test_a_key_with_nothing_in_it_is_refused_in_words_that_do_not_repeat_it(nothing: str) -> None:
    with pytest.raises(ValueError, match="API key is empty") as caught:
        ApiKey(nothing)
    assert not nothing.strip() or nothing.strip() not in str(caught.value).split()


def test_a_key_that_merely_begins_like_a_scheme_word_is_kept_whole() -> None:
    assert clean_key("tokenized.key") == "tokenized.key"


async def test_a_key_cannot_be_renewed() -> None:
    key: Credential = ApiKey("eyJa.b.c")
    assert not await key.renew(await key.authorization())


def test_the_principal_of_a_key_depends_on_the_key_and_not_on_how_it_was_pasted() -> None:
    assert ApiKey("token eyJa.b.c").principal == ApiKey(" eyJa.b.c ").principal != ApiKey("eyJa.b.d").principal
    assert len(ApiKey("eyJa.b.c").principal) == 32


def test_the_claims_of_a_key_are_its_jwt_payload() -> None:
    assert ApiKey(jwt({"userId": 1234567890123456789})).claims() == {"userId": 1234567890123456789}


@pytest.mark.parametrize(
    "token", ["", "opaque", "a.b", "a.b.c", "a.\u00e9.c", jwt({}).replace("e30", "W10"), "a.bnVsbA.c"]
)
def test_what_is_no_jwt_has_no_claims(token: str) -> None:
    assert jwt_claims(token) == {}


# Where tokens come from


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        (OAuthSettings(refresh_token="r"), "https://crm.lofty.com/api/user-web/oauth/token"),
        (OAuthSettings(client_id="i", client_secret="s", customer_key="k"), "https://api.lofty.com/oauth/token"),
        (
            OAuthSettings(refresh_token="r", base_url="https://api.lofty.com/"),
            "https://crm.lofty.com/api/user-web/oauth/token",
        ),
        (OAuthSettings(refresh_token="r", base_url=BASE), f"{BASE}/oauth/token"),
        (OAuthSettings(client_id="i", client_secret="s", customer_key="k", base_url=BASE + "/"), f"{BASE}/oauth/token"),
        (OAuthSettings(refresh_token="r", token_url="https://t.example/x"), "https://t.example/x"),
        (OAuthSettings(refresh_token="r", base_url=BASE, token_url="https://t.example/x"), "https://t.example/x"),
    ],
)
def test_secrets_go_to_the_real_host_only_when_it_is_the_base_url(settings: OAuthSettings, url: str) -> None:
    assert token_url(settings) == url


async def test_a_refresh_is_a_form_with_basic_client_authentication(tmp_path: Path) -> None:
    service = TokenService()
    assert await refreshing(service, tmp_path).authorization() == "Bearer access-1"
    (request,) = service.requests
    assert str(request.url) == f"{BASE}/oauth/token"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"app:sekret").decode()
    assert form(request) == {"grant_type": "refresh_token", "refresh_token": "configured-refresh"}


async def test_a_refresh_without_a_client_secret_is_sent_without_client_authentication(tmp_path: Path) -> None:
    service = TokenService()
    await refreshing(service, tmp_path, client_id=None, client_secret=None).authorization()
    assert "authorization" not in service.requests[0].headers


async def test_client_credentials_are_sent_as_json(tmp_path: Path) -> None:
    service = TokenService()
    assert await acting_for(service, tmp_path).authorization() == "Bearer access-1"
    assert [json.loads(request.content) for request in service.requests] == [
        {
            "grant_type": "client_credentials",
            "client_id": "app",
            "client_secret": "sekret",
            "customer_key": "customer.key",
        }
    ]


@pytest.mark.parametrize("status", [400, 415])
async def test_client_credentials_refused_as_json_are_sent_once_more_as_a_form(tmp_path: Path, status: int) -> None:
    types: list[str] = []

    def documented(request: httpx2.Request) -> httpx2.Response:
        types.append(request.headers["content-type"])
        if types[-1] == "application/json":
            return httpx2.Response(status, json={"code": 20012})
        assert form(request)["customer_key"] == "customer.key"
        return httpx2.Response(200, json={"access_token": "access-form"})

    assert await acting_for(documented, tmp_path).authorization() == "Bearer access-form"
    assert types == ["application/json", "application/x-www-form-urlencoded"]


async def test_client_credentials_refused_in_both_forms_name_the_settings_to_check(tmp_path: Path) -> None:
    with pytest.raises(CredentialRejected, match="LOFTY_CUSTOMER_KEY"):
        await acting_for(lambda _: httpx2.Response(400), tmp_path).authorization()


async def test_client_credentials_are_asked_for_again_with_the_key_and_keep_no_refresh_token(tmp_path: Path) -> None:
    service = TokenService()
    credential = acting_for(service, tmp_path)
    first = await credential.authorization()
    assert await credential.renew(first)
    assert await credential.authorization() == "Bearer access-2"
    assert json.loads(token_file(tmp_path).read_text())["refresh"] == ""


async def test_an_access_token_alone_is_used_until_it_is_refused(tmp_path: Path) -> None:
    service = TokenService()
    expired = jwt({"exp": 1})
    credential = refreshing(service, tmp_path, refresh_token=None, access_token=expired)
    assert await credential.authorization() == f"Bearer {expired}"
    assert not await credential.renew(f"Bearer {expired}")
    assert not service.requests
    assert kept(tmp_path) == []


def test_settings_that_can_give_no_token_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="OAuth settings are incomplete"):
        refreshing(TokenService(), tmp_path, refresh_token=None)


# When a token is renewed


async def test_a_token_is_renewed_a_minute_before_it_expires(tmp_path: Path) -> None:
    service, clock = TokenService(), Clock()
    credential = refreshing(service, tmp_path, clock)
    assert await credential.authorization() == "Bearer access-1"
    clock.now += 3539
    assert await credential.authorization() == "Bearer access-1"
    clock.now += 1
    assert await credential.authorization() == "Bearer access-2"


@pytest.mark.parametrize("nonsense", [None, "soon", -1, 0, True, [], 1e300, "nan", {}])
async def test_a_lifetime_that_makes_no_sense_counts_as_an_hour(tmp_path: Path, nonsense: object) -> None:
    service, clock = TokenService(lifetime=nonsense), Clock()
    credential = refreshing(service, tmp_path, clock)
    await credential.authorization()
    clock.now += 3539
    assert await credential.authorization() == "Bearer access-1"
    clock.now += 1
    assert await credential.authorization() == "Bearer access-2"


async def test_a_configured_access_token_is_used_before_anything_is_exchanged(tmp_path: Path) -> None:
    service = TokenService()
    credential = refreshing(service, tmp_path, access_token="configured-access")
    assert await credential.authorization() == "Bearer configured-access"
    assert not service.requests


async def test_a_configured_access_token_that_says_it_has_expired_is_renewed_first(tmp_path: Path) -> None:
    service, clock = TokenService(), Clock()
    credential = refreshing(service, tmp_path, clock, access_token=jwt({"exp": clock.now + 30}))
    assert await credential.authorization() == "Bearer access-1"


async def test_twenty_calls_at_once_refresh_once(tmp_path: Path) -> None:
    service = TokenService()
    credential = refreshing(service, tmp_path)
    seen: list[str] = []

    async def call() -> None:
        seen.append(await credential.authorization())

    async with anyio.create_task_group() as calls:
        for _ in range(20):
            calls.start_soon(call)
    assert seen == ["Bearer access-1"] * 20
    assert len(service.requests) == 1


async def test_twenty_rejected_calls_renew_once(tmp_path: Path) -> None:
    service = TokenService()
    credential = refreshing(service, tmp_path)
    rejected = await credential.authorization()
    answers: list[bool] = []

    async def call() -> None:
        answers.append(await credential.renew(rejected))

    async with anyio.create_task_group() as calls:
        for _ in range(20):
            calls.start_soon(call)
    assert answers == [True] * 20
    assert await credential.authorization() == "Bearer access-2"
    assert len(service.requests) == 2


async def test_twenty_calls_share_one_failure(tmp_path: Path) -> None:
    asked: list[httpx2.Request] = []

    def silent(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        raise httpx2.ReadTimeout("configured-refresh", request=request)

    credential = refreshing(silent, tmp_path)
    failures: list[LoftyError] = []

    async def call() -> None:
        try:
            await credential.authorization()
        except Unreachable as failure:
            failures.append(failure)

    async with anyio.create_task_group() as calls:
        for _ in range(20):
            calls.start_soon(call)
    assert len(failures) == len({id(failure) for failure in failures}) == 20
    assert len(asked) == 1


async def test_a_rejected_token_that_somebody_else_has_replaced_is_not_replaced_again(tmp_path: Path) -> None:
    service = TokenService()
    credential = refreshing(service, tmp_path)
    rejected = await credential.authorization()
    assert await credential.renew(rejected)
    assert await credential.renew(rejected)
    assert len(service.requests) == 2


async def test_a_token_rejected_while_it_was_being_confirmed_is_renewed_all_the_same(tmp_path: Path) -> None:
    credential = refreshing(TokenService(), tmp_path, access_token="configured-access")
    renewed: list[bool] = []

    async def call() -> None:
        renewed.append(await credential.renew("Bearer configured-access"))

    async with anyio.create_task_group() as calls:
        calls.start_soon(credential.authorization)
        for _ in range(5):
            calls.start_soon(call)
    assert renewed == [True] * 5
    assert await credential.authorization() == "Bearer access-1"


async def test_a_lost_answer_does_not_stop_the_next_call_from_trying_again(tmp_path: Path) -> None:
    service, broken = TokenService(), [True]

    async def flaky(request: httpx2.Request) -> httpx2.Response:
        if broken.pop() if broken else False:
            raise httpx2.ReadError("reset", request=request)
        return await service(request)

    credential = refreshing(flaky, tmp_path)
    with pytest.raises(Unreachable):
        await credential.authorization()
    assert await credential.authorization() == "Bearer access-1"


# The file


async def test_two_holders_of_one_folder_refresh_once_between_them(tmp_path: Path) -> None:
    service = TokenService()
    first, second = refreshing(service, tmp_path), refreshing(service, tmp_path)
    seen: list[str] = []

    async def call(credential: OAuth) -> None:
        seen.append(await credential.authorization())

    async with anyio.create_task_group() as calls:
        for credential in (first, second) * 5:
            calls.start_soon(call, credential)
    assert seen == ["Bearer access-1"] * 10
    assert len(service.requests) == 1


async def test_two_holders_rejected_together_renew_once_between_them(tmp_path: Path) -> None:
    service = TokenService()
    first, second = refreshing(service, tmp_path), refreshing(service, tmp_path)
    assert await first.authorization() == await second.authorization() == "Bearer access-1"
    assert await first.renew("Bearer access-1")
    assert await second.renew("Bearer access-1")
    assert await second.authorization() == "Bearer access-2"
    assert len(service.requests) == 2


async def test_no_refresh_token_is_ever_sent_twice(tmp_path: Path) -> None:
    service, clock = TokenService(), Clock()
    for _ in range(3):
        credential = refreshing(service, tmp_path, clock)
        for _ in range(3):
            await credential.authorization()
            clock.now += 3600
    assert service.refresh_tokens == ["configured-refresh", *(f"rotated-{n}" for n in range(1, 9))]


async def test_a_service_that_does_not_rotate_keeps_its_refresh_token(tmp_path: Path) -> None:
    sent: list[str] = []

    def steady(request: httpx2.Request) -> httpx2.Response:
        sent.append(form(request)["refresh_token"])
        return httpx2.Response(200, json={"access_token": f"access-{len(sent)}"})

    credential = refreshing(steady, tmp_path)
    assert await credential.renew(await credential.authorization())
    assert sent == ["configured-refresh"] * 2


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
@pytest.mark.usefixtures("open_umask")
async def test_what_is_kept_is_readable_by_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "state"
    await refreshing(TokenService(), folder).authorization()
    assert json.loads(token_file(folder).read_text())["refresh"] == "rotated-1"
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {
        token_file(folder).name: 0o600,
        token_file(folder).with_suffix(".lock").name: 0o600,
    }
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_newly_configured_refresh_token_makes_the_file_void(tmp_path: Path) -> None:
    shared: dict[str, Any] = {"client_id": "app", "customer_key": "customer.key", "client_secret": None}
    old, new = TokenService(), TokenService(valid="authorised-again")
    await refreshing(old, tmp_path, **shared).authorization()
    credential = refreshing(new, tmp_path, **shared, refresh_token="authorised-again")
    await credential.authorization()
    assert len(kept(tmp_path)) == 1, "the same principal, so the same file"
    assert new.refresh_tokens == ["authorised-again"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text[:-9],
        lambda text: "[" * 100_000,
        lambda text: "null",
        lambda text: text.replace('"access-1"', "7"),
        lambda text: text.replace('"access-1"', '"access\\r\\nX-Evil: 1"'),
        lambda text: text.replace("1003600.0", "Infinity"),
        lambda text: text.replace("access-1", "\xff"),
    ],
)
async def test_a_spoilt_file_is_ignored(tmp_path: Path, spoil: Callable[[str], str]) -> None:
    await refreshing(TokenService(), tmp_path).authorization()
    path = token_file(tmp_path)
    text = path.read_text()
    assert spoil(text) != text
    path.write_bytes(spoil(text).encode("latin-1"))
    service = TokenService()
    assert await refreshing(service, tmp_path).authorization() == "Bearer access-1"
    assert service.refresh_tokens == ["configured-refresh"]


async def test_a_token_that_could_not_be_written_is_used_from_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service, clock = TokenService(), Clock()
    credential = refreshing(service, tmp_path, clock)
    assert await credential.authorization() == "Bearer access-1"
    (tmp_path / f"tokens-{credential.principal}.tmp").mkdir()
    for number in (2, 3):
        clock.now += 3600
        assert await credential.authorization() == f"Bearer access-{number}"
    assert service.refresh_tokens == ["configured-refresh", "rotated-1", "rotated-2"]
    assert "not kept" in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
async def test_a_draft_left_by_a_crash_is_neither_used_nor_in_the_way(tmp_path: Path) -> None:
    credential = refreshing(TokenService(), tmp_path)
    draft = tmp_path / f"tokens-{credential.principal}.tmp"
    draft.write_text("half a file")
    draft.chmod(0o666)
    await credential.authorization()
    assert json.loads(token_file(tmp_path).read_text())["refresh"] == "rotated-1"
    assert stat.S_IMODE(token_file(tmp_path).stat().st_mode) == 0o600


async def test_no_refresh_token_is_spent_when_its_successor_could_not_be_kept(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    service = TokenService()
    with pytest.raises(LedgerUnavailable, match="state folder"):
        await refreshing(service, tmp_path / "state").authorization()
    assert not service.requests


async def test_a_process_that_never_finishes_is_not_waited_for_forever(tmp_path: Path) -> None:
    service = TokenService()
    service.may_answer = anyio.Event()
    stuck, waiting = refreshing(service, tmp_path), refreshing(service, tmp_path, patience=0.01)
    async with anyio.create_task_group() as calls:
        calls.start_soon(stuck.authorization)
        await service.asked.wait()
        with pytest.raises(Unreachable, match="Another process"):
            await waiting.authorization()
        service.may_answer.set()
    assert await waiting.authorization() == "Bearer access-1"


WORKER = """
import sys, anyio, httpx2
from pathlib import Path
from lofty_mcp.client.oauth import OAuth
from lofty_mcp.client.tokens import OAuthSettings
async def main():
    async with httpx2.AsyncClient() as client:
        settings = OAuthSettings(refresh_token="configured-refresh", base_url=sys.argv[1])
        credential = OAuth(http=client, settings=settings, state_dir=Path(sys.argv[2]))
        print("ready", flush=True)
        print(await credential.authorization())
anyio.run(main)
"""


@contextmanager
def listening_service(second: threading.Event, may_answer: threading.Event) -> Iterator[tuple[str, list[str]]]:
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            if len(received) == 2:
                second.set()
            may_answer.wait(10)
            reply = json.dumps(
                {"access_token": f"access-{len(received)}", "refresh_token": "rotated", "expires_in": 3600}
            )
            self.send_response(200)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply.encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it overrides
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()
        thread.join()


def test_two_processes_refresh_once_between_them(tmp_path: Path) -> None:
    second, may_answer = threading.Event(), threading.Event()
    with listening_service(second, may_answer) as (url, received):
        command = [sys.executable, "-c", WORKER, url, str(tmp_path)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "NO_PROXY": "*"}
        workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        second.wait(0.5)  # the time in which the other would ask as well, if nothing held it back
        may_answer.set()
        outputs = [worker.communicate(timeout=30)[0].strip() for worker in workers]
    assert outputs == ["Bearer access-1"] * 2
    assert len(received) == 1


# Cancelled calls


async def test_a_call_cancelled_by_its_scope_still_keeps_the_rotated_token(tmp_path: Path) -> None:
    service = TokenService()
    service.may_answer = anyio.Event()
    credential = refreshing(service, tmp_path)
    async with anyio.create_task_group() as calls:
        calls.start_soon(credential.authorization)
        await service.asked.wait()
        calls.cancel_scope.cancel()
    service.may_answer.set()
    await credential.aclose()
    assert json.loads(token_file(tmp_path).read_text())["refresh"] == "rotated-1"
    assert await credential.authorization() == "Bearer access-1"


async def test_a_call_cancelled_by_asyncio_itself_still_keeps_the_rotated_token(tmp_path: Path) -> None:
    service = TokenService()
    service.may_answer = anyio.Event()
    credential = refreshing(service, tmp_path)
    call = asyncio.create_task(credential.authorization())
    await service.asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    service.may_answer.set()
    assert await credential.authorization() == "Bearer access-1"
    assert json.loads(token_file(tmp_path).read_text())["refresh"] == "rotated-1"
    assert len(service.requests) == 1


async def test_the_call_that_started_a_renewal_leaves_at_once_when_cancelled(tmp_path: Path) -> None:
    service = TokenService()
    service.may_answer = anyio.Event()
    credential = refreshing(service, tmp_path)
    # Only a call that stays sees this answer; without it the test would hang instead of failing.
    backstop = asyncio.get_running_loop().call_later(5, service.may_answer.set)
    async with anyio.create_task_group() as calls:
        calls.start_soon(credential.authorization)
        await service.asked.wait()
        calls.cancel_scope.cancel()
    backstop.cancel()
    assert not service.may_answer.is_set()
    assert kept(tmp_path) == []
    service.may_answer.set()
    assert await credential.authorization() == "Bearer access-1"
    assert len(service.requests) == 1


async def test_a_server_that_ends_first_keeps_the_token_that_a_cancelled_call_has_asked_for(tmp_path: Path) -> None:
    service = TokenService()
    service.may_answer = anyio.Event()

    class Closing(httpx2.MockTransport):
        """Fails what is under way when the pool closes, as a real one does."""

        async def aclose(self) -> None:
            assert service.may_answer.is_set()

    settings = load(refresh_token="configured-refresh", base_url=BASE, state_dir=tmp_path)
    async with Client(build_server(settings, transport=Closing(service))) as lofty, anyio.create_task_group() as calls:
        calls.start_soon(lofty.call_tool, "who_am_i")
        await service.asked.wait()
        calls.cancel_scope.cancel()
        asyncio.get_running_loop().call_later(0.05, service.may_answer.set)
    assert json.loads(token_file(tmp_path).read_text())["refresh"] == "rotated-1"


async def test_closing_waits_for_the_renewal_even_when_it_is_cancelled_itself(tmp_path: Path) -> None:
    service = TokenService()
    credential = refreshing(service, tmp_path)
    async with anyio.create_task_group() as calls:
        calls.start_soon(credential.authorization)
        await service.asked.wait()
        calls.cancel_scope.cancel()
        await credential.aclose()
    assert json.loads(token_file(tmp_path).read_text())["refresh"] == "rotated-1"


async def test_closing_when_nothing_is_under_way_waits_for_nothing(tmp_path: Path) -> None:
    credential = refreshing(TokenService(), tmp_path)
    await credential.aclose()
    await credential.authorization()
    await credential.aclose()
    assert await credential.authorization() == "Bearer access-1"


async def test_a_cancelled_call_that_only_waited_leaves_at_once(tmp_path: Path) -> None:
    service = TokenService()
    service.may_answer = anyio.Event()
    credential = refreshing(service, tmp_path)
    async with anyio.create_task_group() as calls:
        calls.start_soon(credential.authorization)
        await service.asked.wait()
        with anyio.CancelScope() as waiting:
            waiting.cancel()
            await credential.authorization()
        assert waiting.cancelled_caught
        service.may_answer.set()
    assert await credential.authorization() == "Bearer access-1"


# Failures, and what they say


def answer(response: httpx2.Response) -> Callable[[httpx2.Request], httpx2.Response]:
    return lambda request: response


def fail(failure: type[httpx2.RequestError]) -> Callable[[httpx2.Request], httpx2.Response]:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise failure("upstream says sekret", request=request)

    return handler


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (answer(httpx2.Response(400, json={"error": "invalid_grant"})), CredentialRejected),
        (answer(httpx2.Response(401, text="upstream says configured-refresh")), CredentialRejected),
        (answer(httpx2.Response(403, json={"code": 200100})), CredentialRejected),
        (answer(httpx2.Response(200, json={"code": 20004, "message": "upstream says"})), CredentialRejected),
        (answer(httpx2.Response(200, json={"code": 1, "message": "upstream says"})), Unreachable),
        (answer(httpx2.Response(200, json={"access_token": "two words"})), Unreachable),
        (answer(httpx2.Response(200, json={"access_token": 5})), Unreachable),
        (answer(httpx2.Response(200, json=["access_token"])), Unreachable),
        (answer(httpx2.Response(200, text="<html>upstream says</html>")), Unreachable),
        (answer(httpx2.Response(200, content=b"\xff\xfe\x00")), Unreachable),
        (answer(httpx2.Response(204)), Unreachable),
        (answer(httpx2.Response(302, headers={"Location": "https://evil.example/"})), Unreachable),
        (answer(httpx2.Response(404, text="upstream says")), Unreachable),
        (answer(httpx2.Response(429, json={"message": "upstream says"})), Unreachable),
        (answer(httpx2.Response(502, json={"access_token": "access-1"})), Unreachable),
        (fail(httpx2.ConnectError), Unreachable),
        (fail(httpx2.ReadTimeout), Unreachable),
        (fail(httpx2.ReadError), Unreachable),
        (fail(httpx2.RemoteProtocolError), Unreachable),
    ],
)
async def test_an_exchange_that_fails_says_what_to_do_and_nothing_that_was_sent_or_answered(
    tmp_path: Path, handler: Callable[[httpx2.Request], httpx2.Response], expected: type[LoftyError]
) -> None:
    with pytest.raises(expected) as caught:
        await refreshing(handler, tmp_path).authorization()
    assert type(caught.value) is expected
    assert not caught.value.sent, "the call this token was for has not been sent"
    cause: BaseException | None = caught.value
    while cause is not None:
        assert not [secret for secret in (*SECRETS, "upstream says", "evil") if secret in f"{cause!r}"]
        cause = cause.__cause__ or cause.__context__


async def test_a_redirect_of_the_token_address_is_not_followed(tmp_path: Path) -> None:
    hosts: list[str] = []

    def elsewhere(request: httpx2.Request) -> httpx2.Response:
        hosts.append(request.url.host)
        return httpx2.Response(307, headers={"Location": "https://evil.example/"})

    with pytest.raises(Unreachable, match="LOFTY_TOKEN_URL"):
        await refreshing(elsewhere, tmp_path).authorization()
    assert hosts == ["127.0.0.1"]


async def test_a_refused_refresh_token_is_not_sent_with_every_call(tmp_path: Path) -> None:
    service, clock = TokenService(valid="another"), Clock()
    credential = refreshing(service, tmp_path, clock)
    for _ in range(3):
        with pytest.raises(CredentialRejected, match="LOFTY_REFRESH_TOKEN"):
            await credential.authorization()
    assert len(service.requests) == 1
    clock.now += 61
    with pytest.raises(CredentialRejected):
        await credential.authorization()
    assert len(service.requests) == 2


async def test_the_client_may_be_given_as_a_function(tmp_path: Path) -> None:
    shared = client(TokenService())
    settings = OAuthSettings(refresh_token="configured-refresh", base_url=BASE)
    credential = OAuth(http=lambda: shared, settings=settings, state_dir=tmp_path, clock=Clock())
    assert await credential.authorization() == "Bearer access-1"
    assert not shared.is_closed


async def test_no_secret_shows_in_a_repr_or_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    credential = refreshing(TokenService(), tmp_path, access_token="configured-access", customer_key="customer.key")
    await credential.renew("Bearer configured-access")
    shown = [repr(credential), repr(vars(credential)), str(credential), repr(ApiKey("sekret")), caplog.text]
    shown.append(repr(OAuthSettings("configured-access", "configured-refresh", "app", "sekret", "customer.key")))
    assert not [secret for secret in SECRETS for text in shown if secret in text]


# Who it is


def principal(folder: Path, **settings: Any) -> str:
    nothing = {"client_id": None, "client_secret": None, "refresh_token": None}
    return refreshing(TokenService(), folder, **(nothing | settings)).principal


async def test_the_principal_stays_the_same_while_the_token_rotates(tmp_path: Path) -> None:
    credential = refreshing(TokenService(), tmp_path)
    before = credential.principal
    await credential.renew(await credential.authorization())
    assert credential.principal == before == refreshing(TokenService(), tmp_path).principal


def test_principals_differ_by_user_and_not_by_what_is_beside_the_point(tmp_path: Path) -> None:
    app = {"client_id": "app", "client_secret": "sekret"}
    assert principal(tmp_path, **app, customer_key="a") != principal(tmp_path, **app, customer_key="b")
    assert principal(tmp_path, **app, customer_key="a") == principal(
        tmp_path, **app, customer_key="a", refresh_token="r"
    )
    assert principal(tmp_path, **app, refresh_token="a") != principal(tmp_path, **app, refresh_token="b")
    assert principal(tmp_path, refresh_token="a") == principal(tmp_path, refresh_token="a", access_token="x")
    assert principal(tmp_path, access_token="a") != principal(tmp_path, access_token="b")


def test_the_claims_name_the_owner_of_the_customer_key_only_when_the_token_acts_for_him(tmp_path: Path) -> None:
    key, access = jwt({"userId": 1}), jwt({"userId": 2})
    both: dict[str, Any] = {"customer_key": key, "access_token": access}
    assert refreshing(TokenService(), tmp_path, **both).claims() == {"userId": 1}
    assert refreshing(TokenService(), tmp_path, **both, client_secret=None).claims() == {"userId": 2}
    assert refreshing(TokenService(), tmp_path).claims() == {}
