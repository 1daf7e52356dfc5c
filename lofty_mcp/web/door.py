"""Who is calling: a bearer token on every request, looked up anew each time, and what it may do.

RFC 6750 (bearer tokens), RFC 9728 (where to get one), and MCP's authorization chapter: a token is taken from the
Authorization header only, goes nowhere else, and a missing scope is told in a way that a client can act on.
"""

import json
import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from urllib.parse import parse_qs

from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lofty_mcp.accounts import Caller
from lofty_mcp.guard.effects import Effect
from lofty_mcp.settings import Mode
from lofty_mcp.web.callers import READ, WRITE, NotLetIn, Recogniser
from lofty_mcp.web.fair_use import FairUse, UsedUp

MODE_HEADER = "lofty-mode"
"""With it a request is held to a tighter mode than its account's: `read`, `ask` or `code`."""
LISTEN = "subscriptions/listen"
TOO_MANY = -31_029
"""JSON-RPC code of an answer with status 429; outside the ranges that MCP reserves."""
LONGEST_ID = 100

CALLER: ContextVar[Caller] = ContextVar("caller")
"""Who sent the request being served. It has no default: whoever did not come through the door is nobody."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What the door has to know of a message."""

    id: str | int | None = None
    method: str | None = None
    tool: str | None = None


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
        request, body = Request(scope), scope.pop("lofty.body")
        try:
            caller = await self._caller(request)
            asked = read(body)  # nobody's words are parsed before it is known whose they are
            self._step_up(caller, asked)
        except NotLetIn as refusal:
            await self._answer(refusal, request)(scope, receive, send)
            return
        del body
        if scope["method"] != "POST":  # without sessions there is nothing to stream to, and none to end
            await Response(status_code=405, headers={"allow": "POST"})(scope, receive, send)
            return
        with self._fair_use.open_request(caller.name, stream=asked.method == LISTEN) as full:
            used_up = full or self._fair_use.take_request(caller.name) or self._no_more_writes(caller, asked)
            if used_up is not None:
                await _too_many(used_up, asked.id)(scope, receive, send)
                return
            await self._serve(caller, scope, receive, send)

    async def _serve(self, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
        scopes = [READ, WRITE] if caller.may_write else [READ]
        # The token itself stays here; the SDK binds what it seals to this name.
        subject = f"principal {caller.name}" if caller.principal else "environment"
        shown = AccessToken(token="-", client_id="lofty-mcp", scopes=scopes, subject=subject)  # nosec B106 # noqa: S106 - stands for one that was let in
        known, seen = CALLER.set(caller), auth_context_var.set(AuthenticatedUser(shown))
        try:
            await self._app(scope, receive, send)
        finally:
            auth_context_var.reset(seen)
            CALLER.reset(known)

    async def _caller(self, request: Request) -> Caller:
        caller = await self._recognised(request) if self._recognisers else Caller()
        asked = ",".join(request.headers.getlist(MODE_HEADER))
        if not asked:
            return caller
        try:
            return replace(caller, mode=Mode.tightest(*(Mode(word.strip().lower()) for word in asked.split(","))))
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

    def _step_up(self, caller: Caller, asked: Asked) -> None:
        if not caller.may_write and self._writes(asked):
            raise NotLetIn(403, "insufficient_scope", f"This tool needs the scope {WRITE}.", scope=f"{READ} {WRITE}")

    def _no_more_writes(self, caller: Caller, asked: Asked) -> UsedUp | None:
        return self._fair_use.no_more_writes(caller.name) if self._writes(asked) else None

    def _writes(self, asked: Asked) -> bool:
        return asked.tool is not None and self._effects.get(asked.tool, Effect.READ) is not Effect.READ

    def _answer(self, refusal: NotLetIn, request: Request) -> Response:
        body = {"error": refusal.error or "unauthorized", "error_description": refusal.description}
        headers = {"cache-control": "no-store"}
        if refusal.status in (401, 403):
            parts = {"error": refusal.error, "error_description": refusal.error and refusal.description}
            parts |= {"scope": refusal.scope, "resource_metadata": self._metadata(request)}
            said = ", ".join(f'{name}="{value}"' for name, value in parts.items() if value)
            headers["www-authenticate"] = f"Bearer {said}"
        return JSONResponse(body, refusal.status, headers)


def read(body: bytes) -> Asked:
    """What a message asks for, as far as it can be read; the MCP server says what is wrong with it."""
    try:
        message = json.loads(body) if body else None
    except (ValueError, RecursionError):
        return Asked()
    if not isinstance(message, dict):
        return Asked()
    number, method, params = message.get("id"), message.get("method"), message.get("params")
    if isinstance(number, str) and not (number.isprintable() and len(number) <= LONGEST_ID):
        number = None
    tool = params.get("name") if method == "tools/call" and isinstance(params, dict) else None
    return Asked(
        number if isinstance(number, str | int) else None,
        method if isinstance(method, str) else None,
        tool if isinstance(tool, str) else None,
    )


def _too_many(used_up: UsedUp, number: str | int | None) -> Response:
    said = f"{used_up.why} Try again in {used_up.seconds} s."
    error = {"code": TOO_MANY, "message": said, "data": {"retryAfter": used_up.seconds}}
    return JSONResponse({"jsonrpc": "2.0", "id": number, "error": error}, 429, {"retry-after": str(used_up.seconds)})
