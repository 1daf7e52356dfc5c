"""Who may call, and each one's way to Lofty: built when first used, shared where the credential is shared."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import httpx2
from pydantic import SecretStr

from lofty_mcp.client.client import LoftyClient
from lofty_mcp.client.credentials import Credential
from lofty_mcp.client.pacing import Budget, Pacer
from lofty_mcp.client.vocabulary import Seen, Vocabulary
from lofty_mcp.guard.plans import digest
from lofty_mcp.settings import Mode


@dataclass(frozen=True)
class Principal:
    """Somebody of the accounts file."""

    name: str
    key: SecretStr
    """The Lofty API key that is shown for it."""
    member: str | None = None
    """E-mail address of the member it acts for; None: the key's own user."""
    mode: Mode = Mode.AUTO
    """The most that the server may do for it."""
    toolsets: tuple[str, ...] = ("core",)


@dataclass(frozen=True)
class Caller:
    """Who sent a request, and what it may do; without a principal it is the environment's."""

    principal: Principal | None = None
    may_write: bool = True
    mode: Mode = Mode.AUTO
    """What the request itself asked to be held to."""

    @property
    def name(self) -> str:
        """What its limits are counted under."""
        return self.principal.name if self.principal else ""


LOCAL = Caller()
"""Whoever started the process."""


@dataclass
class Account:
    """A principal's way to Lofty. `principal` stands for it in the ledger, and reveals nothing of the credential."""

    principal: str
    client: LoftyClient
    vocabulary: Vocabulary
    member: str | None = None
    seen: Seen = field(default_factory=Seen)


@dataclass
class Accounts:
    """Every account of the process; `credential` makes what is shown to Lofty, for None the environment's."""

    http: httpx2.AsyncClient
    budget: Budget
    credential: Callable[[Principal | None], Credential]
    world: tuple[str | None, str]
    """What keeps the codes and tickets of one Lofty apart from another's: the sandbox's word, the base URL."""
    per_minute: int
    user_agent: str
    clock: Callable[[], float]
    _ways: dict[str, tuple[LoftyClient, Vocabulary]] = field(default_factory=dict)
    _accounts: dict[Principal | None, Account] = field(default_factory=dict)

    def of(self, principal: Principal | None) -> Account:
        """The account of `principal`; None is the environment's.

        Raises:
            BadSettings: the environment holds no usable credential.
        """
        account = self._accounts.get(principal)
        if account is None:
            account = self._accounts[principal] = self._open(principal)
        return account

    def keep(self, principals: Iterable[Principal]) -> None:
        """Let go of every account of the file but those of `principals`."""
        kept = {None, *principals}
        self._accounts = {principal: account for principal, account in self._accounts.items() if principal in kept}
        used = {account.client.credential.principal for account in self._accounts.values()}
        self._ways = {name: way for name, way in self._ways.items() if name in used}

    async def aclose(self) -> None:
        """Let renewals of sign-ins under way end."""
        for client, _ in list(self._ways.values()):
            await client.credential.aclose()

    def _open(self, principal: Principal | None) -> Account:
        credential = self.credential(principal)
        # One pace, one breaker and one vocabulary for all who use a credential, whatever process they are in.
        shared = digest([*self.world, credential.principal])[:32]
        if credential.principal not in self._ways:
            pacer = Pacer(shared, self.budget, per_minute=self.per_minute)
            client = LoftyClient(self.http, credential, pacer, user_agent=self.user_agent)
            self._ways[credential.principal] = (client, Vocabulary(client, self.clock))
        client, vocabulary = self._ways[credential.principal]
        if principal is None:
            return Account(shared, client, vocabulary)
        own = digest([shared, principal.name, principal.member])[:32]
        return Account(own, client, vocabulary, principal.member)
