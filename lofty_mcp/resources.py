"""Resources: the team's vocabulary and single leads, as JSON under `lofty://`."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver.resources import FunctionResource

from lofty_mcp.app import App, call
from lofty_mcp.errors import InvalidInput, UpstreamFailed
from lofty_mcp.ledger import AuditEntry
from lofty_mcp.models.base import View, compact
from lofty_mcp.models.clean import line
from lofty_mcp.models.people import Person
from lofty_mcp.tools.budget import rows_that_fit
from lofty_mcp.tools.leads import read_lead
from lofty_mcp.tools.params import lead_id as checked_id
from lofty_mcp.tools.spec import UNTRUSTED
from lofty_mcp.tools.team import stage_names, tag_names, whoami
from lofty_mcp.tools.timeline import read_timeline

JSON = "application/json"
AUDIT_LINES = 200
AUDIT_COLUMNS = ("at", "tool", "effect", "decision", "basis", "outcome", "leads")
"""What a viewer reads of its own lines: of leads only how many the call named, and nothing that shows Lofty's speed."""
T = TypeVar("T")


async def me() -> str:
    """The account, whether the viewer is known, and what this server may do."""
    return _json(await _timely(whoami()))


async def members() -> str:
    """The members of the team: user id, name, e-mail, role, office."""
    people = await _timely(call().account.vocabulary.members())
    return compact({"members": [Person.of(person).payload() for person in people]})


async def stages() -> str:
    """The stages that a lead can be moved to, as Lofty spells them."""
    return compact({"stages": [line(name) for name in await _timely(stage_names())]})


async def tags() -> str:
    """The tags that the account has, as Lofty spells them."""
    return compact({"tags": [line(name) for name in await _timely(tag_names())]})


async def audit() -> str:
    """What was asked for and done under your name, newest first: the last lines of your own in the audit log."""
    current = call()
    lines = await current.app.audit.own(current.account.principal, AUDIT_LINES)
    rows = [_own_line(line) for line in lines]
    kept = rows_that_fit(rows, current.app.settings.result_tokens) if rows else []
    return compact({"columns": AUDIT_COLUMNS, "rows": kept, "returned": len(kept)})


async def lead(lead_id: str) -> str:
    """One lead, in full."""
    return _json(await _timely(read_lead(_checked(lead_id), full=True)))


async def timeline(lead_id: str) -> str:
    """The newest page of a lead's timeline; get_timeline reads on."""
    return _json(await _timely(read_timeline(_checked(lead_id))))


STATIC: tuple[tuple[str, str, Callable[[], Awaitable[str]]], ...] = (
    ("lofty://me", "Who am I", me),
    ("lofty://team/members", "Members", members),
    ("lofty://team/stages", "Stages", stages),
    ("lofty://team/tags", "Tags", tags),
    ("lofty://audit", "Audit", audit),
)
TEMPLATES: tuple[tuple[str, str, Callable[[str], Awaitable[str]]], ...] = (
    ("lofty://leads/{lead_id}", "Lead", lead),
    ("lofty://leads/{lead_id}/timeline", "Lead timeline", timeline),
)


def register(server: MCPServer[App]) -> None:
    """Add all resources and templates to `server`."""
    for uri, title, fn in STATIC:
        server.add_resource(
            FunctionResource.from_function(fn, uri, name=_name(fn), title=title, mime_type=JSON, meta=dict(UNTRUSTED))
        )
    for uri, title, template in TEMPLATES:
        server.resource(uri, name=_name(template), title=title, mime_type=JSON, meta=dict(UNTRUSTED))(template)


def _own_line(line: AuditEntry) -> list[Any]:
    at = datetime.fromtimestamp(line.at, UTC).isoformat(timespec="seconds")
    return [at, line.tool, line.effect, line.decision, line.basis, line.outcome, len(line.leads)]


async def _timely(answer: Awaitable[T]) -> T:
    try:
        with anyio.fail_after(call().app.settings.call_seconds):
            return await answer
    except TimeoutError:
        raise UpstreamFailed from None


def _checked(lead_id: str) -> str:
    try:
        return checked_id(lead_id)
    except ValueError as error:
        # nosemgrep: errors-hold-no-text-of-others - the words are those of checked_id
        raise InvalidInput(f"lead_id: {error}.") from None


def _json(view: View) -> str:
    return compact(view.payload())


def _name(fn: Callable[..., Any]) -> str:
    return str(getattr(fn, "__name__"))  # noqa: B009 - Callable has no __name__
