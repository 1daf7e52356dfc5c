"""What scanners look for here, and the proof that they find it; `scripts/scan` runs them."""
