"""Takes each call of the gate out of a copy of the code in turn, and shows that a test notices every time.

A call site is found in the syntax tree: a judgement of a lead, a look through the gate, a row held against its lead, a
wait for the earliest moment.
"""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("lofty_mcp", "tests", "prompts", "pyproject.toml")
FEWEST = 20
"""Call sites there have been; fewer means that they are no longer found, not that they are no longer needed."""
AT_ONCE = 2
TESTS = (
    "tests/noninterference/test_machine.py::test_whatever_is_called_a_hidden_lead_reads_as_one_that_never_was",
    "tests/test_visibility.py",
)
"""What has to notice: first made-up calls, then the single cases that these reach seldom."""
IMPORTED = "from lofty_mcp import ungated  # noqa\n"
UNGATED = '''
"""What the gate would be without its judgement."""

from typing import Any

from lofty_mcp.client import endpoints
from lofty_mcp.errors import LoftyError


async def look(crm: Any, lead_id: str, *_: Any) -> Any:
    try:
        return await endpoints.lead(crm.client, lead_id)
    except LoftyError:
        return None


async def lead(crm: Any, lead_id: str) -> Any:
    return await endpoints.lead(crm.client, lead_id)


async def leads(crm: Any, lead_ids: Any) -> Any:
    return [await look(crm, lead_id) for lead_id in lead_ids]


async def read_back(crm: Any, lead_id: str) -> Any:
    return await endpoints.lead(crm.client, lead_id), True
'''


@dataclass(frozen=True)
class Site:
    """One place where the gate is asked, and what stands there once it is not."""

    path: str
    node: ast.expr
    instead: str

    @property
    def where(self) -> str:
        """File and line."""
        return f"{self.path}:{self.node.lineno}"

    def removed(self, source: str) -> str:
        """The source without this call."""
        lines = source.encode().splitlines(keepends=True)
        begin = sum(map(len, lines[: self.node.lineno - 1])) + self.node.col_offset
        end = sum(map(len, lines[: (self.node.end_lineno or 0) - 1])) + (self.node.end_col_offset or 0)
        whole = source.encode()
        return IMPORTED + (whole[:begin] + f"({self.instead})".encode() + whole[end:]).decode()


def sites() -> Iterator[Site]:
    """Every call site of the gate in the server's code."""
    for path in sorted((ROOT / "lofty_mcp").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if "/sandbox/" in name:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.expr) and (instead := _instead(node, name)):
                yield Site(name, node, instead)


def _instead(node: ast.expr, path: str) -> str | None:
    """What would stand for `node` if the gate were not asked there; None if it is not asked there."""
    if isinstance(node, ast.Compare) and "records" in path and "leadId" in ast.unparse(node.left):
        return "False" if isinstance(node.ops[0], ast.NotEq) else None
    awaited = isinstance(node, ast.Await)
    called = node.value if isinstance(node, ast.Await) else node
    if not isinstance(called, ast.Call):
        return None
    *receiver, name = ast.unparse(called.func).rsplit(".", 1)
    given = ", ".join(ast.unparse(argument) for argument in called.args)
    match name:
        case "visible" if not awaited and receiver in ([], ["visibility"]):
            return "True"
        case "_of" if not awaited and "records" in path:
            return ast.unparse(called.args[1])
        case "_floor" if awaited:
            return "None"
        case "_look" if awaited and "gate" in path:
            return f"await ungated.look(self, {given})"
        case "lead" | "leads" | "read_back" if awaited and receiver and receiver[0].split(".")[-1] in ("crm", "self"):
            return f"await ungated.{name}({receiver[0]}, {given})"
    return None


def survives(site: Site, place: Path) -> bool:
    """Whether no test notices that the gate is not asked at `site`."""
    target = place / site.path
    source = target.read_text(encoding="utf-8")
    target.write_text(site.removed(source), encoding="utf-8")
    try:
        return all(_passes(place, test) for test in TESTS)
    finally:
        target.write_text(source, encoding="utf-8")


def _passes(place: Path, test: str) -> bool:
    run = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", test]
    env = {**os.environ, "PYTHONPATH": str(place)}
    done = subprocess.run(run, cwd=place, env=env, capture_output=True, check=False)  # noqa: S603 - our own tests
    if done.returncode > 1:
        raise RuntimeError(done.stdout.decode() + done.stderr.decode())
    return done.returncode == 0


def _copies(work: Path) -> Callable[[], Path]:
    """A maker of copies of the tree, each with the gate that judges nothing beside it."""

    def copy() -> Path:
        place = Path(tempfile.mkdtemp(dir=work))
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, place / name)
        (place / "lofty_mcp" / "ungated.py").write_text(UNGATED, encoding="utf-8")
        return place

    return copy


def main() -> int:
    """Print a line for each call site; 1 if one can be taken out unnoticed, or too few are found."""
    found = sorted(sites(), key=lambda site: (site.path, site.node.lineno))
    if len(found) < FEWEST:
        print(f"Only {len(found)} call sites of the gate were found, not {FEWEST} or more.")
        return 1
    alive = 0
    with tempfile.TemporaryDirectory() as work, ThreadPoolExecutor(AT_ONCE) as pool:
        copy = _copies(Path(work))

        def tried(site: Site) -> tuple[Site, bool, float]:
            began = time.monotonic()
            return site, survives(site, copy()), time.monotonic() - began

        for site, unnoticed, seconds in pool.map(tried, found):
            alive += unnoticed
            verdict = "NOT NOTICED" if unnoticed else "noticed"
            print(f"{verdict:12}{seconds:5.1f} s  {site.where:34}{ast.unparse(site.node)}", flush=True)
    print(f"{len(found) - alive} of {len(found)} call sites of the gate cannot be taken out unnoticed.")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
