"""JSON-RPC over HTTP by hand, in both eras: for what an MCP client would not send or not show."""

import json
from typing import Any

import httpx2

REVISIONS = {"auto": "2026-07-28", "legacy": "2025-11-25"}
"""What a request names itself, by era."""
_META = "io.modelcontextprotocol/"


def message(method: str, era: str = "auto", number: int | str = 1, **params: Any) -> dict[str, Any]:
    """A request as `httpx2` takes it: headers and JSON."""
    headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": REVISIONS[era]}
    if era == "auto":
        headers["mcp-method"] = method
        if (name := params.get("name") or params.get("uri")) is not None:
            headers["mcp-name"] = name
        params["_meta"] = {f"{_META}protocolVersion": REVISIONS[era], f"{_META}clientCapabilities": {}}
    return {"headers": headers, "json": {"jsonrpc": "2.0", "id": number, "method": method, "params": params}}


def call(tool: str, era: str = "auto", **arguments: Any) -> dict[str, Any]:
    """A tool call as `httpx2` takes it."""
    return message("tools/call", era, name=tool, arguments=arguments)


def said(response: httpx2.Response) -> dict[str, Any]:
    """The JSON-RPC answer, plain or as the last event of a stream."""
    text = response.text
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        text = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")][-1]
    answer: dict[str, Any] = json.loads(text)
    return answer


def result(response: httpx2.Response) -> dict[str, Any]:
    """The result of an answer that has one."""
    answer = said(response)
    assert "result" in answer, answer
    found: dict[str, Any] = answer["result"]
    return found


def outcomes(response: httpx2.Response) -> list[str]:
    """The outcome of each lead of a write."""
    told = result(response)
    assert not told.get("isError"), told
    return [row["outcome"] for row in told["structuredContent"]["results"]]
