"""The ASGI app: what happens to every request before and after a noun's handler sees it.

In order: the path must be known, a fault may strike, the credential's budget is spent, the credential is read, the
Content-Type is asked for, the handler answers. Every request is logged, and every answer carries the rate headers.
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from lofty_mcp.sandbox import delivery
from lofty_mcp.sandbox.call import EMPTY, Call
from lofty_mcp.sandbox.endpoints import ENDPOINTS, TOKEN_PATHS, Endpoint
from lofty_mcp.sandbox.faults import Fault, Faults
from lofty_mcp.sandbox.people import Member
from lofty_mcp.sandbox.refusals import ApiError, gateway
from lofty_mcp.sandbox.seed import fill
from lofty_mcp.sandbox.store import Store
from lofty_mcp.sandbox.tokens import Budget, Tokens, rate_headers
from lofty_mcp.sandbox.world import LogEntry, World

LOG_LENGTH = 20_000
UNKNOWN = {"message": "The requested API endpoint does not exist"}


class UnknownPath(LookupError):
    """A strict sandbox was asked for a method and path that Lofty does not have."""


class SandboxApp(Starlette):
    """A Starlette app that reads the whole request, keeps the log and delivers, or fails to deliver, the answer."""

    def __init__(self, world: World, budget: Budget, *, strict: bool) -> None:
        tokens = [Route(path, self._token, methods=["POST"]) for path in TOKEN_PATHS]
        super().__init__(routes=[*(self._route(endpoint) for endpoint in ENDPOINTS), *tokens])
        self.router.redirect_slashes = False
        self.state.world = world
        self._world = world
        self._budget = budget
        self._strict = strict

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        raw = await delivery.read(receive)
        entry = _entry(scope, raw)
        self._log(entry)
        known = entry.method != "HEAD" and any(route.matches(scope)[0] is Match.FULL for route in self.routes)
        if not known and self._strict:
            raise UnknownPath(f"{entry.method} {entry.path}")
        fault = self._world.faults.pick(entry.method, entry.path, entry.headers.get("x-sandbox-fault"))
        if await delivery.before(fault, receive, send):
            return
        answer, headers = await self._answer(scope, entry, raw, known=known, fault=fault)
        answer.headers.update(headers)
        if await delivery.cut(fault, answer, receive, send):
            return
        entry.status = answer.status_code
        await answer(scope, receive, send)

    async def _answer(
        self, scope: Scope, entry: LogEntry, raw: bytes, *, known: bool, fault: Fault | None
    ) -> tuple[Response, dict[str, str]]:
        """The answer and its rate headers; a fault of the kind `status` or `429` keeps the handler out of it."""
        kind, value = (fault.kind, int(fault.value)) if fault else ("", 0)
        allowed, headers = self._budget.spend(entry.headers.get("authorization", ""))
        if kind == "429" or not allowed:
            reset = rate_headers(self._budget.limit, 0, value) if kind == "429" else headers
            return JSONResponse({"message": "Too Many Requests"}, 429), reset
        if not known:
            return JSONResponse(UNKNOWN, 404), headers
        if kind == "status":
            return JSONResponse({"message": "Service Unavailable"}, value), headers
        scope["sandbox.raw"], scope["sandbox.entry"] = raw, entry
        answer = await delivery.collect(super().__call__, scope, raw)
        return (JSONResponse({"message": "Server Error"}, value) if kind == "status_after" else answer), headers

    def _log(self, entry: LogEntry) -> None:
        log = self._world.log
        if len(log) >= LOG_LENGTH:
            del log[: LOG_LENGTH // 2]
        log.append(entry)

    def _route(self, endpoint: Endpoint) -> Route:
        async def serve(request: Request) -> Response:
            entry: LogEntry = request.scope["sandbox.entry"]
            try:
                member = self._world.tokens.who(entry.headers.get("authorization"), self._world.members)
                entry.member = member.email
                _demand_type(endpoint, entry)
                reply = endpoint.handler(self._call(request, entry, member))
            except ApiError as refusal:
                return JSONResponse(refusal.body, refusal.status)
            return Response(b"") if reply is EMPTY else JSONResponse(reply)

        return Route(endpoint.path, serve, methods=[endpoint.method])

    def _call(self, request: Request, entry: LogEntry, member: Member) -> Call:
        return Call(self._world, member, request.path_params, entry.query, entry.headers, entry.body)

    async def _token(self, request: Request) -> Response:
        entry: LogEntry = request.scope["sandbox.entry"]
        try:
            reply = self._world.tokens.grant(entry.headers, request.scope["sandbox.raw"], self._world.members)
        except ApiError as refusal:
            return JSONResponse(refusal.body, refusal.status)
        return JSONResponse(reply)


def _entry(scope: Scope, raw: bytes) -> LogEntry:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return LogEntry(scope["method"], scope["path"], query, headers, _json(raw), None)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None


def _demand_type(endpoint: Endpoint, entry: LogEntry) -> None:
    """Writes need the JSON Content-Type, and so do a few reads, each with its own answer."""
    given = entry.headers.get("content-type")
    if (given or "").partition(";")[0].strip().lower() == "application/json":
        return
    if endpoint.method != "GET":
        raise gateway(400, 20001, "Content-Type is missing or not application/json")
    if endpoint.typed_read:
        raise ApiError(415, {"message": f"Content-Type '{given or 'null'}' is not supported"})


def build_app(
    *,
    leads: int = 200,
    seed: int = 42,
    now: datetime | None = None,
    rate_limit: int = 600,
    strict: bool = False,
    faults: Faults | None = None,
    token_ttl: int = 3600,
    repeat_last_page: bool = False,
    late_reads: int = 0,
    clock: Callable[[], float] = time.monotonic,
    database: str = ":memory:",
) -> Starlette:
    """A sandbox with its own seeded world, reachable as `app.state.world`.

    `now` is the world's time (by default the real one, rounded down to the hour). `clock` (seconds) drives the window
    of `rate_limit` requests per minute and credential, and the life of tokens (`token_ttl` seconds). `strict` raises
    `UnknownPath` where it would answer 404. `repeat_last_page` makes the list of leads repeat its last full page past
    the end, as one account did. A note, log, task or message is not told to the first `late_reads` reads after it was
    written. `database` is a path for the SQLite file.
    """
    moment = now or datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    tokens = Tokens(ttl=token_ttl, clock=clock)
    world = World(Store(database), seed=seed, now=moment, tokens=tokens, faults=faults or Faults())
    world.repeat_last_page, world.late_reads = repeat_last_page, late_reads
    fill(world, leads, seed)
    return SandboxApp(world, Budget(rate_limit, clock), strict=strict)
