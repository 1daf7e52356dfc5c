"""The server of a soak: a process of its own over HTTP, and its principals."""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen

from bench.subjects import ROOT, address, end
from soak.lofty import Lofty
from soak.run import Principal

ANA, MARK, CHRIS, OWNER = (
    f"{name}@summitpeak.example" for name in ("ana.reyes", "mark.silva", "chris.lee", "olivia.hart")
)
MEMBERS = (ANA, MARK, CHRIS)
PRINCIPALS = (
    # name, whose key, whose eyes, mode, whether somebody answers questions
    ("ana", ANA, ANA, "auto", False),
    ("mark", MARK, MARK, "code", False),
    ("chris", CHRIS, CHRIS, "ask", True),
    ("office-ana", OWNER, ANA, "auto", False),
    ("office-mark", OWNER, MARK, "ask", True),
)
SETTINGS = {
    "LOFTY_MCP_MODE": "auto",
    "LOFTY_MCP_TOOLSETS": "all",
    "LOFTY_MCP_SENDS": "on",
    "LOFTY_MCP_SENDS_PER_DAY": "10000",
    "LOFTY_MCP_REQUESTS_PER_MINUTE": "10000",
    "LOFTY_MCP_CALLS_PER_MINUTE": "0",
    "LOFTY_MCP_NOT_FOUND_PER_MINUTE": "0",
    "LOFTY_MCP_WRITES_PER_DAY": "0",
}


def token(name: str) -> str:
    """What a principal shows."""
    return f"{name}-of-this-run-and-of-no-other"


def principals() -> list[Principal]:
    """Everybody who calls."""
    return [Principal(token(name), email, answers) for name, _, email, _, answers in PRINCIPALS]


@contextmanager
def server(lofty: Lofty, folder: Path) -> Iterator[tuple[Popen[bytes], str, Path]]:
    """The process, its URL, and the file that it logs to."""
    accounts, said = folder / "accounts.toml", folder / "stderr"
    accounts.write_text("\n".join(map(_table, range(len(PRINCIPALS)))), encoding="utf-8")
    keys = {f"KEY_{number}": lofty.world.key_of(key) for number, (_, key, *_) in enumerate(PRINCIPALS)}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LOFTY_", "OTEL_"))}
    place = {
        "LOFTY_BASE_URL": lofty.url,
        "LOFTY_MCP_ACCOUNTS": str(accounts),
        "LOFTY_MCP_STATE_DIR": str(folder / "state"),
    }
    with said.open("wb") as sink:
        process = Popen(
            [sys.executable, "-m", "lofty_mcp", "serve", "--http", "--port", "0"],
            env=inherited | SETTINGS | keys | place,
            cwd=ROOT,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=sink,
        )
    try:
        yield process, address(said, process), said
    finally:
        end(process)


def _table(number: int) -> str:
    name, _, email, mode, _ = PRINCIPALS[number]
    shown = hashlib.sha256(token(name).encode()).hexdigest()
    given = {
        "token_sha256": shown,
        "credential": f"env:KEY_{number}",
        "member": email,
        "mode": mode,
        "toolsets": ["all"],
    }
    return "\n".join([f"[principals.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in given.items())])
