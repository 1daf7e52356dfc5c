"""`PUT /v1.0/leads/{leadId}`: what the body's fields do.

Names over 30 characters, stages over 20, tags over 64 and segments over 30 are cut without a word. A stage that the
team does not have and every name Lofty does not know (`stageId` among them) do nothing. Whether arrays merge or replace
is not documented; here they replace. Only a PERSONAL lead can be hidden.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lofty_mcp.sandbox.call import Call, as_flag, as_list, as_number, as_object, as_text
from lofty_mcp.sandbox.people import stage_id
from lofty_mcp.sandbox.refusals import business, invalid

NAME_LIMIT, STAGE_LIMIT, SEGMENT_LIMIT, PHONE_LIMIT, TAG_LIMIT, FAMILY_LIMIT = 30, 20, 30, 20, 64, 4

_TEXTS = (
    "source",
    "referredBy",
    "birthday",
    "streetAddress",
    "city",
    "state",
    "zipCode",
    "language",
    "buyingTimeFrame",
    "preQual",
    "houseToSell",
    "fthb",
    "withBuyerAgent",
    "sellingTimeFrame",
    "mortgage",
    "buyHouse",
    "withListingAgent",
)
_FLAGS = ("cannotText", "cannotCall", "cannotEmail", "unsubscription")


@dataclass(frozen=True)
class _Target:
    """The lead a body is applied to: the call, its row, its data."""

    call: Call
    row: sqlite3.Row
    data: Mapping[str, Any]


Fields = dict[str, Any]
_Writer = Callable[[_Target, Any], Fields]


def change(call: Call, row: sqlite3.Row, body: Mapping[str, Any]) -> bool:
    """Apply the body to the lead; False when it held nothing that Lofty understands."""
    target = _Target(call, row, json.loads(row["data"]))
    fields: Fields = {}
    for name in (known for known in body if known in _WRITERS):
        fields |= _WRITERS[name](target, body[name])
    clear = as_flag(body.get("clearAllTags", False))
    tags = {name: [_tag(one) for one in as_list(body[name])] for name in _TAG_FIELDS if name in body}
    if fields:
        _log_changes(call, row, fields)
        call.world.update_lead(row["leadId"], **fields)
    _change_tags(call, row["leadId"], tags, clear=clear)
    return bool(fields) or bool(tags) or "clearAllTags" in body or "leadTransaction" in body


def log_assignment(call: Call, lead_id: int, user_id: int) -> None:
    """Write an assignment into the lead's change log."""
    call.world.add_system_log(
        lead_id,
        timelineType=4,
        timelineTypeDesc="Assigned",
        agentId=call.member.user_id,
        fromId=call.member.user_id,
        toId=user_id,
        toType=1,
        content={"role": "Agent"},
    )


def _stage(_: _Target, value: Any) -> Fields:
    stage = as_text(value)[:STAGE_LIMIT]
    return {} if stage_id(stage) is None else {"stage": stage}


def _hidden(target: _Target, value: Any) -> Fields:
    return {"hiddenFlag": int(as_flag(value))} if target.row["ownershipScope"] == "PERSONAL" else {}


def _assignee(target: _Target, value: Any) -> Fields:
    member = target.call.world.user(as_number(value))
    if member is None:
        raise invalid()
    return {"assignedUserId": member.user_id, "assignTime": target.call.world.tick()}


def _scope(_: _Target, value: Any) -> Fields:
    if value not in ("TEAM", "OFFICE", "PERSONAL"):
        raise invalid()
    return {"ownershipScope": value}


def _phones(target: _Target, value: Any) -> Fields:
    known = dict(zip(target.data["phones"], target.data["phoneStatuses"], strict=False))
    phones = [as_text(one)[:PHONE_LIMIT] for one in as_list(value)]
    return {"phones": phones, "phoneStatuses": [known.get(phone, 2) for phone in phones]}


def _segments(_: _Target, value: Any) -> Fields:
    return {"segments": [as_text(one)[:SEGMENT_LIMIT] for one in as_list(value)]}


def _inquiry(target: _Target, value: Any) -> Fields:
    return {"leadInquiry": {**target.data["leadInquiry"], **as_object(value)}}


def _property(target: _Target, value: Any) -> Fields:
    old: list[dict[str, Any]] = target.data["leadPropertyList"]
    new = as_object(value)
    if "id" in new and as_number(new["id"]) > 0:
        if all(one["id"] != new["id"] for one in old):
            raise business(404, 200108, "Lead property not exist")
        return {"leadPropertyList": [{**one, **new} if one["id"] == new["id"] else one for one in old]}
    if not any(new.get(part) for part in ("city", "state", "zipCode", "streetAddress")):
        raise business(400, 200057, "Property address empty")
    return {"leadPropertyList": [*old, {**new, "id": max((one["id"] for one in old), default=6000) + 1}]}


def _family(_: _Target, value: Any) -> Fields:
    if len(as_list(value)) > FAMILY_LIMIT:
        raise invalid()
    return {"leadFamilyMemberList": [as_object(one) for one in value]}


def _name(name: str) -> _Writer:
    return lambda _, value: {name: as_text(value)[:NAME_LIMIT]}


def _plain(name: str, read: Callable[[Any], Any]) -> _Writer:
    return lambda _, value: {name: read(value)}


_WRITERS: Mapping[str, _Writer] = {
    **{name: _name(name) for name in ("firstName", "lastName")},
    **{name: _plain(name, as_text) for name in _TEXTS},
    **{name: _plain(name, as_flag) for name in _FLAGS},
    "stage": _stage,
    "isHidden": _hidden,
    "assignedUserId": _assignee,
    "ownershipScope": _scope,
    "ownershipId": _plain("ownershipId", as_number),
    "emails": lambda _, value: {"emails": [as_text(one) for one in as_list(value)]},
    "phones": _phones,
    "segments": _segments,
    "groups": _segments,
    "leadTypes": lambda _, value: {"leadTypes": [as_number(one) for one in as_list(value)]},
    "inquiry": _inquiry,
    "property": _property,
    "customAttributeList": lambda _, value: {"customAttributes": [as_object(one) for one in as_list(value)]},
    "leadFamilyMemberList": _family,
}

_TAG_FIELDS = ("tags", "tagsAdd", "tagsRemove")


def _tag(value: Any) -> str:
    """A tag's name; a number is taken for a name made of its digits."""
    number = isinstance(value, int) and not isinstance(value, bool)
    return (str(value) if number else as_text(value))[:TAG_LIMIT]


def _change_tags(call: Call, lead_id: int, tags: Mapping[str, list[str]], *, clear: bool) -> None:
    """Clearing wins; else `tags` replaces the set and `tagsAdd` adds; then `tagsRemove` takes off by literal name."""
    store = call.world.store
    if clear or "tags" in tags:
        store.drop_lead_tags(lead_id)
    if not clear:
        call.world.put_tags(lead_id, [*tags.get("tags", []), *tags.get("tagsAdd", [])], call.member.user_id)
        store.drop_lead_tags(lead_id, tags.get("tagsRemove", []))


def _log_changes(call: Call, row: sqlite3.Row, fields: Mapping[str, Any]) -> None:
    if fields.get("assignedUserId", row["assignedUserId"]) != row["assignedUserId"]:
        log_assignment(call, row["leadId"], fields["assignedUserId"])
    if fields.get("stage", row["stage"]) != row["stage"]:
        call.world.add_system_log(
            row["leadId"],
            timelineType=3,
            timelineTypeDesc="Stage Changed",
            agentId=call.member.user_id,
            fromId=stage_id(row["stage"]) or 0,
            fromType=3,
            toId=stage_id(fields["stage"]),
            toType=3,
            content={"from": row["stage"], "to": fields["stage"]},
        )
