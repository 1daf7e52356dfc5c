"""`lofty-mcp` as a real process, a host that speaks to it over pipes, and a sandbox behind a real socket."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn

from lofty_mcp.sandbox import World, build_app

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 30.0
ENDS_WITHIN = 5.0


def environment(state: Path, **settings: str) -> dict[str, str]:
    """The environment of a child: ours, without settings of lofty-mcp but those given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOFTY_")}
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
    return {**inherited, "PYTHONPATH": path, "XDG_STATE_HOME": str(state), **settings}


def run(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`lofty-mcp` with these arguments and nothing on stdin, to its end."""
    command = [sys.executable, "-m", "lofty_mcp", *arguments]
    return subprocess.run(command, env=env, input="", capture_output=True, text=True, timeout=90, check=False)


def until(held: Callable[[], bool], what: str) -> None:
    """Wait for another process to get somewhere."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not held():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        threading.Event().wait(0.01)


class Town:
    """A sandbox behind a socket, and the hands on its world."""

    def __init__(self, url: str, world: World) -> None:
        self.url = url
        self.world = world

    def settings(self, email: str) -> dict[str, str]:
        """The variables that make a server act as a member."""
        key = self.world.key_of(email)
        return {"LOFTY_BASE_URL": self.url, "LOFTY_API_KEY": key, "LOFTY_MCP_REQUESTS_PER_MINUTE": "6000"}

    def writes(self) -> list[tuple[str, str]]:
        """The writes that arrived, as method and path."""
        return [(entry.method, entry.path) for entry in self.world.log if entry.method != "GET"]


@contextmanager
def town(rate_limit: int = 100_000, keep_alive: int = 5) -> Iterator[Town]:
    """A sandbox on a free port, in a thread of this process so that its faults and its log are at hand."""
    app = build_app(rate_limit=rate_limit)
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="error", lifespan="off", timeout_keep_alive=keep_alive)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started, "the sandbox")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Town(f"http://127.0.0.1:{port}", app.state.world)
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
        app.state.world.store.close()


class Host:
    """What starts the server and speaks to it: one JSON-RPC message per line, in the handshake era."""

    def __init__(self, *arguments: str, env: dict[str, str], stderr: Path) -> None:
        self.said: list[str] = []
        self._errors = stderr
        with stderr.open("w", encoding="utf-8") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lofty_mcp", *arguments],
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
            )
        self._watchdog = threading.Timer(PATIENCE_SECONDS, self.process.kill)

    def __enter__(self) -> Self:
        self._watchdog.start()
        self.request(
            "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={"name": "host", "version": "1"}
        )
        self.answer()
        self._send({"method": "notifications/initialized"})
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._watchdog.cancel()
        self.process.kill()
        self.hang_up()
        self.process.wait()

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def request(self, method: str, **params: Any) -> None:
        """Send a request without waiting for its answer."""
        self._send({"id": len(self.said) + 1, "method": method, "params": params})

    def answer(self) -> Any:
        """The result of the next answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the server is gone: {self.stderr()}"
        self.said.append(line)
        message = json.loads(line)
        return message["result"] if "result" in message else self.answer() if "method" in message else message

    def call(self, tool: str, **arguments: Any) -> Any:
        """A tool's result."""
        self.request("tools/call", name=tool, arguments=arguments)
        return self.answer()

    def text(self, tool: str, **arguments: Any) -> str:
        """The text of a tool's result."""
        return str(self.call(tool, **arguments)["content"][0]["text"])

    def hang_up(self) -> None:
        """Close both pipes, as a host that dies does."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server."""
        self.process.send_signal(number)

    def ended(self, within: float = ENDS_WITHIN) -> int:
        """The exit code, which must come soon."""
        return self.process.wait(within)

    def stderr(self) -> str:
        """What the server logged."""
        return self._errors.read_text(encoding="utf-8")


class Web:
    """The server over HTTP as a process; `url` is where it says that it listens, `TOKEN` what lets in."""

    TOKEN = "a-token-of-the-tests-0123456789"

    def __init__(
        self, *arguments: str, env: dict[str, str], stderr: Path, program: tuple[str, ...] = ("-m", "lofty_mcp")
    ) -> None:
        self.url = ""
        self._errors = stderr
        with stderr.open("a", encoding="utf-8") as sink:
            self.process = subprocess.Popen(
                [sys.executable, *program, *(arguments or ("serve", "--http", "--port", "0"))],
                env={"LOFTY_MCP_TOKEN": self.TOKEN, **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
            )
        self._began = stderr.stat().st_size

    def __enter__(self) -> Self:
        def listens() -> bool:
            assert self.process.poll() is None, f"the server did not start: {self.stderr()}"
            found = re.findall(r"^Serving MCP at (\S+)$", self.stderr()[self._began :], re.MULTILINE)
            self.url = found[-1] if found else ""
            return bool(found)

        try:
            until(listens, "the server")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.split(":")[2].partition("/")[0])

    @property
    def origin(self) -> str:
        """Its address without a path."""
        return self.url.removesuffix("/mcp")

    @property
    def headers(self) -> dict[str, str]:
        """What lets a request in."""
        return {"authorization": f"Bearer {self.TOKEN}"}

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server."""
        self.process.send_signal(number)

    def ended(self, within: float = PATIENCE_SECONDS) -> int:
        """The exit code, which must come in time."""
        return self.process.wait(within)

    def stderr(self) -> str:
        """What the server and those before it logged to the same file."""
        return self._errors.read_text(encoding="utf-8")

    def descriptors(self) -> int:
        """How many file descriptors it holds."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def resident(self) -> int:
        """How many KiB of memory it holds."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii"))
        assert found is not None
        return int(found[1])
