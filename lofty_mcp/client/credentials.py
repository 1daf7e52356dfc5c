"""What is shown to Lofty: a personal API key, or an OAuth access token that is kept fresh.

OAuth knows two grants. Client credentials come first when they are complete: id, secret, and a `customer_key`, which is
the API key of the user to act as. Otherwise a refresh token is exchanged, and the token that replaces it is kept in a
file, because the configured one may work only once. All use of that file, and the exchange, happen under one lock
shared by the processes of this user. Lofty: authentication/api-keys, authentication/oauth2, help 47801571926811.
"""

import asyncio
import base64
import copy
import hashlib
import json
import logging
import math
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlencode

import anyio
import httpx2

from lofty_mcp.errors import CredentialRejected, LedgerUnavailable, LoftyError, Unreachable

REAL_HOST = "https://api.lofty.com"
MARGIN = 60.0
"""Seconds before its expiry at which a token counts as expired."""
EXCHANGE_LIMIT = 15.0
"""Seconds one exchange may take, its second attempt included."""
REFUSAL_HOLDS = 60.0
"""Seconds for which a refused grant is not tried again, so that a dead token is not sent with every call."""
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
TOKEN_SERVICE_FAILED = "Lofty's sign-in service gave no usable answer. Nothing else was sent. Try again in a moment."  # noqa: S105
TOKEN_URL_WRONG = (
    "The OAuth token address is not one that issues tokens. Check LOFTY_TOKEN_URL; `lofty-mcp doctor` checks it."  # noqa: S105
)
STILL_RENEWING = "Another process of this server is still renewing the Lofty sign-in. Try again in a moment."
NOT_KEPT = (
    "The Lofty sign-in was not renewed, because the renewed token could not be kept. Check the disk and the "
    "permissions of the state folder; `lofty-mcp doctor` checks it."
)

log = logging.getLogger(__name__)


class Credential(Protocol):
    """Something that Lofty accepts as proof of who is calling."""

    @property
    def principal(self) -> str:
        """32 hexadecimal digits that stand for what was configured, and reveal nothing of it."""

    @property
    def kind(self) -> Literal["api_key", "oauth"]:
        """Which of the two schemes this is."""

    async def authorization(self) -> str:
        """The value of the Authorization header, renewed first if it is about to expire."""

    async def renew(self, rejected: str) -> bool:
        """After a 401 to `rejected`: whether `authorization` now gives another value."""

    def claims(self) -> dict[str, Any]:
        """The payload of the JWT that names the user, not verified; empty if there is none."""


class ApiKey:
    """A personal API key. Lofty wants the scheme word `token`; sent as Bearer it answers 400 with code 200058."""

    kind: Literal["api_key"] = "api_key"

    def __init__(self, key: str) -> None:
        self._key = clean_key(key)
        if not self._key:
            raise ValueError("The Lofty API key is empty. Copy it again from Lofty: Settings > Integrations > API.")
        self.principal = _digest("api_key", self._key)

    async def authorization(self) -> str:
        """The header value; a key never changes."""
        return f"token {self._key}"

    async def renew(self, rejected: str) -> bool:
        """False: a key that stopped working can only be replaced by its owner."""
        return False

    def claims(self) -> dict[str, Any]:
        """The payload of the key, which is a JWT naming its user."""
        return jwt_claims(self._key)


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
class _Tokens:
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_at: float

    def usable(self, now: float, rejected: str) -> bool:
        return bool(self.access) and self.header() != rejected and now < self.expires_at - MARGIN

    def header(self) -> str:
        return f"Bearer {self.access}"


class OAuth:
    """An OAuth sign-in whose access token is renewed when needed, once for however many calls and processes wait."""

    kind: Literal["oauth"] = "oauth"

    def __init__(
        self,
        *,
        http: Callable[[], httpx2.AsyncClient] | httpx2.AsyncClient,
        settings: OAuthSettings,
        state_dir: Path,
        clock: Callable[[], float] = time.time,
        patience: float = 20.0,
    ) -> None:
        self._settings = _cleaned(settings)
        self._tokens = _configured(self._settings)
        self._renewable = self._settings.has_client_credentials or bool(self._tokens.refresh)
        if not self._renewable and not self._tokens.access:
            raise ValueError(
                "The OAuth settings are incomplete: give an access token, a refresh token, or client id, client secret "
                "and customer key together."
            )
        self.principal = _oauth_principal(self._settings)
        self._http = http
        self._clock = clock
        self._patience = patience
        self._file = _TokenFile(state_dir, self.principal, _digest("refresh", self._settings.refresh_token or ""))
        self._started = False
        self._stored: _Tokens | None = None
        self._running: asyncio.Task[LoftyError | None] | None = None
        self._refusal: tuple[_Tokens, float, LoftyError] | None = None

    async def authorization(self) -> str:
        """`Bearer <access token>`; raises CredentialRejected, Unreachable or LedgerUnavailable if none can be had."""
        if self._renewable and not (self._started and self._tokens.usable(self._clock(), rejected="")):
            await self._settled(rejected="")
        return self._tokens.header()

    async def renew(self, rejected: str) -> bool:
        """Get another token after a 401, unless somebody already has; raises as `authorization` does."""
        if not self._renewable:
            return False
        if self._tokens.header() == rejected and self._busy():
            await self._settled(rejected)
        # What was joined above may have begun before this token was refused, and so have kept it.
        if self._tokens.header() == rejected:
            await self._settled(rejected)
        return self._tokens.header() != rejected

    def claims(self) -> dict[str, Any]:
        """The payload of the customer key if the token acts for its owner, else of the access token."""
        owner = self._settings.customer_key if self._settings.has_client_credentials else None
        return jwt_claims(owner or "") or jwt_claims(self._tokens.access)

    def _busy(self) -> bool:
        return self._running is not None and not self._running.done()

    async def _settled(self, rejected: str) -> None:
        """Join the renewal under way, or start one; all who wait share its outcome.

        It runs in a task of its own, so that no cancelled caller loses a token that Lofty has already rotated. Whoever
        started it stays until it ends, so that a server shutting down does not leave it behind.
        """
        if self._running is not None and not self._running.done():
            failure = await asyncio.shield(self._running)
        else:
            self._running = asyncio.create_task(self._settle(rejected))
            with anyio.CancelScope(shield=True):
                failure = await asyncio.shield(self._running)
        if failure is not None:
            raise copy.copy(failure)

    async def _settle(self, rejected: str) -> LoftyError | None:
        try:
            async with self._file.locked(self._patience):
                await self._adopt_stored()
                if not self._tokens.usable(self._clock(), rejected):
                    await self._replace()
                self._started = True
        except LoftyError as failure:
            return failure
        return None

    async def _adopt_stored(self) -> None:
        stored = await anyio.to_thread.run_sync(self._file.load)
        # A file that has not changed since is older than memory: what came after it could not be written.
        if stored is not None and stored != self._stored:
            self._tokens = self._stored = stored

    async def _replace(self) -> None:
        spent = self._tokens
        if self._refusal is not None:
            refused, until, failure = self._refusal
            if refused.refresh == spent.refresh and self._clock() < until:
                raise copy.copy(failure)
        client = self._http if isinstance(self._http, httpx2.AsyncClient) else self._http()
        try:
            self._tokens = await _exchange(client, self._settings, spent.refresh, self._clock)
        except CredentialRejected as failure:
            self._refusal = (spent, self._clock() + REFUSAL_HOLDS, failure)
            raise
        try:
            await anyio.to_thread.run_sync(self._file.save, self._tokens)
            self._stored = self._tokens
        except OSError:
            log.warning("renewed OAuth token not kept: state folder not writable; it is lost when this process ends")


class _TokenFile:
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

    def load(self) -> _Tokens | None:
        """What was last saved for this sign-in; None if there is nothing that can be used."""
        try:
            saved = json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(saved, dict) or saved.get("configured") != self._configured:
            return None
        access, refresh = _token(saved.get("access")), _token(saved.get("refresh"))
        expires_at = _number(saved.get("expires_at"))
        return _Tokens(access, refresh, expires_at) if access and expires_at is not None else None

    def save(self, tokens: _Tokens) -> None:
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


def clean_key(pasted: str) -> str:
    """The bare key in a pasted text: without white space, quotes, scheme word and anything outside ASCII.

    Copying from Lofty's page has brought U+2028 along, which no header can carry.
    """
    spaced = "".join(" " if c.isspace() else c for c in pasted)
    plain = "".join(c for c in spaced if " " <= c <= "~").strip(" \"'`")
    bare = re.sub(r"^(?:authorization\s*:\s*)?(?:(?:token|bearer)(?:\s+|$))*", "", plain, flags=re.IGNORECASE)
    return re.sub(r"[\s\"'`]", "", bare)


def jwt_claims(token: str) -> dict[str, Any]:
    """The payload of a JWT, not verified; empty for anything else."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


async def _exchange(
    client: httpx2.AsyncClient, settings: OAuthSettings, refresh: str, clock: Callable[[], float]
) -> _Tokens:
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


def _tokens_from(response: httpx2.Response, settings: OAuthSettings, refresh: str, now: float) -> _Tokens:
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
    return _Tokens(access, kept, now + lifetime)


def _configured(settings: OAuthSettings) -> _Tokens:
    access, refresh = settings.access_token or "", settings.refresh_token or ""
    expiry = _number(jwt_claims(access).get("exp"))
    return _Tokens(access, "" if settings.has_client_credentials else refresh, math.inf if expiry is None else expiry)


def _cleaned(settings: OAuthSettings) -> OAuthSettings:
    return OAuthSettings(
        access_token=clean_key(settings.access_token or ""),
        refresh_token=clean_key(settings.refresh_token or ""),
        client_id=(settings.client_id or "").strip(),
        client_secret=(settings.client_secret or "").strip(),
        customer_key=clean_key(settings.customer_key or ""),
        token_url=settings.token_url,
        base_url=settings.base_url,
    )


def _oauth_principal(settings: OAuthSettings) -> str:
    if settings.client_id and settings.customer_key:
        return _digest("oauth", settings.client_id, settings.customer_key)
    return _digest("oauth", settings.refresh_token or settings.access_token or "")


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


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
