"""The page of figures, each set of them between marks that name the command which writes it."""

import re
from pathlib import Path

from bench.subjects import ROOT

PAGE = ROOT / "docs" / "performance.md"


def put(page: Path, command: str, figures: str) -> None:
    """Put figures between the marks of a command."""
    begin, end = f"<!-- figures: {command} -->", "<!-- /figures -->"
    text = page.read_text(encoding="utf-8")
    marked = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    assert marked.search(text), f"{page} has lost its marks of {command}"
    page.write_text(marked.sub(lambda _: f"{begin}\n{figures}\n{end}", text), encoding="utf-8")
