"""Helpers of the tests: a world behind a real server, driven by a real MCP client."""
