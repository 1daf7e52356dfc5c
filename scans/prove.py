"""Compare what semgrep found in `planted/` (its JSON, on stdin) with what is marked there: `# ruleid: name, name`.

A mark stands on the line found, or alone on the line before it. Nothing else may be found, and no
rule be without a mark.
"""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
MARK = re.compile(r"# ruleid: (.+)$")

Place = tuple[str, int, str]
"""A file of `planted/`, a line, and the name of a rule."""


def marked() -> set[Place]:
    """What must be found."""
    places: set[Place] = set()
    for path in (HERE / "planted").rglob("*.py"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if mark := MARK.search(line):
                alone = not line[: mark.start()].strip()
                places |= {(str(path.relative_to(HERE)), number + alone, name) for name in mark[1].split(", ")}
    return places


def found(report: str) -> set[Place]:
    """What was found."""
    results = json.loads(report)["results"]
    return {
        (str(Path(r["path"]).resolve().relative_to(HERE)), r["start"]["line"], r["check_id"].rpartition(".")[2])
        for r in results
    }


def rules() -> set[str]:
    """The names of all rules."""
    return set(re.findall(r"^  - id: (\S+)$", (HERE / "rules.yaml").read_text(encoding="utf-8"), re.MULTILINE))


def differences(wanted: set[Place], got: set[Place], names: set[str]) -> list[str]:
    """What is wrong, in a line each."""
    return [
        *(f"planted and not found: {place}" for place in sorted(wanted - got)),
        *(f"found and not planted: {place}" for place in sorted(got - wanted)),
        *(f"nothing is planted for {name}" for name in sorted(names - {name for _, _, name in wanted})),
    ]


def main() -> int:
    """Print what is wrong; there is something → 1."""
    wrong = differences(marked(), found(sys.stdin.read()), rules())
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
