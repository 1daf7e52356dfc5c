"""Words that nobody can mistake, put wherever a person's data or a secret can be, and a tour of all that a server does.

The tour is made from what the server lists, so that a tool of later is on it without anyone remembering.
"""

import itertools
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import (
    CallToolResult,
    PromptReference,
    ResourceTemplateReference,
    TextContent,
    TextResourceContents,
    Tool,
)

from lofty_mcp.sandbox import World
from tests.support.outsiders import Outsider
from tests.support.world import MARK

STEM = "quetzal"
"""In every canary that is a word."""
NUMBERS = "646555"
"""In every canary that is a telephone number."""
NEVER = "1199999999999999"
SAID: Mapping[str, Any] = {
    "stage": "Qualified",
    "assignee": MARK,
    "assigned_to": MARK,
    "tags": ["VIP"],
    "create_new": True,
    "first_name": f"{STEM}first",
}
"""What is said where it has to be a word of the team's, and one field to change."""
DAY = re.compile(r"after|before|since|until|due|date|_at$|when")
CHILDREN = {"note": "note_id", "task": "task_id", "communication": "message_id"}
"""What hangs on a lead, with the arguments that name it; of communications the first is a call."""
NAME = f"{STEM}aaaa {STEM}aaab"
"""Every planted lead's, typed by whoever is asked to."""


def words() -> Iterator[str]:
    """Canaries without end, each another word."""
    for letters in itertools.product("abcdefghijklmnopqrstuvwxyz", repeat=4):
        yield STEM.capitalize() + "".join(letters)


def plant(world: World, lead_id: str) -> None:
    """Put another canary into every text of a lead and of all that hangs on it, its stage and tags too."""
    Outsider(world, int(lead_id), words()).plant()
    numbers = [f"{NUMBERS}{n:04d}" for n in range(int(lead_id) % 9000, int(lead_id) % 9000 + 2)]
    emails = [f"{STEM}.{lead_id}@{STEM}.example"]
    world.update_lead(int(lead_id), emails=emails, phones=numbers, phoneStatuses=[2, 2], stage="New Lead", state="CO")
    world.add_note(int(lead_id), content=f"{STEM}note: {numbers[0]}, {emails[0]}")


@dataclass
class Tour:
    """One client on its way through everything that its server lists; `heard` is all that came back."""

    client: Client
    world: World
    leads: Iterator[str]
    """A lead for each thing done, since some of it ends a lead."""
    heard: list[str] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    """Tools that did what they were asked to."""
    secrets: set[str] = field(default_factory=set)
    """Codes and cursors that were handed out."""
    _ids: dict[str, str] = field(default_factory=dict)
    _more: Iterator[str] = field(default_factory=words)

    async def well(self, before: Callable[[], None] = lambda: None) -> None:
        """Every tool, resource, prompt and completion as they are meant, `before` running ahead of each."""
        for tool in (await self.client.list_tools()).tools:
            arguments = await self._meant(tool)
            before()
            result = await self.call(tool.name, arguments)
            if code := (result.structured_content or {}).get("confirmation"):
                await self.call(tool.name, {**arguments, "confirmation": code})
        templates = (await self.client.list_resource_templates()).resource_templates
        for uri in [str(r.uri) for r in (await self.client.list_resources()).resources]:
            before()
            await self.read(uri)
        for template in templates:
            before()
            await self.read(re.sub(r"\{\w+\}", next(self.leads), template.uri_template))
            for name in re.findall(r"\{(\w+)\}", template.uri_template):
                await self.complete(ResourceTemplateReference(type="ref/resource", uri=template.uri_template), name)
        for prompt in (await self.client.list_prompts()).prompts:
            names = [argument.name for argument in prompt.arguments or []]
            await self.prompt(prompt.name, dict.fromkeys(names, next(self._more)))
            for name in names:
                before()
                await self.complete(PromptReference(type="ref/prompt", name=prompt.name), name)

    async def badly(self) -> None:
        """Every one of them with what it does not take, a canary in each place of the caller's."""
        word = next(self._more)
        for tool in (await self.client.list_tools()).tools:
            meant = await self._meant(tool)
            names = list(tool.input_schema["properties"])
            wrong: list[dict[str, Any]] = [meant | {name: next(self._more)} for name in names]
            wrong += [{}, meant | {word: word}, {name: {word: [word]} for name in names}]
            wrong += [meant | {name: NEVER} for name in names if name.startswith("lead_id")]
            for arguments in wrong:
                await self.call(tool.name, arguments)
        await self.call(word, {word: word})
        for uri in (f"{word}://{word}", f"lofty://leads/{word}", f"lofty://leads/{NEVER}", f"lofty://team/{word}"):
            await self.read(uri)
        for prompt in (await self.client.list_prompts()).prompts:
            await self.prompt(prompt.name, {word: word})
        await self.prompt(word, {word: word})
        await self.complete(PromptReference(type="ref/prompt", name=word), word)

    async def call(self, name: str, arguments: dict[str, Any]) -> CallToolResult:
        """Call a tool and take in what it says."""
        result = await self.client.call_tool(name, arguments)
        self.heard += [part.text for part in result.content if isinstance(part, TextContent)]
        told = result.structured_content or {}
        self.heard.append(json.dumps(told, ensure_ascii=False))
        self.secrets |= {str(told[key]) for key in ("confirmation", "next_cursor") if told.get(key)}
        if not result.is_error and told.get("status", "done") in ("done", "sent"):
            self.done.add(name)
        return result

    async def read(self, uri: str) -> None:
        """Read a resource."""
        answer = await self._or_refused(lambda: self.client.read_resource(uri))
        parts = answer.contents if answer else ()
        self.heard += [part.text for part in parts if isinstance(part, TextResourceContents)]

    async def prompt(self, name: str, arguments: dict[str, str]) -> None:
        """Get a prompt."""
        answer = await self._or_refused(lambda: self.client.get_prompt(name, arguments))
        self.heard.append(re.sub(f"{STEM}\\w*", "", answer.model_dump_json(), flags=re.IGNORECASE) if answer else "")

    async def complete(self, of: PromptReference | ResourceTemplateReference, name: str) -> None:
        """Complete an argument from nothing, and from a canary."""
        for value in ("", next(self._more)):
            argument = {"name": name, "value": value}
            answer = await self._or_refused(lambda argument=argument: self.client.complete(of, argument))  # type: ignore[misc]
            self.heard += answer.completion.values if answer else ()

    async def _or_refused(self, act: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await act()
        except MCPError as refusal:
            self.heard.append(f"{refusal.error.message} {refusal.error.data}")
            return None

    async def _meant(self, tool: Tool) -> dict[str, Any]:
        properties = tool.input_schema["properties"]
        required = tool.input_schema.get("required", ())
        lead_id = next(self.leads)
        self._ids = {"lead_id": lead_id}
        for kind, argument in CHILDREN.items():
            rows = self.world.store.rows("SELECT id FROM items WHERE leadId = ? AND kind = ? LIMIT 1", (lead_id, kind))
            self._ids[argument] = str(rows[0]["id"])
        meant = {name: self._value(name, properties[name]) for name in properties if name in required or name in SAID}
        lists = [name for name in meant if properties[name].get("type") == "array"]
        return meant | {name: [meant[name]] for name in lists if not isinstance(meant[name], list)}

    def _value(self, name: str, schema: dict[str, Any]) -> Any:
        if "enum" in schema:
            return schema["enum"][0]
        if name in SAID:
            return SAID[name]
        if name in ("lead_ids", *self._ids):
            return self._ids[name.rstrip("s")]
        if schema.get("type") in ("integer", "number", "boolean"):
            return schema.get("default", 1)
        return "2026-12-01" if DAY.search(name) else next(self._more)
