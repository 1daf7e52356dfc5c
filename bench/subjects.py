"""The processes that are measured, each with its own way in: ours and the bare one, over pipes and over HTTP."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Literal
from urllib.request import urlopen

from bench.load import CallFailed, Connections, Pipes, Way
from bench.replies import Replies
from bench.upstream import COUNT, DELAY

Transport = Literal["stdio", "HTTP"]
TRANSPORTS: tuple[Transport, ...] = ("stdio", "HTTP")
OURS, BARE, BARE_4 = "ours", "bare", "bare, 4 in flight"
TOKEN = "a-token-of-this-run-and-no-other"  # nosec B105 # noqa: S105 - it opens nothing but a fake
ROOT = Path(__file__).parents[1]


@dataclass
class Subject:
    """A running server."""

    process: Popen[bytes]
    way: Way

    @property
    def memory(self) -> float | None:
        """Resident memory in MB; None where the system does not tell it this way."""
        status = Path(f"/proc/{self.process.pid}/status")
        found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text()) if status.exists() else None
        return int(found[1]) / 1024 if found else None


@dataclass
class Place:
    """Where servers are started: the address of the fake Lofty, its key, and a folder for what they keep and say."""

    upstream: str
    key: str
    folder: Path
    _started: int = field(default=0)

    def delay(self, milliseconds: int) -> None:
        """Make every answer of the fake Lofty take so long."""
        _get(f"{self.upstream}{DELAY}{milliseconds}")

    def count(self) -> int:
        """How many requests it has had."""
        return int(_get(f"{self.upstream}{COUNT}"))

    @contextmanager
    def start(self, who: str, transport: Transport, only: str | None = None) -> Iterator[Subject]:
        """Start a server; over HTTP, wait until it listens."""
        self._started += 1
        said = self.folder / f"{self._started}.log"
        with said.open("wb") as sink:
            process = Popen(
                [sys.executable, *self._arguments(who, transport, only)],
                env=self._environment(),
                cwd=ROOT,
                stdin=PIPE,
                stdout=PIPE,
                stderr=sink,
            )
        way: Pipes | Connections | None = None
        try:
            way = Pipes(process) if transport == "stdio" else Connections(address(said, process), TOKEN)
            yield Subject(process, way)
        finally:
            if isinstance(way, Connections):
                way.close()
            end(process)

    def _arguments(self, who: str, transport: Transport, only: str | None) -> Sequence[str]:
        http = ["--http"] if transport == "HTTP" else []
        if who == OURS:
            return ["-m", "lofty_mcp", "serve", *http, *(["--port", "0"] if http else [])]
        return [
            *("-m", "bench.bare", "--upstream", self.upstream, *http),
            *(["--only", only] if only else []),
            *(["--in-flight", "4"] if who == BARE_4 else []),
        ]

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LOFTY_", "OTEL_"))}
        state = tempfile.mkdtemp(dir=self.folder)
        return inherited | {
            "LOFTY_BASE_URL": self.upstream,
            "LOFTY_API_KEY": self.key,
            "LOFTY_MCP_REQUESTS_PER_MINUTE": "10000",
            "LOFTY_MCP_STATE_DIR": str(Path(state, "lofty-mcp")),
            "LOFTY_MCP_TOKEN": TOKEN,
            "LOFTY_MCP_CALLS_PER_MINUTE": "0",
            "LOFTY_MCP_WRITES_PER_DAY": "0",
        }


@contextmanager
def place(replies: Replies, folder: Path) -> Iterator[Place]:
    """A fake Lofty that gives `replies`, and room beside it."""
    written = folder / "replies.json"
    replies.save(written)
    with ExitStack() as stack:
        process = Popen([sys.executable, "-m", "bench.upstream", str(written)], cwd=ROOT, stdout=PIPE)
        stack.callback(end, process)
        assert process.stdout is not None
        yield Place(process.stdout.readline().decode().strip(), replies.key, folder)


def address(said: Path, process: Popen[bytes]) -> str:
    """Where a server over HTTP listens, once it says so."""
    while process.poll() is None:
        if found := re.search(r"Serving MCP at (\S+)\n", said.read_text()):
            return found[1]
        time.sleep(0.002)
    raise CallFailed(f"the server did not start: {said.read_text()[-500:]}")


def end(process: Popen[bytes]) -> None:
    """Ask a process to end, and see to it."""
    process.terminate()
    try:
        process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _get(url: str) -> bytes:
    with urlopen(url, timeout=10) as response:  # nosec B310 # noqa: S310 - the fake Lofty of this very run
        return bytes(response.read())
