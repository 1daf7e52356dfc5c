"""The table of what our client sends to Lofty and reads in its answers, and checks against it.

`lofty.json` says how its types are written. `published.py` compares the table with Lofty's own contract.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Table = Mapping[str, Any]
TABLE: Table = json.loads((Path(__file__).parent / "lofty.json").read_text(encoding="utf-8"))

_JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "num": (int, float),
    "bool": (bool,),
    "obj": (dict,),
}
_TEXT_FORMS = {"int": r"-?[0-9]{1,19}", "num": r"-?[0-9.]+", "bool": "true|false", "str": r"(?s).*"}


def check_request(
    method: str,
    path: str,
    query: Mapping[str, str | Sequence[str]] | None = None,
    body: Any = None,
    *,
    table: Table = TABLE,
) -> None:
    """AssertionError naming what in this request the table does not know or types otherwise; `body` is parsed JSON."""
    operation = find(method, path, table)
    given = query or {}
    known = operation.get("query", {})
    for name, value in given.items():
        _same(name in known, f"query {name}", "is not a parameter", operation)
        values = [value] if isinstance(value, str) else value
        form = _TEXT_FORMS[_bare(known[name]).strip("[]")]
        _same(all(re.fullmatch(form, one) for one in values), f"query {name}", f"is not {known[name]}", operation)
        _same(len(values) == 1 or known[name].startswith("["), f"query {name}", "is given more than once", operation)
    for name, kind in known.items():
        _same(not kind.endswith("!") or name in given, f"query {name}", "is required", operation)
    if "body" in operation:
        _check(body, operation["body"], "body", table, operation)
    else:
        _same(body is None, "body", "is not expected", operation)


def check_reply(method: str, path: str, status: int, body: Any, *, table: Table = TABLE) -> None:
    """The same for an answer; `body` is parsed JSON, None for an empty one."""
    operation = find(method, path, table)
    if status >= 400:
        _check(body, "Error", "error", table, operation)
        return
    kinds = [operation["reply"], *operation.get("observed", ())]
    if "empty" in kinds:
        _same(body is None, "reply", "should be empty", operation)
        return
    problems: list[str] = []
    for kind in kinds:
        try:
            _check(body, kind, "reply", table, operation)
        except AssertionError as problem:
            problems.append(str(problem))
        else:
            return
    raise AssertionError(problems[0])


def find(method: str, path: str, table: Table = TABLE) -> Mapping[str, Any]:
    """The operation of a method and concrete path; AssertionError when the table has none."""
    for operation in table["operations"]:
        match = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation["path"]), path)
        if operation["method"] == method and match:
            for name, value in match.groupdict().items():
                form = _TEXT_FORMS[operation["params"][name]]
                _same(re.fullmatch(form, value) is not None, f"path {name}", "has another type", operation)
            return dict(operation)
    raise AssertionError(f"{method} {path} is not an operation of the table")


def _check(value: Any, kind: str, where: str, table: Table, operation: Mapping[str, Any]) -> None:
    if value is None and kind.endswith("?"):
        return
    kind = _bare(kind)
    if kind.startswith("["):
        _same(isinstance(value, list), where, f"is not {kind}", operation)
        for number, one in enumerate(value):
            _check(one, kind[1:-1], f"{where}[{number}]", table, operation)
    elif kind in _JSON_TYPES:
        right = isinstance(value, _JSON_TYPES[kind]) and (kind == "bool") == isinstance(value, bool)
        _same(right, where, f"is not {kind}: {value!r}", operation)
    else:
        _same(isinstance(value, dict), where, f"is not {kind}", operation)
        fields = table["shapes"][kind]
        for name, one in value.items():
            _same(name in fields, f"{where}.{name}", f"is not a field of {kind}", operation)
            _check(one, fields[name], f"{where}.{name}", table, operation)
        for name, field in fields.items():
            _same(not field.endswith("!") or name in value, f"{where}.{name}", "is required", operation)


def _bare(kind: str) -> str:
    return kind.rstrip("!?")


def _same(right: bool, where: str, problem: str, operation: Mapping[str, Any]) -> None:
    if not right:
        raise AssertionError(f"{operation['method']} {operation['path']}: {where} {problem}")
