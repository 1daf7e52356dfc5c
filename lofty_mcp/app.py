"""What lives as long as the process, and what lives as long as one call."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from mcp.server.mcpserver import Context

from lofty_mcp.client.client import LoftyClient
from lofty_mcp.client.vocabulary import Seen, Vocabulary
from lofty_mcp.guard.effects import Effect
from lofty_mcp.guard.gate import Timing, VisibleCrm
from lofty_mcp.ledger import Ledger
from lofty_mcp.settings import Settings

if TYPE_CHECKING:
    from lofty_mcp.guard.audit import AuditLog


@dataclass
class Account:
    """A principal with its credential's way to Lofty."""

    principal: str
    client: LoftyClient
    vocabulary: Vocabulary
    seen: Seen = field(default_factory=Seen)


@dataclass
class App:
    """The process: settings, ledger, accounts, clocks."""

    settings: Settings
    ledger: Ledger
    account: Account
    timing: Timing
    clock: Callable[[], float]
    """Epoch seconds."""
    audit: "AuditLog"
    secret: bytes
    """Keys the hashes of lead ids in the audit log."""
    effects: Mapping[str, Effect]
    """The tools listed, each with the most it may do."""
    sandbox: bool = False
    owner: str = field(default_factory=lambda: uuid4().hex)

    def open_call(self) -> "Call":
        """A new call of the principal."""
        account = self.account
        crm = VisibleCrm(
            account.client,
            account.vocabulary,
            account.seen,
            self.settings.visibility,
            self.timing,
        )
        return Call(self, account, crm, self.clock())


@dataclass
class Call:
    """One round of one request: its gated view, and what the audit log will say of it."""

    app: App
    account: Account
    crm: VisibleCrm
    began: float
    decision: str = "allow"
    outcome: str = "done"
    leads: list[str] = field(default_factory=list)


Ctx = Context[App, Any]
CALL: ContextVar[Call] = ContextVar("call")
"""The call being served; resources and completions get no `Context`, so all take it from here."""


def call() -> Call:
    """The call being served."""
    return CALL.get()
