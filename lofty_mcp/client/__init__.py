"""Everything that knows Lofty: `wire` (pure), `client` (the I/O), pacing, credentials and the account's vocabulary."""
