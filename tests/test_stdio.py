"""The server as hosts run it: real processes, real pipes, a sandbox behind a real socket."""

import json
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import Host, Town, environment, town, until
from tests.support.world import ANA

STOPS: dict[str, Callable[[Host], None]] = {
    "stdin ends": lambda host: host.process.stdin.close() if host.process.stdin else None,
    "SIGTERM": lambda host: host.signal(signal.SIGTERM),
    "Ctrl-C": lambda host: host.signal(signal.SIGINT),
    "both pipes close": lambda host: host.hang_up(),
}
ENDINGS = pytest.mark.parametrize("stop", STOPS.values(), ids=STOPS.keys())


@pytest.fixture(scope="module")
def lofty() -> Iterator[Town]:
    """One sandbox for all tests here; each uses leads or faults of its own."""
    with town() as running:
        yield running


@pytest.fixture
def start(lofty: Town, tmp_path: Path) -> Callable[..., Host]:
    """Starts a server that acts as Ana; further settings by variable."""

    def started(*arguments: str, **settings: str) -> Host:
        env = environment(tmp_path, **{**lofty.settings(ANA), **settings})
        return Host(*(arguments or ("serve",)), env=env, stderr=tmp_path / "stderr")

    return started


def fresh_lead(lofty: Town) -> str:
    """A lead of Ana's that no other test touches."""
    member = lofty.world.member(ANA)
    assert member is not None
    return str(lofty.world.add_lead(assignedUserId=member.user_id, firstName="Zenobia", lastName="Quillfeather"))


def tickets(state: Path) -> list[tuple[Any, ...]]:
    """State and outcome of every ticket in the ledger."""
    with closing(sqlite3.connect(state / "lofty-mcp" / "ledger.db")) as db:
        return db.execute("SELECT state, outcome FROM tickets").fetchall()


@ENDINGS
def test_a_server_with_a_live_client_ends_cleanly(
    start: Callable[..., Host], tmp_path: Path, stop: Callable[[Host], None]
) -> None:
    with start() as host:
        assert not host.call("search_leads", limit=2).get("isError")
        stop(host)
        assert host.ended() == 0
        assert host.stderr() == ""
    assert not (tmp_path / "lofty-mcp" / "ledger.db-wal").exists()


def test_the_default_command_is_serve_and_its_sandbox_heeds_no_credential_of_the_environment(
    start: Callable[..., Host],
) -> None:
    with start("--sandbox", LOFTY_BASE_URL="https://lofty.invalid", LOFTY_ACCESS_TOKEN="not for a sandbox") as host:
        me = host.call("who_am_i")["structuredContent"]
        assert (me["account"]["email"], me["sandbox"]) == (ANA, True)


def test_the_sandbox_can_be_used_as_another_member(start: Callable[..., Host]) -> None:
    with start("serve", "--sandbox", "--as", "Mark.Silva@summitpeak.example") as host:
        assert host.call("who_am_i")["structuredContent"]["account"]["name"] == "Mark Silva"


@ENDINGS
def test_a_read_under_way_does_not_hold_up_the_end(
    start: Callable[..., Host], lofty: Town, stop: Callable[[Host], None]
) -> None:
    lead_id = fresh_lead(lofty)
    lofty.world.faults.next("GET", f"/v1.0/leads/{lead_id}", "latency=8")
    with start() as host:
        host.request("tools/call", name="get_lead", arguments={"lead_id": lead_id})
        until(lambda: any(entry.path.endswith(lead_id) for entry in lofty.world.log), "the read")
        stop(host)
        assert host.ended() == 0
        assert host.stderr() == ""


@ENDINGS
def test_a_write_under_way_is_carried_out_once_and_settled(
    start: Callable[..., Host], lofty: Town, tmp_path: Path, stop: Callable[[Host], None]
) -> None:
    lead_id = fresh_lead(lofty)
    lofty.world.faults.next("PUT", f"/v1.0/leads/{lead_id}", "latency=1")
    write = ("PUT", f"/v1.0/leads/{lead_id}")
    with start() as host:
        host.request("tools/call", name="add_tag", arguments={"lead_ids": [lead_id], "tags": ["VIP"]})
        until(lambda: write in lofty.writes(), "the write")
        stop(host)
        host.signal(signal.SIGTERM)  # as hosts do when the end takes them too long
        assert host.ended() == 0
        assert host.stderr() == ""
    assert lofty.writes().count(write) == 1
    assert [tag["tagName"] for tag in lofty.world.lead(int(lead_id))["tags"]] == ["VIP"]
    assert tickets(tmp_path) == [("settled", "applied")]


def test_stdout_carries_nothing_but_the_protocol_and_stderr_nothing_but_json(start: Callable[..., Host]) -> None:
    with start(LOFTY_MCP_LOG_LEVEL="debug") as host:
        host.call("search_leads", limit=2)
        host.call("search_leads", colour="blue")
        host.call("search_leads", query="x" * 300_000)
        host.call("no_such_tool")
        host.request("no/such/method")
        host.answer()
        assert host.process.stdin is not None
        host.process.stdin.close()
        assert host.process.stdout is not None
        host.said += host.process.stdout.readlines()
        assert host.ended() == 0
        assert all(json.loads(line)["jsonrpc"] == "2.0" for line in host.said)
        logged = [json.loads(line) for line in host.stderr().splitlines()]
    assert logged
    assert all({"time", "level", "logger"} <= line.keys() for line in logged)


def test_nothing_personal_is_logged_even_at_debug_and_when_calls_fail(start: Callable[..., Host], lofty: Town) -> None:
    lead_id = fresh_lead(lofty)
    canaries = {"Zenobia", "Quillfeather", "3035550199", "zenobia@quill.example", "secret stage", lead_id}
    canaries |= {value for m in lofty.world.members for value in (m.name, m.email, m.key, m.key.split(".")[1])}
    lofty.world.update_lead(int(lead_id), phones=["3035550199"], emails=["zenobia@quill.example"])
    lofty.world.add_note(int(lead_id), content="a secret stage of the sale")
    with start(LOFTY_MCP_LOG_LEVEL="debug") as host:
        assert "Zenobia" in host.text("search_leads", query="Quillfeather")
        host.call("get_lead", lead_id=lead_id, detail="full")
        host.call("get_timeline", lead_id=lead_id)
        for kind, times in (("status=500", 3), ("reset_before", 1), ("half_body", 1), ("429=1", 1)):
            lofty.world.faults.next("GET", f"/v1.0/leads/{lead_id}", kind, times=times)
            assert host.call("get_lead", lead_id=lead_id)["isError"] is (times == 3)
        assert host.call("update_stage", lead_ids=[lead_id], stage="secret stage")["isError"]
        assert host.call("get_lead", **{"3035550199": "Quillfeather"})["isError"]
        assert host.call("search_leads", limit="Quillfeather")["isError"]
        assert host.call("Quillfeather") is not None
        host.signal(signal.SIGTERM)
        assert host.ended() == 0
        logged = host.stderr()
    assert logged
    assert {canary for canary in canaries if canary.casefold() in logged.casefold()} == set()


@pytest.mark.parametrize("tool", ["who_am_i", "search_leads"])
def test_with_a_bad_key_the_server_stays_up_and_each_call_says_how_to_mend_it(
    start: Callable[..., Host], tool: str
) -> None:
    with start(LOFTY_API_KEY="bad.key.indeed") as host:
        for _ in range(2):
            answer = host.call(tool)
            assert answer["isError"]
            assert "LOFTY_API_KEY" in answer["content"][0]["text"]
        assert host.process.poll() is None
        assert "bad.key.indeed" not in host.stderr()
        assert "Traceback" not in host.stderr()


def test_with_an_unreachable_lofty_the_server_stays_up_and_each_call_says_how_to_mend_it(
    start: Callable[..., Host],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    with start(LOFTY_BASE_URL=f"http://127.0.0.1:{closed}") as host:
        for _ in range(2):
            answer = host.call("get_lead", lead_id="1100000000000001")
            assert answer["isError"]
            assert "lofty-mcp doctor" in answer["content"][0]["text"]
        assert host.process.poll() is None
        assert "Traceback" not in host.stderr()


def test_without_a_stdin_there_is_one_clear_line_and_exit_2(tmp_path: Path) -> None:
    command = 'exec "$0" -m lofty_mcp --sandbox <&-'
    ended = subprocess.run(
        ["sh", "-c", command, sys.executable], env=environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)


def test_a_variable_that_means_nothing_is_logged_with_the_one_probably_meant(start: Callable[..., Host]) -> None:
    with start(LOFTY_MCP_MODES="read") as host:
        line = json.loads(host.stderr())
    assert (line["level"], line["setting"], line["instead"]) == ("warning", "LOFTY_MCP_MODES", "LOFTY_MCP_MODE")
