"""The issuer's keys: read from a file or an address, kept, and renewed when they change."""

import asyncio
import logging
import stat
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import anyio
import httpx2

from lofty_mcp.web.jwks import Key, fitting, read_jwks

REFRESH_SECONDS = 600.0
"""Age at which keys are fetched anew; a key taken out is refused from then on."""
REFETCH_SECONDS = 30.0
"""At most one fetch in this time for tokens whose key is not known, whoever sends them."""
RETRY_SECONDS = 5.0
"""Pause after a fetch that failed."""
LONGEST_SECONDS = 3600.0
"""Age past which keys that could not be renewed are used no more."""
FETCH_SECONDS = 5.0
MAX_BYTES = 256 * 1024

log = logging.getLogger(__name__)


class KeysUnavailable(Exception):
    """The issuer's keys were never read, or not for too long, so no token can be judged."""


class Fault(StrEnum):
    """Why a document was not taken, as the log says it."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    STATUS = "status"
    ENCODING = "encoding"
    TOO_LARGE = "too large"
    NOT_JWKS = "not a JWKS"


class Keys(Protocol):
    """Where keys come from."""

    async def find(self, kid: str | None, algorithm: str) -> Key | None:
        """The one key that fits; None if there is none or more than one. Raises KeysUnavailable."""

    async def aclose(self) -> None:
        """End what is under way."""


def open_keys(
    source: str,
    http: httpx2.AsyncClient | None,
    monotonic: Callable[[], float],
    patience: float = FETCH_SECONDS,
) -> Keys:
    """The keys at `source`: an address (https, or http to this machine) or the path of a file; else ValueError."""
    parts = urlsplit(source)
    if parts.scheme not in ("http", "https") and "://" not in source:
        return FileKeys(Path(source).expanduser(), monotonic)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        raise ValueError("the JWKS address must be https; plain http is allowed only to this machine")
    if not parts.hostname or parts.username or parts.password:
        raise ValueError("the JWKS address must name a host and hold no password")
    if http is None:
        raise ValueError("a JWKS address needs an HTTP client")
    return UrlKeys(source, http, monotonic, patience)


@dataclass(frozen=True)
class _Held:
    keys: tuple[Key, ...]
    at: float
    """When they were known to be the issuer's, in monotonic seconds."""


class FileKeys:
    """Keys in a file, read again when it changes; a file that cannot be read leaves the keys it held for an hour."""

    def __init__(self, path: Path, monotonic: Callable[[], float]) -> None:
        self._path = path
        self._monotonic = monotonic
        self._held: _Held | None = None
        self._stamp: tuple[int, ...] | None = None
        self._failed = False

    async def find(self, kid: str | None, algorithm: str) -> Key | None:
        """The one key that fits; None if there is none or more than one. Raises KeysUnavailable."""
        self._look()
        return fitting(_usable(self._held, self._monotonic()).keys, kid, algorithm)

    async def aclose(self) -> None:
        """Nothing is ever under way."""

    def _look(self) -> None:
        try:
            stamp = _stamp(self._path)
            if self._held is not None and stamp == self._stamp:
                self._held, self._failed = _Held(self._held.keys, self._monotonic()), False
                return
            with self._path.open("rb") as file:
                document = file.read(MAX_BYTES + 1)
        except (OSError, ValueError):  # ValueError: a path no system can have
            self._fail(Fault.UNREACHABLE)
            return
        keys = read_jwks(document) if len(document) <= MAX_BYTES else None
        if keys is None:
            self._fail(Fault.TOO_LARGE if len(document) > MAX_BYTES else Fault.NOT_JWKS)
            return
        # The stamp from before the reading: what is written meanwhile has another.
        self._held, self._stamp, self._failed = _Held(keys, self._monotonic()), stamp, False

    def _fail(self, fault: Fault) -> None:
        if not self._failed:
            log.warning("JWKS file not usable", extra={"outcome": fault.value})
        self._failed = True


class UrlKeys:
    """Keys at an address, fetched when first needed, by one fetch for all who wait.

    It runs in a task of its own, so that a caller who hangs up does not end it for the others.
    """

    def __init__(self, url: str, http: httpx2.AsyncClient, monotonic: Callable[[], float], patience: float) -> None:
        self._url = url
        self._http = http
        self._monotonic = monotonic
        self._patience = patience
        self._held: _Held | None = None
        self._failed_at: float | None = None
        self._refetched_at: float | None = None
        self._ended = 0
        self._task: asyncio.Task[None] | None = None

    async def find(self, kid: str | None, algorithm: str) -> Key | None:
        """The one key that fits; None if there is none or more than one. Raises KeysUnavailable."""
        before = self._ended
        if self._is_due():
            fetch = self._fetching()
            # An issuer that has just failed is asked again beside the calls, as long as the old keys are good.
            if self._failed_at is None or not _is_usable(self._held, self._monotonic()):
                await asyncio.wait((fetch,))
        found = fitting(_usable(self._held, self._monotonic()).keys, kid, algorithm)
        if found is None and self._ended == before and self._may_refetch():
            await asyncio.wait((self._fetching(),))
            found = fitting(_usable(self._held, self._monotonic()).keys, kid, algorithm)
        return found

    async def aclose(self) -> None:
        """End a fetch under way, before its client is closed."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,))

    def _is_due(self) -> bool:
        now = self._monotonic()
        if self._held is not None and now - self._held.at < REFRESH_SECONDS:
            return False
        return self._failed_at is None or now - self._failed_at >= RETRY_SECONDS

    def _may_refetch(self) -> bool:
        if self._task is not None and not self._task.done():
            return True
        now = self._monotonic()
        if self._refetched_at is not None and now - self._refetched_at < REFETCH_SECONDS:
            return False
        self._refetched_at = now
        return True

    def _fetching(self) -> asyncio.Task[None]:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._fetch())
        return self._task

    async def _fetch(self) -> None:
        keys: tuple[Key, ...] | None = None
        fault = Fault.UNREACHABLE
        try:
            with anyio.fail_after(self._patience):
                document = await self._document()
            if isinstance(document, Fault):
                fault = document
            elif (keys := read_jwks(document)) is None:
                fault = Fault.NOT_JWKS
        except (TimeoutError, httpx2.TimeoutException):
            fault = Fault.TIMEOUT
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, RuntimeError, ValueError):
            pass
        finally:
            self._ended += 1
            self._failed_at = self._monotonic() if keys is None else None
        if keys is None:
            log.warning("JWKS address not usable", extra={"outcome": fault.value})
        else:
            self._held = _Held(keys, self._monotonic())

    async def _document(self) -> bytes | Fault:
        """The document, from where we were told and as it is: a redirect leads elsewhere, a compressed body grows."""
        request = self._http.stream(
            "GET",
            self._url,
            headers={"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"},
            auth=httpx2.Auth(),
            follow_redirects=False,
            timeout=self._patience,
        )
        async with request as response:
            if response.status_code != httpx2.codes.OK:
                return Fault.STATUS
            if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
                return Fault.ENCODING
            document = b""
            async for part in response.aiter_bytes():
                document += part
                if len(document) > MAX_BYTES:
                    return Fault.TOO_LARGE
        return document


def _is_usable(held: _Held | None, now: float) -> bool:
    return held is not None and now - held.at < LONGEST_SECONDS


def _usable(held: _Held | None, now: float) -> _Held:
    if held is None or not _is_usable(held, now):
        raise KeysUnavailable
    return held


def _stamp(path: Path) -> tuple[int, ...]:
    """What differs when the file does; raises OSError, also for what is no file."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev)


def _is_loopback(host: str) -> bool:
    try:
        return host.lower() == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
