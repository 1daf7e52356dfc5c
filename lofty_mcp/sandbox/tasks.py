"""Tasks and appointments of a lead (`/v2.0/tasks`): one space of ids; what a smart plan made cannot be finished."""

import json
import sqlite3
from typing import Any

from lofty_mcp.sandbox.call import Call, as_number, as_object, as_text
from lofty_mcp.sandbox.leads import find, find_or_deny, of_query
from lofty_mcp.sandbox.people import TEAM_ID
from lofty_mcp.sandbox.refusals import invalid, named
from lofty_mcp.sandbox.times import iso, moment, plain

_HOUR_MS = 3_600_000
_OWN = ("startsAt", "createdAt", "updatedAt", "smartPlan")
_TYPES = ("Other", "Call", "Email", "Text", "Appointment")


def list_tasks(call: Call) -> object:
    """`{"tasks"}`: all of them, open and finished; `endAt` is the deadline."""
    lead_id = of_query(call)
    lead = call.world.store.lead(lead_id)
    return {"tasks": [view(call, row, lead) for row in call.world.items("task", lead_id)]}


def get_task(call: Call) -> object:
    """`{"task"}`; 404 when there is none, 400 20017 when its lead is not visible."""
    row = _find(call)
    return {"task": view(call, row, find_or_deny(call, row["leadId"]))}


def add_task(call: Call) -> object:
    """`{"taskId"}`; a lead that is not visible is 400 20017 here."""
    body = as_object(call.body)
    kind, role, content = (as_text(body.get(name)) for name in ("type", "assignedRole", "content"))
    if kind not in _TYPES or role not in {"Agent", "Assistant"} or not content:
        raise invalid()
    zone = as_text(body.get("timeZoneCode", "UTC"))
    times = {name: moment(as_text(body[name]), zone) for name in ("startAt", "endAt") if name in body}
    ends = times.get("endAt")
    if ends is None or None in times.values():
        raise invalid()
    lead = find_or_deny(call, as_number(body.get("leadId")))
    starts = times.get("startAt")
    now = call.world.tick() * 1000
    task_id = call.world.add_task(
        lead["leadId"],
        at=ends,
        type=kind,
        assignedRole=role,
        content=content,
        address=as_text(body.get("address", "")),
        timeZoneCode=zone,
        creatorId=call.member.user_id,
        startsAt=int(starts.timestamp() * 1000) if starts else 0,
        createdAt=now,
        updatedAt=now,
    )
    return {"taskId": call.world.written("task", task_id)}


def finish_task(call: Call) -> object:
    """`{"message"}`, also for one that is finished; 400 TASK_IS_SMARTPLAN for a task of a smart plan."""
    row = _find(call)
    find(call, row["leadId"])
    if json.loads(row["data"])["smartPlan"]:
        raise named(400, "TASK_IS_SMARTPLAN")
    now = call.world.tick() * 1000
    return _mark(call, row, {"finishTime": plain(now), "updatedAt": now})


def unfinish_task(call: Call) -> object:
    """`{"message"}`, also for one that is open."""
    row = _find(call)
    find(call, row["leadId"])
    return _mark(call, row, {"finishTime": "", "updatedAt": call.world.tick() * 1000})


def _mark(call: Call, row: sqlite3.Row, changes: dict[str, Any]) -> object:
    call.world.store.update_item("task", row["id"], {**json.loads(row["data"]), **changes})
    return {"message": "success"}


def _find(call: Call) -> sqlite3.Row:
    row = call.world.item("task", call.path_id("taskId"))
    if row is None:
        raise named(404, "TASK_NOT_EXIST")
    return row


def view(call: Call, row: sqlite3.Row, lead: sqlite3.Row | None) -> dict[str, Any]:
    """The `TaskResponseV2` of a stored task; it repeats the lead's name, e-mail and phone."""
    data: dict[str, Any] = json.loads(row["data"])
    starts, created, updated, _ = (data.pop(name) for name in _OWN)
    zone = data["timeZoneCode"]
    finished = bool(data["finishTime"])
    agent = call.world.user(lead["assignedUserId"]) if lead else None
    starts = starts or (row["at"] - _HOUR_MS if data["type"] == "Appointment" else row["at"])
    created = created or row["at"] - 72 * _HOUR_MS
    return {
        **data,
        "id": row["id"],
        "leadId": row["leadId"],
        "startAt": iso(starts, zone),
        "endAt": iso(row["at"], zone),
        "finishFlag": finished,
        "overdueFlag": not finished and row["at"] < call.world.now.timestamp() * 1000,
        "createTime": iso(created, zone),
        "lastUpdate": iso(updated or created, zone),
        "assignedUser": agent.name if agent else "",
        "assignedUserId": agent.user_id if agent else 0,
        "teamId": TEAM_ID,
        **_lead_fields(lead),
    }


def _lead_fields(lead: sqlite3.Row | None) -> dict[str, Any]:
    if lead is None:
        return {}
    data = json.loads(lead["data"])
    return {
        "leadUserId": lead["leadId"] + 7,
        "leadName": f"{lead['firstName']} {lead['lastName']}".strip(),
        "leadFirstName": lead["firstName"],
        "leadLastName": lead["lastName"],
        "leadEmail": next(iter(data["emails"]), ""),
        "leadPhone": next(iter(data["phones"]), ""),
    }
