"""Compares our table with a published OpenAPI contract: every path, parameter and field of ours must be there."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.contract import Table

_TYPES = {"str": {"string"}, "int": {"integer"}, "num": {"number", "integer"}, "bool": {"boolean"}, "obj": {"object"}}


def differences(table: Table, openapi: Mapping[str, Any]) -> list[str]:
    """One line for everything of ours that the published contract does not have or types otherwise."""
    return [line for operation in table["operations"] for line in _operation(table, openapi, operation)]


def _operation(table: Table, openapi: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    if ours.get("unpublished"):
        return
    where = f"{ours['method']} {ours['path']}"
    theirs = openapi["paths"].get(ours["path"], {}).get(ours["method"].lower())
    if theirs is None:
        yield f"{where}: not published"
        return
    published = {
        (parameter["in"], parameter["name"]): parameter["schema"] for parameter in theirs.get("parameters", ())
    }
    for place, names in (("path", ours.get("params", {})), ("query", ours.get("query", {}))):
        for name, kind in names.items():
            if (place, name) not in published:
                yield f"{where}: {place} {name} is not published"
            else:
                yield from _compare(table, openapi, kind, published[place, name], f"{where} {place} {name}")
    if "body" in ours:
        yield from _compare(table, openapi, ours["body"], _json(theirs.get("requestBody", {})), f"{where} body")
    if ours["reply"] != "empty":
        yield from _compare(table, openapi, ours["reply"], _json(theirs["responses"]["200"]), f"{where} reply")


def _json(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = holder.get("content", {}).get("application/json", {}).get("schema", {})
    return schema


def _compare(
    table: Table, openapi: Mapping[str, Any], kind: str, schema: Mapping[str, Any], where: str
) -> Iterator[str]:
    kind = kind.rstrip("!?")
    if "$ref" in schema:
        schema = openapi["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    wanted = {"array"} if kind.startswith("[") else _TYPES.get(kind, {"object"})
    if schema.get("type") not in wanted:
        yield f"{where}: {kind} here, {schema.get('type')} there"
    elif kind.startswith("["):
        yield from _compare(table, openapi, kind[1:-1], schema["items"], f"{where}[]")
    elif kind not in _TYPES:
        for name, field in table["shapes"][kind].items():
            if name not in schema.get("properties", {}):
                yield f"{where}: {name} is not published"
            else:
                yield from _compare(table, openapi, field, schema["properties"][name], f"{where}.{name}")
