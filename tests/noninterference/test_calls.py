"""Calls are made up for whatever a server may come to list."""

from typing import Any

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from jsonschema import validate  # type: ignore[import-untyped]

from tests.noninterference.calls import Door, Handed, Made, Words, said

POOLS = {"^lead": ["1100000000000228"], "note_id": ["700000001"], "": ["some text"]}


@pytest.mark.parametrize(
    ("name", "schema", "fits"),
    [
        ("lead_ids", {"type": "array", "items": {"type": "string"}, "minItems": 2}, ["1100000000000228"] * 2),
        ("note_id", {"type": "string"}, "700000001"),
        ("confirmation", {"type": "string"}, "aaaabbbbccccdddd"),
        ("never_heard_of", {"type": "string"}, "some text"),
        ("never_heard_of", {}, "some text"),
        ("never_heard_of", {"const": 7}, 7),
    ],
)
def test_a_value_is_taken_from_what_its_name_means(name: str, schema: dict[str, Any], fits: Any) -> None:
    assert find(Words(POOLS).value(name, schema), lambda value: value == fits) == fits


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "lead_id": {"type": "string"},
        "colour": {"enum": ["red", "blue"], "type": "string"},
        "weight": {"type": "number", "minimum": 3},
        "deep": {"type": "object", "properties": {"sharp": {"type": "boolean"}}, "required": ["sharp"]},
        "either": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "boolean"}}]},
        "plain": {"type": "string"},
    },
    "required": ["lead_id", "deep"],
    "additionalProperties": False,
}


@settings(database=None)
@given(st.data())
def test_the_arguments_of_a_tool_nobody_has_heard_of_fit_its_schema(data: st.DataObject) -> None:
    call = data.draw(Words(POOLS).call(Door("tools/call", "paint_lead", SCHEMA)))

    validate(call.arguments, SCHEMA)


def test_what_was_handed_out_or_made_is_said_in_each_worlds_own_words() -> None:
    arguments = {"cursor": Handed(1), "note_ids": [Made(0), "7"], "deep": {"cursor": Handed(9)}}

    assert said(arguments, ["a", "b"], ["70"]) == {
        "cursor": "b",
        "note_ids": ["70", "7"],
        "deep": {"cursor": "aaaabbbbccccdddd"},
    }
