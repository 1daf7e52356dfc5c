"""Calls made up from what a server lists: its tools' schemas, resources, templates, prompts and completions."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from mcp import Client

Values = st.SearchStrategy[Any]
MANY = 8
"""Of so many arguments that may be left out one is given, since most such calls mean nothing without any."""
LISTS = ("tools/list", "resources/list", "resources/templates/list", "prompts/list")


@dataclass(frozen=True)
class Handed:
    """Stands in arguments for the how-manieth code or cursor that was handed out; the codes themselves differ."""

    number: int


@dataclass(frozen=True)
class Made:
    """Stands in arguments for the how-manieth id of something that was made meanwhile."""

    number: int


@dataclass(frozen=True, repr=False)
class Door:
    """One thing that a server lists: a method, what it is about, and the schema of its arguments."""

    method: str
    name: str = ""
    schema: Mapping[str, Any] | None = None
    argument: str = ""
    """Of a completion: what is completed."""

    @property
    def weight(self) -> int:
        """How often it is tried: the more there is to say, the oftener."""
        return 2 + len((self.schema or {}).get("properties", ())) // 3 if self.method == "tools/call" else 1

    def __repr__(self) -> str:
        return " ".join(part for part in (self.method, self.name, self.argument) if part)

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        printer.text(repr(self))


@dataclass(frozen=True)
class Call:
    """A door, and what to say at it."""

    door: Door
    arguments: Mapping[str, Any]


async def doors(client: Client) -> list[Door]:
    """Everything that this server lists."""
    tools = [Door("tools/call", t.name, t.input_schema) for t in (await client.list_tools()).tools]
    static = [Door("resources/read", str(r.uri)) for r in (await client.list_resources()).resources]
    templates = [t.uri_template for t in (await client.list_resource_templates()).resource_templates]
    prompts = {p.name: p.arguments or [] for p in (await client.list_prompts()).prompts}
    found = [Door(method) for method in LISTS] + tools + static
    for template in templates:
        names = re.findall(r"\{\W?(\w+)", template)
        found.append(Door("resources/read", template, _closed(names)))
        found += [Door("completion/complete", template, None, name) for name in names]
    for prompt, arguments in prompts.items():
        names = [argument.name for argument in arguments]
        found.append(Door("prompts/get", prompt, _closed(names, [a.name for a in arguments if a.required])))
        found += [Door("completion/complete", prompt, None, name) for name in names]
    return found


def _closed(names: Sequence[str], required: Sequence[str] | None = None) -> dict[str, Any]:
    texts = {name: {"type": "string"} for name in names}
    return {"properties": texts, "required": list(names if required is None else required)}


@dataclass
class Words:
    """What may be said, by the meaning of the parameter: each pool of values under words that its names contain."""

    pools: Mapping[str, Sequence[Any]]
    """From words, parted by bars, to values; the first that fits the parameter's name counts, the last fits all."""
    handles: int = 0
    made: int = 0

    def call(self, door: Door) -> st.SearchStrategy[Call]:
        """Something to say at a door."""
        if door.method == "completion/complete":
            return self.text(door.argument).map(lambda value: Call(door, {"value": _begun(value)}))
        return self.arguments(door.schema or {}).map(lambda arguments: Call(door, arguments))

    def arguments(self, schema: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
        """Arguments that fit a schema: all that are required, up to two of the others, often a number among them.

        The number of rows in a page is one, and only short pages have a next one.
        """
        values = {name: self.value(name, part) for name, part in schema.get("properties", {}).items()}
        required = {name: values[name] for name in schema.get("required", ())}
        others = sorted(values.keys() - required.keys())
        if not others:
            return st.fixed_dictionaries(required)
        numbers = [name for name in others if schema["properties"][name].get("type") == "integer"]
        fewest = 1 if len(others) > MANY else 0
        drawn = st.sampled_from([*others, *numbers * (len(others) // 2)])
        chosen = st.lists(drawn, min_size=fewest, max_size=2, unique=True)
        return chosen.flatmap(lambda more: st.fixed_dictionaries(required | {name: values[name] for name in more}))

    def value(self, name: str, schema: Mapping[str, Any]) -> Values:
        """A value of the schema's type; a text is taken from the pool that the name belongs to."""
        if "enum" in schema or "const" in schema:
            return st.sampled_from(schema.get("enum") or [schema["const"]])
        if arms := schema.get("anyOf") or schema.get("oneOf"):
            return st.one_of([self.value(name, arm) for arm in arms])
        match schema.get("type"):
            case "boolean":
                return st.booleans()
            case "integer" | "number":
                low = schema.get("minimum", 0)
                return st.sampled_from([low, low + 2, low + 6, schema.get("maximum", low + 99)])
            case "array":
                fewest = max(1, schema.get("minItems", 1))
                item = self.value(name, schema.get("items", {}))
                several = st.lists(item, min_size=fewest + 1, max_size=fewest + 3)
                few = st.lists(item, min_size=fewest, max_size=fewest)
                return st.one_of(few, several) if schema.get("maxItems", 9) > fewest + 3 else few
            case "object" if names := schema.get("propertyNames", {}).get("enum"):
                return st.sampled_from(names).flatmap(lambda one: st.fixed_dictionaries({one: self.text(one)}))
            case "object":
                return self.arguments(schema)
        return self.text(name)

    def text(self, name: str) -> Values:
        """A text that may stand for a parameter of this name."""
        if re.search("confirmation|cursor|code", name):
            codes = st.integers(0, max(0, self.handles - 1)).map(Handed)
            return codes if self.handles else st.just("aaaabbbbccccdddd")
        words = next(words for words in self.pools if re.search(words, name))
        known = st.sampled_from(self.pools[words])
        if name.endswith("_id") and not name.endswith("lead_id") and self.made:
            return st.one_of(known, st.integers(0, self.made - 1).map(Made))
        return known


def said(value: Any, handles: Sequence[str], ids: Sequence[str]) -> Any:
    """A value in one world's own words."""
    match value:
        case Handed(number):
            return handles[number] if number < len(handles) else "aaaabbbbccccdddd"
        case Made(number):
            return ids[number] if number < len(ids) else "999"
        case list():
            return [said(item, handles, ids) for item in value]
        case dict():
            return {name: said(item, handles, ids) for name, item in value.items()}
    return value


def _begun(value: Any) -> str:
    return value[:2] if isinstance(value, str) else ""
