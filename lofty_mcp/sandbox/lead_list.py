"""The filters, orders and page marks of `GET /v1.0/leads`; every name not read here is ignored, as Lofty does."""

# ruff: noqa: S608 -- values are always bound; what is composed here are our own clauses
import base64
import binascii
import json
import re
from typing import Any

from lofty_mcp.sandbox.call import Call
from lofty_mcp.sandbox.people import ROLES, stage_id
from lofty_mcp.sandbox.refusals import business, invalid

# The other names of Lofty's list are accepted and sort by creation.
_SORTS = {
    "LastContact": "lastTouch",
    "LastCall": "lastTouch",
    "LastEmail": "lastTouch",
    "LastActivity": "lastVisit",
    "Activity": "lastVisit",
    "AssignTime": "assignTime",
    "Score": "score",
    "SCOREV2": "score",
    "Lender": "lenderUserId",
}
# Both lie in the search text as well, which is cheaper to look into than JSON.
_FAST = "instr(search,"
_TAGGED = "SELECT l.leadId FROM lead_tags l JOIN tags t USING (tagId) WHERE t.tagName"


def order(call: Call) -> str:
    """ORDER BY: newest first by default; a sort given without `desc` ascends."""
    sort = call.text("sort")
    descending = call.flag("desc") if sort else True
    column = _SORTS.get(sort or "", "createTime")
    direction = "DESC" if descending else "ASC"
    return f"{column} {direction}, leadId {direction}"


def scroll_id(offset: int) -> str:
    """An opaque mark of where the next page starts."""
    return base64.urlsafe_b64encode(f"scroll:{offset}".encode()).decode()


def page_start(call: Call, offset: int) -> int:
    """Where the page starts: `scrollId` wins over `offset`; one that is not ours is 400."""
    mark = call.text("scrollId")
    if mark is None:
        return offset
    try:
        word, _, start = base64.urlsafe_b64decode(mark.encode()).decode().partition(":")
    except (binascii.Error, UnicodeError):
        raise invalid() from None
    if word != "scroll" or not start.isdigit():
        raise invalid()
    return int(start)


def conditions(call: Call) -> tuple[str, dict[str, Any]]:
    """The filters as SQL (each clause beginning with AND) and their parameters."""
    clauses: list[str] = []
    params: dict[str, Any] = {}

    def add(clause: str, **values: Any) -> None:
        clauses.append(f" AND {clause}")
        params.update(values)

    if stages := _names(call.text("stage"), lambda name: stage_id(name) is not None):
        if not all(stage_id(stage) for stage in stages):
            raise business(404, 20007, "Stage not exist")
        add("stage IN (SELECT value FROM json_each(:stages))", stages=json.dumps(stages))
    if source := call.text("source"):
        add("source = :source", source=source)
    if (assigned := call.integer("assignedUserId")) is not None:
        add("assignedUserId = :assigned", assigned=assigned)
    if (group := call.integer("groupIds")) is not None:
        add("officeId = :group", group=group)
    if (contacted := call.flag("contacted")) is not None:
        add("(lastTouch IS NOT NULL) = :contacted", contacted=contacted)
    if key := call.text("key"):
        add("instr(search, :key) > 0", key=key.lower())
    if language := call.text("languages"):
        add("json_extract(data, '$.language') = :language", language=language)
    _contact(call, add)
    _labels(call, add)
    _roles(call, add)
    return "".join(clauses), params


def _names(text: str | None, is_one: Any = None) -> list[str]:
    """Names of one parameter: the whole text if that is a name, else its parts between commas."""
    if not text:
        return []
    if is_one and is_one(text):
        return [text]
    return [part.strip() for part in text.split(",") if part.strip()]


def _contact(call: Call, add: Any) -> None:
    precise = call.flag("preciseSearchFlag")
    email, phone = call.text("email"), call.text("phone")
    if email:
        test = "lower(value) = :email" if precise else "instr(lower(value), :email) > 0"
        add(f"{_FAST} :email) AND EXISTS (SELECT 1 FROM json_each(data, '$.emails') WHERE {test})", email=email.lower())
    if phone:
        # Lofty compares bare digits; a number with punctuation finds nothing.
        test = "value = :phone" if precise or not re.fullmatch("[0-9]+", phone) else "instr(value, :phone) > 0"
        add(f"{_FAST} :phone) AND EXISTS (SELECT 1 FROM json_each(data, '$.phones') WHERE {test})", phone=phone)


def _labels(call: Call, add: Any) -> None:
    for segment in ("segments", "groups"):
        if names := _names(call.text(segment)):
            test = f"value IN (SELECT value FROM json_each(:{segment}))"
            add(f"EXISTS (SELECT 1 FROM json_each(data, '$.segments') WHERE {test})", **{segment: json.dumps(names)})
    if names := _names(call.text("anyTags")):
        add(f"leadId IN ({_TAGGED} IN (SELECT value FROM json_each(:any)))", any=json.dumps(names))
    for number, name in enumerate(_names(call.text("allTags"))):
        add(f"leadId IN ({_TAGGED} = :tag{number})", **{f"tag{number}": name})


def _roles(call: Call, add: Any) -> None:
    text = call.text("roleAssigneeFilters")
    if text is None:
        return
    try:
        wanted = [(entry["roleName"], list(entry["assigneeToIds"])) for entry in json.loads(text)]
    except (ValueError, TypeError, KeyError):
        raise invalid() from None
    columns = {"Agent": "assignedUserId"} | {role: column for _, role, column in ROLES}
    for number, (role, ids) in enumerate(wanted):
        if role not in columns:
            raise invalid()
        test = f"{columns[role]} IN (SELECT value FROM json_each(:role{number}))"
        add(test, **{f"role{number}": json.dumps(ids)})
