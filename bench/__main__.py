"""`scripts/bench [--quick] [--write]`: measure, print, and with --write put the figures into docs/performance.md."""

import argparse
import re
import sys
import tempfile
from pathlib import Path

import anyio

from bench.exact import count
from bench.replies import record
from bench.report import report
from bench.rounds import FULL, QUICK, Calls, measure, same_shapes
from bench.subjects import ROOT, place

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures: scripts/bench --write -->", "<!-- /figures -->"


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
        write(figures)


def write(figures: str) -> None:
    """Put the figures between the marks of the page."""
    page = PAGE.read_text(encoding="utf-8")
    marked = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    assert marked.search(page), f"{PAGE} has lost its marks"
    PAGE.write_text(marked.sub(lambda _: f"{BEGIN}\n{figures}\n{END}", page), encoding="utf-8")


if __name__ == "__main__":
    main()
