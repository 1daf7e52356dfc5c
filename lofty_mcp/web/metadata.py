"""What a client learns of this server before it has a token (RFC 9728)."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lofty_mcp.web.callers import READ, WRITE

METADATA = "/.well-known/oauth-protected-resource"


@dataclass(frozen=True)
class Resource:
    """This server as an OAuth resource; without an issuer it names no authorization server."""

    issuer: str | None
    audience: str | None
    named_hosts: tuple[str, ...]

    def address(self, request: Request) -> str:
        """The address that clients know: the audience if it is one, else the one this client has used.

        A named host stands for a proxy that speaks TLS in front of us.
        """
        if self.audience is not None and self.audience.startswith(("https://", "http://")):
            return self.audience
        host = request.headers.get("host", "")
        scheme = "https" if {host, host.rpartition(":")[0]} & set(self.named_hosts) else request.url.scheme
        return f"{scheme}://{host}/mcp"

    def metadata_address(self, request: Request) -> str:
        """Where the document below is, as the well-known form of the resource's own address."""
        parts = urlsplit(self.address(request))
        return f"{parts.scheme}://{parts.netloc}{METADATA}{parts.path.rstrip('/')}"

    async def document(self, request: Request) -> Response:
        """The metadata document."""
        told = {
            "resource": self.address(request),
            "scopes_supported": [READ, WRITE],
            "bearer_methods_supported": ["header"],
            "resource_name": "lofty-mcp",
        }
        if self.issuer is not None:
            told["authorization_servers"] = [self.issuer]
        return JSONResponse(told, headers={"cache-control": "max-age=300"})
