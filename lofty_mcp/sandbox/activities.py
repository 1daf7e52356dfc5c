"""What happened with a lead: site activities (v1), communications (v2) and the change log.

The three page differently: v1 newest first, pages from 0, always 100; v2 oldest first, 10 unless asked for up to 1,000,
by offset or from the last id; the change log newest first, pages from 0.
"""

import json
import sqlite3
from typing import Any

from lofty_mcp.sandbox.call import Call
from lofty_mcp.sandbox.leads import find, of_query
from lofty_mcp.sandbox.refusals import gateway, invalid
from lofty_mcp.sandbox.times import iso

V1_PAGE = 100
_COMMUNICATION = (
    "agentId",
    "channel",
    "communicationType",
    "direction",
    "callingOutcome",
    "leadPhoneNumber",
    "emailEventType",
    "emailSubject",
    "note",
)


def site_activities(call: Call) -> object:
    """`GET /v1.0/leads/{leadId}/activities`: a bare array."""
    row = find(call, call.path_id("leadId"))
    page = call.integer("curPage", 0) or 0
    if page < 0:
        raise invalid()
    rows = call.world.store.items("activity", row["leadId"])[::-1]
    return [{**json.loads(one["data"]), "created": one["at"]} for one in rows[page * V1_PAGE : (page + 1) * V1_PAGE]]


def communications(call: Call) -> object:
    """`GET /v2.0/leads/{leadId}/activities`: `{"activities"}`; an unknown `currentId` gives the first page."""
    row = find(call, call.path_id("leadId"))
    offset, limit = call.page("limit", 10, 1000)
    rows = call.world.items("communication", row["leadId"])
    after = call.integer("currentId")
    if after is not None:
        offset = next((place + 1 for place, one in enumerate(rows) if one["id"] == after), 0)
    zone = call.text("timeZoneCode")
    return {"activities": [_communication(one, zone) for one in rows[offset : offset + limit]]}


def _communication(row: sqlite3.Row, zone: str | None) -> dict[str, Any]:
    data = json.loads(row["data"])
    shown = {name: data[name] for name in _COMMUNICATION}
    return {**shown, "id": row["id"], "leadId": row["leadId"], "activityTime": iso(row["at"], zone)}


def system_logs(call: Call) -> object:
    """`GET /v1.0/systemLogs`: `{"hasMore": 0|1, "timeLines"}`; 403 unless the caller is an admin or its agent."""
    page, size = call.page("pageSize", 100, 1000, start="pageNumber")
    lead_id = of_query(call)
    lead = call.world.store.lead(lead_id)
    if not call.member.is_admin and (lead is None or lead["assignedUserId"] != call.member.user_id):
        raise gateway(403, 200100, "No permission to access this API.")
    start, end = call.integer("startTime", -1) or -1, call.integer("endTime", -1) or -1
    rows = [
        row
        for row in reversed(call.world.store.items("log", lead_id))
        if start <= row["at"] and (end < 0 or row["at"] <= end)
    ]
    shown = rows[page * size : (page + 1) * size]
    return {"hasMore": int(len(rows) > (page + 1) * size), "timeLines": [_log(call, row) for row in shown]}


def _log(call: Call, row: sqlite3.Row) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(row["data"])
    at = iso(row["at"])
    return {
        **data,
        "id": str(row["id"]),
        "leadId": row["leadId"],
        "timelineTime": at,
        "createTime": at,
        "updateTime": at,
        **_party(call, "from", data),
        **_party(call, "to", data),
    }


def _party(call: Call, side: str, data: dict[str, Any]) -> dict[str, str]:
    """The names of an agent (type 1) or lead (type 2) on one side of a log entry, else blanks."""
    first = last = ""
    number = data[f"{side}Id"]
    if data[f"{side}Type"] == 1 and (member := call.world.user(number)):
        first, last = member.first, member.last
    elif data[f"{side}Type"] == 2 and (lead := call.world.store.lead(number)):
        first, last = lead["firstName"], lead["lastName"]
    return {f"{side}FirstName": first, f"{side}LastName": last}
