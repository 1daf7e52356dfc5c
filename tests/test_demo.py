"""The demo tells the truth: it succeeds on a sound server, and fails where a promise is broken."""

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lofty_mcp import hosts
from tests.support.process import environment, run, until

WORDS = ("search", "lead", "timeline", "tag", "stage", "confirmed", "hidden", "audit")
OPEN_GATE = "from lofty_mcp.guard import visibility\nvisibility.visible = lambda *_, **__: True\n"


def test_the_demo_shows_every_promise_and_heeds_no_setting_of_its_environment(tmp_path: Path) -> None:
    state = tmp_path / "mine"
    misleading = environment(
        tmp_path,
        LOFTY_API_KEY="somebody-elses-key",
        LOFTY_BASE_URL="https://lofty.invalid",
        LOFTY_ACCESS_TOKEN="a-token",
        LOFTY_MCP_MODE="no such mode",
        LOFTY_MCP_STATE_DIR=str(state),
    )
    ended = run("demo", env=misleading)
    assert (ended.returncode, ended.stderr) == (0, "")
    story, _, paste = ended.stdout.partition("paste one of these")
    assert [word for word in WORDS if word not in story] == []
    assert "✗" not in story
    assert "Nothing was changed" in story
    assert all(host in paste for host in ("Claude Desktop", "Claude Code", "VS Code"))
    assert not state.exists()


@pytest.mark.slow
def test_a_demo_with_the_gate_open_exits_1_at_the_hidden_lead(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(OPEN_GATE, encoding="utf-8")
    env = environment(tmp_path / "state")
    ended = run("demo", env=env | {"PYTHONPATH": f"{tmp_path}:{env['PYTHONPATH']}"})
    assert ended.returncode == 1
    assert ended.stdout.splitlines()[-2:] == [
        "✗ hidden lead: not there for a colleague, there for its agent",
        "    a colleague was shown the hidden lead",
    ]
    assert "Traceback" not in ended.stderr
    assert "Claude Desktop" not in ended.stdout


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found through /proc")
def test_a_demo_that_is_stopped_leaves_no_process_behind(tmp_path: Path) -> None:
    env = environment(tmp_path, TMPDIR=str(tmp_path))
    marker = f"TMPDIR={tmp_path}".encode()
    with subprocess.Popen([sys.executable, "-m", "lofty_mcp", "demo"], env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert "who am i" in process.stdout.readline().decode().lower()
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) != 0
    until(lambda: not _marked(marker), "the demo's children to end")
    assert list(tmp_path.glob("lofty-mcp-demo-*")) == []


def _marked(marker: bytes) -> list[Path]:
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker in environ.read_bytes():
                found.append(environ)
        except OSError:
            continue
    return found


def test_the_lines_to_paste_start_this_installation_and_hold_no_key() -> None:
    run_it = ["/opt/some where/lofty-mcp"]
    text = hosts.lines(run_it)
    desktop, code, vscode = text.split("\n\n")
    entry = json.loads(desktop.partition("\n")[2])["mcpServers"]["lofty"]
    asked = json.loads(vscode.partition("\n")[2])
    words = shlex.split(code.partition("\n")[2])
    assert [entry["command"], *entry["args"]] == run_it
    assert words[:6] == ["claude", "mcp", "add", "lofty", "--env", f"LOFTY_API_KEY={hosts.KEY}"]
    assert words[6:] == ["--", *run_it]
    assert asked["inputs"][0]["password"] is True
    assert asked["servers"]["lofty"]["env"]["LOFTY_API_KEY"] == f"${{input:{asked['inputs'][0]['id']}}}"


def test_the_command_of_this_installation_runs(tmp_path: Path) -> None:
    ended = subprocess.run([*hosts.command(), "--version"], env=environment(tmp_path), capture_output=True, check=True)
    assert ended.stdout.startswith(b"lofty-mcp ")
