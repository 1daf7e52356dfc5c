"""What a request may look like before anybody looks at who sent it: small, timely, and to one of our names."""

import logging
import re
from collections.abc import Sequence

import anyio
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATIENCE_SECONDS = 10.0
LARGEST_HEADERS = 32_768
MOST_HEADERS = 100
LARGEST_QUERY = 8_192
HEARD_OUT = 4 * 2**20
"""Bytes of a body that is too large which may arrive before the connection is closed on it."""

HOST = r"(?:\[[0-9a-f:.]+\]|[\w.-]+)(?::\d{1,5})?"
NOT_OURS = {
    421: "This server is not reached by that host name. Its operator can name it in LOFTY_MCP_ALLOWED_HOSTS.",
    403: "This server does not answer pages of that origin. Its operator can name hosts in LOFTY_MCP_ALLOWED_HOSTS.",
}
log = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def security(host: str, allowed_hosts: Sequence[str]) -> TransportSecuritySettings:
    """The Host and Origin values that are let in: this machine's own, the address listened on, and those named.

    A name without a port is good with every port; `host` may be a wildcard, which names nothing.
    """
    own = () if host in ("0.0.0.0", "::", "") else (f"[{host}]" if ":" in host else host,)  # nosec B104 # noqa: S104 - compared only
    names = dict.fromkeys((*LOOPBACK, *own, *allowed_hosts))
    hosts = [form for name in names for form in ((name,) if _has_port(name) else (name, f"{name}:*"))]
    return TransportSecuritySettings(
        allowed_hosts=hosts, allowed_origins=[f"{scheme}://{form}" for form in hosts for scheme in ("http", "https")]
    )


class Bounded:
    """Checks Host and Origin, header sizes, and the body's size and speed; then hands the body on in one piece.

    White space around the values of `Mcp-*` headers is taken off, which the fast HTTP parser leaves.
    """

    def __init__(
        self, app: ASGIApp, allowed: TransportSecuritySettings, largest_body: int, patience: float = PATIENCE_SECONDS
    ) -> None:
        """Guard `app`; a body has at most `largest_body` bytes and arrives within `patience` seconds."""
        self._app = app
        self._allowed = TransportSecurityMiddleware(allowed)
        self._largest_body = largest_body
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        sizes = [len(name) + len(value) for name, value in scope["headers"]]
        if len(scope["query_string"]) > LARGEST_QUERY:
            await PlainTextResponse("The address is too long.", 414)(scope, receive, send)
            return
        if sum(sizes) > LARGEST_HEADERS or len(sizes) > MOST_HEADERS:
            await PlainTextResponse("The headers are too large.", 431)(scope, receive, send)
            return
        scope["headers"] = [(name, _trimmed(name, value)) for name, value in scope["headers"]]
        if (refusal := await self._not_ours(Request(scope))) is not None:
            await refusal(scope, receive, send)
            return
        try:
            with anyio.fail_after(self._patience):
                body = await self._body(scope, receive)
        except TimeoutError:
            await PlainTextResponse("The body took too long.", 408, {"connection": "close"})(scope, receive, send)
            return
        if body is None:
            await PlainTextResponse(
                f"The body is larger than {self._largest_body} bytes.", 413, {"connection": "close"}
            )(scope, receive, send)
            return
        scope["lofty.body"] = body
        await self._app(scope, _again(body, receive), send)

    async def _not_ours(self, request: Request) -> Response | None:
        """The refusal of a request to a name that is not ours, or from a page that is not; else None."""
        hosts, origins = request.headers.getlist("host"), request.headers.getlist("origin")
        refusal = await self._allowed.validate_request(request)
        if len(hosts) != 1 or not re.fullmatch(HOST, hosts[0]):
            status = 421
        elif len(origins) > 1 or not all(re.fullmatch(f"https?://{HOST}", origin) for origin in origins):
            status = 403
        elif refusal is not None:
            status = refusal.status_code
        else:
            return None
        log.info("a Host or Origin that is not allowed was refused", extra={"setting": "LOFTY_MCP_ALLOWED_HOSTS"})
        return PlainTextResponse(NOT_OURS[status], status)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None if it is too large.

        Such a body is read for a while all the same: whoever is still sending would not see the answer.
        """
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        most = max(self._largest_body, HEARD_OUT)
        if not announced.isdigit() or int(announced) > most:
            return None
        body, size, more = bytearray(), 0, True
        while more and size <= most:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if size <= self._largest_body:
                body += part
            more = message["type"] == "http.request" and message.get("more_body", False)
        return bytes(body) if size <= self._largest_body else None


def _again(body: bytes, receive: Receive) -> Receive:
    """What receives `body` in one piece first, and then whatever else comes, which is only a hang-up."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


def _trimmed(name: bytes, value: bytes) -> bytes:
    if name in (b"host", b"origin"):
        return value.lower()
    return value.strip(b" \t") if name.startswith(b"mcp-") else value


def _has_port(name: str) -> bool:
    return ":" in name.rpartition("]")[2]
