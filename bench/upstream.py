"""A Lofty that costs next to nothing: fixed answers, one write that takes hold, and a wait if it is told to.

Its own process: `python -m bench.upstream REPLIES` prints its address. Equal for everybody who is measured.
"""

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn

from bench.replies import Replies

HEADERS = [
    (b"content-type", b"application/json"),
    (b"x-ratelimit-limit", b"1000000"),
    (b"x-ratelimit-remaining", b"999999"),
    (b"x-ratelimit-reset", b"60000"),
]
DELAY = "/_delay/"
COUNT = "/_count"


class Upstream:
    """The ASGI application. `GET /_delay/20` makes every later answer take 20 ms; `GET /_count` says how many came."""

    def __init__(self, replies: Replies) -> None:
        self._lead_id = replies.lead_id
        self._answers = {name: text.encode() for name, text in replies.answers.items()}
        self._tagged = replies.tagged.encode()
        self._written: set[str] = set()
        self._delay = 0.0
        self._count = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        while (await receive()).get("more_body"):
            pass
        status, body = self.answer(scope["method"], scope["path"])
        if self._delay:
            await asyncio.sleep(self._delay)
        headers = [*HEADERS, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def answer(self, method: str, path: str) -> tuple[int, bytes]:
        """The status and body for one request."""
        if path.startswith(DELAY):
            self._delay = int(path.removeprefix(DELAY)) / 1000
            return 200, b"{}"
        if path == COUNT:
            return 200, str(self._count).encode()
        self._count += 1
        lead_id = next((part for part in path.split("/") if part.isdigit()), self._lead_id)
        known = f"{method} {path.replace(lead_id, self._lead_id)}"
        body = self._answers.get(known)
        if body is None:
            return 404, b'{"code": 20007}'
        if method == "PUT":
            self._written.add(lead_id)
        elif lead_id in self._written and path.endswith(lead_id):
            # The first look after a write sees it; by the next the lead is as before, so that it can be written again.
            self._written.discard(lead_id)
            body = self._tagged
        return 200, body.replace(self._lead_id.encode(), lead_id.encode())


def main(path: str) -> None:
    """Serve the replies of a file on a free port until the end of the process."""
    config = uvicorn.Config(Upstream(Replies.load(Path(path))), log_level="error", access_log=False, lifespan="off")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1])
