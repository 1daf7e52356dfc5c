import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lofty_mcp.sandbox import Faults, Rule, SandboxReset
from tests.contract.asking import NOW, OWNER, ask, sandbox

ROOT = Path(__file__).parent.parent
PROGRAM = """
from lofty_mcp.sandbox import serve
serve("127.0.0.1", 0, leads=5, seed=42, on_ready=lambda url: print(url, flush=True))
print("stopped", flush=True)
"""


async def _put(fault: str) -> tuple[int | str, str]:
    """The status or the reset that a PUT with this fault gives, and the last name the lead then has."""
    app, world = sandbox(leads=0)
    lead = world.add_lead(lastName="Old")
    headers = {"x-sandbox-fault": fault}
    try:
        answer = await ask(app, "PUT", f"/v1.0/leads/{lead}", body={"lastName": "New"}, headers=headers)
    except SandboxReset as reset:
        return reset.when, world.lead(lead)["lastName"]
    return answer.status_code, world.lead(lead)["lastName"]


@pytest.mark.parametrize(
    ("fault", "seen", "stored"),
    [
        ("latency=0", 200, "New"),
        ("status=503", 503, "Old"),
        ("status_after=502", 502, "New"),
        ("429", 429, "Old"),
        ("reset_before", "before", "Old"),
        ("reset_after", "after", "New"),
        ("half_body", "after", "New"),
    ],
)
async def test_a_fault_strikes_before_or_after_processing(fault: str, seen: int | str, stored: str) -> None:
    assert await _put(fault) == (seen, stored)


async def test_a_429_says_how_long_in_milliseconds() -> None:
    app, _ = sandbox(leads=0)
    answer = await ask(app, "GET", "/v1.0/me", headers={"x-sandbox-fault": "429=1500"})
    assert (answer.status_code, answer.json()) == (429, {"message": "Too Many Requests"})
    assert (answer.headers["x-ratelimit-remaining"], answer.headers["x-ratelimit-reset"]) == ("0", "1500")


@pytest.mark.parametrize("fault", ["explode", "latency", "status", "status=x", "reset"])
def test_an_unknown_fault_is_refused_by_name(fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Faults().next("GET", "/v1.0/me", fault)


async def test_a_rule_strikes_its_path_and_method_as_often_as_said() -> None:
    app, world = sandbox(leads=0)
    lead, other = world.add_lead(), world.add_lead()
    world.faults.next("GET", "/v1.0/leads/{leadId}", "status=500", times=2)
    codes = [
        (await ask(app, method, path, body=body)).status_code
        for method, path, body in (
            ("GET", "/v1.0/leads", None),
            ("PUT", f"/v1.0/leads/{lead}", {"lastName": "N"}),
            ("GET", f"/v1.0/leads/{lead}/activities", None),
            ("GET", f"/v1.0/leads/{lead}", None),
            ("GET", f"/v1.0/leads/{other}", None),
            ("GET", f"/v1.0/leads/{lead}", None),
        )
    ]
    assert codes == [200, 200, 200, 500, 500, 200]


async def test_a_prefix_rule_and_a_header_that_wins_over_it() -> None:
    app, _ = sandbox(leads=0, faults=Faults((Rule("*", "/v1.0/org*", "status=500", times=9),)))
    assert (await ask(app, "GET", "/v1.0/me")).status_code == 200
    assert (await ask(app, "GET", "/v1.0/org")).status_code == 500
    assert (await ask(app, "GET", "/v1.0/org", headers={"x-sandbox-fault": "status=501"})).status_code == 501


async def test_a_rate_strikes_about_so_often_and_the_same_ones_for_a_seed() -> None:
    async def codes(seed: int) -> list[int]:
        app, _ = sandbox(leads=0, faults=Faults(rate=0.3, kinds=("status=500", "status=503"), seed=seed))
        return [(await ask(app, "GET", "/v1.0/org")).status_code for _ in range(100)]

    first = await codes(1)
    assert first == await codes(1) != await codes(2)
    assert 15 < 100 - first.count(200) < 45
    assert {500, 503} < set(first)


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """A sandbox in a process of its own; it must stop cleanly at the end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.send_signal(signal.SIGTERM)
    assert (process.communicate(timeout=10)[0], process.returncode) == ("stopped\n", 0)


def _fetch(url: str, fault: str = "") -> bytes:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    _, world = sandbox(leads=0, now=NOW)
    headers = {"authorization": f"token {world.key_of(OWNER)}", "x-sandbox-fault": fault}
    try:
        connection.request("GET", "/v1.0/leads", headers=headers)
        return connection.getresponse().read()
    finally:
        connection.close()


def test_a_served_sandbox_answers(served: str) -> None:
    assert b'"leads"' in _fetch(served)


@pytest.mark.parametrize("fault", ["reset_before", "reset_after"])
def test_a_served_reset_is_a_tcp_reset_and_the_next_request_is_answered(served: str, fault: str) -> None:
    with pytest.raises(ConnectionResetError):
        _fetch(served, fault)
    assert b'"leads"' in _fetch(served)


def test_a_served_half_body_ends_before_its_announced_length(served: str) -> None:
    whole = _fetch(served)
    with pytest.raises(http.client.IncompleteRead) as cut:
        _fetch(served, "half_body")
    assert cut.value.partial == whole[: len(whole) // 2]
