"""Fail on every skipped test of a JUnit report that ALLOW_SKIP (names or ids, separated by spaces) does not name."""

import os
import sys
from xml.etree import ElementTree as ET  # nosec B405 - of what pytest wrote


def main(path: str) -> int:
    """Print the tests that were skipped without leave, each with its reason; their number is not zero → 1."""
    allowed = set(os.environ.get("ALLOW_SKIP", "").split())
    unexpected = []
    for case in ET.parse(path).iter("testcase"):  # nosec B314 # noqa: S314 - pytest wrote the file a moment ago
        name, skipped = case.get("name", ""), case.find("skipped")
        names = {name, name.split("[")[0], f"{case.get('classname', '')}.{name}"}
        if skipped is not None and not names & allowed:
            unexpected.append(f"{case.get('classname')}.{name}: {skipped.get('message', 'no reason given')}")
    for line in unexpected:
        print(f"skipped, and not in ALLOW_SKIP: {line}", file=sys.stderr)
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
