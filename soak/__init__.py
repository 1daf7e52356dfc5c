"""A long mixed load over HTTP, with faults on the way, and what came of it; `scripts/soak` runs it."""
