"""`scripts/bench [--quick] [--write]`: measure, print, and with --write put the figures into docs/performance.md."""

import argparse
import sys
import tempfile
from pathlib import Path

import anyio

from bench.exact import count
from bench.page import PAGE, put
from bench.replies import record
from bench.report import report
from bench.rounds import FULL, QUICK, Calls, measure, same_shapes
from bench.subjects import ROOT, place


def main() -> None:
    """Run once."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="What the server costs beside a bare one.")
    parser.add_argument("--quick", action="store_true", help="less of everything, within a minute: does it work at all")
    parser.add_argument("--write", action="store_true", help=f"write the figures into {PAGE.relative_to(ROOT)}")
    given = parser.parse_args()
    if given.quick and given.write:
        parser.error("figures worth writing take the whole run")
    plan = QUICK if given.quick else FULL
    with tempfile.TemporaryDirectory(prefix="lofty-bench-") as folder:
        replies = anyio.run(record, Path(folder, "recorded"))
        exact = anyio.run(count, Path(folder, "counted"))
        with place(replies, Path(folder)) as here:
            same_shapes(here, Calls(replies.lead_id))
            measured = measure(here, replies, plan, lambda text: print(text, file=sys.stderr, flush=True))
    figures = report(measured, exact, plan.rounds)
    print(figures)
    if given.write:
        put(PAGE, "scripts/bench --write", figures)


if __name__ == "__main__":
    main()
