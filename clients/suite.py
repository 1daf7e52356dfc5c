"""The conformance suite, as far as it can be asked of a server that was not made for it."""

import json
from contextlib import AsyncExitStack
from functools import partial

import anyio

from clients.check import LEGACY, MODERN, Check, pins
from clients.place import HERE, MODULES, TOKEN, Json, Place, demand

CONFORMANCE = str(MODULES / ".bin" / "conformance")
FOLDER = HERE / "conformance"
OF_SESSIONS = {"server-session-lifecycle", "server-sse-multiple-streams"}
"""Scenarios that may find nothing to check in a server without sessions."""
GOOD = {"SUCCESS", "INFO", "SKIPPED"}


def scenarios(revision: str) -> list[str]:
    """The scenarios that are run at a revision."""
    lines = (FOLDER / "scenarios.txt").read_text(encoding="utf-8").splitlines()
    return [name for line in lines if not line.startswith("#") for at, name in [line.split()] if at == revision]


async def conform(place: Place, *, era: str, token: str | None) -> str:
    """Run a revision's scenarios; the suite sends no header, so with a token it goes through a proxy."""
    counts: list[int] = []
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(place.server(token))
        if token:
            url = await stack.enter_async_context(place.proxy(url, token))
        for name in scenarios(era):
            with anyio.fail_after(60):
                counts.append(await _scenario(place, url, era, name))
    return f"ok; {sum(counts)} checks hold"


async def _scenario(place: Place, url: str, era: str, name: str) -> int:
    """Run one and answer how many of its checks hold."""
    out = place.folder / f"{name}"
    expected = FOLDER / f"expected-{era}.yml"
    known = expected.read_text(encoding="utf-8")
    baseline = ["--expected-failures", str(expected)] if f"{name}:" in known else []
    wanted = ("--scenario", name, "--spec-version", era, "-o", str(out))
    ended = await place.run(CONFORMANCE, "server", "--url", url, *wanted, *baseline)
    files = list(out.glob("*/checks.json"))
    demand(len(files) == 1, f"{name} made no report: {ended.tail()}")
    made: list[Json] = json.loads(files[0].read_text(encoding="utf-8"))
    bad = [check["id"] for check in made if check["status"] not in GOOD]
    strange = [check for check in bad if f"{name}:{check}" not in known]
    demand(ended.code == 0 and not strange, f"{name}: {', '.join(strange) or ended.tail()}")
    held: int = sum(check["status"] == "SUCCESS" for check in made)
    demand(held > 0 or name in OF_SESSIONS, f"{name} checked nothing")
    return held


def checks() -> list[Check]:
    """The rows of the suite."""
    version = pins()["@modelcontextprotocol/conformance"]
    return [
        Check(
            "Conformance suite",
            version,
            f"HTTP{', bearer token' if token else ''}",
            era,
            f"the {len(scenarios(era))} scenarios that need no fixtures{', through a proxy' if token else ''}",
            partial(conform, era=era, token=token),
        )
        for token in (None, TOKEN)
        for era in (MODERN, LEGACY)
    ]
