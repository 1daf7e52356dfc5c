"""A way to Lofty on which each request meets its own weather, and a record of what every one of them met.

Unlike `way`, which treats connections alike, this proxy reads each request whole and chooses anew.
"""

import asyncio
import itertools
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

Kind = Literal[
    "carried",
    "slow",
    "drip",
    "paused",
    "held",
    "429",
    "503 before",
    "503 after",
    "reset before",
    "reset after",
    "half a body",
    "black hole before",
    "black hole after",
    "late",
]
CLEAN: tuple[Kind, ...] = ("carried", "slow", "drip", "paused", "held")
"""Whoever asked gets Lofty's own answer, sooner or later."""
SLOW_SECONDS, LATE_SECONDS, DRIP_SECONDS, DRIP_BYTES = 0.3, 10.0, 0.005, 100
_REST = b"\r\ncontent-type: application/json\r\nx-ratelimit-reset: 50\r\ncontent-length: 2\r\n\r\n{}"
INSTEAD: dict[str, bytes] = {
    "503 before": b"HTTP/1.1 503 Service Unavailable" + _REST,
    "429": b"HTTP/1.1 429 Too Many Requests" + _REST,
}
"""What is answered in Lofty's place."""
PAUSE = b"x-ratelimit-limit: 6000\r\nx-ratelimit-remaining: 0\r\nx-ratelimit-reset: 6000\r\n"


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Passed:
    """One request that came by; moments are counted, and 0 is never."""

    method: str
    path: str
    body: bytes
    kind: Kind
    came: int
    carried: int = 0
    """When Lofty had answered it."""
    answered: int = 0
    """When the whole answer was on its way back."""

    @property
    def lead_id(self) -> str | None:
        """The lead that it is about, by its path, its query or its body."""
        return lead_in(f"{self.path} {self.body.decode()}")


def lead_in(text: str) -> str | None:
    """The first lead id in a text; those of the sandbox have 16 digits."""
    found = re.search(r"\b1\d{15}\b", text)
    return found[0] if found else None


@dataclass
class Weather:
    """A proxy to the service at `to`; `pick` chooses what each request meets."""

    to: str
    pick: Callable[[Passed], Kind] = lambda _: "carried"
    url: str = ""
    passed: list[Passed] = field(default_factory=list)
    _moments: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _idle: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _released: asyncio.Event = field(default_factory=asyncio.Event)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _port: int = 0

    def now(self) -> int:
        """The next moment."""
        return next(self._moments)

    def refuse(self, seconds: float) -> None:
        """Hang up on idle connections and refuse new ones for so long."""
        asyncio.run_coroutine_threadsafe(self._refuse(seconds), self._loop).result()

    def release(self) -> None:
        """Let go of every answer that is held, now and from now on."""
        self._loop.call_soon_threadsafe(self._released.set)

    def last_write(self) -> Passed | None:
        """The latest request that is not a read."""
        return next((one for one in reversed(self.passed) if one.method != "GET"), None)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def _refuse(self, seconds: float) -> None:
        self._server.close()
        for writer in self._idle:
            writer.close()
        await asyncio.sleep(seconds)
        await self._listen()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parts = urlsplit(self.to)
        up, down = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            self._idle.add(writer)
            while (request := await _message(reader)) is not None:
                self._idle.discard(writer)
                method, path, _ = request[0].split(b"\r\n")[0].decode().split(" ")
                one = Passed(method, path, request[1], "carried", self.now())
                one.kind = self.pick(one)
                self.passed.append(one)
                if not await self._meet(one, b"".join(request), (up, down), (reader, writer)):
                    break
                self._idle.add(writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._idle.discard(writer)
            writer.close()
            down.close()

    async def _meet(self, one: Passed, request: bytes, lofty: Ends, back: Ends) -> bool:
        """Let the request meet its weather; False if the connection is over."""
        match one.kind:
            case "reset before":
                return _reset(back[1])
            case "black hole before":
                await back[0].read()
                return False
            case "503 before" | "429":
                return await self._answer(one, back[1], INSTEAD[one.kind])
            case "late":
                await asyncio.sleep(LATE_SECONDS)  # by then nobody waits any more
        lofty[1].write(request)
        if (answer := await _message(lofty[0])) is None:
            raise ConnectionError
        one.carried = self.now()
        return await self._return(one, *answer, back)

    async def _return(self, one: Passed, head: bytes, body: bytes, back: Ends) -> bool:
        """Let Lofty's answer meet it."""
        reader, writer = back
        match one.kind:
            case "reset after":
                return _reset(writer)
            case "half a body":
                writer.write(head + body[: len(body) // 2])
                await writer.drain()
                return False
            case "black hole after" | "late":
                await reader.read()
                return False
            case "503 after":
                head, body = INSTEAD["503 before"], b""
            case "paused":
                head = re.sub(rb"(?i)x-ratelimit-[^\n]+\n", b"", head)[:-2] + PAUSE + b"\r\n"
            case "held":
                await self._released.wait()
            case "slow":
                await asyncio.sleep(SLOW_SECONDS)
            case "drip":
                while body:
                    writer.write(head + body[:DRIP_BYTES])
                    head, body = b"", body[DRIP_BYTES:]
                    await writer.drain()
                    await asyncio.sleep(DRIP_SECONDS)
        return await self._answer(one, writer, head + body)

    async def _answer(self, one: Passed, writer: asyncio.StreamWriter, answer: bytes) -> bool:
        writer.write(answer)
        await writer.drain()
        one.answered = self.now()
        return True


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes] | None:
    """The head and the body of the next message; None at the end."""
    with suppress(asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        return head, await reader.readexactly(int(length[1]) if length else 0)
    return None


def _reset(writer: asyncio.StreamWriter) -> bool:
    # Lingering for zero seconds turns the close into a TCP reset.
    found = writer.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


@contextmanager
def weather(to: str, pick: Callable[[Passed], Kind] = lambda _: "carried") -> Iterator[Weather]:
    """Such a way to the service at `to`, on a free port, served by a thread of its own."""
    found = Weather(to, pick)
    loop = found._loop
    loop.run_until_complete(found._listen())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield found
    finally:
        asyncio.run_coroutine_threadsafe(_ended(found), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _ended(found: Weather) -> None:
    found._server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
