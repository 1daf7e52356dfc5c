"""What lives as long as the process, and what lives as long as one call."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anyio
from mcp.server.mcpserver import Context

from lofty_mcp.accounts import Account, Accounts, Caller, Principal
from lofty_mcp.guard.effects import Effect
from lofty_mcp.guard.gate import Timing, VisibleCrm
from lofty_mcp.guard.limits import Limits
from lofty_mcp.ledger import Ledger
from lofty_mcp.models.masking import Masking
from lofty_mcp.settings import Mode, Settings

if TYPE_CHECKING:
    from lofty_mcp.guard.audit import AuditLog


@dataclass
class App:
    """The process: settings, ledger, accounts, clocks."""

    settings: Settings
    ledger: Ledger
    accounts: Accounts
    timing: Timing
    clock: Callable[[], float]
    """Epoch seconds."""
    audit: "AuditLog"
    secret: bytes = field(repr=False)
    """Keys the hashes of lead ids in the audit log."""
    effects: Mapping[str, Effect]
    """The tools there are in the operator's mode, each with the most it may do."""
    toolsets: Mapping[str, str]
    """The toolset of each of them."""
    caller: Callable[[], Caller]
    """Who sent the request being served; what it raises ends the request."""
    limits: Limits
    sandbox: bool = False
    owner: str = field(default_factory=lambda: uuid4().hex)
    stopping: bool = False
    """Once true, no write is sent any more."""
    waiting: set[anyio.CancelScope] = field(default_factory=set)
    """Writes whose turn has not come; cancelled when the process is to end."""
    streams: dict[anyio.CancelScope, Principal | None] = field(default_factory=dict)
    """Open streams, each with whose it is; cancelled with the process, or once that one may not call any more."""

    def open_call(self) -> "Call":
        """A new call of whoever sent the request."""
        caller = self.caller()
        account = self.accounts.of(caller.principal)
        crm = VisibleCrm(
            account.client,
            account.vocabulary,
            account.seen,
            self.settings.visibility,
            self.timing,
            account.member,
            self.limits,
            caller.name,
        )
        return Call(self, account, crm, self.clock(), caller)


@dataclass
class Call:
    """One round of one request: its gated view, and what the audit log will say of it."""

    app: App
    account: Account
    crm: VisibleCrm
    began: float
    caller: Caller
    decision: str = ""
    basis: str = ""
    """What the decision rests on: a word or two of ours, never of the arguments."""
    outcome: str = "done"
    leads: list[str] = field(default_factory=list)
    said: str = ""
    """The words of the arguments, in masked mode."""
    tickets: list[str] = field(default_factory=list)
    """Ids of the tickets that this round touched."""

    def decided(self, decision: str, basis: str) -> None:
        """Keep for the audit log what was decided, and on what it rests."""
        self.decision, self.basis = decision, basis

    @property
    def mode(self) -> Mode:
        """How far this call may act: the tightest of what operator, account and request say."""
        of_account = self.caller.principal.mode if self.caller.principal else Mode.AUTO
        return Mode.tightest(self.app.settings.mode, of_account, self.caller.mode)

    @property
    def toolsets(self) -> tuple[str, ...]:
        """The toolsets of this principal."""
        return self.caller.principal.toolsets if self.caller.principal else self.app.settings.toolsets

    def masking(self, said: str = "") -> Masking:
        """What makes personal data unreadable in the answer of this call, as far as it has read leads."""
        return Masking(self.crm.shown, self.account.vocabulary.people(), said)

    def readable(self, text: str) -> str:
        """`text` as this call's client may read it."""
        return self.masking().text(text) if self.app.settings.pii == "masked" else text

    def asked(self, text: str) -> str:
        """A question as a person may read it: what the caller itself has said stands there as it was said."""
        return self.masking(self.said).text(text) if self.app.settings.pii == "masked" else text

    @property
    def may(self) -> list[str]:
        """The tools that this call's token may use; the others that are there take another scope."""
        return [name for name, effect in self.tools.items() if effect is Effect.READ or self.caller.may_write]

    @property
    def tools(self) -> dict[str, Effect]:
        """The tools that are there for this call."""
        return {
            name: effect
            for name, effect in self.app.effects.items()
            if (effect is Effect.READ or self.mode is not Mode.READ)
            and {self.app.toolsets[name], "all"} & set(self.toolsets)
        }


Ctx = Context[App, Any]
CALL: ContextVar[Call] = ContextVar("call")
"""The call being served; resources and completions get no `Context`, so all take it from here."""


def call() -> Call:
    """The call being served."""
    return CALL.get()
