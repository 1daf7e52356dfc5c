"""Tasks and appointments of a lead: `GET /v2.0/tasks?leadId=`."""

import json
import sqlite3
from typing import Any

from lofty_mcp.sandbox.call import Call
from lofty_mcp.sandbox.leads import of_query
from lofty_mcp.sandbox.people import TEAM_ID
from lofty_mcp.sandbox.times import iso

_HOUR_MS = 3_600_000


def list_tasks(call: Call) -> object:
    """`{"tasks"}`: all of them, open and finished; `endAt` is the deadline."""
    lead_id = of_query(call)
    lead = call.world.store.lead(lead_id)
    return {"tasks": [view(call, row, lead) for row in call.world.store.items("task", lead_id)]}


def view(call: Call, row: sqlite3.Row, lead: sqlite3.Row | None) -> dict[str, Any]:
    """The `TaskResponseV2` of a stored task; it repeats the lead's name, e-mail and phone."""
    data: dict[str, Any] = json.loads(row["data"])
    zone = data["timeZoneCode"]
    finished = bool(data["finishTime"])
    agent = call.world.user(lead["assignedUserId"]) if lead else None
    starts = row["at"] - _HOUR_MS if data["type"] == "Appointment" else row["at"]
    return {
        **data,
        "id": row["id"],
        "leadId": row["leadId"],
        "startAt": iso(starts, zone),
        "endAt": iso(row["at"], zone),
        "finishFlag": finished,
        "overdueFlag": not finished and row["at"] < call.world.now.timestamp() * 1000,
        "createTime": iso(row["at"] - 72 * _HOUR_MS, zone),
        "lastUpdate": iso(row["at"] - 72 * _HOUR_MS, zone),
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
