"""Every failure whose text is written for the reader, as one tree.

LoftyError
├── InvalidInput            the arguments are wrong; nothing was sent for them
├── NotFound                no such record for this viewer: missing, trashed and hidden read alike
├── Refused                 our own rules say no
├── CredentialRejected      Lofty does not accept the key or token
├── PermissionDenied        Lofty accepts the credential but not this act
├── RateLimited             Lofty, or our own budget, asks to wait
├── RejectedByLofty         Lofty understood and refused, before doing anything
├── Unreachable             not one byte left: nothing can have happened
├── UpstreamFailed          bytes left and no clear answer came: anything may have happened
│   └── NoSuchOperation     nothing answers there as Lofty does: probably not Lofty's address
└── LedgerUnavailable       the ledger cannot be used, so nothing may be written

Messages are ours, say what to do next, and never repeat upstream text. The SDK shows the model only `ToolError` and
`ResourceError` texts, so the root is both.
"""

from typing import ClassVar

from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, ToolError


class LoftyError(ToolError, ResourceError):
    """Base of every failure whose text a person or a model may read."""

    default: ClassVar[str] = "The call failed."
    sent: ClassVar[bool] = False
    """True when a write that ended so may have been carried out all the same."""
    processed: ClassVar[bool] = False
    """True when Lofty took the request up and answered it with a definite no."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.default)


class InvalidInput(LoftyError):
    """The arguments are wrong; the message names what is valid."""

    default = "The arguments are not valid. Nothing was changed."


class NotFound(LoftyError, ResourceNotFoundError):
    """No such record for this viewer.

    Lofty: 404 with code 20006 or 20007; also every record the visibility gate withholds.
    """

    default = (
        "Not found: no lead with this id is visible to you. search_leads lists the leads that are. Nothing was changed."
    )


class Refused(LoftyError):
    """Our own rules say no."""

    default = "Refused. Nothing was changed."


class CredentialRejected(LoftyError):
    """Lofty does not accept the key or token (401, or codes 20004 and 200058 under any status)."""

    default = (
        "Lofty does not accept the configured credential. With an API key: make a new one in Lofty under Settings > "
        "Integrations > API and set LOFTY_API_KEY. With OAuth: authorise again and set the new tokens. Then restart; "
        "`lofty-mcp doctor` checks it."
    )


class PermissionDenied(LoftyError):
    """Lofty accepts the credential but not this act (403, or codes 20017 and 200100 under any status)."""

    default = (
        "Lofty does not allow this user or credential to do that. An account owner can grant the permission, or the "
        "app's API scope, in Lofty."
    )
    processed = True

    def __init__(self, message: str | None = None, *, scope: bool = False) -> None:
        super().__init__(message)
        self.scope = scope
        """True when the credential lacks the whole operation (code 200100), whatever the record."""


class RateLimited(LoftyError):
    """Lofty, or our own budget, asks to wait."""

    def __init__(self, seconds: float = 60.0) -> None:
        self.seconds = max(1.0, seconds)
        super().__init__(f"Lofty's rate limit is used up; retry in {self.seconds:.0f} s.")


class RejectedByLofty(LoftyError):
    """Lofty understood the request and refused it before doing anything (4xx with a business code)."""

    default = "Lofty refused the request as invalid."
    processed = True

    def __init__(self, message: str | None = None, *, code: int | None = None) -> None:
        self.code = code
        suffix = f" (Lofty code {code})" if code is not None else ""
        super().__init__((message or self.default) + suffix)


class Unreachable(LoftyError):
    """Not one byte left: connection refused, name not resolved, no free connection, or the breaker is open."""

    default = (
        "Lofty cannot be reached from this machine. Check the network and LOFTY_BASE_URL, then try again; "
        "`lofty-mcp doctor` shows what is wrong."
    )


class UpstreamFailed(LoftyError):
    """Bytes left and no clear answer came: a 5xx, a timeout, a reset, or an answer that cannot be read."""

    default = "Lofty failed to answer. Try again in a moment."
    sent = True


class NoSuchOperation(UpstreamFailed):
    """A 404 where Lofty has no record to miss, such as its own `/v1.0/me`."""

    default = "What answers there does not answer as Lofty does (404). Check LOFTY_BASE_URL. Nothing was changed."


class LedgerUnavailable(LoftyError):
    """The ledger cannot be used, so nothing may be written."""

    default = (
        "The server's own ledger cannot be written, so nothing was changed in Lofty. Check the disk and the "
        "permissions of the state folder; `lofty-mcp doctor` checks it."
    )
