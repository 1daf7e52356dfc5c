"""Calls, e-mails and texts logged by hand (`/v1.0/logType`): communications of the type Logged; nothing is sent.

Content over 5,000 characters is cut, a calling outcome that Lofty does not know becomes Talked.
"""

import json
import sqlite3
from typing import Any

from lofty_mcp.sandbox.call import Call, as_flag, as_number, as_object, as_text
from lofty_mcp.sandbox.leads import find, of_query
from lofty_mcp.sandbox.refusals import business, invalid
from lofty_mcp.sandbox.times import plain

CONTENT_LIMIT, SHORT_LIMIT, REACH = 5000, 20, 20_000
_CHANNELS = {"logCall": "Call", "logEmail": "Email", "logText": "Text"}
_OUTCOMES = ("Talked", "VoiceMessage", "NoAnswer", "BadNumber", "DNCNumber", "DNCContact")
_DIRECTIONS = {"outbound": "Outbound", "inbound": "Inbound"}


def view(row: sqlite3.Row) -> dict[str, Any]:
    """The `LogTypeResponse` of a stored communication."""
    data: dict[str, Any] = json.loads(row["data"])
    same = ("leadPhoneNumber", "callingOutcome", "isPin", "agentId", "emailSubject", "toEmail", "fromEmail")
    return {
        **{name: data[name] for name in same},
        "id": row["id"],
        "leadId": row["leadId"],
        "content": data["note"],
        "createTime": plain(row["at"]),
        "outboundOrInbound": data["direction"].lower(),
    }


def add_log(call: Call) -> object:
    """`{"logType"}`: the whole entry."""
    body = as_object(call.body)
    channel, lead_id = _CHANNELS.get(as_text(body.get("logType"))), as_number(body.get("leadId"))
    content = as_text(body.get("content"))
    if channel is None or not content:
        raise invalid()
    direction = _DIRECTIONS.get(as_text(body.get("outboundOrInbound", "outbound")))
    if direction is None:
        raise invalid()
    fields = {
        "agentId": call.member.user_id,
        "channel": channel,
        "communicationType": "Logged",
        "direction": direction,
        "note": content[:CONTENT_LIMIT],
        "isPin": as_flag(body.get("isPin", False)),
        **{name: as_text(body.get(name, "")) for name in ("emailSubject", "toEmail", "fromEmail")},
        **_of_call(body, channel),
    }
    find(call, lead_id)
    log_id = call.world.written("communication", call.world.add_communication(lead_id, **fields))
    row = call.world.store.item("communication", log_id)
    return {"logType": view(row)} if row else {}


def _of_call(body: dict[str, Any], channel: str) -> dict[str, str]:
    """Number and outcome; a logged call needs its number, and neither may be longer than 20 characters."""
    number, outcome = as_text(body.get("leadPhoneNumber", "")), as_text(body.get("callingOutcome", ""))
    if max(len(number), len(outcome)) > SHORT_LIMIT:
        raise business(400, 20043, "Parameter too long")
    if channel != "Call":
        return {"leadPhoneNumber": number}
    if not number:
        raise invalid()
    return {"leadPhoneNumber": number, "callingOutcome": outcome if outcome in _OUTCOMES else "Talked"}


def list_logs(call: Call) -> object:
    """`{"logType"}` of one kind, oldest first; a limit outside 1..1000 is 10, and nothing is beyond the 20,000th."""
    channel = _CHANNELS.get(call.text("logType") or "")
    sort, direction = call.text("sort") or "createTime", call.text("order") or "asc"
    if channel is None or sort not in {"createTime", "id"} or direction not in {"asc", "desc"}:
        raise invalid()
    limit, offset = call.integer("limit", 10) or 0, call.integer("offset", 0, low=0) or 0
    limit = limit if 1 <= limit <= 1000 else 10
    if offset + limit > REACH:
        raise business(400, 200104, "Offset exceed limit")
    rows = [row for row in call.world.items("communication", of_query(call)) if _logged(row, channel)]
    rows.sort(key=lambda row: (row["at"] if sort == "createTime" else 0, row["id"]), reverse=direction == "desc")
    after = call.integer("currentId")
    if after is not None:
        offset = next((place + 1 for place, row in enumerate(rows) if row["id"] == after), 0)
    return {"logType": [view(row) for row in rows[offset : offset + limit]]}


def get_log(call: Call) -> object:
    """`{"logType"}`: one entry; absent and not logged by hand are the same answer."""
    row = call.world.item("communication", call.path_id("logTypeId"))
    if row is None or not _logged(row):
        raise business(404, 20007, "Resource not exist")
    find(call, row["leadId"])
    return {"logType": view(row)}


def _logged(row: sqlite3.Row, channel: str | None = None) -> bool:
    data = json.loads(row["data"])
    return data["communicationType"] == "Logged" and channel in {None, data["channel"]}
