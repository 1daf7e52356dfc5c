"""What an account calls things: its own user, members, stages and tags, kept for five minutes.

Never a verdict on a lead. Words met on leads (`Seen`) belong to one viewer, since only leads that this viewer may see
may teach it a word.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

import anyio

from lofty_mcp.client import endpoints
from lofty_mcp.client.client import LoftyClient
from lofty_mcp.errors import NoSuchOperation, NotFound, PermissionDenied, RejectedByLofty
from lofty_mcp.models.clean import line
from lofty_mcp.models.leads import LeadRow
from lofty_mcp.models.people import Member, Org

FRESH_SECONDS = 300.0

T = TypeVar("T")


@dataclass
class _Kept:
    value: Any = None
    until: float = float("-inf")
    version: int = 0
    lock: anyio.Lock = field(default_factory=anyio.Lock)


@dataclass
class Seen:
    """Words met on leads that one viewer has seen."""

    stages: dict[str, None] = field(default_factory=dict)
    tags: dict[str, None] = field(default_factory=dict)
    sources: dict[str, None] = field(default_factory=dict)

    def learn(self, lead: LeadRow) -> None:
        """Remember the words of a lead that passed the gate."""
        if lead.stage:
            self.stages[lead.stage] = None
        if lead.source:
            self.sources[lead.source] = None
        self.tags.update(dict.fromkeys(lead.tag_names))


@dataclass
class Vocabulary:
    """One credential's words; each list is fetched once however many calls wait for it."""

    client: LoftyClient
    clock: Callable[[], float]
    _kept: dict[str, _Kept] = field(default_factory=dict)

    async def me(self) -> Member:
        """The credential's own user."""
        return await self._get("me", lambda: endpoints.me(self.client))

    async def own_record(self) -> Member | None:
        """The member record under the own user's e-mail address; None if Lofty shows none."""
        email = (await self.me()).email
        return await self.record_of(email) if email else None

    async def record_of(self, email: str) -> Member | None:
        """The member record under this e-mail address; None if Lofty shows none."""

        async def fetch() -> Member | None:
            try:
                found = await endpoints.member(self.client, email)
            except (PermissionDenied, RejectedByLofty, NotFound):
                return None
            return found if (found.email or "").casefold() == email.casefold() else None

        return await self._get(f"member {email.casefold()}", fetch)

    async def org(self) -> Org:
        """The account's organisation."""
        return await self._get("org", lambda: endpoints.org(self.client))

    async def members(self, *, again: bool = False) -> list[Member]:
        """The team's members; `again` fetches what is older than this call."""
        return await self._get("members", lambda: endpoints.members(self.client), again=again)

    def people(self) -> list[Member]:
        """The people of the team that have been fetched, however long ago."""
        kept = [kept.value for name, kept in self._kept.items() if name == "me" or name.startswith("member")]
        return [person for value in kept for person in (value if isinstance(value, list) else [value]) if person]

    async def stages(self, *, again: bool = False) -> list[str]:
        """The names of the lead pipelines, as Lofty spells them."""
        return await self._get("stages", lambda: endpoints.pipelines(self.client), again=again)

    async def tags(self, *, again: bool = False) -> list[str]:
        """The names of the tag definitions, as Lofty spells them."""
        return await self._get("tags", lambda: endpoints.tags(self.client), again=again)

    async def zone(self) -> ZoneInfo:
        """The account's time zone, UTC where Lofty names none that is known."""
        try:
            return ZoneInfo((await self.me()).time_zone_id or "UTC")
        except (KeyError, ValueError, OSError, PermissionDenied, RejectedByLofty, NoSuchOperation):
            return ZoneInfo("UTC")

    async def _get(self, name: str, fetch: Callable[[], Awaitable[T]], *, again: bool = False) -> T:
        kept = self._kept.setdefault(name, _Kept())
        version = kept.version
        if again or kept.until <= self.clock():
            async with kept.lock:
                if kept.version == version:  # nobody who held the lock before us has fetched it
                    kept.value = await fetch()
                    kept.until, kept.version = self.clock() + FRESH_SECONDS, version + 1
        return cast("T", kept.value)


def spelled(name: str, raw: Iterable[str]) -> str | None:
    """The entry of `raw` that reads as `name` once cleaned, in Lofty's own spelling."""
    return next((word for word in raw if line(word) == name), None)
