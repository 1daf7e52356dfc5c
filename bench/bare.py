"""The floor: the least that answers in the same shapes, an `MCPServer` with typed tools and nothing around them.

The same requests to the same Lofty through the same HTTP library; no gate, no policy, no audit, no cleaning, no ledger,
no pacing, no retries. `python -m bench.bare --upstream URL [--http] [--only TOOL] [--in-flight N]`
"""

import argparse
import logging
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any

import anyio
import httpx2
import uvicorn
from mcp.server import MCPServer
from pydantic import BaseModel

Json = dict[str, Any]
Query = dict[str, str | int]
HEADERS = {"Authorization": "token x", "Content-Type": "application/json"}
PAGE, AHEAD = 25, 10
CELLS = {
    "direction": "direction",
    "outcome": "callingOutcome",
    "logged": "communicationType",
    "due": "endAt",
    "finished": "finishFlag",
    "by": "creatorName",
    "note_id": "noteId",
    "task_id": "id",
}
"""Columns of the timeline, as ours are for the lead that is read, with Lofty's names."""


class Lead(BaseModel):
    """A lead, as our get_lead tells it."""

    lead_id: str
    name: str
    first_name: str
    last_name: str
    stage: str
    score: int
    source: str
    lead_types: list[int]
    tags: list[str]
    assigned_to: Json
    team_id: str
    emails: list[str]
    phones: list[str]
    contact_permissions: dict[str, bool]
    inquiry: Json
    created_at: str
    assigned_at: str
    updated_at: str
    last_touch_at: str | None
    last_visit_at: str | None


class Table(BaseModel):
    """Rows under columns, as our lists are."""

    columns: list[str]
    rows: list[list[Any]]
    returned: int
    has_more: bool
    next_cursor: str


class Timeline(Table):
    """Events under columns."""

    lead_id: str


class Row(BaseModel):
    """What became of one lead."""

    lead_id: str
    outcome: str
    after: Json


class Written(BaseModel):
    """What became of a write."""

    status: str
    results: list[Row]


class Lofty:
    """The four tools; `places` holds requests back where as few may be in flight as we allow ourselves."""

    _http: httpx2.AsyncClient

    def __init__(self, url: str, in_flight: int) -> None:
        self._url = url
        self._places: AbstractAsyncContextManager[Any] = anyio.Semaphore(in_flight) if in_flight else nullcontext()

    @asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncIterator[None]:
        """Hold the connections."""
        async with httpx2.AsyncClient(base_url=self._url, headers=HEADERS) as self._http:
            yield

    async def _send(self, method: str, path: str, query: Query | None = None, body: Json | None = None) -> Any:
        async with self._places:
            response = await self._http.request(method, path, params=query, json=body)
        return response.raise_for_status().json()

    async def get_lead(self, lead_id: str) -> Lead:
        """Read one lead."""
        return _lead((await self._send("GET", f"/v1.0/leads/{lead_id}"))["lead"])

    async def search_leads(self, limit: int = PAGE) -> Table:
        """List the newest leads."""
        query: Query = {"sort": "CreateTime", "desc": "true", "offset": 0, "limit": limit + AHEAD}
        leads = (await self._send("GET", "/v1.0/leads", query))["leads"]
        columns = ["lead_id", "name", "stage", "score", "assigned_to", "tags", "last_touch"]
        rows = [_row(lead) for lead in leads[:limit]]
        return Table(
            columns=columns, rows=rows, returned=len(rows), has_more=len(leads) > limit, next_cursor=str(limit)
        )

    async def get_timeline(self, lead_id: str, limit: int = 20) -> Timeline:
        """Tell what happened to a lead, newest first."""
        found: dict[str, list[Json]] = {}

        async def read(kind: str, key: str, path: str, **query: str | int) -> None:
            body = await self._send("GET", path, query)
            found[kind] = body[key] if isinstance(body, dict) else body

        await self._send("GET", f"/v1.0/leads/{lead_id}")
        of, v1 = {"leadId": lead_id}, f"/v1.0/leads/{lead_id}/activities"
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: read("site", "activities", v1, curPage=0))
            group.start_soon(lambda: read("talk", "activities", v1.replace("v1.0", "v2.0"), offset=0, limit=1000))
            group.start_soon(lambda: read("note", "notes", "/v1.0/notes", **of))
            group.start_soon(lambda: read("task", "tasks", "/v2.0/tasks", **of))
            group.start_soon(lambda: read("system", "timeLines", "/v1.0/systemLogs", **of, pageNumber=0, pageSize=1000))
        events = sorted((_event(kind, row) for kind, rows in found.items() for row in rows), reverse=True)
        return Timeline(
            lead_id=lead_id,
            columns=["at", "kind", "text", *CELLS],
            rows=events[:limit],
            returned=min(limit, len(events)),
            has_more=len(events) > limit,
            next_cursor=str(limit),
        )

    async def add_tag(self, lead_ids: list[str], tags: list[str]) -> Written:
        """Add tags to leads."""
        results = []
        for lead_id in lead_ids:
            path = f"/v1.0/leads/{lead_id}"
            lead = (await self._send("GET", path))["lead"]
            have = {tag["tagName"] for tag in lead["tags"]}
            await self._send("PUT", path, body={"tagsAdd": [tag for tag in tags if tag not in have]})
            after = [tag["tagName"] for tag in (await self._send("GET", path))["lead"]["tags"]]
            applied = "applied" if set(tags) <= set(after) else "unknown"
            results.append(Row(lead_id=lead_id, outcome=applied, after={"tags": after}))
        return Written(status="done", results=results)


def _lead(lead: Json) -> Lead:
    return Lead(
        lead_id=str(lead["leadId"]),
        name=f"{lead['firstName']} {lead['lastName']}",
        first_name=lead["firstName"],
        last_name=lead["lastName"],
        stage=lead["stage"],
        score=lead["score"],
        source=lead["source"],
        lead_types=lead["leadTypes"],
        tags=[tag["tagName"] for tag in lead["tags"]],
        assigned_to={"user_id": str(lead["assignedUserId"]), "name": lead["assignedUser"]},
        team_id=str(lead["teamId"]),
        emails=lead["emails"],
        phones=lead["phones"],
        contact_permissions={"call": not lead["cannotCall"], "text": not lead["cannotText"]},
        inquiry={"property_type": (lead["leadInquiry"] or {}).get("propertyType")},
        created_at=lead["createTime"],
        assigned_at=lead["assignTime"],
        updated_at=lead["lastUpdateTime"],
        last_touch_at=lead["lastTouch"],
        last_visit_at=lead["lastVisit"],
    )


def _row(lead: Json) -> list[Any]:
    name, tags = f"{lead['firstName']} {lead['lastName']}", ", ".join(tag["tagName"] for tag in lead["tags"])
    touched = (lead["lastTouch"] or "-")[:10]
    return [str(lead["leadId"]), name, lead["stage"], lead["score"], lead["assignedUser"], tags or "-", touched]


def _event(kind: str, row: Json) -> list[str]:
    when = next(row[key] for key in ("created", "activityTime", "createTime", "timelineTime", "startAt") if key in row)
    at = datetime.fromtimestamp(when / 1000, UTC).isoformat() if isinstance(when, int) else str(when)
    text = row.get("text") or row.get("note") or row.get("content") or row.get("timelineTypeDesc") or ""
    return [at, kind, str(text), *(str(row.get(key) or "-") for key in CELLS.values())]


def build(url: str, *, only: str | None = None, in_flight: int = 0) -> MCPServer[None]:
    """The server, with all four tools or one."""
    lofty = Lofty(url, in_flight)
    server = MCPServer("bare", lifespan=lofty.lifespan, log_level="WARNING")
    tools: tuple[Callable[..., Awaitable[BaseModel]], ...] = (
        lofty.get_lead,
        lofty.search_leads,
        lofty.get_timeline,
        lofty.add_tag,
    )
    for tool in tools:
        if only in (None, getattr(tool, "__name__", None)):
            server.add_tool(tool)
    return server


def main() -> None:
    """Serve on stdin and stdout, or on a port and say which, as `lofty-mcp serve` does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--http", action="store_true")
    parser.add_argument("--only")
    parser.add_argument("--in-flight", type=int, default=0)
    given = parser.parse_args()
    server = build(given.upstream, only=given.only, in_flight=given.in_flight)
    logging.getLogger().setLevel(logging.WARNING)
    if not given.http:
        server.run("stdio")
        return
    app = server.streamable_http_app(stateless_http=True)
    config = uvicorn.Config(app, log_level="error", access_log=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = uvicorn.Server(config)
        print(f"Serving MCP at http://127.0.0.1:{listener.getsockname()[1]}/mcp", file=sys.stderr, flush=True)
        running.run(sockets=[listener])


if __name__ == "__main__":
    main()
