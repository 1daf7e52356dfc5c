"""An OAuth sign-in to Lofty, kept fresh.

All use of the token file, and the exchange, happen under one lock shared by the processes of this user, in a task
that no caller can cancel and `aclose` waits for. Lofty: authentication/oauth2.
"""

import asyncio
import copy
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx2

from lofty_mcp.client.credentials import clean_key, digest, jwt_claims
from lofty_mcp.client.tokens import OAuthSettings, TokenFile, Tokens, configured_tokens, exchange
from lofty_mcp.errors import CredentialRejected, LoftyError

REFUSAL_HOLDS = 60.0
"""Seconds for which a refused grant is not tried again, so that a dead token is not sent with every call."""

log = logging.getLogger(__name__)


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
        self._tokens = configured_tokens(self._settings)
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
        self._file = TokenFile(state_dir, self.principal, digest("refresh", self._settings.refresh_token or ""))
        self._started = False
        self._stored: Tokens | None = None
        self._running: asyncio.Task[LoftyError | None] | None = None
        self._refusal: tuple[Tokens, float, LoftyError] | None = None

    async def authorization(self) -> str:
        """`Bearer <access token>`; raises CredentialRejected, Unreachable or LedgerUnavailable if none can be had."""
        if self._renewable and not (self._started and self._tokens.usable(self._clock(), rejected="")):
            await self._settled(rejected="")
        return self._tokens.header()

    async def renew(self, rejected: str) -> bool:
        """Get another token after a 401, unless somebody already has; raises as `authorization` does."""
        if not self._renewable:
            return False
        if self._tokens.header() == rejected and self._under_way() is not None:
            await self._settled(rejected)
        # What was joined above may have begun before this token was refused, and so have kept it.
        if self._tokens.header() == rejected:
            await self._settled(rejected)
        return self._tokens.header() != rejected

    def claims(self) -> dict[str, Any]:
        """The payload of the customer key if the token acts for its owner, else of the access token."""
        owner = self._settings.customer_key if self._settings.has_client_credentials else None
        return jwt_claims(owner or "") or jwt_claims(self._tokens.access)

    async def aclose(self) -> None:
        """Wait, even if cancelled, until a renewal under way has ended, which its callers may have left.

        At most the patience with other processes and the time of one exchange, in seconds.
        """
        if (running := self._under_way()) is not None:
            with anyio.CancelScope(shield=True):
                await asyncio.wait((running,))

    def _under_way(self) -> asyncio.Task[LoftyError | None] | None:
        return self._running if self._running is not None and not self._running.done() else None

    async def _settled(self, rejected: str) -> None:
        """Join the renewal under way, or start one; all who wait share its outcome.

        It runs in a task of its own: a cancelled caller leaves at once, and no token that Lofty has already rotated is
        lost with it.
        """
        running = self._under_way()
        if running is None:
            running = self._running = asyncio.create_task(self._settle(rejected))
        failure = await asyncio.shield(running)
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
            self._tokens = await exchange(client, self._settings, spent.refresh, self._clock)
        except CredentialRejected as failure:
            self._refusal = (spent, self._clock() + REFUSAL_HOLDS, failure)
            raise
        try:
            await anyio.to_thread.run_sync(self._file.save, self._tokens)
            self._stored = self._tokens
        except OSError:
            log.warning("renewed OAuth token not kept: state folder not writable; it is lost when this process ends")


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
        return digest("oauth", settings.client_id, settings.customer_key)
    return digest("oauth", settings.refresh_token or settings.access_token or "")
