"""One principal's calls over one connection, each looked at for what must not be."""

import json
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import anyio
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, ResourceTemplateReference, TextContent

from soak.judge import DONE, Intent, Told, open_still, told_of, too_often, wrong
from soak.lofty import Arrival
from soak.run import Principal, Run
from soak.tally import leaked
from soak.writes import Writes

SESSION_CALLS = 40
MISSING = "1999999999999999"
TRIES = 6
"""How often a call is made again whose outcome is open."""
PROMPTS: dict[str, dict[str, str]] = {
    "morning_briefing": {},
    "pipeline_review": {},
    "lead_brief": {"lead": "Workbench1"},
}
SEARCHES: tuple[dict[str, str], ...] = (
    {},
    {"assigned_to": "me"},
    {"stage": "New Lead"},
    {"query": "Workbench"},
    {"query": "a"},
)
URIS = ("lofty://me", "lofty://team/members", "lofty://team/stages", "lofty://team/tags")
TEMPLATE = ResourceTemplateReference(type="ref/resource", uri="lofty://leads/{lead_id}")


@dataclass
class Session:
    """One principal's calls over one connection."""

    run: Run
    who: Principal
    client: Client

    async def go(self) -> None:
        """So many calls of every kind, by chance."""
        listed = {tool.name for tool in (await self.client.list_tools()).tools}
        writes = [make for tool, make in Writes(self.run.lofty, self.chance).known().items() if tool in listed]
        kinds: dict[Callable[[], Awaitable[None]], int] = {
            self._search: 20,
            self._get: 20,
            self._timeline: 6,
            self._resource: 8,
            self._complete: 6,
            self._prompt: 2,
            self._who: 4,
            self._not_there: 12,
            self._hung_up: 4,
        }
        for _ in range(SESSION_CALLS):
            if self.run.over:
                return
            await self.run.pace()
            if writes and self.chance.random() < 0.25:
                await self._write(self.chance.choice(writes))
            else:
                await self.chance.choices(list(kinds), list(kinds.values()))[0]()

    @property
    def chance(self) -> random.Random:
        """The run's source of chance."""
        return self.run.chance

    @contextmanager
    def _timed(self, kind: str, asked: str = "") -> Iterator[list[str]]:
        """Time what happens in the block, and look at what it `said` for what nobody may see."""
        began = monotonic()
        said: list[str] = []
        yield said
        self.run.tally.seconds[kind].append(monotonic() - began)
        hidden = {
            lead_id: lead.name
            for lead_id, lead in self.run.lofty.hidden.items()
            if lead.email != self.who.email and lead.since < began
        }
        for lead_id in leaked(" ".join(said), asked, hidden):
            self.run.tally.leaks.append(f"{kind} of {self.who.email} shows {lead_id}")

    async def tool(self, name: str, arguments: dict[str, Any], kind: str = "") -> CallToolResult:
        """A tool's result."""
        with self._timed(kind or name, json.dumps(arguments)) as said:
            result = await self.client.call_tool(name, arguments)
            said.append(result.model_dump_json())
        if result.is_error:
            self.run.tally.count_error(text_of(result))
        return result

    async def _search(self) -> None:
        arguments = {"limit": self.chance.choice((5, 20, 50)), **self.chance.choice(SEARCHES)}
        page = await self.tool("search_leads", arguments)
        cursor = (page.structured_content or {}).get("next_cursor")
        if cursor and self.chance.random() < 0.5:
            await self.run.pace()
            await self.tool("search_leads", {**arguments, "cursor": cursor}, "search_leads, a later page")

    async def _get(self) -> None:
        lead_id = self.chance.choice(sorted(self.run.lofty.work))
        await self.tool("get_lead", {"lead_id": lead_id, "detail": self.chance.choice(("concise", "full"))})

    async def _timeline(self) -> None:
        await self.tool("get_timeline", {"lead_id": self.chance.choice(sorted(self.run.lofty.work))})

    async def _who(self) -> None:
        await self.tool("who_am_i", {})

    async def _not_there(self) -> None:
        """A lead that is hidden, or that never was: both must be told in the same words."""
        others = [i for i, lead in self.run.lofty.hidden.items() if lead.email != self.who.email]
        lead_id = self.chance.choice([*others, MISSING])
        since = monotonic()
        result = await self.tool("get_lead", {"lead_id": lead_id}, "get_lead, not there")
        still = lead_id == MISSING or getattr(self.run.lofty.hidden.get(lead_id), "since", since) < since
        if still and not result.is_error:
            self.run.tally.leaks.append(f"get_lead of {self.who.email} finds {lead_id}")
        elif text_of(result).startswith("Not found"):
            self.run.absent.add(text_of(result))
            if len(self.run.absent) > 1:
                self.run.tally.leaks.append(f"not there is said in different words: {self.run.absent}")

    async def _resource(self) -> None:
        lead_id = self.chance.choice([*self.run.lofty.work, *self.run.lofty.hidden])
        uri = self.chance.choice((*URIS, f"lofty://leads/{lead_id}", f"lofty://leads/{lead_id}/timeline"))
        with self._timed("a resource", uri) as said:
            try:
                said.append((await self.client.read_resource(uri)).model_dump_json())
            except MCPError as error:
                self.run.tally.count_error(str(error))

    async def _complete(self) -> None:
        name = self.chance.choice(("stage", "tag", "assignee", "source"))
        with self._timed("a completion") as said:
            found = await self.client.complete(TEMPLATE, {"name": name, "value": self.chance.choice(("", "U", "V"))})
            said.append(found.model_dump_json())

    async def _prompt(self) -> None:
        name = self.chance.choice(sorted(PROMPTS))
        with self._timed("a prompt") as said:
            said.append((await self.client.get_prompt(name, PROMPTS[name])).model_dump_json())

    async def _hung_up(self) -> None:
        with anyio.move_on_after(self.chance.uniform(0.002, 0.03)):
            await self._search()

    async def _write(self, make: Callable[[list[str]], Intent]) -> None:
        lofty = self.run.lofty
        leads = lofty.take(self.chance.choice((1, 1, 1, 3)))
        try:
            intent = make(leads)
            with lofty.weather.watching([*leads, *([intent.on] if intent.on else [])]) as arrived:
                await self._carry_out(intent, arrived)
            intent.clean()
        finally:
            lofty.give_back(leads)

    async def _carry_out(self, intent: Intent, arrived: list[Arrival]) -> None:
        """Do it, hanging up now and then; call again while it is open what came of it; judge what is told."""
        self.run.tally.intents += 1
        hangs_up = self.chance.random() < 0.15
        told: Told | None = None
        with anyio.move_on_after(self.chance.uniform(0.002, 0.1) if hangs_up else None):
            told = await self._attempt(intent)
        self._judge(intent, told or {}, arrived, uncertain=False)
        calls, uncertain = 1, told is None
        while calls <= TRIES and open_still(told, uncertain=uncertain):
            await anyio.sleep(1)
            calls, uncertain = calls + 1, True
            told = await self._attempt(intent)
            self._judge(intent, told, arrived, uncertain=True)
        if open_still(told, uncertain=uncertain):
            self.run.tally.outcomes["open to the end"] += 1
        for lead_id in intent.leads:
            if too_often(intent, lead_id, arrived, calls):
                self.run.tally.duplicates.append(f"{intent.tool} on {lead_id}")

    async def _attempt(self, intent: Intent) -> Told:
        """One call, and where it wants one the second with its code."""
        result = await self.tool(intent.tool, intent.arguments)
        if code := (result.structured_content or {}).get("confirmation"):
            await self.run.pace()
            again = {**intent.arguments, "confirmation": code}
            result = await self.tool(intent.tool, again, f"{intent.tool}, with its code")
        await self.run.spoil(intent)
        return told_of(result.structured_content, intent.leads, failed=bool(result.is_error))

    def _judge(self, intent: Intent, told: Told, arrived: Sequence[Arrival], *, uncertain: bool) -> None:
        """Compare what was told with what is.

        `uncertain`: an earlier call may have done it or may do it yet, so only a claim that it is done can be wrong.
        """
        excused = uncertain or self.run.lofty.weather.stormy or any(one.fault for one in arrived)
        for lead_id, outcome in told.items():
            self.run.tally.outcomes[outcome] += 1
            if uncertain and outcome not in DONE:
                continue
            if why := wrong(outcome, shown=intent.shows(lead_id), excused=excused):
                self.run.tally.wrong.append(f"{intent.tool} on {lead_id}: {why}")


def text_of(result: CallToolResult) -> str:
    """The text of a result."""
    return "".join(part.text for part in result.content if isinstance(part, TextContent))
