"""The HTTP mode as a process: one event loop, patient with nobody who sends slowly, and gone within five seconds."""

import asyncio
import logging
import math
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

import anyio
import httpx2
import uvicorn
from pydantic import SecretStr
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from lofty_mcp.server import check
from lofty_mcp.settings import BadSettings, Settings, is_loopback
from lofty_mcp.web.app import Web, build_web
from lofty_mcp.web.bounds import LARGEST_HEADERS, PATIENCE_SECONDS

KEYS = "LOFTY_MCP_JWKS"
IDLE_SECONDS = 30
SPARE_FILES = 256
"""For connections to Lofty, the ledger and all else that is not a caller."""
GRACE_SECONDS = 4
LAST_RESORT_SECONDS = 4.5
"""After that the process ends whatever is under way: a write that was sent is in the ledger and is looked up later."""

log = logging.getLogger(__name__)


def run(
    settings: Settings,
    host: str,
    port: int,
    say: Callable[[str], None],
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    sandbox: str | None = None,
    patience: float = PATIENCE_SECONDS,
) -> None:
    """Serve `settings` until a signal; `say` tells the operator where, and the token if one had to be made.

    On this machine a token is made if none is set, and a sandbox asks for none. `patience` is how many seconds a
    request's headers may take, and then its body.

    Raises:
        BadSettings: it would be open to the wrong people or to none, or cannot start.
        LedgerError: the state folder cannot be used.
    """
    made = open_door = None
    if settings.token is None and settings.accounts is None and is_loopback(host):
        open_door = sandbox is not None
        made = None if open_door else secrets.token_urlsafe(32)
        settings = settings.model_copy(update={"token": SecretStr(made) if made else None})
    if settings.token and settings.accounts and not settings.has_credential:
        raise BadSettings(
            "LOFTY_MCP_TOKEN is for the Lofty credential of the environment, and none is set: set LOFTY_API_KEY, or "
            "leave LOFTY_MCP_TOKEN out"
        )
    anyio.run(partial(check, settings, credential=bool(settings.token or open_door)))
    web = build_web(
        settings, host=host, open_door=bool(open_door), patience=patience, transport=transport, sandbox=sandbox
    )
    listener = listen(host, port)
    url = address(listener)

    def announce() -> None:
        if made is not None:
            say(f"Bearer token for this run: {made}")
        say(f"Serving MCP at {url}")

    serve(web, listener, settings.connections, announce, patience)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one.

    Raises:
        BadSettings: the port cannot be used.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else "no such address"
        raise BadSettings(f"port {port} of {host} cannot be used: {why}. --port and --host choose another") from None


def address(listener: socket.socket) -> str:
    """Where clients on this machine find `listener`."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/mcp" if ":" in host else f"http://{host}:{port}/mcp"


def serve(web: Web, listener: socket.socket, connections: int, on_ready: Callable[[], None], patience: float) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the accounts file again.

    Raises:
        BadSettings: the accounts file cannot be used.
    """
    config = uvicorn.Config(
        web.asgi,
        http=type("_Protocol", (_Impatient,), {"patience": patience}),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=connections,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    _make_room(connections)
    if threading.current_thread() is threading.main_thread():
        # uvicorn raises the signal again once it has stopped; by then it must do nothing.
        signal.signal(signal.SIGTERM, _ignore)
    with listener, suppress(KeyboardInterrupt):
        _Server(config, web, on_ready).run(sockets=[listener])


def _make_room(connections: int) -> None:
    """Raise this process's own limit of open files, where it has one, so that the connections fit."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        needed = connections + SPARE_FILES
        if soft < needed:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed if hard < 0 else min(needed, hard), hard))


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, web: Web, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._web = web
        self._on_ready = on_ready
        self._reloading: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._web.accounts is not None:
            await self._web.accounts.directory()
        if self._web.verifier is not None and not await self._web.verifier.has_keys():
            if "://" not in self._web.keys_at:
                raise BadSettings(f'{KEYS}: {self._web.keys_at} cannot be read, or is no JWKS: {{"keys": [...]}}')
            log.warning("the issuer's keys cannot be had, so nobody with a JWT is let in", extra={"setting": KEYS})
        await super().startup(sockets)
        if hasattr(signal, "SIGHUP"):
            with suppress(ValueError, RuntimeError):  # not in the main thread
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._web.stop_writing()
        last_resort = threading.Timer(LAST_RESORT_SECONDS, os._exit, [0])
        last_resort.daemon = True
        last_resort.start()
        log.info("ending on a signal", extra={"signal": signal.Signals(sig).name})
        # Always as if it were SIGTERM: at a second Ctrl-C uvicorn would drop the writes that are under way.
        super().handle_exit(signal.SIGTERM, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._web.stop_waiting()
        await super().shutdown(sockets)

    def _reload(self) -> None:
        self._reloading = asyncio.get_running_loop().create_task(self._read_again())

    async def _read_again(self) -> None:
        if self._web.accounts is not None:
            with suppress(BadSettings):  # logged where it was found; nobody is let in until it is mended
                await self._web.accounts.directory(again=True)


class _Impatient(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """Hangs up on a connection that does not bring whole headers soon, or brings too many of them."""

    patience: float

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._head = 0
        self._behind = -math.inf  # counted with the fast parser only; the other one has a bound of its own
        self._late: asyncio.TimerHandle | None = self.loop.call_later(self.patience, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._is_answering():
            self._head += len(data)
            self._late = self._late or self.loop.call_later(self.patience, self.transport.close)
        self._behind += len(data)
        super().data_received(data)
        if self._is_answering():
            self._head = 0
            self._in_time()
        if max(self._head, self._behind) > LARGEST_HEADERS:
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._complete = False

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._complete, self._behind = True, 0.0

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._behind = 0.0

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._complete:  # what comes behind the body is no header, and of no end
            super().on_header(name, value)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def _ignore(*_: Any) -> None:
    pass
