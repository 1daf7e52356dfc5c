"""The sandbox as a process of its own: real sockets, real resets."""

import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn

from lofty_mcp.sandbox.app import build_app


class _Server(uvicorn.Server):
    """A uvicorn server that says when it is listening."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def serve(
    host: str,
    port: int,
    *,
    leads: int = 200,
    seed: int = 42,
    rate_limit: int = 600,
    on_ready: Callable[[str], None],
) -> None:
    """Serve a fresh sandbox until SIGTERM or SIGINT, then return; port 0 picks a free one.

    `on_ready` gets the base URL as soon as connections are accepted. A port that is taken is an OSError.
    """
    app = build_app(leads=leads, seed=seed, rate_limit=rate_limit)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        bound = listener.getsockname()[1]
        url = f"http://[{host}]:{bound}" if ":" in host else f"http://{host}:{bound}"
        config = uvicorn.Config(app, log_level="warning", lifespan="off", access_log=False)
        if threading.current_thread() is threading.main_thread():
            # uvicorn raises the signal again once it has stopped; by then it must do nothing.
            signal.signal(signal.SIGTERM, _ignore)
        with suppress(KeyboardInterrupt):
            _Server(config, lambda: on_ready(url)).run(sockets=[listener])
    app.state.world.store.close()


def _ignore(*_: Any) -> None:
    pass
