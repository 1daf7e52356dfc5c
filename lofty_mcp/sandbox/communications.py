"""One call, e-mail or text by its id (`/v2.0/communication/...`); absent, hidden and of another kind are one answer."""

import json
import sqlite3
from typing import Any

from lofty_mcp.sandbox.call import Call
from lofty_mcp.sandbox.leads import find_or_deny
from lofty_mcp.sandbox.refusals import denied
from lofty_mcp.sandbox.times import iso, plain


def get_call(call: Call) -> object:
    """A bare `CallResponse`; nothing is known of a call but what the timeline tells."""
    row, data = _find(call, "Call")
    at = plain(row["at"])
    return {
        "id": row["id"],
        "leadId": row["leadId"],
        "userId": data["agentId"],
        "agentId": data["agentId"],
        "leadPhoneNumber": data["leadPhoneNumber"],
        "direction": data["direction"],
        "callingOutcome": data["callingOutcome"],
        "startTime": at,
        "createTime": at,
        "note": data["note"],
    }


def get_email(call: Call) -> object:
    """A bare `EmailResponse`: the subject and never the text."""
    row, data = _find(call, "Email")
    return {
        "id": row["id"],
        "leadId": row["leadId"],
        "agentId": data["agentId"],
        "direction": data["direction"],
        "eventType": data["emailEventType"],
        "emailEventTime": iso(row["at"]),
        "emailType": data["communicationType"],
        "emailSubject": data["emailSubject"],
        "fromPond": False,
    }


def get_text(call: Call) -> object:
    """A bare `TextResponse`."""
    row, data = _find(call, "Text")
    return {
        "id": row["id"],
        "leadId": row["leadId"],
        "agentId": data["agentId"],
        "direction": data["direction"],
        "textOutcome": "Sent",
        "textTime": iso(row["at"]),
        "textType": data["communicationType"],
        "textContent": data["note"],
    }


def _find(call: Call, channel: str) -> tuple[sqlite3.Row, dict[str, Any]]:
    row = call.world.item("communication", call.path_id("communicationId"))
    data: dict[str, Any] = json.loads(row["data"]) if row else {}
    if row is None or data["channel"] != channel:
        raise denied()
    find_or_deny(call, row["leadId"])
    return row, data
