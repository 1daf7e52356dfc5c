"""What the server costs, measured against a bare one in the same run; `scripts/bench` runs it."""
