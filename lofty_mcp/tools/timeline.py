"""What happened to a lead, as one stream."""

from typing import Annotated, Any

from pydantic import Field

from lofty_mcp.app import call
from lofty_mcp.guard.effects import Effect
from lofty_mcp.guard.history import Place, Window, gather
from lofty_mcp.models.base import moment
from lofty_mcp.models.results import Timeline, table
from lofty_mcp.models.timeline import COLUMNS, EXTRA_COLUMNS, KINDS, Event, Kind
from lofty_mcp.tools import cursors
from lofty_mcp.tools.budget import CELL_CHARACTERS, rows_that_fit, shorten
from lofty_mcp.tools.leads import Detail
from lofty_mcp.tools.params import Cursor, LeadId, Limit, Text, point_in_time
from lofty_mcp.tools.spec import ToolSpec

FULL_TEXT_CHARACTERS = 4_000


async def get_timeline(
    lead_id: LeadId,
    kinds: list[Kind] | None = None,
    since: Annotated[Text | None, Field(description="ISO 8601 date or time")] = None,
    until: Annotated[Text | None, Field(description="ISO 8601 date or time, inclusive")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    detail: Annotated[Detail, Field(description="concise cuts long texts")] = "concise",
) -> Timeline:
    """What happened to a lead, newest first: site visits, calls, texts, e-mails, notes, tasks, changes.

    A call or message made elsewhere and entered by hand has logged=true. Tasks stand at their creation, with due.
    Kinds named in incomplete could not be read this time.
    """
    return await read_timeline(lead_id, kinds, since, until, limit, cursor, full=detail == "full")


async def read_timeline(
    lead_id: str,
    kinds: list[Kind] | None = None,
    since: str | None = None,
    until: str | None = None,
    limit: int = 20,
    cursor: str | None = None,
    *,
    full: bool = False,
) -> Timeline:
    """A page of a lead's timeline, for the tool and the resource."""
    current = call()
    current.leads, limit = [lead_id], min(limit, current.app.settings.page_rows)
    zone = await current.account.vocabulary.zone()
    asked = frozenset(kinds or KINDS)
    begin, end = point_in_time(since, zone, "since"), point_in_time(until, zone, "until", whole_day=True)
    bound = [lead_id, sorted(asked), str(begin), str(end)]
    place = await cursors.place_of("get_timeline", bound, cursor)
    lead = await current.crm.lead(lead_id)
    window = Window(asked, begin, end, _place(place), limit)
    history = await gather(current.crm, lead, window, zone)
    shown = history.events[:limit]
    longest = FULL_TEXT_CHARACTERS if full else None
    cells = [_cells(event, zone, longest) for event in shown]
    columns, rows = table(cells, COLUMNS, EXTRA_COLUMNS)
    fitting = rows_that_fit(rows, current.app.settings.result_tokens)
    count = len(fitting)
    more = len(history.events) > count
    next_cursor = await cursors.keep("get_timeline", bound, _payload(shown[count - 1])) if more else None
    return Timeline(
        lead_id=lead_id,
        columns=columns,
        rows=fitting,
        returned=count,
        has_more=more,
        next_cursor=next_cursor,
        incomplete=sorted(history.incomplete),
        note=f"Cut to fit: {len(rows) - count} rows of this page come with next_cursor." if count < len(rows) else None,
    )


def _cells(event: Event, zone: Any, longest: int | None) -> dict[str, Any]:
    cells = event.cells(zone) | {"text": shorten(event.text, longest or CELL_CHARACTERS)}
    return cells if longest else cells | {"message_id": None}


def _payload(event: Event) -> dict[str, Any]:
    at, kind, key = event.place
    return {"at": at.isoformat(), "kind": kind, "key": key}


def _place(payload: dict[str, Any] | None) -> Place | None:
    if payload is None:
        return None
    at = moment(payload["at"])
    return (at, payload["kind"], payload["key"]) if at else None


TOOLS = (ToolSpec(get_timeline, Effect.READ, "Get timeline", lists=("kinds",)),)
