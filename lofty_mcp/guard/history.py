"""A lead's history, gathered from Lofty's sources through the gate; one that fails does not spoil the rest."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import anyio

from lofty_mcp.client.endpoints import MOST_PAGES, Row
from lofty_mcp.errors import LoftyError, PermissionDenied, UpstreamFailed
from lofty_mcp.guard.gate import VisibleCrm
from lofty_mcp.models.leads import LeadRecord
from lofty_mcp.models.timeline import (
    Event,
    Kind,
    communication_events,
    note_events,
    site_events,
    system_events,
    task_events,
)

SOURCE_SECONDS = 20.0
Place = tuple[datetime, str, str]
_TALK: frozenset[Kind] = frozenset({"call", "text", "email"})


@dataclass(frozen=True)
class Window:
    """Which part of a history is wanted: kinds, times (inclusive), and how many events behind a place."""

    kinds: frozenset[Kind]
    since: datetime | None
    until: datetime | None
    behind: Place | None
    count: int

    def holds(self, event: Event) -> bool:
        """Whether `event` is wanted."""
        return (
            event.kind in self.kinds
            and (self.since is None or (event.at is not None and event.at >= self.since))
            and (self.until is None or (event.at is not None and event.at <= self.until))
            and (self.behind is None or event.place < self.behind)
        )

    def enough(self, events: Sequence[Event]) -> bool:
        """Whether a source that is read newest first has given all it needs to give.

        One more than wanted has to lie strictly further back, since rows of one moment may go on on the next page.
        """
        times = [e.at for e in events if e.at]
        if not times or any(later > earlier for earlier, later in pairwise(times)):
            return False  # not newest first after all
        oldest = times[-1]
        if self.since is not None and oldest < self.since:
            return True
        return sum(self.holds(e) and e.at is not None and e.at > oldest for e in events) > self.count


@dataclass
class History:
    """What was gathered, and the kinds of which something is missing."""

    events: list[Event] = field(default_factory=list)
    incomplete: set[Kind] = field(default_factory=set)


@dataclass
class _Sources:
    """The five sources of one lead's history, each as one coroutine that yields its raw rows."""

    crm: VisibleCrm
    lead: LeadRecord
    window: Window
    zone: ZoneInfo

    async def site(self) -> list[Event]:
        """What the lead did on the site, newest first and only as far back as needed."""
        pages: list[list[Row]] = []
        async for page in _bounded(self.crm.site_activities(self.lead)):
            pages.append(page)
            if self.window.enough(site_events(pages)):
                break
        return site_events(pages)

    async def talk(self) -> list[Event]:
        """Calls, texts and e-mails: oldest first, so all of them."""
        pages = _bounded(self.crm.communications(self.lead))
        return communication_events(
            list({str(row.get("id", row)): row async for page in pages for row in page}.values())
        )

    async def note(self) -> list[Event]:
        """Notes, all of them: Lofty knows no paging here."""
        return note_events(await self.crm.notes(self.lead))

    async def task(self) -> list[Event]:
        """Tasks, all of them."""
        return task_events(await self.crm.tasks(self.lead), self.zone)

    async def system(self) -> list[Event]:
        """The change log, newest first and only as far back as needed."""
        rows: dict[str, Row] = {}
        async for page in _bounded(self.crm.system_logs(self.lead)):
            rows |= {str(row.get("id", row)): row for row in page}
            if self.window.enough(system_events(list(rows.values()))):
                break
        return system_events(list(rows.values()))


async def gather(crm: VisibleCrm, lead: LeadRecord, window: Window, zone: ZoneInfo) -> History:
    """The wanted events of `lead`, newest first: as many as there are, or one more than `window.count`."""
    sources, history = _Sources(crm, lead, window, zone), History()
    plan: tuple[tuple[frozenset[Kind], Callable[[], Awaitable[list[Event]]]], ...] = (
        (frozenset({"site"}), sources.site),
        (_TALK, sources.talk),
        (frozenset({"note"}), sources.note),
        (frozenset({"task"}), sources.task),
        (frozenset({"system"}), sources.system),
    )
    async with anyio.create_task_group() as group:
        for kinds, source in plan:
            if wanted := window.kinds & kinds:
                group.start_soon(_read, source, wanted, history)
    told = {event.key for event in history.events if event.kind in _TALK}
    wanted_events = [e for e in history.events if window.holds(e) and not (e.kind == "system" and e.refers & told)]
    unique = {event.place: event for event in wanted_events}
    history.events = [unique[place] for place in sorted(unique, reverse=True)][: window.count + 1]
    return history


async def _read(source: Callable[[], Awaitable[list[Event]]], kinds: frozenset[Kind], history: History) -> None:
    with anyio.move_on_after(SOURCE_SECONDS) as scope:
        try:
            history.events += await source()
        except PermissionDenied:
            if kinds != {"system"}:  # the change log is its owner's to see; that is not a failure
                history.incomplete |= kinds
        except LoftyError:
            history.incomplete |= kinds
    if scope.cancelled_caught:
        history.incomplete |= kinds


async def _bounded(pages: AsyncIterator[list[Row]]) -> AsyncIterator[list[Row]]:
    count = 0
    async for page in pages:
        count += 1
        if count > MOST_PAGES:
            raise UpstreamFailed  # named as incomplete rather than read as whole
        yield page
