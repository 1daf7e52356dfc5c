"""What the scanners are told to leave has a reason beside it, and what they are to find is shown to be found."""

import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from scans.prove import differences, marked, rules

ROOT = Path(__file__).parents[1]
CODE = ("lofty_mcp", "tests", "scripts", "bench", "clients", "scans", "soak", "examples")
IGNORES = re.compile(r"#\s*(?:ruff:\s*)?(?:noqa|nosec|nosemgrep)\b")
EXPLAINED = re.compile(
    r"(?:# nosec B\d+(?:, B\d+)* )?"
    r"(?:# (?:ruff: )?noqa: [A-Z]+\d+(?:, [A-Z]+\d+)* )?"
    r"(?:# nosemgrep: [a-z-]+(?:, [a-z-]+)* )?"
    r"--? \S.{3,}"
)
"""Named rules, then one reason for them all."""
PLACE = ("planted/a.py", 3, "a-rule")


def _comments() -> Iterator[tuple[str, str]]:
    for path in (path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))):
        with path.open("rb") as file:
            for token in tokenize.tokenize(file.readline):
                if token.type == tokenize.COMMENT:
                    yield f"{path.relative_to(ROOT)}:{token.start[0]}", token.string


def _unexplained(comment: str) -> bool:
    return IGNORES.search(comment) is not None and EXPLAINED.fullmatch(comment) is None


def test_every_ignore_names_its_rules_and_its_reason() -> None:
    assert not [(place, comment) for place, comment in _comments() if _unexplained(comment)]


@pytest.mark.parametrize(
    "comment",
    [
        "# noqa",
        "# noqa: S105",
        "# noqa: S105 - ",
        "# nosec",
        "# nosec - it is fine",
        "# nosec B105",
        "# nosec B105 # noqa: S105",
        "# nosemgrep",
        "# nosemgrep: not-found-reads-alike",
        "# nosemgrep - it is fine",
        "#nosec B105",
    ],
)
def test_an_ignore_without_rule_or_reason_would_be_noticed(comment: str) -> None:
    assert _unexplained(comment)


def test_an_ignore_with_both_is_fine() -> None:
    assert not _unexplained("# nosec B105 # noqa: S105 - it opens nothing")
    assert not _unexplained("# nosemgrep: not-found-reads-alike - nobody reads it")


def test_something_is_planted_for_every_rule() -> None:
    assert {name for _, _, name in marked()} == rules()


@pytest.mark.parametrize(
    ("wanted", "got", "names", "wrong"),
    [
        ({PLACE}, {PLACE}, {"a-rule"}, []),
        ({PLACE}, set(), {"a-rule"}, ["planted and not found: ('planted/a.py', 3, 'a-rule')"]),
        (set(), {PLACE}, set(), ["found and not planted: ('planted/a.py', 3, 'a-rule')"]),
        ({PLACE}, {PLACE}, {"a-rule", "b-rule"}, ["nothing is planted for b-rule"]),
    ],
)
def test_what_was_found_must_be_what_is_planted(
    wanted: set[tuple[str, int, str]], got: set[tuple[str, int, str]], names: set[str], wrong: list[str]
) -> None:
    assert differences(wanted, got, names) == wrong
