"""The viewer's view of the CRM: whatever tools, resources and completions know of a lead has passed here.

A lead that this viewer may not see raises the same `NotFound`, after the same requests and not before the same
moment, as one that never existed. No verdict outlives the call it was made in.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import anyio

from lofty_mcp.client import endpoints
from lofty_mcp.client.requests import LEAD_PAGE
from lofty_mcp.client.vocabulary import Seen, Vocabulary
from lofty_mcp.client.wire import looks_full
from lofty_mcp.errors import NoSuchOperation, NotFound, PermissionDenied, RateLimited, RejectedByLofty
from lofty_mcp.guard import visibility
from lofty_mcp.guard.limits import Limits, NoLimits
from lofty_mcp.guard.pages import OVERLAP, Position, after, in_order, joins, passed
from lofty_mcp.guard.records import LetThrough, Row
from lofty_mcp.guard.visibility import Rule, Viewer
from lofty_mcp.models.leads import LeadRecord, LeadRow
from lofty_mcp.models.messages import MessageKind
from lofty_mcp.models.people import Member

FLOOR_SECONDS = 0.3
"""No answer that holds a lead not found leaves earlier, so that Lofty's own speed tells little."""
LOOK_AHEAD = 10
MOST_PAGES = 60
LAST_SECONDS = 5.0
"""A walk that has less time left hands out a cursor instead of asking for another page."""

Keep = Callable[[LeadRow], bool]


@dataclass(frozen=True)
class Timing:
    """The clock of not-found answers, given by `build_server` so that tests need not wait."""

    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    floor: float = FLOOR_SECONDS


@dataclass(frozen=True)
class Found:
    """Visible leads of a search, where the walk stands after them, and whether there is another."""

    leads: list[LeadRow]
    places: list[Position]
    """Where each lead stands in Lofty's list."""
    last: Position
    """Where the walk stands, which is behind what was passed after the last lead if it found no other."""
    before: int
    """Leads delivered by the pages before."""
    more: bool

    def position(self, count: int) -> Position:
        """Where to go on once the first `count` leads are delivered."""
        place = self.last if count == len(self.leads) else self.places[count - 1]
        return replace(place, delivered=self.before + count)


@dataclass(frozen=True)
class LeadQuery:
    """A search in Lofty's terms: filters, order, and what is checked on each row again.

    `keep` guards against a filter that Lofty ignored (quirk 7) and holds what Lofty cannot filter; `past` ends the
    walk early in an order that allows it.
    """

    filters: Mapping[str, str | int | bool]
    newest_first: bool | None
    keep: Keep = lambda _: True
    past: Keep = lambda _: False


@dataclass
class VisibleCrm(LetThrough):
    """One call's gated view. Methods take either an id, or a record that this view has itself let through."""

    vocabulary: Vocabulary
    seen: Seen
    rule: Rule
    timing: Timing
    member: str | None = None
    """E-mail address of the member whose eyes these are; None: the credential's own user."""
    limits: Limits = field(default_factory=NoLimits)
    caller: str = ""
    """The name that `limits` count under."""
    shown: list[LeadRow] = field(init=False, default_factory=list)
    """What this view has let through, so that it is known what of an answer is personal."""
    eyes: Viewer | None = field(init=False, default=None)
    """The viewer, once the call has had to know it."""

    async def viewer(self) -> Viewer:
        """Whose eyes these are; nobody's, if that cannot be known for certain."""
        self.eyes = await self._viewer()
        return self.eyes

    async def _viewer(self) -> Viewer:
        try:
            if self.member is not None:
                record = await self.vocabulary.record_of(self.member)
                return visibility.viewer_of(record, None, {}) if record else Viewer()
            me, record = await self.vocabulary.me(), await self.vocabulary.own_record()
        except (PermissionDenied, RejectedByLofty, NoSuchOperation):
            return Viewer()
        return visibility.viewer_of(me, record, self.client.credential.claims())

    async def person(self) -> Member | None:
        """The member this call acts for, as Lofty records them; None if Lofty shows no record of the one named."""
        if self.member is not None:
            return await self.vocabulary.record_of(self.member)
        return await self.vocabulary.own_record() or await self.vocabulary.me()

    async def lead(self, lead_id: str) -> LeadRecord:
        """The lead, if it exists for this viewer.

        Raises:
            NotFound: it is missing, trashed or hidden; the three cannot be told apart.
        """
        found = (await self.leads([lead_id]))[0]
        if found is None:
            raise NotFound
        return found

    async def leads(self, lead_ids: Sequence[str]) -> list[LeadRecord | None]:
        """The leads in the order asked for, None where one does not exist for this viewer."""
        viewer, began = await self.viewer(), self.timing.clock()
        async with self.limits.looking(self.caller, len(lead_ids)):
            found = [await self._look(lead_id, viewer) for lead_id in lead_ids]
            if missing := found.count(None):
                self.limits.count_not_found(self.caller, missing)
        if missing:
            await self._floor(began)
        return found

    async def search(self, query: LeadQuery, position: Position, limit: int) -> Found:
        """Up to `limit` visible leads after `position`; `more` is exact unless the walk ran too long."""
        viewer, began = await self.viewer(), self.timing.clock()
        leads, places, last, more = list[LeadRow](), list[Position](), position, False
        async for row, at, ordered in self._walk(query, position, limit, viewer):
            if row is None:
                last, more = at, True
                break
            last = at
            if ordered and query.past(row):
                break
            self.seen.learn(row)
            if query.keep(row):
                if len(leads) == limit:
                    more = True
                    break
                leads.append(row)
                places.append(at)
        self.shown += leads
        if not leads:
            await self._floor(began)  # nothing found, perhaps since what there is may not be seen
        if len(leads) == limit:
            last = places[-1]
        return Found(leads, places, last, position.delivered, more)

    async def read_back(self, lead_id: str) -> tuple[LeadRecord, bool]:
        """The lead right after a write of this call, and whether this viewer still sees it.

        Only to compare what was asked for: an assignment may have ended the viewer's own sight of the lead.
        """
        record = await endpoints.lead(self.client, lead_id)
        if record.lead_id != lead_id:
            raise NotFound
        self.shown.append(record)
        return record, visibility.visible(record, await self.viewer(), self.rule)

    async def in_trash(self, lead_id: str) -> bool:
        """Whether a lead that this call has let through and then removed lies in the trash, for this viewer."""
        try:
            record = await endpoints.lead(self.client, lead_id, with_trash=True)
        except (NotFound, RejectedByLofty):
            return False
        return record.lead_id == lead_id and visibility.visible(record, await self.viewer(), self.rule)

    async def message(self, lead: LeadRecord, kind: MessageKind, message_id: str) -> Row:
        """A call, text or e-mail of the lead; one that is not found may be of a lead that this viewer may not see."""
        began = self.timing.clock()
        try:
            return await super().message(lead, kind, message_id)
        except NotFound:
            await self._floor(began)
            raise

    async def stage_is_known(self, stage: str) -> tuple[bool, bool]:
        """Whether Lofty knows `stage`, and whether a lead that this viewer sees stands there (quirk 8).

        A row of another stage says that Lofty ignored the filter, and so that its answer proves nothing.
        """
        try:
            found = await self.search(LeadQuery({"stage": stage}, None), Position(), 1)
        except (NotFound, RejectedByLofty):
            return False, False
        met = any(row.stage == stage for row in found.leads)
        return met or not found.leads, met

    async def _floor(self, began: float) -> None:
        """Wait for the earliest moment at which what was looked for since `began`, and not found, may be told.

        Each look has its own, since what a call did before may have taken longer than that already.
        """
        remaining = began + self.timing.floor - self.timing.clock()
        if remaining > 0:
            await self.timing.sleep(remaining)

    async def _look(self, lead_id: str, viewer: Viewer) -> LeadRecord | None:
        try:
            record = await endpoints.lead(self.client, lead_id)
        except (NotFound, RejectedByLofty):
            return None  # in whatever words Lofty says it of one lead (reference §4.2)
        except PermissionDenied as refusal:
            if refusal.scope:
                raise
            return None
        if record.lead_id != lead_id or not visibility.visible(record, viewer, self.rule):
            return None
        self.seen.learn(record)
        self.shown.append(record)
        return record

    async def _walk(
        self, query: LeadQuery, position: Position, limit: int, viewer: Viewer
    ) -> AsyncIterator[tuple[LeadRow | None, Position, bool]]:
        """Visible rows after `position`, each with the position behind it; a last None if time or pages ran out.

        Rows that this viewer may not see only move the offset: neither order nor place is judged by them.
        """
        start, previous, size, joined = position.start, None, min(LEAD_PAGE, limit + LOOK_AHEAD), False
        for turn in range(MOST_PAGES):
            page = await self._page(query, start, size, first=turn == 0)
            if page is None:
                break
            ids = [row.lead_id for row in page.records]
            if not ids or ids == previous:
                return
            rows = [(i, row) for i, row in enumerate(page.records) if visibility.visible(row, viewer, self.rule)]
            order = query.newest_first if position.ordered else None
            if order is not None and not in_order([row for _, row in rows], newest_first=order):
                order = None
            joined = joined or joins([row for _, row in rows], start, position, newest_first=order)
            if not joined:
                start, previous = max(0, start - size), None
                continue
            for index, row in rows:
                if not passed(row, position, newest_first=order):
                    position = after(position, row, start + index, newest_first=order)
                    yield row, position, order is not None
            end = start + len(ids)
            position = replace(position, offset=max(position.offset, end))
            if await self._ends(query, page, end, size, position):
                return
            start, previous, size = max(start + 1, end - OVERLAP), ids, LEAD_PAGE
        yield None, position, False

    async def _page(self, query: LeadQuery, start: int, size: int, *, first: bool) -> endpoints.LeadPage | None:
        """A page of the list; None if this is not the first and the time is nearly up, or the pace used up."""
        if not first and anyio.current_effective_deadline() - anyio.current_time() < LAST_SECONDS:
            return None
        try:
            return await endpoints.leads(self.client, query.filters, offset=start, limit=size)
        except RateLimited:
            if first:
                raise
            return None

    async def _ends(self, query: LeadQuery, page: endpoints.LeadPage, end: int, size: int, position: Position) -> bool:
        """Whether nothing lies behind `page`, by the announced total, else by its shortness and one more look."""
        if page.total is not None:
            return end >= page.total
        if looks_full(len(page.records), size):
            return False
        return not await self._goes_on(query, end, [row.lead_id for row in page.records], position)

    async def _goes_on(self, query: LeadQuery, offset: int, ids: Sequence[str | None], position: Position) -> bool:
        """Whether there is a row behind a short page; without a total, the page size may be Lofty's own.

        The page's last row is asked for again, since past its end a list may begin anew.
        """
        page = await endpoints.leads(self.client, query.filters, offset=offset - 1, limit=2)
        order = query.newest_first if position.ordered else None
        return any(row.lead_id not in ids and not passed(row, position, newest_first=order) for row in page.records)
