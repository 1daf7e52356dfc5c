"""Runs the clients, and writes docs/clients.md or compares it: python -m clients [--all] [--write] [WORD ...]."""

import argparse
import difflib
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import anyio

from clients import claude_code, inspector, sessions, suite
from clients.check import Check, page
from clients.place import ROOT, Failed, Place

PAGE = ROOT / "docs" / "clients.md"
AT_ONCE = 3
"""A little more than the cores that CI has, since a check waits for others most of its time."""


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the checks and answer 0 if every row holds and the page says so."""
    parser = argparse.ArgumentParser(prog="scripts/clients", description=__doc__)
    parser.add_argument("--all", action="store_true", help="Claude Code, too")
    parser.add_argument("--write", action="store_true", help="all of it, and then write docs/clients.md")
    parser.add_argument("words", nargs="*", metavar="WORD", help="only rows with all these words; compares no page")
    given = parser.parse_args()
    every = [*sessions.checks(), *inspector.checks(), *suite.checks(), *claude_code.checks()]
    wanted = [
        c for c in every if (given.all or given.write or not c.large) and all(w in c.row("") for w in given.words)
    ]
    if not wanted:
        say("No row has these words.")
        return 1
    results = anyio.run(run, wanted)
    if len(results) < len(wanted):
        say("Broken off.")
        return 130
    failed = sum(not result.startswith("ok") for result in results.values())
    say(f"{len(results) - failed} passed, {failed} failed")
    if failed or given.words:
        return int(failed > 0)
    # What was not run is taken to be as good as when the page was written, which only a full run can do.
    found = page((check, results.get(check, "ok")) for check in every)
    if given.write:
        PAGE.write_text(found, encoding="utf-8")
    return int(not is_told(found))


def is_told(found: str) -> bool:
    """Whether docs/clients.md says what was found; what differs is printed."""
    told = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    if told == found:
        return True
    say("docs/clients.md does not say what this run found. If the run is right: ./scripts/clients --write")
    say("\n".join(difflib.unified_diff(told.splitlines(), found.splitlines(), "told", "found", lineterm="", n=0)))
    return False


async def run(wanted: Sequence[Check]) -> dict[Check, str]:
    """What each check came to; fewer than wanted if a signal broke the run off."""
    results: dict[Check, str] = {}
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def one(check: Check) -> None:
        async with limiter:
            began = time.monotonic()
            results[check] = await result(check, Path(tempfile.mkdtemp(dir=folder)))
            say(f"{time.monotonic() - began:5.1f} s  {check.row(results[check])}")

    async with anyio.create_task_group() as group:
        with tempfile.TemporaryDirectory(prefix="clients-") as folder:
            async with anyio.create_task_group() as checks:
                group.start_soon(_stop_on_signal, checks.cancel_scope)
                for check in wanted:
                    checks.start_soon(one, check)
        group.cancel_scope.cancel()
    return results


async def result(check: Check, folder: Path) -> str:
    """The last cell of a check's row."""
    try:
        return await check.run(Place(folder)) or "ok"
    except Exception as error:  # noqa: BLE001 - one broken check must not hide what the others find
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        return f"failed: {cause if isinstance(cause, Failed) else repr(cause)}"


async def _stop_on_signal(scope: anyio.CancelScope) -> None:
    # Cancelled, every check ends the processes that it started; this goes on listening until they have, since a signal
    # to a terminal's whole group comes twice, once through uv.
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for _ in signals:
            scope.cancel()


if __name__ == "__main__":
    sys.exit(main())
