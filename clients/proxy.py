"""A way to a server that adds the Authorization header, for clients that send none: proxy.py URL TOKEN.

It passes bytes on, not requests, so that what is odd in a request reaches the server as it was sent. Each connection
carries one request.
"""

import sys
from urllib.parse import urlsplit

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

LONGEST_HEAD = 1_000_000
GONE = (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError)


async def serve(url: str, token: str) -> None:
    """Listen on a free port, and say where."""
    parts = urlsplit(url)
    added = [f"Authorization: Bearer {token}".encode(), b"Connection: close"]

    async def carry(near: SocketStream) -> None:
        said = BufferedByteReceiveStream(near)
        try:
            async with near, await anyio.connect_tcp(parts.hostname or "", parts.port or 80) as far:
                head = await said.receive_until(b"\r\n\r\n", LONGEST_HEAD)
                kept = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
                await far.send(b"\r\n".join([*kept, *added, b"", b""]))
                async with anyio.create_task_group() as group:
                    group.start_soon(_pass_on, said, far, group.cancel_scope)
                    group.start_soon(_pass_on, far, near, group.cancel_scope)
        except GONE:
            return

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)  # nosec B610 # noqa: S610 - not Django's
        sys.stderr.write(f"Serving MCP at http://127.0.0.1:{port}{parts.path}\n")
        sys.stderr.flush()
        await listener.serve(carry)


async def _pass_on(source: ByteReceiveStream, sink: ByteSendStream, scope: anyio.CancelScope) -> None:
    try:
        async for chunk in source:
            await sink.send(chunk)
    except GONE:
        pass
    scope.cancel()  # whoever hangs up ends it for both


if __name__ == "__main__":
    anyio.run(serve, sys.argv[1], sys.argv[2])
