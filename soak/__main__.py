"""`scripts/soak [--minutes N] [--seed S] [--write]`: a mixed load over HTTP with faults; exit 1 on what must not be."""

import argparse
import logging
import random
import sys
import tempfile
from pathlib import Path
from time import monotonic

import anyio

from bench.page import PAGE, put
from soak.load import load
from soak.lofty import Hidden, lofty
from soak.place import MEMBERS, principals, server
from soak.report import line, report
from soak.run import PLANTS, Plant, Run
from soak.tally import Sample, Tally

SAMPLE_SECONDS = 1.0


def main() -> int:
    """Run once."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--seed", type=int, default=1, help="what chance begins with (1)")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/performance.md")
    parser.add_argument("--plant", choices=PLANTS, help="spoil it on purpose: exit 1 shows that it would be seen")
    given = parser.parse_args()
    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # the SDK's client tells of every call that is left
    with tempfile.TemporaryDirectory(prefix="lofty-soak-") as folder:
        tally, figures = anyio.run(soak, Path(folder), given.minutes, given.seed, given.plant)
    print(figures)
    if given.write:
        put(PAGE, "scripts/soak --write", figures)
    for sentence in tally.found():
        print(sentence, file=sys.stderr)
    return 1 if tally.found() else 0


async def soak(folder: Path, minutes: float, seed: int, plant: Plant | None) -> tuple[Tally, str]:
    """The whole run: what was counted, and the figures."""
    async with lofty(seed) as world:
        world.fill(MEMBERS)
        if plant == "leak":  # not hidden at all
            world.hidden[next(iter(world.work))] = Hidden(MEMBERS[0], "Workbench0", 0.0)
        with server(world, folder) as (process, url, said):
            tally = Tally()
            run = Run(url, world, tally, principals(), random.Random(seed), monotonic() + minutes * 60, plant)
            async with anyio.create_task_group() as group:
                group.start_soon(_watch, process.pid, tally)
                await load(run)
                group.cancel_scope.cancel()
            if process.poll() is not None:
                tally.wrong.append(f"the server ended with {process.returncode}")
            tally.wrong += [f"the server logged {one}" for one in said.read_text().splitlines() if "crashed" in one]
        return tally, report(tally, world.weather.struck, minutes)


async def _watch(pid: int, tally: Tally) -> None:
    """Look at the process every second, and say each minute how it stands."""
    while True:
        tally.samples.append(Sample.of(pid))
        if len(tally.samples) % 60 == 0:
            print(line(tally), file=sys.stderr, flush=True)
        await anyio.sleep(SAMPLE_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
