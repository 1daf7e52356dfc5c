"""What every test shares: one event loop, no operator settings, no notice of the user's own files."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lofty_mcp import telemetry
from tests.support.web import Builder, accounts
from tests.support.world import ANA, MARK, OWNER, Bench

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from tests.support.watching import Counts


@pytest.fixture
def anyio_backend() -> str:
    """The SDK's transports and the ledger's threads are run under asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No `LOFTY_*` of the developer's own, and a state folder that goes away."""
    for name in [name for name in os.environ if name.startswith("LOFTY_") and name != "LOFTY_OPENAPI"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `scripts/check` ask for what takes long."""
    parser.addoption("--slow", action="store_true", help="run the tests that take long too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long, and the comparison with Lofty's published contract where nobody has that file."""
    left_out = set() if config.getoption("--slow") else {"slow"}
    left_out |= set() if os.environ.get("LOFTY_OPENAPI") else {"published_contract"}
    gone = [item for item in items if any(item.get_closest_marker(name) for name in left_out)]
    items[:] = [item for item in items if item not in gone]
    if gone:
        config.hook.pytest_deselected(items=gone)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is left out, and why."""
    slow = "run" if config.getoption("--slow") else "not run (scripts/check runs them; --slow)"
    contract = "compared" if os.environ.get("LOFTY_OPENAPI") else "not compared (LOFTY_OPENAPI names no file)"
    return [f"Tests that take long: {slow}", f"Lofty's published contract: {contract}"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A small world and servers for its members."""
    return Bench(tmp_path / "lofty")


@pytest.fixture
def builder(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Builder:
    """Sites whose environment holds the Lofty keys of three members."""
    for name, email in (("ANA", ANA), ("MARK", MARK), ("OLIVIA", OWNER)):
        monkeypatch.setenv(f"KEY_{name}", bench.world.key_of(email))
    return Builder(bench, tmp_path)


@pytest.fixture
def both(builder: Builder) -> dict[str, Any]:
    """Settings under which Ana and Mark may both write without being asked."""
    tables = {n: {"credential": f"env:KEY_{n.upper()}", "mode": "auto"} for n in ("ana", "mark")}
    return {"accounts": builder.write_accounts(accounts(**tables)), "mode": "auto"}


@pytest.fixture
def spans() -> Iterator[list["ReadableSpan"]]:
    """The spans that end during the test, as a collector would get them."""
    from tests.support.watching import tracing  # most tests do without OpenTelemetry's SDK

    seen = tracing()
    seen.spans = []
    yield seen.spans
    seen.spans = None


@pytest.fixture
def counts() -> Iterator["Counts"]:
    """What is counted during the test."""
    from tests.support.watching import Counts

    counted = Counts()
    telemetry.use(counted.provider.get_meter("test"))
    yield counted
    telemetry.use(None)
    counted.provider.shutdown()
