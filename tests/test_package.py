"""What the package's own shape promises: imports point one way, few places do I/O, every failure is in one tree."""

import ast
import importlib
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

import lofty_mcp
from lofty_mcp import errors
from lofty_mcp.errors import LoftyError

ROOT = Path(lofty_mcp.__file__).parent
PROJECT = Path(__file__).parents[1]
TOP = ("cli", "demo", "doctor", "__main__")
"""The ways in: they print, and may start the sandbox."""

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "errors": (),
    "logs": (),
    "settings": (),
    "models": ("models", "errors"),
    "ledger": ("ledger",),
    "telemetry": (),
    "exporters": ("prompts", "settings", "telemetry", "tools"),
    "audit_log": ("ledger",),
    "client": ("client", "models", "errors", "telemetry"),
    "accounts": ("client", "guard.plans", "settings"),
    "app": ("accounts", "guard", "ledger", "models", "settings"),
    "listening": ("app",),
    "guard": ("guard", "app", "client", "ledger", "models", "errors", "settings", "telemetry"),
    "tools": (
        "tools",
        "app",
        "guard",
        "client.requests",
        "client.vocabulary",
        "ledger",
        "models",
        "errors",
        "settings",
    ),
    "resources": ("tools", "app", "ledger", "models", "errors"),
    "completions": ("tools", "app", "models", "errors"),
    "prompts": ("app", "models"),
    "server": (
        *("accounts", "app", "client", "completions", "errors", "guard", "ledger", "listening", "prompts", "resources"),
        *("settings", "telemetry", "tools"),
    ),
    "stdio": ("app", "client.client", "ledger", "server", "settings"),
    "web": (
        *("web", "accounts", "app", "client.credentials", "errors", "guard.effects", "server", "settings", "tools"),
    ),
    "hosts": (),
    "sandbox": ("sandbox",),
}
"""What a part may import of ours, as prefixes; the ways in may import all."""

PURE = (
    "models",
    "client.requests",
    "client.wire",
    "client.resilience",
    "guard.visibility",
    "guard.effects",
    "guard.outreach",
    "guard.draft",
    "guard.zones",
    "guard.pages",
    "web.jwks",
)
IO = {"anyio", "asyncio", "httpx2", "io", "logging", "os", "shutil", "socket", "sqlite3", "subprocess", "threading"}
IO |= {"multiprocessing", "pathlib", "tempfile", "time", "urllib.request", "uvicorn"}
ONLY_IN: dict[str, tuple[str, ...]] = {
    "httpx2": ("accounts", "client.client", "client.oauth", "client.tokens", "server", "stdio", "web", *TOP),
    "sqlite3": ("ledger", "sandbox"),
    "socket": ("sandbox", "stdio", "web.serve", *TOP),
    "subprocess": TOP,
}

OUTSIDE_THE_TREE = {
    "lofty_mcp.settings.BadSettings": "ends the start of the process; there is no model yet",
    "lofty_mcp.ledger.LedgerError": "turned into LedgerUnavailable where a model would read it",
    "lofty_mcp.client.pacing.MustWait": "turned into RateLimited by the client",
    "lofty_mcp.ledger.WritesPaused": "turned into Refused right before a request would leave",
    "lofty_mcp.web.callers.NotLetIn": "an answer of HTTP, before there is a call",
    "lofty_mcp.web.keys.KeysUnavailable": "answered 503 before there is a call",
}
"""Exceptions of ours that no model reads, each with the reason."""


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield name, ast.parse(path.read_text(encoding="utf-8"))


MODULES = dict(_modules())


def _under(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _typing_only(tree: ast.Module) -> set[ast.AST]:
    blocks = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test).endswith("TYPE_CHECKING")]
    return {inner for block in blocks for statement in block.body for inner in ast.walk(statement)}


def _imports(tree: ast.Module) -> set[str]:
    """The modules that `tree` imports, as dotted names; `from a import b` counts as `a.b` where that is a module."""
    found: set[str] = set()
    skipped = _typing_only(tree)
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}".removeprefix("lofty_mcp.")
                found.add(f"lofty_mcp.{inner}" if inner in MODULES else str(node.module))
    return found


def _ours(name: str) -> set[str]:
    return {
        imported.removeprefix("lofty_mcp").removeprefix(".")
        for imported in _imports(MODULES[name])
        if _under(imported, ("lofty_mcp",))
    }


@pytest.mark.parametrize("name", [name for name in MODULES if name and not _under(name, TOP)])
def test_imports_point_one_way(name: str) -> None:
    part = name.split(".")[0]
    assert part in MAY_IMPORT, f"{part} is new: say in MAY_IMPORT what it stands on"
    assert not [other for other in _ours(name) if not _under(other, MAY_IMPORT[part])]


def test_tools_cannot_reach_the_client_past_the_gate() -> None:
    past = {f"client.{name}" for name in ("client", "endpoints", "credentials", "oauth", "tokens")}
    assert past <= set(MODULES)
    for name in MODULES:
        if _under(name, ("tools", "resources", "completions", "prompts")):
            assert not past & _ours(name), name


def test_only_the_ways_in_import_the_sandbox() -> None:
    users = {name for name in MODULES if any(_under(other, ("sandbox",)) for other in _ours(name))}
    assert {name for name in users if not _under(name, ("sandbox", *TOP))} == set()


@pytest.mark.parametrize("part", PURE)
def test_what_decides_and_what_parses_does_no_io(part: str) -> None:
    checked = [name for name in MODULES if _under(name, (part,))]
    assert checked
    for name in checked:
        assert not {i for i in _imports(MODULES[name]) if _under(i, tuple(IO))}, name


@pytest.mark.parametrize(("library", "places"), ONLY_IN.items())
def test_a_library_that_does_io_is_used_in_its_place_only(library: str, places: tuple[str, ...]) -> None:
    users = {name for name, tree in MODULES.items() if any(_under(i, (library,)) for i in _imports(tree))}
    assert not {name for name in users if not _under(name, places)}


def test_only_settings_reads_the_environment() -> None:
    """But for the demo, which hands it on to the programs it starts, less every setting of ours."""
    readers = {
        name
        for name, tree in MODULES.items()
        if re.search(r"\b(environb?|getenvb?|expandvars|load_dotenv)\b", ast.unparse(tree))
    }
    assert readers <= {"settings", "demo"}


def test_only_the_ways_in_print() -> None:
    for name, tree in MODULES.items():
        called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        writes = called & {"print", "sys.stdout.write", "sys.stdout.buffer.write"}
        assert not writes or _under(name, TOP), name


def test_an_import_that_is_not_allowed_would_be_noticed() -> None:
    planted = ast.parse(
        "import sqlite3\nfrom lofty_mcp.client import endpoints\nfrom lofty_mcp.client.client import Hook"
    )
    assert _imports(planted) == {"sqlite3", "lofty_mcp.client.endpoints", "lofty_mcp.client.client"}


def test_every_failure_that_a_model_may_read_is_in_one_tree() -> None:
    strays = {
        f"{cls.__module__}.{cls.__qualname__}"
        for cls in _exceptions()
        if not issubclass(cls, LoftyError) and not _under(cls.__module__.removeprefix("lofty_mcp."), ("sandbox", *TOP))
    }
    assert strays == set(OUTSIDE_THE_TREE)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"^(?:[│ ]*[├└]── )?(\w+)(?: {2,}.*)?$", errors.__doc__ or "", re.MULTILINE)
    assert drawn == [name for name, _ in inspect.getmembers(errors, _is_ours) if name == "LoftyError"] + [
        cls.__name__ for cls in _in_order() if cls is not LoftyError
    ]


def test_no_error_says_more_than_what_to_do_when_it_is_raised_bare() -> None:
    for cls in _in_order():
        assert str(cls()).endswith(".")


def test_the_version_installed_is_the_one_in_pyproject() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert version("lofty-mcp") == project["version"]


def _is_ours(thing: object) -> bool:
    return inspect.isclass(thing) and issubclass(thing, Exception) and thing.__module__ == errors.__name__


def _in_order() -> list[type[Exception]]:
    return [thing for thing in vars(errors).values() if _is_ours(thing)]


def _exceptions() -> set[type[BaseException]]:
    found: set[type[BaseException]] = set()
    for info in pkgutil.walk_packages([str(ROOT)], "lofty_mcp."):
        if info.name == "lofty_mcp.__main__":
            continue
        module = importlib.import_module(info.name)
        classes = [thing for thing in vars(module).values() if inspect.isclass(thing)]
        found |= {c for c in classes if issubclass(c, BaseException) and c.__module__ == info.name}
    return found
