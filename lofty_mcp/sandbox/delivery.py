"""How an answer travels: reading the request, collecting the answer, and cutting the connection when a fault says so.

Under a real server the TCP connection is cut for good (a reset, or half a body and the end); under an in-process
transport, which has no connection, `SandboxReset` is raised instead.
"""

import socket
import struct
from typing import Any

import anyio
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lofty_mcp.sandbox.faults import Fault, SandboxReset


async def read(receive: Receive) -> bytes:
    """The whole request body."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body


async def collect(app: ASGIApp, scope: Scope, raw: bytes) -> Response:
    """Run the app on a body read before and return its answer instead of sending it."""
    answer = Response()
    answer.raw_headers = []
    parts: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": raw, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status_code = message["status"]
            answer.raw_headers = list(message["headers"])
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    answer.body = b"".join(parts)
    return answer


async def before(fault: Fault | None, receive: Receive, send: Send) -> bool:
    """Wait, or cut the connection before anything is processed, if the fault says so; True when it was cut."""
    if fault is not None and fault.kind == "latency":
        await anyio.sleep(fault.value)
    if fault is None or fault.kind != "reset_before":
        return False
    transport = _transport(send)
    if transport is None:
        raise SandboxReset("before")
    await _reset(transport, receive)
    return True


async def cut(fault: Fault | None, answer: Response, receive: Receive, send: Send) -> bool:
    """Cut the connection instead of answering, or half way through the answer; True when it was cut."""
    if fault is None or fault.kind not in {"reset_after", "half_body"}:
        return False
    transport = _transport(send)
    if transport is None:
        raise SandboxReset("after")
    if fault.kind == "reset_after":
        await _reset(transport, receive)
        return True
    await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
    half = bytes(answer.body)[: len(answer.body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})
    transport.close()
    await _gone(receive)
    return True


def _transport(send: Send) -> Any:
    """The connection under uvicorn, whose `send` is a method of the request cycle; None in-process."""
    return getattr(getattr(send, "__self__", None), "transport", None)


async def _reset(transport: Any, receive: Receive) -> None:
    # Lingering for zero seconds turns the close into a TCP reset.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await _gone(receive)


async def _gone(receive: Receive) -> None:
    """Wait until the server knows that the connection is gone; it would complain of a missing answer otherwise."""
    while (await receive())["type"] != "http.disconnect":
        pass
