"""The server over HTTP: who calls, what they may, and the way in."""
