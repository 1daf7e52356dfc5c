"""The doctor names what is wrong and how to mend it, and sums it up in its exit code."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from lofty_mcp import doctor
from lofty_mcp.doctor.patient import Finding
from lofty_mcp.ledger.sqlite import SqliteLedger
from lofty_mcp.sandbox import World, build_app
from lofty_mcp.settings import load
from tests.support.process import environment, run
from tests.support.web import accounts
from tests.support.world import ANA

NOW = 1_795_000_000.0
DATE = "Wed, 18 Nov 2026 11:06:40 GMT"


class Lofty(httpx2.AsyncBaseTransport):
    """The sandbox, with answers of our own for some paths."""

    def __init__(self) -> None:
        self._app = build_app(leads=10)
        self._inner = httpx2.ASGITransport(app=self._app)
        self.instead: dict[str, Callable[[], httpx2.Response]] = {}

    @property
    def world(self) -> World:
        world: World = self._app.state.world
        return world

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer ourselves where told to, else as the sandbox."""
        for path, answer in self.instead.items():
            if request.url.path.startswith(path):
                return answer()
        return await self._inner.handle_async_request(request)


@pytest.fixture
def lofty() -> Lofty:
    return Lofty()


async def examined(lofty: Lofty, tmp_path: Path, **settings: Any) -> dict[str, Finding]:
    """The findings by check; where one check has several, the last."""
    chosen = {"api_key": lofty.world.key_of(ANA), "state_dir": tmp_path / "state", **settings}
    found = [f async for f in doctor.examined(load(base_url="http://127.0.0.1", **chosen), lofty)]
    return {finding.check: finding for finding in found}


def refusal(status: int, code: int | None = None) -> Callable[[], httpx2.Response]:
    return lambda: httpx2.Response(status, json={"message": "no", **({"code": code} if code else {})})


async def test_a_sound_installation_is_all_well(lofty: Lofty, tmp_path: Path) -> None:
    found = await examined(lofty, tmp_path)
    assert {check: finding.level for check, finding in found.items()} == {
        "settings": "ok",
        "ledger": "ok",
        "key": "ok",
        "lofty": "ok",
        "clock": "-",
        "rate": "ok",
        "identity": "ok",
        "stages": "ok",
    }
    assert doctor.verdict(list(found.values())) == 0
    assert "scheme word token" in found["key"].text
    assert "Ana Reyes" in found["identity"].text
    assert "7 in" in found["stages"].text


async def test_oauth_is_sent_as_bearer(lofty: Lofty, tmp_path: Path) -> None:
    token = lofty.world.issue_tokens(ANA)["access_token"]
    found = await examined(lofty, tmp_path, api_key=None, access_token=token)
    assert "scheme word Bearer" in found["key"].text
    assert (found["lofty"].level, found["identity"].level) == ("ok", "ok")


@pytest.mark.parametrize(("scheme", "mended_by"), [("api_key", "API key"), ("access_token", "Authorise")])
async def test_a_credential_that_is_refused_says_which_one_to_renew(
    lofty: Lofty, tmp_path: Path, scheme: str, mended_by: str
) -> None:
    found = await examined(lofty, tmp_path, **{"api_key": None, scheme: "revoked"})
    assert found["lofty"].level == "FAIL"
    assert mended_by in found["lofty"].text
    assert (found["identity"].level, found["stages"].level) == ("-", "-")
    assert doctor.verdict(list(found.values())) == 2


@pytest.mark.parametrize(
    ("answer", "level", "text"),
    [
        (refusal(404), "FAIL", "LOFTY_BASE_URL"),
        (refusal(503), "FAIL", "Try again"),
        (lambda: httpx2.Response(200, text="<html>a proxy's page</html>"), "FAIL", "Try again"),
        (refusal(403, 200100), "warn", "API scope"),
        (lambda: httpx2.Response(429, headers={"retry-after": "40"}), "warn", "40 s"),
    ],
    ids=["another service", "failing", "a page", "scope", "rate"],
)
async def test_an_answer_that_is_no_good_is_explained(
    lofty: Lofty, tmp_path: Path, answer: Callable[[], httpx2.Response], level: str, text: str
) -> None:
    lofty.instead["/v1.0/me"] = answer
    found = await examined(lofty, tmp_path)
    assert found["lofty"].level == level
    assert text in found["lofty"].text
    assert doctor.verdict(list(found.values())) == (2 if level == "FAIL" else 1)


async def test_an_unreachable_lofty_fails_and_the_rest_is_not_looked_at(lofty: Lofty, tmp_path: Path) -> None:
    def refuse() -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    lofty.instead["/"] = refuse
    found = await examined(lofty, tmp_path)
    assert found["lofty"].level == "FAIL"
    assert "LOFTY_BASE_URL" in found["lofty"].text
    assert {found[name].level for name in ("clock", "rate", "identity", "stages")} == {"-"}


async def test_a_user_whom_the_records_do_not_show_is_a_warning_that_says_what_it_means(
    lofty: Lofty, tmp_path: Path
) -> None:
    lofty.instead["/v1.0/members/"] = refusal(403, 20017)
    lofty.instead["/v1.0/me"] = lambda: httpx2.Response(200, json={"id": 48112, "firstName": "Ana", "email": ANA})
    found = await examined(lofty, tmp_path)
    assert found["identity"].level == "warn"
    assert "no hidden lead is visible" in found["identity"].text
    assert doctor.verdict(list(found.values())) == 1


async def test_no_stages_are_a_warning(lofty: Lofty, tmp_path: Path) -> None:
    lofty.instead["/v1.0/teamFeatures/lead-pipelines"] = lambda: httpx2.Response(200, json=[])
    assert (await examined(lofty, tmp_path))["stages"].level == "warn"


async def test_a_ledger_that_cannot_be_used_fails_and_names_its_folder(lofty: Lofty, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = await examined(lofty, tmp_path, state_dir=tmp_path / "file" / "state")
    assert found["ledger"].level == "FAIL"
    assert str(tmp_path / "file") in found["ledger"].text
    assert doctor.verdict(list(found.values())) == 2


async def test_a_state_folder_that_others_can_write_to_fails(lofty: Lofty, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    found = await examined(lofty, tmp_path, state_dir=tmp_path / "shared")
    assert found["ledger"].level == "FAIL"
    assert "chmod 700" in found["ledger"].text


async def test_the_mode_that_asks_nothing_is_a_warning(lofty: Lofty, tmp_path: Path) -> None:
    found = await examined(lofty, tmp_path, mode="auto")
    assert found["mode"].level == "warn"


async def test_a_variable_that_means_nothing_is_a_warning_with_the_one_meant(
    lofty: Lofty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOFTY_MCP_VISIBILTY", "any_assignee")
    found = await examined(lofty, tmp_path)
    assert (found["settings"].level, "LOFTY_MCP_VISIBILITY" in found["settings"].text) == ("warn", True)


async def test_nothing_set_fails_and_says_what_to_set(lofty: Lofty, tmp_path: Path) -> None:
    found = await examined(lofty, tmp_path, api_key=None)
    assert found["key"].level == "FAIL"
    assert "LOFTY_API_KEY" in found["key"].text


@pytest.mark.parametrize(
    ("headers", "off", "level", "text"),
    [
        ({}, 0, "-", "not looked at"),
        ({"date": "yesterday"}, 0, "-", "not looked at"),
        ({"date": DATE}, 59, "ok", "agrees"),
        ({"date": DATE}, 61, "warn", "61 s fast"),
        ({"date": DATE}, -7200, "warn", "7200 s slow"),
    ],
)
def test_the_clock_is_compared_with_the_date_of_the_answer(
    headers: dict[str, str], off: float, level: str, text: str
) -> None:
    finding = doctor.clock(headers, NOW + off)
    assert finding.level == level
    assert text in finding.text


@pytest.mark.parametrize(
    ("headers", "level", "text"),
    [
        ({}, "-", "no answer"),
        ({"date": DATE}, "-", "no limit"),
        ({"x-ratelimit-limit": "60"}, "ok", "60 requests"),
        ({"x-ratelimit-limit": "60", "x-ratelimit-remaining": "7"}, "ok", "7 left"),
        (
            {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "21000"},
            "warn",
            "Wait 21 s",
        ),
    ],
)
def test_the_rate_is_what_lofty_says_it_is(headers: dict[str, str], level: str, text: str) -> None:
    finding = doctor.rate(headers, NOW)
    assert finding.level == level
    assert text in finding.text


def test_the_doctor_of_the_sandbox_exits_0(tmp_path: Path) -> None:
    ended = run("doctor", "--sandbox", env=environment(tmp_path))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1] == "All is well."


def test_an_unreachable_lofty_is_exit_2_without_a_traceback_and_without_the_key(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    ended = run("doctor", env=environment(tmp_path, LOFTY_API_KEY="my-secret-key", LOFTY_BASE_URL=url))
    assert (ended.returncode, ended.stderr) == (2, "")
    assert "FAIL lofty" in ended.stdout
    assert "my-secret-key" not in ended.stdout


async def test_no_finding_holds_the_key(lofty: Lofty, tmp_path: Path) -> None:
    found = await examined(lofty, tmp_path)
    assert lofty.world.key_of(ANA) not in json.dumps([str(finding) for finding in found.values()])


async def test_each_principal_of_the_accounts_file_is_looked_at(
    lofty: Lofty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_ANA", lofty.world.key_of(ANA))
    monkeypatch.setenv("KEY_BAD", "no-key-of-lofty")
    file = tmp_path / "accounts.toml"
    shared = {"credential": "env:KEY_ANA", "member": "nobody@summitpeak.example"}
    own = {"credential": "env:KEY_ANA", "member": ANA}
    file.write_text(accounts(ana=own, lost=shared, stale={"credential": "env:KEY_BAD"}), encoding="utf-8")
    settings = load(base_url="http://127.0.0.1", state_dir=tmp_path / "state", accounts=file)

    found = [finding async for finding in doctor.examined(settings, lofty)]

    told = {f.text.split(":")[0]: f for f in found if f.check == "accounts"}
    assert told["ana"].level == "ok"
    assert "Ana Reyes" in told["ana"].text
    assert told["lost"].level == "warn"
    assert "no hidden lead is visible" in told["lost"].text
    assert told["stale"].level == "FAIL"
    assert not [f for f in found if f.check == "key"], "an HTTP server with accounts needs no key of its own"


async def test_an_accounts_file_that_cannot_be_used_is_named(lofty: Lofty, tmp_path: Path) -> None:
    found = await examined(lofty, tmp_path, accounts=tmp_path / "nowhere.toml")

    assert found["accounts"].level == "FAIL"
    assert "Nobody in it is let in" in found["accounts"].text


async def test_paused_writes_are_named(lofty: Lofty, tmp_path: Path) -> None:
    ledger = await SqliteLedger.open(tmp_path / "state" / "ledger.db")
    await ledger.pause(True)
    await ledger.close()

    assert "lofty-mcp resume" in (await examined(lofty, tmp_path))["ledger"].text
