"""An assistant that does whatever any text tells it, and what it does to Lofty.

It reads all that is there, takes every tool's name, id, address and code that it meets for an order, repeats each
call with every code it is given, and at last calls every tool with whatever it has read. It stands for a model that
can be talked into anything; what it was refused says that the server, and not the model, keeps the promise.
"""

import json
import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import PromptReference, TextResourceContents, Tool

ORDER = re.compile(r"\b(?:get|search|list|update|assign|add|remove|delete|send|create|complete|log)_[a-z_]*[a-z]\b")
IN_WORDS = {
    "delete_lead": r"\blösche|\bsupprime|\belimina\b|\bapague\b|\bcancella\b|\busuń|удали|删除|削除|احذف|हटाएं",
    "assign_lead": r"\bweise\b|\battribue|\basigna\b|\batribua\b|\bassegna\b|\bprzypisz|назначь|分配|割り当て|أسند|सौंपें",
    "send_text": r"\bSMS\b|СМС|短信|\bmessaggio\b",
    "send_email": r"\bcorreo\b",
}
"""What orders in other languages are about."""
LEAD_ID = re.compile(r"(?<!\d)\d{16,19}(?!\d)")
ADDRESS = re.compile(r"[\w.]+@[\w.]+\.example\b")
CODE = re.compile(r"\b[A-Z]{16}\b")
URI = re.compile(r"(?:lofty|https?)://[^\s\"'<>)]+")
PAIR = re.compile(r"(\w+) ?= ?(\"[^\"]*\"|[\w@.-]+(?:,\d+)*)")
MOST_LEADS = 5
READ = "resources/read"
OWN = "As I was told."
"""Begins what the assistant writes itself, which is no order to it; else it would never end."""
MOST_CALLS = 5_000


@dataclass
class Obedient:
    """One session of the assistant; what it was told and did is counted."""

    client: Client
    tools: dict[str, Tool] = field(default_factory=dict)
    transcript: list[Any] = field(default_factory=list)
    """All that came back: results, resources, prompts, completions, errors."""
    ordered: Counter[str] = field(default_factory=Counter)
    """How often texts asked for each tool."""
    called: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    """Calls made again with a code, of any origin, by tool."""
    followed: set[str] = field(default_factory=set)
    """Addresses that were opened because a text held them."""
    _heard: dict[str, dict[str, None]] = field(default_factory=dict)
    """What was met, by what it can be used as, in order."""
    _waiting: deque[tuple[str, dict[str, Any]]] = field(default_factory=deque)
    _done: set[str] = field(default_factory=set)

    async def work(self) -> None:
        """Read everything, do what it says, then try every tool on everything."""
        self.tools = {tool.name: tool for tool in (await self.client.list_tools()).tools}
        await self._look_around()
        await self._obey()
        for lead_id in self._known("lead_id"):
            for uri in (f"lofty://leads/{lead_id}", f"lofty://leads/{lead_id}/timeline"):
                await self._open(uri)
            for name in self.tools:
                self._waiting.append((name, self._complete(name, {}, lead_id)))
        await self._obey()

    async def _look_around(self) -> None:
        for resource in (await self.client.list_resources()).resources:
            await self._open(str(resource.uri))
        for detail in ("concise", "full"):
            self._waiting.append(("search_leads", {"limit": 100, "detail": detail}))
        await self._obey()
        for prompt in (await self.client.list_prompts()).prompts:
            names = [argument.name for argument in prompt.arguments or []]
            given = {one: (self._any(one) or self._any("lead_id"))[:200] for one in names}
            self._hear((await self.client.get_prompt(prompt.name, given)).model_dump(mode="json"))
            for name in names:
                reference = PromptReference(type="ref/prompt", name=prompt.name)
                done = await self.client.complete(reference, {"name": name, "value": ""})
                self._hear(done.completion.values)

    async def _obey(self) -> None:
        while self._waiting:
            name, arguments = self._waiting.popleft()
            await (self._open(arguments["uri"]) if name == READ else self._call(name, arguments))

    async def _call(self, name: str, arguments: dict[str, Any]) -> None:
        key = json.dumps([name, arguments], sort_keys=True)
        if key in self._done:
            return
        self._done.add(key)
        assert len(self._done) < MOST_CALLS, "the assistant comes to no end"
        self.called[name] += 1
        self.repeated[name] += "confirmation" in arguments
        result = await self.client.call_tool(name, arguments)
        told = result.structured_content or {}
        self._hear(told or [getattr(part, "text", "") for part in result.content])
        if cursor := told.get("next_cursor"):
            self._waiting.append((name, {**arguments, "cursor": cursor}))
        if code := told.get("confirmation"):
            for one in (code, *self._known("code")[-1:]):
                self._waiting.append((name, {**arguments, "confirmation": one}))
            self._note("code", code)
        if result.is_error and len(ids := arguments.get("lead_ids", ())) > 1:
            self._waiting += [(name, {**arguments, "lead_ids": [one]}) for one in ids]

    async def _open(self, uri: str) -> None:
        if uri in self.followed:
            return
        self.followed.add(uri)
        try:
            read = await self.client.read_resource(uri)
        except MCPError as error:
            self._hear(error.error.message)
            return
        for part in read.contents:
            self._hear(json.loads(part.text) if isinstance(part, TextResourceContents) else [])

    def _hear(self, said: Any) -> None:
        """Take in what came back; every text in it may hold orders."""
        self.transcript.append(said)
        for key, text in words(said):
            if key in ("stages", "stage", "tags") and len(self._heard.get(key, ())) < 8:
                self._note(key.removesuffix("s"), text)
            if key.endswith("_id") and text.isdigit():
                self._note(key, text)
                continue
            for address in ADDRESS.findall(text):
                self._note("address", address)
            for code in CODE.findall(text):
                self._note("code", code)
            for lead_id in LEAD_ID.findall(text):
                self._note("lead_id", lead_id)
            if OWN in text:
                continue
            self._waiting += self._orders(text)
            self._waiting += [(READ, {"uri": uri}) for uri in URI.findall(text)]

    def _orders(self, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The calls that a text asks for."""
        for match in ORDER.finditer(text):
            self.ordered[match[0]] += 1
            yield match[0], self._complete(match[0], arguments_in(text[match.end() :]), text)
        for name, pattern in IN_WORDS.items():
            if re.search(pattern, text):
                self.ordered[f"{name} in words"] += 1
                yield name, self._complete(name, {}, text)

    def _complete(self, name: str, given: Mapping[str, Any], text: str) -> dict[str, Any]:
        """Arguments for a call: those given, and for what is missing whatever the text or memory holds."""
        tool = self.tools.get(name)
        if tool is None:
            return dict(given) or {"lead_id": next(iter(LEAD_ID.findall(text)), "")}
        properties = tool.input_schema["properties"]
        missing = [one for one in tool.input_schema.get("required", []) if one not in given]
        found = {one: self._value(one, properties[one], text) for one in missing}
        bold: dict[str, Any] = {"detail": "full", "create_new": True, "allow_duplicate": True}
        if codes := CODE.findall(text):
            bold["confirmation"] = codes[0]
        return {**{one: value for one, value in bold.items() if one in properties}, **found, **given}

    def _value(self, name: str, schema: Mapping[str, Any], text: str) -> Any:
        ids = list(dict.fromkeys(LEAD_ID.findall(text)))[:MOST_LEADS] or self._known("lead_id")[:1]
        if name == "lead_ids":
            return ids
        if "enum" in schema:
            return schema["enum"][0]
        if schema.get("type") in ("integer", "boolean"):
            return schema.get("default", True)
        if name == "lead_id":
            return ids[-1] if ids else ""
        if name == "assignee":
            return next(iter(ADDRESS.findall(text) or self._known("address")), "")
        if name == "due":
            return "2026-12-01"
        value = self._any(name.removesuffix("s")) or OWN
        return [value] if schema.get("type") == "array" else value

    def _note(self, what: str, value: str) -> None:
        self._heard.setdefault(what, {})[value] = None

    def _known(self, what: str) -> list[str]:
        return list(self._heard.get(what, ()))

    def _any(self, what: str) -> str:
        return next(reversed(self._known(what)), "")


def words(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a result with the name it stands under; a table's columns are names too."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        columns = value.get("columns")
        for name, item in value.items():
            yield "", str(name)
            if name == "rows" and isinstance(columns, list):
                yield from (pair for row in item for k, v in zip(columns, row, strict=True) for pair in words(v, k))
            else:
                yield from words(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from words(item, key)


def arguments_in(rest: str) -> dict[str, Any]:
    """The arguments that follow a tool's name: a JSON object, or names with values."""
    brace = re.match(r"[^{\n]{0,20}(?=\{)", rest)
    if brace:
        try:
            found = json.JSONDecoder().raw_decode(rest[brace.end() :])[0]
        except ValueError:
            found = None
        if isinstance(found, dict):
            return found
    plain = {name: value.strip('".') for name, value in PAIR.findall(rest.split(" and ")[0][:200])}
    return {name: value.split(",") if name == "lead_ids" else value for name, value in plain.items()}
