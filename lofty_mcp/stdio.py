"""Serving over stdin and stdout, with one way to end: the client hangs up, or a signal acts as if it had.

The SDK reads stdin in a thread that nothing can interrupt, so it reads a socket of ours instead, which a signal can
end. What then unwinds is the same in every case: reads are dropped, a write under way is carried through, the ledger
is closed.
"""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec

import anyio
import httpx2
from mcp.server import MCPServer

from lofty_mcp.app import App
from lofty_mcp.server import build_server, check
from lofty_mcp.settings import BadSettings, Settings

LAST_RESORT_SECONDS = 20.0
"""Longer than one write with its read-back (`guard.tickets`), after which something hangs that should not."""
CHUNK = 65_536

log = logging.getLogger(__name__)


def serve(settings: Settings, transport: httpx2.AsyncBaseTransport | None = None, sandbox: str | None = None) -> None:
    """Serve until stdin ends or a signal says so; `transport` and `sandbox` as in `build_server`.

    Raises:
        BadSettings: there is no usable credential, or nobody to talk to.
        LedgerError: the state folder cannot be used.
    """
    if sys.stdin is None or sys.stdout is None:
        raise BadSettings("stdin or stdout is closed, so there is nobody to talk to; an MCP client starts this command")
    anyio.run(check, settings)
    server = build_server(settings, transport=transport, sandbox=sandbox)
    if os.name == "nt":
        _serve_on_windows(server)
        return
    anyio.run(_serve, server, backend_options={"use_uvloop": find_spec("uvloop") is not None})


async def _serve(server: MCPServer[App]) -> None:
    end = substitute_stdin()
    async with anyio.create_task_group() as group:
        group.start_soon(_end_on_signal, end)
        await _until_the_end(server)
        group.cancel_scope.cancel()


async def _until_the_end(server: MCPServer[App]) -> None:
    try:
        await server.run_stdio_async()
    except* (BrokenPipeError, ConnectionResetError):
        log.info("the client hung up while it was being answered")


async def _end_on_signal(end: Callable[[], None]) -> None:
    # Held open to the very end: hosts send SIGTERM two seconds after closing stdin, perhaps in the middle of a write.
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("ending on a signal", extra={"signal": signal.Signals(number).name})
            end()


def substitute_stdin() -> Callable[[], None]:
    """Put a socket in the place of file descriptor 0, fed with what arrives there; what is returned ends it."""
    real = os.dup(0)
    inner, outer = socket.socketpair()
    os.dup2(inner.fileno(), 0)
    inner.close()

    def end() -> None:
        last_resort = threading.Timer(LAST_RESORT_SECONDS, os._exit, [0])
        last_resort.daemon = True
        last_resort.start()
        with suppress(OSError):
            outer.shutdown(socket.SHUT_WR)

    def feed() -> None:
        with suppress(OSError):
            while data := os.read(real, CHUNK):
                outer.sendall(data)
        end()

    threading.Thread(target=feed, daemon=True).start()
    return end


def _serve_on_windows(server: MCPServer[App]) -> None:
    # No socket can stand for stdin there. Ctrl-C cancels the call under way, and stdin, which the client that shares
    # the console closes as well, ends the process.
    with suppress(KeyboardInterrupt):
        anyio.run(_until_the_end, server)
