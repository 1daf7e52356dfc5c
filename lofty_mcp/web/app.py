"""The HTTP mode as one ASGI application, from the outermost check to the MCP server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx2
from mcp.server import MCPServer
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp
from starlette.applications import Starlette
from starlette.routing import Route, request_response

from lofty_mcp import tools
from lofty_mcp.app import App
from lofty_mcp.client.credentials import clean_key
from lofty_mcp.server import build_server
from lofty_mcp.settings import BadSettings, Settings, is_loopback
from lofty_mcp.web.accounts_file import AccountsFile, Directory
from lofty_mcp.web.bounds import PATIENCE_SECONDS, Bounded, security
from lofty_mcp.web.callers import Listed, OneToken, Recogniser
from lofty_mcp.web.door import CALLER, Door
from lofty_mcp.web.fair_use import FairUse
from lofty_mcp.web.health import Readiness, alive
from lofty_mcp.web.metadata import METADATA, Resource

if TYPE_CHECKING:
    from lofty_mcp.web.bearer_jwt import JwtVerifier

WILDCARDS = ("0.0.0.0", "::", "")  # nosec B104 # noqa: S104 - compared only


@dataclass
class Web:
    """The HTTP mode: its ASGI application, and what a signal needs of it."""

    asgi: Starlette
    accounts: AccountsFile | None
    verifier: "JwtVerifier | None" = None
    keys_at: str = ""
    """Where the issuer's keys are: an address or a path."""
    running: list[App] = field(default_factory=list)
    """The one App while the application is up."""

    def stop_writing(self) -> None:
        """Let no write be sent any more."""
        for app in self.running:
            app.stopping = True

    def stop_waiting(self) -> None:
        """End the open streams and the writes whose turn has not come; after `stop_writing`, and in the event loop."""
        for app in self.running:
            for scope in [*app.waiting, *app.streams]:
                scope.cancel()


def build_web(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    open_door: bool = False,
    patience: float = PATIENCE_SECONDS,
    **built: Any,
) -> Web:
    """The HTTP mode for `settings`, listening on `host`; `built` goes to `build_server`.

    `open_door` asks nobody who they are; that is for a sandbox on this machine. A body may take `patience` seconds.

    Raises:
        BadSettings: it would be open to the wrong people, or to none.
    """
    if host in WILDCARDS and not settings.allowed_hosts:
        raise BadSettings(
            "LOFTY_MCP_ALLOWED_HOSTS: name the hosts this server is reached by, since it listens on every address"
        )
    if not open_door and settings.token is None and settings.accounts is None:
        raise BadSettings(
            "nobody could sign in: set LOFTY_MCP_TOKEN or LOFTY_MCP_ACCOUNTS (only on this machine, such as 127.0.0.1, "
            "is a token made, and none asked for by a sandbox)"
        )
    running: list[App] = []
    fair_use = FairUse(settings)
    server = build_server(settings, caller=CALLER.get, limits=fair_use, on_start=running.append, **built)
    manager = _manager(server, settings)
    accounts = _accounts(settings, running) if settings.accounts else None
    to_issuer = keys_http(settings) if settings.issuer else None
    verifier = verifier_of(settings, to_issuer)
    resource = Resource(settings.issuer, settings.audience, settings.allowed_hosts)
    door = Door(
        StreamableHTTPASGIApp(manager),
        () if open_door else _recognisers(settings, accounts, verifier),
        fair_use,
        {spec.name: spec.effect for spec in tools.listed(settings)},
        resource.metadata_address,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with to_issuer or nullcontext(), manager.run():
            try:
                yield
            finally:
                if verifier is not None:
                    await verifier.aclose()

    allowed = security(host, settings.allowed_hosts)
    told = Bounded(request_response(resource.document), allowed, 0, patience)
    asgi = Starlette(
        routes=[
            Route("/mcp", Bounded(door, allowed, settings.body_bytes, patience)),
            Route("/healthz", alive),
            Route("/readyz", Readiness(lambda: running[0] if running else None, accounts, verifier).answer),
            Route(METADATA, told),
            Route(METADATA + "/{path:path}", told),
        ],
        lifespan=lifespan,
    )
    asgi.router.redirect_slashes = False  # it would send a caller to whatever Host they named
    return Web(asgi, accounts, verifier, settings.jwks or "", running)


def _manager(server: MCPServer[App], settings: Settings) -> Any:
    # Host and Origin are checked before anybody's token is looked at, so not again by the SDK.
    server.streamable_http_app(stateless_http=True, max_request_body_size=settings.body_bytes, host="")
    return server.session_manager


def _accounts(settings: Settings, running: list[App]) -> AccountsFile:
    key = clean_key(settings.api_key.get_secret_value()) if settings.token and settings.api_key else None

    def forget_the_rest(directory: Directory) -> None:
        left = {None, *directory}
        for app in running:
            app.accounts.keep(directory)
            for stream in [scope for scope, whose in app.streams.items() if whose not in left]:
                stream.cancel()

    return AccountsFile(settings.accounts or Path(), key, bool(settings.issuer), forget_the_rest)


def keys_http(settings: Settings) -> httpx2.AsyncClient:
    """What the issuer's keys are fetched with."""
    local = is_loopback(urlsplit(settings.jwks or "").hostname or "")
    return httpx2.AsyncClient(follow_redirects=False, trust_env=not local)


def verifier_of(settings: Settings, http: httpx2.AsyncClient | None) -> "JwtVerifier | None":
    """What judges JWTs, if any are accepted."""
    if http is None or not (settings.issuer and settings.audience and settings.jwks):
        return None
    # It brings a library of cryptography, and a start without an issuer need not wait for that.
    from lofty_mcp.web.bearer_jwt import JwtVerifier

    try:
        return JwtVerifier(issuer=settings.issuer, audience=settings.audience, jwks=settings.jwks, http=http)
    except ValueError as error:
        raise BadSettings(f"LOFTY_MCP_JWKS: {error}") from None


def _recognisers(
    settings: Settings, accounts: AccountsFile | None, verifier: "JwtVerifier | None"
) -> tuple[Recogniser, ...]:
    found: list[Recogniser] = []
    if settings.token is not None:
        found.append(OneToken(settings.token.get_secret_value()))
    if accounts is not None:
        found.append(Listed(accounts, verifier))
    return tuple(found)
