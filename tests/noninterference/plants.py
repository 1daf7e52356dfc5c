"""Leaks, planted into the server's own code one at a time: each has to be found by the machine."""

import base64
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from lofty_mcp import completions
from lofty_mcp.app import call
from lofty_mcp.client import endpoints
from lofty_mcp.errors import LoftyError, NotFound, PermissionDenied
from lofty_mcp.guard import asking, confirm, gate, records, visibility, wording
from lofty_mcp.guard.gate import VisibleCrm
from lofty_mcp.guard.plans import Plan
from lofty_mcp.guard.visibility import Viewer
from lofty_mcp.models import results
from lofty_mcp.models.leads import LeadRecord, LeadRow
from lofty_mcp.tools import cursors, lead_table
from lofty_mcp.tools.spec import ClosedTool

Plant = Callable[[pytest.MonkeyPatch], None]
honest_look, honest_visible, honest_page = VisibleCrm._look, visibility.visible, VisibleCrm._page
honest_preview, honest_table, honest_run = wording.preview, results.table, ClosedTool.run


async def _is_there(crm: VisibleCrm, lead_id: str) -> bool:
    """Whether Lofty has such a lead, whoever may see it."""
    try:
        await endpoints.lead(crm.client, lead_id)
    except PermissionDenied:
        return True
    except LoftyError:
        return False
    return True


def forbidden_instead_of_not_found(patch: pytest.MonkeyPatch) -> None:
    """A hidden lead is refused in other words."""

    def judged(lead: LeadRow, viewer: Viewer, rule: Any = "assigned_agent") -> bool:
        if isinstance(lead, LeadRecord) and not honest_visible(lead, viewer, rule):
            raise PermissionDenied
        return honest_visible(lead, viewer, rule)

    patch.setattr(visibility, "visible", judged)


def loftys_total(patch: pytest.MonkeyPatch) -> None:
    """A search repeats the total that Lofty announced."""

    async def page(self: VisibleCrm, *args: Any, **kwargs: Any) -> Any:
        found = await honest_page(self, *args, **kwargs)
        vars(call())["total"] = found.total if found else None
        return found

    def counted(records: Any, columns: Sequence[str], extra: Sequence[str]) -> tuple[list[str], list[list[Any]]]:
        names, rows = honest_table(records, columns, extra)
        return [*names, "of"], [[*row, vars(call()).get("total")] for row in rows]

    patch.setattr(VisibleCrm, "_page", page)
    patch.setattr(lead_table, "table", counted)


def short_page(patch: pytest.MonkeyPatch) -> None:
    """A page from which hidden leads were taken is not filled up."""
    patch.setattr(gate, "LOOK_AHEAD", 0)
    patch.setattr(gate, "MOST_PAGES", 1)


def raw_cursor(patch: pytest.MonkeyPatch) -> None:
    """A cursor tells how many rows of Lofty's list were passed."""

    async def keep(tool: str, filters: Any, place: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()

    async def place_of(tool: str, filters: Any, cursor: str | None) -> Any:
        return json.loads(base64.urlsafe_b64decode(cursor)) if cursor and len(cursor) > 16 else None

    patch.setattr(cursors, "keep", keep)
    patch.setattr(cursors, "place_of", place_of)


def leads_completed(patch: pytest.MonkeyPatch) -> None:
    """A lead's name is completed from all there are."""

    async def names() -> list[str]:
        page = await endpoints.leads(call().account.client, {}, offset=0, limit=100)
        return [row.lead_id or "" for row in page.records] + [row.name for row in page.records]

    for argument in ("lead", "lead_id"):
        patch.setitem(completions.SOURCES, argument, names)


def counted_in_a_preview(patch: pytest.MonkeyPatch) -> None:
    """A preview and a question say how many of the leads are hidden."""

    def judged(lead: LeadRow, viewer: Viewer, rule: Any = "assigned_agent") -> bool:
        if not (seen := honest_visible(lead, viewer, rule)):
            vars(call()).setdefault("hidden", set()).add(lead.lead_id)
        return seen

    def told(plan: Plan) -> str:
        hidden = vars(call()).get("hidden", set()) & {step.lead_id for step in plan.steps}
        return f"{honest_preview(plan)}\n{len(hidden)} of them hidden"

    patch.setattr(visibility, "visible", judged)
    patch.setattr(confirm, "preview", told)
    patch.setattr(confirm, "question", told)
    patch.setattr(asking, "question", told)


def verdict_kept(patch: pytest.MonkeyPatch) -> None:
    """Who was once let through is let through ever after."""

    def judged(lead: LeadRow, viewer: Viewer, rule: Any = "assigned_agent") -> bool:
        let_through = vars(call().app).setdefault("let_through", set())
        if honest_visible(lead, viewer, rule):
            let_through.add((lead.lead_id, viewer))
        return (lead.lead_id, viewer) in let_through

    patch.setattr(visibility, "visible", judged)


def name_in_another_row(patch: pytest.MonkeyPatch) -> None:
    """Rows that a list holds of other leads are told as this one's."""
    patch.setattr(records, "_of", lambda lead, rows: rows)


def gate_before_arguments(patch: pytest.MonkeyPatch) -> None:
    """A lead that is nowhere is refused before the other arguments are looked at; one that is there, after."""

    async def run(self: ClosedTool, arguments: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        for lead_id in arguments.get("lead_ids", ()):
            if str(lead_id).isdigit() and not await _is_there(call().crm, str(lead_id)):
                return self._failed(str(NotFound()), "NotFound")
        return await honest_run(self, arguments, *args, **kwargs)

    patch.setattr(ClosedTool, "run", run)


def logged(patch: pytest.MonkeyPatch) -> None:
    """The log says when a hidden lead is asked for."""

    def judged(lead: LeadRow, viewer: Viewer, rule: Any = "assigned_agent") -> bool:
        seen = honest_visible(lead, viewer, rule)
        if not seen and isinstance(lead, LeadRecord):
            logging.getLogger("lofty_mcp.guard.gate").info("a lead was kept back")
        return seen

    patch.setattr(visibility, "visible", judged)


def one_request_more(patch: pytest.MonkeyPatch) -> None:
    """A lead that is there costs one more request, seen or not."""

    async def look(self: VisibleCrm, lead_id: str, viewer: Viewer) -> LeadRecord | None:
        found = await honest_look(self, lead_id, viewer)
        if found is None and await _is_there(self, lead_id):
            await endpoints.notes(self.client, lead_id)
        return found

    patch.setattr(VisibleCrm, "_look", look)


def words_learnt(patch: pytest.MonkeyPatch) -> None:
    """The words of a lead are learnt before it is known who may see it."""

    def judged(lead: LeadRow, viewer: Viewer, rule: Any = "assigned_agent") -> bool:
        call().crm.seen.learn(lead)
        return honest_visible(lead, viewer, rule)

    patch.setattr(visibility, "visible", judged)


def no_floor(patch: pytest.MonkeyPatch) -> None:
    """What was not found is told as soon as Lofty has said so."""

    async def at_once(self: VisibleCrm, *_: Any) -> None:
        return

    patch.setattr(VisibleCrm, "_floor", at_once)


PLANTS: tuple[Plant, ...] = (
    forbidden_instead_of_not_found,
    loftys_total,
    short_page,
    raw_cursor,
    leads_completed,
    counted_in_a_preview,
    verdict_kept,
    name_in_another_row,
    gate_before_arguments,
    logged,
    one_request_more,
    words_learnt,
    no_floor,
)
