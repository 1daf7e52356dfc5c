"""`python -m lofty_mcp` is `lofty-mcp`."""

import sys

from lofty_mcp.cli import main

if __name__ == "__main__":
    sys.exit(main())
