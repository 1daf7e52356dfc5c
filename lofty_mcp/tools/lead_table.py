"""Leads as a table."""

from datetime import tzinfo
from typing import Any

from lofty_mcp.app import call
from lofty_mcp.guard.gate import Found
from lofty_mcp.guard.pages import Position
from lofty_mcp.models.base import iso
from lofty_mcp.models.leads import LeadRow, contact_permissions
from lofty_mcp.models.results import Table, table
from lofty_mcp.tools import cursors
from lofty_mcp.tools.budget import rows_that_fit, shorten

CONCISE = ("lead_id", "name", "stage", "score", "assigned_to", "tags", "last_touch")
MOST_TAGS = 6
FULL = (
    *("lead_id", "name", "stage", "score", "assigned_to", "tags", "lead_types", "source", "emails", "phones"),
    *("may_call", "may_text", "may_email", "created_at", "last_touch_at", "last_visit_at"),
)


async def resume(filters: dict[str, Any], cursor: str | None) -> Position:
    """Where a search goes on."""
    place = await cursors.place_of("search_leads", filters, cursor)
    return Position.of(place) if place else Position()


async def lead_table(found: Found, filters: dict[str, Any], zone: tzinfo, *, full: bool) -> Table:
    """A page of a search, within the result budget; what does not fit comes with the cursor."""
    records = [_full(lead, zone) if full else _concise(lead, zone) for lead in found.leads]
    columns, rows = table(records, FULL if full else CONCISE, ())
    shown = rows_that_fit(rows, call().app.settings.result_tokens)
    count = len(shown)
    cut = count < len(rows)
    more = found.more or cut
    position = found.position(count)
    cursor = await cursors.keep("search_leads", filters, position.payload()) if more else None
    return Table(
        columns=columns,
        rows=shown,
        returned=count,
        has_more=more,
        next_cursor=cursor,
        total=None if more else position.delivered,
        note=_note(len(rows) - count, lost=more and cursor is None),
    )


def _note(cut: int, *, lost: bool) -> str | None:
    if lost:
        return "There are more leads, but the server's ledger cannot keep a cursor now; narrow the filters."
    return f"Cut to fit: {cut} rows of this page come with next_cursor." if cut else None


def _concise(lead: LeadRow, zone: tzinfo) -> dict[str, Any]:
    touched = lead.last_touch.astimezone(zone).date().isoformat() if lead.last_touch else None
    return {
        "lead_id": lead.lead_id,
        "name": lead.name,
        "stage": lead.stage,
        "score": lead.score,
        "assigned_to": lead.assigned_user,
        "tags": _tags(lead.tag_names),
        "last_touch": touched,
    }


def _tags(names: list[str]) -> str:
    more = len(names) - MOST_TAGS
    return shorten(", ".join(names[:MOST_TAGS])) + (f" (+{more})" if more > 0 else "")


def _full(lead: LeadRow, zone: tzinfo) -> dict[str, Any]:
    may = contact_permissions(lead)
    return {
        **_concise(lead, zone),
        "tags": lead.tag_names,
        "lead_types": lead.types,
        "source": lead.source,
        "emails": lead.emails,
        "phones": lead.phones,
        "may_call": may["call"],
        "may_text": may["text"],
        "may_email": may["email"],
        "created_at": iso(lead.create_time, zone),
        "last_touch_at": iso(lead.last_touch, zone),
        "last_visit_at": iso(lead.last_visit, zone),
    }
