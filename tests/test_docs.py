"""What the documents say is so: their tables come from the code, their links and the tests they name exist."""

import ast
import inspect
import os
import re
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest
from pydantic import AliasChoices

from lofty_mcp import settings, tools
from lofty_mcp.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
UPDATE = "UPDATE_DOCS=1 ./scripts/test tests/test_docs.py"
QUIRKS = 36


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _tools() -> str:
    rows = [
        (
            f"`{spec.name}`",
            (inspect.getdoc(spec.fn) or "").split("\n\n")[0].replace("\n", " "),
            spec.effect.name.lower(),
        )
        for spec in tools.ALL
    ]
    return _table(("Tool", "What it does", "Effect"), rows)


def _settings() -> str:
    defaults = {
        str(field.validation_alias.choices[0]): _default(name, field.default)
        for name, field in Settings.model_fields.items()
        if isinstance(field.validation_alias, AliasChoices)
    }
    rows = [(f"`{name}`", defaults[name], text) for name, text in settings.variables().items()]
    return _table(("Variable", "Default", "What it is"), rows)


def _default(name: str, value: object) -> str:
    if name == "state_dir":
        return "the user's state folder"
    if isinstance(value, tuple):
        value = ",".join(value)
    if isinstance(value, float):
        value = f"{value:g}"
    return f"`{value}`" if value not in (None, "") else ""


@pytest.mark.parametrize(("section", "make"), [("tools", _tools), ("settings", _settings)])
def test_a_table_of_the_readme_is_the_one_that_the_code_makes(section: str, make: Callable[[], str]) -> None:
    begin, end = f"<!-- {section} -->\n", f"<!-- /{section} -->"
    before, rest = _text("README.md").split(begin)
    shown, after = rest.split(end)
    expected = f"{make()}\n"
    if os.environ.get("UPDATE_DOCS"):
        (ROOT / "README.md").write_text(f"{before}{begin}{expected}{end}{after}", encoding="utf-8")
        return

    assert shown == expected, f"README.md is behind the code; mend it with: {UPDATE}"


def test_the_readme_opens_with_the_two_commands() -> None:
    first = _text("README.md").split("```sh")[1:3]
    assert [line.split("#")[0].strip() for line in first[0].split("```")[0].strip().splitlines()] == [
        "./scripts/demo",
        "./scripts/test",
    ]
    assert first[1].split("```")[0].strip().splitlines() == ["uv run lofty-mcp demo", "uv run pytest"]


def test_every_command_that_a_page_names_is_there() -> None:
    for page in PAGES:
        for script in re.findall(r"\./(scripts/\w+|\.ci/\w+)", page.read_text(encoding="utf-8")):
            assert os.access(ROOT / script, os.X_OK), f"{page.name}: {script}"


def test_every_variable_that_a_page_names_exists() -> None:
    known = {*settings.variables(), "LOFTY_OPENAPI", "LOFTY_KEY_ANA"}  # the last is an operator's own
    for page in PAGES:
        named = set(re.findall(r"\bLOFTY_[A-Z_]+\b", page.read_text(encoding="utf-8")))
        assert named <= known, page.name


def test_every_mode_has_a_row() -> None:
    rows = re.findall(r"^\| `([a-z]+)`.*\|$", _text("README.md").split("## Modes")[1].split("## ")[0], re.MULTILINE)
    assert rows == list(settings.Mode)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_every_path_that_a_page_names_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", link)]
    paths = re.findall(r"`((?:tests|lofty_mcp|scripts|docs|examples|prompts)/[\w./]+)(?:::\w+)?`", text)
    missing = [link for link in links if not (page.parent / link.split("#")[0]).exists()]
    assert missing + [path for path in paths if not (ROOT / path).exists()] == []


def _rows(page: str) -> list[tuple[str, ...]]:
    """The rows of a page's tables that bear a number."""
    rows = re.findall(r"^\| ([A-Z]*\d+\w?) \|(.*)\|(.*)\|(.*)\|$", _text(page), re.MULTILINE)
    return [tuple(cell.strip() for cell in row) for row in rows]


def test_every_quirk_has_one_row() -> None:
    assert [int(row[0]) for row in _rows("docs/quirks.md")] == list(range(1, QUIRKS + 1))


def test_every_threat_has_one_row() -> None:
    numbers = [row[0] for row in _rows("docs/threat-model.md")]
    assert len(set(numbers)) == len(numbers)
    assert {f"MCP{n:02}" for n in range(1, 11)} | {f"A4{letter}" for letter in "abcdef"} <= set(numbers)


@cache
def _tests_in(path: str) -> set[str]:
    return {n.name for n in ast.parse(_text(path)).body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("row", [*_rows("docs/quirks.md"), *_rows("docs/threat-model.md")], ids=lambda row: row[0])
def test_the_test_that_a_row_names_exists(row: tuple[str, ...]) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row[3])
    assert all(row)
    assert named or row[3] == "unused" or row[3].startswith("Cannot apply")
    for path, name in named:
        assert name in _tests_in(path)


def test_every_quirk_that_the_code_names_is_on_the_page() -> None:
    for path in (ROOT / "lofty_mcp").rglob("*.py"):
        for numbers in re.findall(r"quirks? ((?:\d+(?:, | and )?)+)", path.read_text(encoding="utf-8")):
            assert all(1 <= int(n) <= QUIRKS for n in re.findall(r"\d+", numbers)), path.name


def _dependencies() -> list[str]:
    project = tomllib.loads(_text("pyproject.toml"))
    extras = project["project"]["optional-dependencies"]
    groups = [*extras.values(), *project["dependency-groups"].values()]
    named = [line for group in groups for line in group if not line.startswith("lofty-mcp[")]
    return [*project["project"]["dependencies"], *project["build-system"]["requires"], *named]


def test_every_dependency_is_explained_and_none_that_is_gone() -> None:
    table = _text("CONTRIBUTING.md").split("## Dependencies")[1]
    explained = re.findall(r"^\| `([\w-]+)` \| \S.*\|$", table, re.MULTILINE)
    assert sorted(explained) == sorted({re.split(r"[<>=!~;\[ ]", line)[0] for line in _dependencies()})


def test_every_dependency_is_bounded() -> None:
    unbounded = [line for line in _dependencies() if ">=" not in line or "<" not in line]
    assert [line for line in unbounded if not line.startswith("tzdata>=")] == []
