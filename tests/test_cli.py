"""The command line: what it refuses in one line, and what the sandbox command says of itself."""

import json
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import httpx2
import pytest

from lofty_mcp import cli
from tests.support.process import environment, run
from tests.support.world import ANA, OWNER

BAD = {
    "no credential": (["serve"], {}, "LOFTY_API_KEY"),
    "no credential, no command": ([], {}, "--sandbox"),
    "half an OAuth sign-in": ([], {"LOFTY_CLIENT_ID": "x"}, "credential"),
    "an empty key": ([], {"LOFTY_API_KEY": "token "}, "LOFTY_API_KEY"),
    "an unknown mode": ([], {"LOFTY_API_KEY": "k", "LOFTY_MCP_MODE": "brave"}, "LOFTY_MCP_MODE"),
    "a plain address": ([], {"LOFTY_API_KEY": "k", "LOFTY_BASE_URL": "http://api.lofty.com"}, "https"),
    "a bad setting with the sandbox": (["--sandbox"], {"LOFTY_MCP_RESULT_TOKENS": "many"}, "LOFTY_MCP_RESULT_TOKENS"),
    "a member without a sandbox": (["--as", ANA], {"LOFTY_API_KEY": "k"}, "--sandbox"),
    "a stranger": (["serve", "--sandbox", "--as", "eve@else.example"], {}, ANA),
    "an unknown option": (["--fast"], {}, "--fast"),
    "an unknown command": (["dance"], {}, "dance"),
    "no port": (["sandbox", "--port", "65536"], {}, "65535"),
    "a host for all the world": (["sandbox", "--host", "0.0.0.0"], {}, "127.0.0.1"),
    "a bad setting for the doctor": (["doctor"], {"LOFTY_MCP_MODE": "brave"}, "LOFTY_MCP_MODE"),
}


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Commands that are run in this process set up logging for a process of their own."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(("arguments", "settings", "named"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_run_is_one_clear_line_and_exit_2(
    arguments: list[str],
    settings: dict[str, str],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    code: object
    try:
        code = cli.main(arguments)
    except SystemExit as ending:
        code = ending.code
    out, err = capfd.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("lofty-mcp: ")
    assert named in err


def test_a_state_folder_that_cannot_be_used_is_one_clear_line_and_exit_2(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = run("serve", "--sandbox", env=environment(tmp_path, LOFTY_MCP_STATE_DIR=str(tmp_path / "file" / "state")))
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert ended.stderr.startswith("lofty-mcp: The ledger")


def test_the_refusal_of_a_real_process_has_no_traceback_and_nothing_on_stdout(tmp_path: Path) -> None:
    ended = run(env=environment(tmp_path, LOFTY_API_KEY=""))
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)


def test_the_version_is_told(tmp_path: Path) -> None:
    assert run("--version", env=environment(tmp_path)).stdout == f"lofty-mcp {version('lofty-mcp')}\n"


def test_help_names_every_command_and_loads_nothing_heavy(tmp_path: Path) -> None:
    program = "import sys; from lofty_mcp.cli import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    env = environment(tmp_path)
    ended = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert all(name in ended.stdout for name in ("serve", "demo", "doctor", "sandbox"))
    assert not {"mcp", "pydantic", "httpx2", "starlette"} & set(ended.stdout.split("\n")[-2].split())


def test_the_sandbox_describes_itself_as_json_serves_and_ends_on_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lofty_mcp", "sandbox", "--port", "0", "--json", "--leads", "30"]
    with subprocess.Popen(command, env=environment(tmp_path), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        keys = {member["email"]: member["key"] for member in told["members"]}
        hidden = told["hidden"][0]
        headers = {"Authorization": f"token {keys[hidden['agent']]}", "Content-Type": "application/json"}
        answer = httpx2.get(f"{told['url']}/v1.0/leads/{hidden['lead_id']}", headers=headers, trust_env=False)
        assert answer.json()["lead"]["hiddenFlag"] is True
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stdout.read() == ""


def test_the_sandbox_tells_a_person_its_address_its_members_and_how_to_use_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lofty_mcp", "sandbox", "--port", "0", "--leads", "1"]
    with subprocess.Popen(command, env=environment(tmp_path), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(10) == 0
    assert url.startswith("http://127.0.0.1:")
    assert OWNER in rest
    assert f"LOFTY_BASE_URL={url} LOFTY_API_KEY=" in rest


def test_a_port_that_is_taken_is_one_clear_line_and_exit_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run("sandbox", "--port", port, env=environment(tmp_path))
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert port in ended.stderr
