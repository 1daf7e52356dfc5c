"""Ways to know who shows a token: the operator's one token, or the accounts file with static tokens and JWTs."""

import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from lofty_mcp.accounts import Caller
from lofty_mcp.settings import BadSettings
from lofty_mcp.web.accounts_file import AccountsFile

if TYPE_CHECKING:
    from lofty_mcp.web.bearer_jwt import JwtVerifier

READ, WRITE = "leads:read", "leads:write"
"""Scopes of a JWT; a static token has both."""
UNAVAILABLE = "temporarily_unavailable"


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

    token: str = field(repr=False)

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
            raise NotLetIn(
                503, UNAVAILABLE, "The accounts file cannot be used. `lofty-mcp doctor` on the server says why."
            ) from None
        if (principal := directory.of_token(token)) is not None:
            return Caller(principal)
        if self.verifier is None:
            return None
        from lofty_mcp.web.keys import KeysUnavailable  # there already, now that there is a verifier

        try:
            claims = await self.verifier.verify(token)
        except KeysUnavailable:
            raise NotLetIn(
                503,
                UNAVAILABLE,
                "The issuer's keys cannot be had. Try again in a moment; if that goes on, the operator has to look at "
                "LOFTY_MCP_JWKS.",
            ) from None
        found = directory.by_subject.get(claims.subject) if claims else None
        if claims is None or found is None:
            return None
        if READ not in claims.scopes:
            raise NotLetIn(403, "insufficient_scope", f"This needs the scope {READ}.", scope=READ)
        return Caller(found, may_write=WRITE in claims.scopes)
