"""Where a check runs: folders, environments, and child processes that end with it whatever ends it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
from anyio.abc import ByteReceiveStream, Process

ROOT = Path(__file__).parents[1]
HERE = ROOT / "clients"
INSTALLED = ROOT / ".tools" / "clients"
MODULES = INSTALLED / "npm" / "node_modules"
NODE = str(MODULES / ".bin" / "node")
SERVER = str(Path(sys.executable).with_name("lofty-mcp"))
STDIO = ("serve", "--sandbox")
HTTP = ("serve", "--http", "--port", "0", "--sandbox")
TOKEN = "a-token-of-this-run-and-of-no-other"  # nosec B105 # noqa: S105 - it opens a sandbox on this machine
START_SECONDS = 30.0
RUN_SECONDS = 90.0
END_SECONDS = 8.0

Json = dict[str, Any]
T = TypeVar("T")


class Failed(Exception):
    """What came back is not what should have; the message says what."""


def demand(held: bool, sentence: str) -> None:
    """Go on only if it `held`."""
    if not held:
        raise Failed(sentence)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Its stdout as JSON, once it ended well."""
        demand(self.code == 0, f"exit code {self.code}: {self.tail()}")
        try:
            return json.loads(self.out)
        except ValueError:
            raise Failed(f"its answer is no JSON: {self.tail()}") from None

    def tail(self) -> str:
        """The end of what it said, on one line."""
        said = self.err.strip() or self.out.strip()
        return " ".join(said.split())[-400:]


@dataclass(frozen=True)
class Place:
    """A folder of a check's own, and what its children find in their environment."""

    folder: Path

    def env(self, **more: str) -> dict[str, str]:
        """Almost nothing: a home of its own, and Node 22 before whatever Node this machine has."""
        return {
            "HOME": str(self.folder),
            "PATH": os.pathsep.join([str(MODULES / ".bin"), "/usr/bin", "/bin"]),
            "LOFTY_MCP_STATE_DIR": str(self.folder / "state"),
            **more,
        }

    @asynccontextmanager
    async def child(self, *command: str, **more: str) -> AsyncIterator[None]:
        """A command that runs as long as this block, and says nothing."""
        async with _child(command, self.env(**more), self.folder, subprocess.DEVNULL, subprocess.DEVNULL):
            yield

    async def run(self, *command: str, **more: str) -> Ended:
        """A command to its end; `more` goes into its environment."""
        said = {"out": b"", "err": b""}

        async def keep(name: str, stream: ByteReceiveStream | None) -> None:
            if stream is not None:
                async for chunk in stream:
                    said[name] += chunk

        with anyio.move_on_after(RUN_SECONDS):
            async with (
                _child(command, self.env(**more), self.folder) as process,
                anyio.create_task_group() as group,
            ):
                group.start_soon(keep, "out", process.stdout)
                group.start_soon(keep, "err", process.stderr)
                code = await process.wait()
                # A child of its own that outlives it would hold the pipes open for ever.
                _signal(process, signal.SIGTERM)
            return Ended(code, said["out"].decode(errors="replace"), said["err"].decode(errors="replace"))
        raise Failed(f"{Path(command[0]).name} did not end within {RUN_SECONDS:.0f} s")

    @asynccontextmanager
    async def server(self, token: str | None = None) -> AsyncIterator[str]:
        """Our server over HTTP in a sandbox of its own, behind a token if one is given; yields its URL."""
        more = {"LOFTY_MCP_TOKEN": token} if token else {}
        async with self._listening("server", [SERVER, *HTTP], self.env(**more)) as url:
            yield url

    @asynccontextmanager
    async def proxy(self, url: str, token: str) -> AsyncIterator[str]:
        """A way to `url` that adds the token to each request."""
        command = [sys.executable, str(HERE / "proxy.py"), url, token]
        async with self._listening("proxy", command, self.env()) as nearer:
            yield nearer

    @asynccontextmanager
    async def _listening(self, name: str, command: Sequence[str], env: dict[str, str]) -> AsyncIterator[str]:
        log = self.folder / f"{name}.log"
        with log.open("wb") as sink:
            async with _child(command, env, self.folder, sink, sink) as process:
                yield await until(partial(_url, log, process), f"the {name}")


async def until(found: Callable[[], T | None], what: str) -> T:
    """What `found` answers, once it answers something."""
    with anyio.move_on_after(START_SECONDS):
        while True:
            if (answer := found()) is not None:
                return answer
            await anyio.sleep(0.05)
    raise Failed(f"waited in vain for {what}")


def _url(log: Path, process: Process) -> str | None:
    said = log.read_text(encoding="utf-8", errors="replace")
    if found := re.search(r"^Serving MCP at (http://\S+)$", said, re.MULTILINE):
        return found[1]
    demand(process.returncode is None, f"it ended at once: {' '.join(said.split())[-400:]}")
    return None


@asynccontextmanager
async def _child(
    command: Sequence[str], env: dict[str, str], folder: Path, out: Any = subprocess.PIPE, err: Any = subprocess.PIPE
) -> AsyncIterator[Process]:
    """A process in a group of its own; the whole group is gone when this block is left."""
    process = await anyio.open_process(
        command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
    )
    try:
        yield process
    finally:
        with anyio.CancelScope(shield=True):
            _signal(process, signal.SIGTERM)
            with anyio.move_on_after(END_SECONDS):
                await process.wait()
            _signal(process, signal.SIGKILL)
            await process.aclose()


def _signal(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
