"""Every example verifies itself; here they are run as a reader would run them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process import ROOT, environment

EXAMPLES = sorted((ROOT / "examples").glob("*/main.py"))


@pytest.mark.parametrize("program", EXAMPLES, ids=[program.parent.name for program in EXAMPLES])
def test_an_example_does_what_it_says(program: Path, tmp_path: Path) -> None:
    env = environment(tmp_path)
    ended = subprocess.run([sys.executable, program], env=env, capture_output=True, text=True, timeout=90, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout


def test_each_example_is_explained() -> None:
    assert EXAMPLES
    assert all(program.with_name("README.md").is_file() for program in EXAMPLES)
