"""The way to a Lofty at its worst: slower over hidden leads, odd in how it says no, careless with its lists."""

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import httpx2
from starlette.applications import Starlette

from tests.support.world import Network

SLOW, QUICK = 0.02, 0.001
"""Seconds, on the clock of not-found answers, that Lofty takes over a hidden lead and over a missing one."""
REFUSALS = (None, (403, {"message": "no"}), (400, {"code": 20017, "message": "no"}))
"""How Lofty may answer for a hidden lead: with the lead, or in one of its words for no."""

Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Asked:
    """One request to Lofty, and the number of rows that its answer announced."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: Any
    total: int | None = None

    @property
    def lists_leads(self) -> bool:
        """Whether this was a page of the list of leads, whose number depends on what had to be filled up."""
        return (self.method, self.path) == ("GET", "/v1.0/leads")

    @property
    def leads(self) -> list[str]:
        """The leads that it names."""
        named = [*re.findall(r"/leads/(\d+)", self.path), *self.query.get("leadId", ())]
        return [*named, *([str(self.body["leadId"])] if isinstance(self.body, dict) and "leadId" in self.body else ())]


@dataclass
class Temper:
    """What this Lofty does to a request: what it takes, how it refuses, what it mixes in, what happens meanwhile."""

    spend: Callable[[float], None]
    hides: Callable[[str], bool]
    """Whether a lead is here, and hidden."""
    sudden: Callable[[str], bool]
    """Whether a lead has been hidden or removed in the course of this call; how fast Lofty is then, is its own."""
    strays: Callable[[httpx2.Request], Awaitable[Any]]
    """Another lead's answer to the same request, which gets mixed into this one's."""
    at_write: Callable[[str], bool] = lambda _: False
    """Runs with the lead's id once a write to it has been processed; whether the answer is lost."""


class Wire(Network):
    """Carries requests to the sandbox with a temper, and notes them."""

    def __init__(self, app: Starlette, temper: Temper) -> None:
        super().__init__(app)
        self.temper = temper
        self.asked: list[Asked] = []
        self.before = self._refused

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Carry the request."""
        response = await super().handle_async_request(request)
        content = json.loads(response.content) if response.content else None
        asked = _asked(request, content)
        self.asked.append(asked)
        self.temper.spend(self._cost(asked, response, content))
        if request.method != "GET" and any([self.temper.at_write(lead_id) for lead_id in asked.leads]):  # noqa: C419 - each is told
            return httpx2.Response(502, json={"message": "bad gateway"}, request=request)
        if request.method == "GET" and asked.leads and response.is_success:
            headers = {name: value for name, value in response.headers.items() if name.startswith("x-")}
            mixed = _mixed(content, await self.temper.strays(request))
            return httpx2.Response(response.status_code, headers=headers, json=mixed, request=request)
        return response

    def _cost(self, asked: Asked, response: httpx2.Response, content: Any) -> float:
        if asked.lists_leads:  # a page with visible rows takes no longer for its hidden ones, which are filled up
            ids = [str(row["leadId"]) for row in content["leads"]] if response.is_success else []
            return SLOW if ids and all(map(self.temper.hides, ids)) else 0.0
        absent = QUICK if response.status_code >= 400 else 0.0
        if not asked.leads and re.search(r"/\d+$", asked.path):  # something that hangs on a lead, by its own id
            owner = re.search(r'"leadId": ?"?(\d+)', response.text)
            return SLOW if owner and self.temper.hides(owner[1]) else absent
        lasting = [lead_id for lead_id in asked.leads if not self.temper.sudden(lead_id)]
        return sum(SLOW if self.temper.hides(lead_id) else absent for lead_id in lasting)

    def _refused(self, request: httpx2.Request) -> httpx2.Response | None:
        for lead_id in _asked(request, None).leads:
            refusal = REFUSALS[int(lead_id) % len(REFUSALS)]
            if refusal is not None and self.temper.hides(lead_id):
                return httpx2.Response(refusal[0], json=refusal[1], request=request)
        return None


def _asked(request: httpx2.Request, content: Any) -> Asked:
    total = content.get("_metadata", {}).get("total") if isinstance(content, dict) else None
    body = json.loads(request.content) if request.content else None
    query = parse_qs(request.url.query.decode(), keep_blank_values=True)
    return Asked(request.method, request.url.path, query, body, total)


def _mixed(content: Any, strays: Any) -> Any:
    """A list with the rows of another lead behind its own; whatever is no list stays as it is."""
    if isinstance(content, list) and isinstance(strays, list):
        return content + strays
    if not isinstance(content, dict) or not isinstance(strays, dict):
        return content
    return {name: _mixed(rows, strays.get(name)) if isinstance(rows, list) else rows for name, rows in content.items()}
