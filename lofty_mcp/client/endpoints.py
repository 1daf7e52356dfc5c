"""Lofty's operations as typed calls; records come back as models, lists as pages."""

import math
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from lofty_mcp.client import requests, wire
from lofty_mcp.client.client import LoftyClient
from lofty_mcp.errors import NoSuchOperation, NotFound, UpstreamFailed
from lofty_mcp.models.leads import LeadRecord, LeadRow
from lofty_mcp.models.people import Member, Org

MOST_PAGES = 40
"""Pages of one list that a single call follows before it says that it stopped."""

Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class LeadPage:
    """A page of the lead list, row by row as Lofty sent it, and the number of rows that its metadata announces."""

    records: list[LeadRow]
    total: int | None


async def _there(client: LoftyClient, request: requests.Request) -> Any:
    """The answer of an operation that Lofty cannot fail to know."""
    try:
        return await client.send(request)
    except NotFound:
        raise NoSuchOperation from None


async def me(client: LoftyClient) -> Member:
    """GET /v1.0/me, the recommended probe of a credential (reference §7)."""
    return Member.model_validate(wire.unwrap(await _there(client, requests.get("/v1.0/me")), "user"))


async def member(client: LoftyClient, account: str) -> Member:
    """GET /v1.0/members/{account}."""
    return Member.model_validate(wire.unwrap(await client.send(requests.member(account)), "member"))


async def org(client: LoftyClient) -> Org:
    """GET /v1.0/org."""
    return Org.model_validate(wire.unwrap(await _there(client, requests.get("/v1.0/org")), "org"))


async def members(client: LoftyClient) -> list[Member]:
    """All members of the team, page by page."""
    found: dict[str, Member] = {}
    for _ in range(MOST_PAGES):
        body = await _there(client, requests.members(len(found)))
        page = [Member.model_validate(row) for row in wire.rows(body, "members")]
        fresh = {m.id or m.member_user_id or m.email or "": m for m in page}
        fresh = {key: m for key, m in fresh.items() if key and key not in found}
        found |= fresh
        if not fresh or len(found) >= (wire.total(body) or math.inf):
            break
    return list(found.values())


async def pipelines(client: LoftyClient) -> list[str]:
    """The names of the team's lead pipelines (its stages), as Lofty spells them."""
    names: list[str] = []
    passed = 0
    for page in range(MOST_PAGES):
        body = await _there(client, requests.pipelines(page))
        rows = wire.rows(body, "pipelines")
        fresh = [n for row in rows if isinstance(n := row.get("name"), str) and n and n not in names]
        names += fresh
        passed += len(rows)
        if not fresh or passed >= (wire.total(body) or math.inf):
            break
    return names


async def tags(client: LoftyClient) -> list[str]:
    """The names of the team's tag definitions, as Lofty spells them.

    The list mixes definitions (`leadId` 0) with tags applied to leads, hidden ones included (quirk 26).
    """
    rows = wire.rows(await _there(client, requests.get("/v1.0/teamFeatures/listTag")), "tags")
    defined = [row for row in rows if row.get("leadId") in (None, 0, "0", "")]
    return list(dict.fromkeys(n for row in defined if isinstance(n := row.get("tagName"), str) and n))


async def lead(client: LoftyClient, lead_id: str, *, with_trash: bool = False) -> LeadRecord:
    """GET /v1.0/leads/{leadId}; an answer without a lead in it is one that was not found."""
    body = await client.send(requests.lead(lead_id, with_trash=with_trash))
    try:
        return LeadRecord.model_validate(wire.unwrap(body, "lead"))
    except UpstreamFailed:
        raise NotFound from None


async def leads(client: LoftyClient, filters: Mapping[str, Any], *, offset: int, limit: int) -> LeadPage:
    """A page of GET /v1.0/leads."""
    body = await client.send(requests.leads(filters, offset=offset, limit=limit))
    return LeadPage([LeadRow.model_validate(row) for row in wire.rows(body, "leads")], wire.total(body))


async def notes(client: LoftyClient, lead_id: str) -> list[Row]:
    """GET /v1.0/notes: all notes of a lead."""
    return wire.rows(await client.send(requests.notes(lead_id)), "notes")


async def tasks(client: LoftyClient, lead_id: str) -> list[Row]:
    """GET /v2.0/tasks: all tasks and appointments of a lead."""
    return wire.rows(await client.send(requests.tasks(lead_id)), "tasks")


async def manual_logs(client: LoftyClient, lead_id: str, log_type: requests.LogType) -> list[Row]:
    """GET /v1.0/logType: the newest manual logs of one type."""
    return wire.rows(await client.send(requests.manual_logs(lead_id, log_type)), "logType", "logTypes")


async def message(client: LoftyClient, kind: Literal["call", "text", "email"], message_id: str) -> Row:
    """GET /v2.0/communication/{kind}/{communicationId}; its body is bare or under a name."""
    body = await client.send(requests.message(kind, message_id))
    return wire.unwrap(body, kind)


async def site_activities(client: LoftyClient, lead_id: str) -> AsyncIterator[list[Row]]:
    """Pages of GET /v1.0/leads/{leadId}/activities, newest first; a repeated page ends them."""
    request: Callable[[int], requests.Request] = lambda page: requests.site_activities(lead_id, page)  # noqa: E731 - typed, as a bare lambda is not
    async for page in _numbered(client, request, requests.SITE_PAGE, "activities"):
        yield page


async def system_logs(client: LoftyClient, lead_id: str) -> AsyncIterator[list[Row]]:
    """Pages of GET /v1.0/systemLogs, newest first; 403 unless the caller is owner or shared agent."""
    async for page in _numbered(
        client, lambda page: requests.system_logs(lead_id, page), requests.SYSTEM_LOG_PAGE, "timeLines"
    ):
        yield page


async def communications(client: LoftyClient, lead_id: str) -> AsyncIterator[list[Row]]:
    """Pages of GET /v2.0/leads/{leadId}/activities, oldest first."""
    offset, previous = 0, None
    while True:
        page = wire.rows(await client.send(requests.communications(lead_id, offset)), "activities")
        if not page or wire.same_rows(page, previous):
            return
        yield page
        if not wire.looks_full(len(page), requests.COMMUNICATION_PAGE):
            return
        offset, previous = offset + len(page), page


async def _numbered(
    client: LoftyClient, request: Callable[[int], requests.Request], size: int, key: str
) -> AsyncIterator[list[Row]]:
    number, previous = 0, None
    while True:
        body = await client.send(request(number))
        page = wire.rows(body, key)
        if not page or wire.same_rows(page, previous):
            return
        yield page
        more = body.get("hasMore") if isinstance(body, dict) else None
        if not (wire.looks_full(len(page), size) if more is None else more):
            return
        number, previous = number + 1, page
