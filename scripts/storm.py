"""Ten thousand writes in bad weather: prints what happened; exits 1 if one was done twice or told wrongly."""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from tests.support.storm import storm


def main() -> int:
    """Rage and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writes", type=int, default=10_000, help="how many (10000); 15000 at most, as the log is cut")
    parser.add_argument("--seed", type=int, default=42, help="of the weather (42)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, storm(Path(folder), seed=asked.seed) as raging:
        asyncio.run(raging.rage(asked.writes))
        figures = raging.figures()
        troubles = [line for web in raging.webs for line in web.stderr().splitlines() if "Traceback" in line]
    wrong = figures["wrong"]
    print(json.dumps(figures | {"wrong": len(wrong), "examples": wrong[:20], "tracebacks": len(troubles)}, indent=2))
    return 1 if wrong or troubles or figures["writes intended"] < asked.writes else 0


if __name__ == "__main__":
    sys.exit(main())
