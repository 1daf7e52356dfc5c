"""Who is calling: a bearer token on every request, looked up anew each time, and what it may do.

RFC 6750 (bearer tokens), RFC 9728 (where to get one), and MCP's authorization chapter: a token is taken from the
Authorization header only, goes nowhere else, and a missing scope is told in a way that a client can act on.
"""

import hmac
import json
import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs

from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lofty_mcp.accounts import Caller
from lofty_mcp.guard.effects import Effect
from lofty_mcp.settings import BadSettings, Mode
from lofty_mcp.web.accounts_file import AccountsFile
from lofty_mcp.web.fair_use import FairUse

if TYPE_CHECKING:
    from lofty_mcp.web.bearer_jwt import JwtVerifier

READ, WRITE = "leads:read", "leads:write"
METADATA = "/.well-known/oauth-protected-resource"
MODE_HEADER = "lofty-mode"
"""With it a request is held to a tighter mode than its account's: `read`, `ask` or `code`."""
TOO_MANY = -31_029
"""JSON-RPC code of an answer with status 429; outside the ranges that MCP reserves."""

CALLER: ContextVar[Caller] = ContextVar("caller")
"""Who sent the request being served. It has no default: whoever did not come through the door is nobody."""

log = logging.getLogger(__name__)


class NotLetIn(Exception):
    """The request ends here, with this answer."""

    def __init__(self, status: int, error: str | None, description: str, *, scope: str | None = None) -> None:
        super().__init__(description)
        self.status = status
        self.error = error
        self.description = description
        self.scope = scope


class Recogniser(Protocol):
    """A way to know who shows a token."""

    async def __call__(self, token: str) -> Caller | None:
        """Who shows `token`, None if this way does not know; raises NotLetIn to end the search."""


@dataclass(frozen=True)
class OneToken:
    """The one token of the environment's caller."""

    token: str

    async def __call__(self, token: str) -> Caller | None:
        """The environment's caller, if it is that token."""
        return Caller() if hmac.compare_digest(token.encode(), self.token.encode()) else None


@dataclass(frozen=True)
class Listed:
    """The principals of the accounts file, by static token or by the subject of a JWT."""

    accounts: AccountsFile
    verifier: "JwtVerifier | None"

    async def __call__(self, token: str) -> Caller | None:
        """The principal, if there is one."""
        try:
            directory = await self.accounts.directory()
        except BadSettings:
            raise NotLetIn(503, None, "The accounts file cannot be used; the server's log says why.") from None
        if (principal := directory.of_token(token)) is not None:
            return Caller(principal)
        if self.verifier is None:
            return None
        from lofty_mcp.web.keys import KeysUnavailable  # there already, now that there is a verifier

        try:
            claims = await self.verifier.verify(token)
        except KeysUnavailable:
            raise NotLetIn(503, None, "The issuer's keys cannot be had just now. Try again in a moment.") from None
        found = directory.by_subject.get(claims.subject) if claims else None
        if claims is None or found is None:
            return None
        if READ not in claims.scopes:
            raise NotLetIn(403, "insufficient_scope", f"This needs the scope {READ}.", scope=READ)
        return Caller(found, may_write=WRITE in claims.scopes)


class Door:
    """Lets in who shows a token that is known, within fair use, and says of everybody else what they lack."""

    def __init__(
        self,
        app: ASGIApp,
        recognisers: tuple[Recogniser, ...],
        fair_use: FairUse,
        effects: Mapping[str, Effect],
        metadata: Callable[[Request], str],
    ) -> None:
        """Guard `app`; without a recogniser nobody is asked who they are. `metadata` says where tokens are told of."""
        self._app = app
        self._recognisers = recognisers
        self._fair_use = fair_use
        self._effects = effects
        self._metadata = metadata

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request whose body lies in the scope."""
        request = Request(scope)
        message = _message(scope["lofty.body"])
        try:
            caller = await self._caller(request)
            self._step_up(caller, message)
        except NotLetIn as refusal:
            await self._answer(refusal, request)(scope, receive, send)
            return
        wait = self._fair_use.take_request(caller.name) or self._used_up(caller, message)
        with self._fair_use.open_request(caller.name) as has_place:
            if wait or not has_place:
                await _too_many(wait or 1, message)(scope, receive, send)
                return
            await self._serve(caller, scope, receive, send)

    async def _serve(self, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
        scopes = [READ, WRITE] if caller.may_write else [READ]
        # The token itself stays here; the SDK binds what it seals to this name.
        subject = f"principal {caller.name}" if caller.principal else "environment"
        shown = AccessToken(token="-", client_id="lofty-mcp", scopes=scopes, subject=subject)  # noqa: S106
        known, seen = CALLER.set(caller), auth_context_var.set(AuthenticatedUser(shown))
        try:
            await self._app(scope, receive, send)
        finally:
            auth_context_var.reset(seen)
            CALLER.reset(known)

    async def _caller(self, request: Request) -> Caller:
        caller = await self._recognised(request) if self._recognisers else Caller()
        asked = request.headers.get(MODE_HEADER)
        if asked is None:
            return caller
        try:
            return replace(caller, mode=Mode(asked.strip().lower()))
        except ValueError:
            valid = ", ".join(Mode)
            raise NotLetIn(400, "invalid_request", f"There is no such mode in Lofty-Mode; valid are {valid}.") from None

    async def _recognised(self, request: Request) -> Caller:
        header = request.headers.getlist("authorization")
        if "access_token" in parse_qs(request.url.query, keep_blank_values=True):
            if header:
                raise NotLetIn(400, "invalid_request", "A token belongs into the Authorization header only.")
            raise NotLetIn(
                401, "invalid_request", "A token belongs into the Authorization header, not into the address."
            )
        if not header:
            raise NotLetIn(401, None, "A bearer token is needed.", scope=f"{READ} {WRITE}")
        scheme, _, token = header[0].partition(" ")
        if len(header) == 1 and scheme.lower() == "bearer" and (token := token.strip()):
            for recognise in self._recognisers:
                if (caller := await recognise(token)) is not None:
                    return caller
        log.info("a token was refused", extra={"status": 401})
        raise NotLetIn(
            401, "invalid_token", "The token is not known here, has expired, or was not meant for this server."
        )

    def _step_up(self, caller: Caller, message: Mapping[str, Any]) -> None:
        if not caller.may_write and self._writes(message):
            raise NotLetIn(403, "insufficient_scope", f"This tool needs the scope {WRITE}.", scope=f"{READ} {WRITE}")

    def _used_up(self, caller: Caller, message: Mapping[str, Any]) -> int:
        return self._fair_use.wait_for_writes(caller.name) if self._writes(message) else 0

    def _writes(self, message: Mapping[str, Any]) -> bool:
        params = message.get("params")
        name = params.get("name") if message.get("method") == "tools/call" and isinstance(params, dict) else None
        return isinstance(name, str) and self._effects.get(name, Effect.READ) is not Effect.READ

    def _answer(self, refusal: NotLetIn, request: Request) -> Response:
        body = {"error": refusal.error or "unauthorized", "error_description": refusal.description}
        headers = {"cache-control": "no-store"}
        if refusal.status in (401, 403):
            parts = {"error": refusal.error, "error_description": refusal.error and refusal.description}
            parts |= {"scope": refusal.scope, "resource_metadata": self._metadata(request)}
            said = ", ".join(f'{name}="{value}"' for name, value in parts.items() if value)
            headers["www-authenticate"] = f"Bearer {said}"
        return JSONResponse(body, refusal.status, headers)


def _message(body: bytes) -> Mapping[str, Any]:
    try:
        message = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _too_many(seconds: int, message: Mapping[str, Any]) -> Response:
    said = f"This is more than the limits of this account allow. Try again in {seconds} s."
    error = {"code": TOO_MANY, "message": said, "data": {"retryAfter": seconds}}
    number = message.get("id")
    shown = number if isinstance(number, str | int) else None
    return JSONResponse({"jsonrpc": "2.0", "id": shown, "error": error}, 429, {"retry-after": str(seconds)})
