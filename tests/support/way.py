"""A rough way to Lofty: a proxy on a socket that carries requests, or treats them as a sick service would."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Kind = Literal["carries", "never answers", "stalls after the headers", "drips"]
SICK: tuple[Kind, ...] = ("never answers", "stalls after the headers", "drips")
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10000\r\n\r\n"
DRIP_SECONDS = 0.05


@dataclass
class Way:
    """What happens to requests from now on, and to how many it is happening."""

    to: str
    kind: Kind = "carries"
    sick_for: tuple[bytes, ...] = (b"",)
    """How the requests begin that `kind` is for; all others are carried."""
    url: str = ""
    asked: int = 0
    """Requests that were not carried."""
    held: int = 0
    """Those of them whose sender still waits."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; each of its requests is treated as things stand when it comes."""
        parts = urlsplit(self.to)
        up, down = await asyncio.open_connection(parts.hostname, parts.port)
        back = asyncio.create_task(self._carry(up, writer))
        try:
            while data := await reader.read(65_536):
                if self.kind != "carries" and data.startswith(self.sick_for):
                    back.cancel()  # the far end may hang up meanwhile, which is not to be seen here
                    await self._torment(self.kind, reader, writer)
                    break
                down.write(data)
                await down.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            back.cancel()
            for end in (writer, down):
                end.close()

    async def _carry(self, up: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await up.read(65_536):
                writer.write(data)
                await writer.drain()
            writer.close()

    async def _torment(self, kind: Kind, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        self.held += 1
        drip = asyncio.create_task(_drip(writer)) if kind == "drips" else None
        try:
            if kind != "never answers":
                writer.write(HEAD)
            await reader.read()  # until whoever asked hangs up
        finally:
            self.held -= 1
            if drip is not None:
                drip.cancel()


async def _drip(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(DRIP_SECONDS)


@asynccontextmanager
async def way(to: str, kind: Kind = "carries") -> AsyncIterator[Way]:
    """A way to the service at `to`, on a free port."""
    found = Way(to, kind)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(found.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
