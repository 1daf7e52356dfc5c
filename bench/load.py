"""Raw clients of the 2026 era, as cheap as can be written: JSON lines over pipes, keep-alive HTTP/1.1 over sockets.

A closed loop: so many calls are in flight, and each answer sends the next one.
"""

import json
import re
import selectors
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from subprocess import Popen
from time import perf_counter
from typing import Any, Protocol
from urllib.parse import urlsplit

PATIENCE_SECONDS = 30.0
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_ID = re.compile(rb'"id": ?(\d+)')


class CallFailed(Exception):
    """An answer was not a good one, so that its time says nothing."""


@dataclass(frozen=True)
class Request:
    """One JSON-RPC request."""

    method: str
    params: dict[str, Any]

    @property
    def name(self) -> str:
        """What it calls."""
        return str(self.params.get("name", ""))

    def body(self, number: int) -> bytes:
        """The message on one line."""
        message = {"jsonrpc": "2.0", "id": number, "method": self.method, "params": {**self.params, "_meta": META}}
        return json.dumps(message, separators=(",", ":")).encode()


def tool(name: str, **arguments: Any) -> Request:
    """A call of a tool."""
    return Request("tools/call", {"name": name, "arguments": arguments})


@dataclass(frozen=True)
class Taken:
    """How long each call of a run took, and the run, in seconds."""

    calls: list[float]
    whole: float


class Way(Protocol):
    """A way to a server."""

    def ask(self, request: Request) -> Any:
        """The result of one call."""

    def run(self, requests: Sequence[Request], in_flight: int) -> Taken:
        """Make all these calls, so many at a time."""


class Pipes:
    """A server's stdin and stdout."""

    def __init__(self, process: Popen[bytes]) -> None:
        self._process = process
        self._number = 0

    def ask(self, request: Request) -> Any:
        """The result of one call."""
        self._write(request.body(self._next()) + b"\n")
        return _result(self._read())

    def run(self, requests: Sequence[Request], in_flight: int) -> Taken:
        """Make all these calls, so many at a time; answers may come in any order."""
        lines = iter([(number := self._next(), request.body(number) + b"\n") for request in requests])
        sent: dict[int, float] = {}
        calls: list[float] = []
        began = perf_counter()
        for number, line in (next(lines) for _ in range(min(in_flight, len(requests)))):
            sent[number] = perf_counter()
            self._write(line)
        for _ in requests:
            answer = self._read()
            now = perf_counter()
            calls.append(now - sent.pop(_number(answer)))
            if (following := next(lines, None)) is not None:
                sent[following[0]] = now
                self._write(following[1])
        return Taken(calls, perf_counter() - began)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def _read(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CallFailed(f"the server ended with {self._process.wait(5)}")
        return _good(line)


class _Connection:
    """One keep-alive connection, with what has arrived of the answer under way."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._got = b""

    def receive(self) -> bytes | None:
        """The body of the answer once all of it is there."""
        arrived = self.socket.recv(1 << 20)
        if not arrived:
            raise CallFailed("the server hung up")
        self._got += arrived
        head, end, body = self._got.partition(b"\r\n\r\n")
        if not end:
            return None
        if (length := _LENGTH.search(head)) is None:
            raise CallFailed(f"no plain answer: {head[:500]!r}")
        if len(body) < int(length[1]):
            return None
        self._got = b""
        return _good(body)


class Connections:
    """A server's port; each call in flight has a connection of its own, kept for a run."""

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 0)
        lines = [
            f"POST {parts.path} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
            "MCP-Protocol-Version: 2026-07-28",
            *([f"Authorization: Bearer {token}"] if token else []),
        ]
        self._head = "\r\n".join(lines)
        self._open: list[_Connection] = []

    def ask(self, request: Request) -> Any:
        """The result of one call."""
        [connection] = self._connections(1)
        connection.socket.sendall(self._message(request, 1))
        while (answer := connection.receive()) is None:
            pass
        return _result(answer)

    def run(self, requests: Sequence[Request], in_flight: int) -> Taken:
        """Make all these calls, so many at a time."""
        messages = iter([self._message(request, number) for number, request in enumerate(requests, 1)])
        connections = self._connections(min(in_flight, len(requests)))
        calls: list[float] = []
        sent: dict[_Connection, float] = {}
        with selectors.DefaultSelector() as selector:
            for connection in connections:
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            began = perf_counter()
            for connection in connections:
                sent[connection] = perf_counter()
                connection.socket.sendall(next(messages))
            while sent:
                ready: list[_Connection] = [key.data for key, _ in selector.select(PATIENCE_SECONDS)]
                if not ready:
                    raise CallFailed("the server is silent")
                for connection in ready:
                    if connection.receive() is None:
                        continue
                    now = perf_counter()
                    calls.append(now - sent.pop(connection))
                    if (following := next(messages, None)) is not None:
                        sent[connection] = now
                        connection.socket.sendall(following)
            return Taken(calls, perf_counter() - began)

    def close(self) -> None:
        """Hang up."""
        for connection in self._open:
            connection.socket.close()
        self._open = []

    def _connections(self, count: int) -> list[_Connection]:
        self.close()  # a server may have closed what lay idle since the last run
        self._open = [_Connection(self._address) for _ in range(count)]
        return self._open

    def _message(self, request: Request, number: int) -> bytes:
        body = request.body(number)
        lines = [self._head, f"Mcp-Method: {request.method}", f"Content-Length: {len(body)}"]
        if request.name:
            lines.append(f"Mcp-Name: {request.name}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _good(answer: bytes) -> bytes:
    if b'"isError":true' in answer or b'"result"' not in answer:
        raise CallFailed(answer[:500].decode(errors="replace"))
    return answer


def _number(answer: bytes) -> int:
    found = _ID.search(answer)
    if found is None:
        raise CallFailed(answer[:500].decode(errors="replace"))
    return int(found[1])


def _result(answer: bytes) -> Any:
    return json.loads(answer)["result"]
