"""OAuth tokens of Lofty: what is configured, the file that keeps them, and the exchange of a grant for new ones.

There are two grants. Client credentials come first when they are complete: id, secret, and a `customer_key`, which is
the API key of the user to act as. Otherwise a refresh token is exchanged, and the token that replaces it is kept in a
file, because the configured one may work only once. Lofty: authentication/oauth2, help 47801571926811.
"""

import base64
import json
import math
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import anyio
import httpx2

from lofty_mcp.client.credentials import jwt_claims
from lofty_mcp.errors import CredentialRejected, LedgerUnavailable, Unreachable

REAL_HOST = "https://api.lofty.com"
MARGIN = 60.0
"""Seconds before its expiry at which a token counts as expired."""
EXCHANGE_LIMIT = 15.0
"""Seconds one exchange may take, its second attempt included."""
DEFAULT_LIFETIME = 3600.0
LONGEST_LIFETIME = 366 * 86_400.0

REFRESH_REFUSED = (
    "Lofty no longer accepts the OAuth sign-in. Authorise this server again in Lofty, set the new LOFTY_REFRESH_TOKEN "
    "and restart; `lofty-mcp doctor` checks it."
)
CLIENT_REFUSED = (
    "Lofty refuses the OAuth client credentials. Check LOFTY_CLIENT_ID, LOFTY_CLIENT_SECRET and LOFTY_CUSTOMER_KEY "
    "(the user's API key) and restart; `lofty-mcp doctor` checks it."
)
TOKEN_SERVICE_FAILED = "Lofty's sign-in service gave no usable answer. Nothing else was sent. Try again in a moment."  # nosec B105 # noqa: S105 - a sentence
TOKEN_URL_WRONG = (
    "The OAuth token address is not one that issues tokens. Check LOFTY_TOKEN_URL; `lofty-mcp doctor` checks it."  # nosec B105 # noqa: S105 - a sentence
)
STILL_RENEWING = "Another process of this server is still renewing the Lofty sign-in. Try again in a moment."
NOT_KEPT = (
    "The Lofty sign-in was not renewed, because the renewed token could not be kept. Check the disk and the "
    "permissions of the state folder; `lofty-mcp doctor` checks it."
)


@dataclass(frozen=True)
class OAuthSettings:
    """What the operator configured for OAuth; empty where nothing was."""

    access_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    client_id: str | None = field(default=None, repr=False)
    client_secret: str | None = field(default=None, repr=False)
    customer_key: str | None = field(default=None, repr=False)
    token_url: str | None = None
    base_url: str = REAL_HOST

    @property
    def has_client_credentials(self) -> bool:
        """Whether the grant that needs no refresh token is possible."""
        return bool(self.client_id and self.client_secret and self.customer_key)


@dataclass(frozen=True)
class Tokens:
    """An access token, the refresh token that replaces it (may be empty), and its end in epoch seconds."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_at: float

    def usable(self, now: float, rejected: str) -> bool:
        """Whether there is an access token that lasts, and is not the one of the header value `rejected`."""
        return bool(self.access) and self.header() != rejected and now < self.expires_at - MARGIN

    def header(self) -> str:
        """The value of the Authorization header."""
        return f"Bearer {self.access}"


def configured_tokens(settings: OAuthSettings) -> Tokens:
    """What there is before anything was exchanged; a token that does not say when it expires never does."""
    access, refresh = settings.access_token or "", settings.refresh_token or ""
    expiry = _number(jwt_claims(access).get("exp"))
    return Tokens(access, "" if settings.has_client_credentials else refresh, math.inf if expiry is None else expiry)


class TokenFile:
    """The file of one principal, readable by its owner only; ignored when another sign-in has been configured since."""

    def __init__(self, folder: Path, principal: str, configured: str) -> None:
        self._path = folder / f"tokens-{principal}.json"
        self._configured = configured

    @asynccontextmanager
    async def locked(self, patience: float) -> AsyncIterator[None]:
        """Hold the lock; raises Unreachable after `patience` seconds, LedgerUnavailable without a writable folder."""
        from filelock import FileLock, Timeout  # 20 ms of start-up that users of an API key need not pay

        lock = FileLock(self._path.with_suffix(".lock"), timeout=patience, mode=0o600, thread_local=False)
        busy = False
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            await anyio.to_thread.run_sync(lock.acquire)
        except Timeout:
            busy = True
        except OSError:
            pass
        if not lock.is_locked:
            raise Unreachable(STILL_RENEWING) if busy else LedgerUnavailable(NOT_KEPT)
        try:
            yield
        finally:
            lock.release()

    def load(self) -> Tokens | None:
        """What was last saved for this sign-in; None if there is nothing that can be used."""
        try:
            saved = json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(saved, dict) or saved.get("configured") != self._configured:
            return None
        access, refresh = _token(saved.get("access")), _token(saved.get("refresh"))
        expires_at = _number(saved.get("expires_at"))
        return Tokens(access, refresh, expires_at) if access and expires_at is not None else None

    def save(self, tokens: Tokens) -> None:
        """Replace the file as a whole, or not at all; raises OSError."""
        draft = self._path.with_suffix(".tmp")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump(asdict(tokens) | {"configured": self._configured}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        with suppress(OSError):  # Windows cannot open a folder
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


@dataclass(frozen=True)
class _Request:
    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def token_url(settings: OAuthSettings) -> str:
    """Where tokens come from.

    Lofty documents api.lofty.com for client credentials and crm.lofty.com for refreshing. Any other base URL gets the
    secrets itself, so that a sandbox never sends them to the real host.
    """
    if settings.token_url:
        return settings.token_url
    base = settings.base_url.rstrip("/")
    if base == REAL_HOST and not settings.has_client_credentials:
        return "https://crm.lofty.com/api/user-web/oauth/token"
    return f"{base}/oauth/token"


async def exchange(
    client: httpx2.AsyncClient, settings: OAuthSettings, refresh: str, clock: Callable[[], float]
) -> Tokens:
    """Spend one grant; raises CredentialRejected if it is refused, Unreachable if no token came for another reason."""
    response: httpx2.Response | None = None
    with suppress(httpx2.RequestError, httpx2.InvalidURL, TimeoutError), anyio.fail_after(EXCHANGE_LIMIT):
        for request in _requests(settings, refresh):
            response = None
            response = await client.post(
                request.url,
                content=request.body,
                headers=request.headers,
                auth=httpx2.Auth(),
                follow_redirects=False,
                timeout=EXCHANGE_LIMIT,
            )
            if response.status_code not in (400, 415):
                break
    if response is None:
        raise Unreachable(TOKEN_SERVICE_FAILED)
    return _tokens_from(response, settings, refresh, clock())


def _requests(settings: OAuthSettings, refresh: str) -> tuple[_Request, ...]:
    """The attempts at one exchange, the next only after a 400 or 415.

    Client credentials are documented as a form, and are known to work as JSON (a client in use).
    """
    url = token_url(settings)
    if settings.has_client_credentials:
        grant = {
            "grant_type": "client_credentials",
            "client_id": settings.client_id or "",
            "client_secret": settings.client_secret or "",
            "customer_key": settings.customer_key or "",
        }
        as_json = {"Content-Type": "application/json", "Accept": "application/json"}
        return _Request(url, as_json, json.dumps(grant).encode()), _form(url, grant)
    grant = {"grant_type": "refresh_token", "refresh_token": refresh}
    if settings.client_id and settings.client_secret:
        pair = f"{settings.client_id}:{settings.client_secret}".encode()
        return (_form(url, grant, {"Authorization": "Basic " + base64.b64encode(pair).decode()}),)
    return (_form(url, grant | ({"client_id": settings.client_id} if settings.client_id else {})),)


def _form(url: str, grant: dict[str, str], headers: dict[str, str] | None = None) -> _Request:
    as_form = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    return _Request(url, as_form | (headers or {}), urlencode(grant).encode())


def _tokens_from(response: httpx2.Response, settings: OAuthSettings, refresh: str, now: float) -> Tokens:
    """Read an answer of the token address. Lofty: access_token, expires_in (seconds), refresh_token, fixed scope."""
    try:
        reply = response.json()
    except (ValueError, RecursionError):
        reply = None
    body: dict[str, Any] = reply if isinstance(reply, dict) else {}
    refused = body.get("error") in ("invalid_grant", "invalid_client", "unauthorized_client")
    if refused or body.get("code") in (20004, 200058) or response.status_code in (400, 401, 403):
        raise CredentialRejected(CLIENT_REFUSED if settings.has_client_credentials else REFRESH_REFUSED)
    if response.is_redirect or response.status_code in (404, 405):
        raise Unreachable(TOKEN_URL_WRONG)
    access = _token(body.get("access_token"))
    if not response.is_success or not access:
        raise Unreachable(TOKEN_SERVICE_FAILED)
    lifetime = _number(body.get("expires_in"))
    if lifetime is None or not 0 < lifetime <= LONGEST_LIFETIME:
        lifetime = DEFAULT_LIFETIME
    kept = "" if settings.has_client_credentials else _token(body.get("refresh_token")) or refresh
    return Tokens(access, kept, now + lifetime)


def _token(value: object) -> str:
    """A token that fits into a header; empty if the value is none."""
    return value if isinstance(value, str) and re.fullmatch(r"[!-~]+", value) else ""


def _number(value: object) -> float | None:
    """A finite number, also when it is written as a string."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
