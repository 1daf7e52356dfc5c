"""What every test shares: one event loop, no operator settings, no notice of the user's own files."""

import os
from pathlib import Path

import pytest

from tests.support.world import Bench


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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the comparison with Lofty's published contract where nobody has that file."""
    if os.environ.get("LOFTY_OPENAPI"):
        return
    published = [item for item in items if item.get_closest_marker("published_contract")]
    items[:] = [item for item in items if item not in published]
    if published:
        config.hook.pytest_deselected(items=published)


def pytest_report_header() -> str:
    """Say what is left out, and why."""
    if os.environ.get("LOFTY_OPENAPI"):
        return "Lofty's published contract: compared"
    return "Lofty's published contract: not compared (LOFTY_OPENAPI names no file)"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A small world and servers for its members."""
    return Bench(tmp_path / "lofty")
