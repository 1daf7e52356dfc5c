"""Pure builders of stored rows: defaults of a lead, a note, a site activity, a communication, a task, a system log.

Names are those of Lofty's records, so that a test can say `add_note(lead, content=..., isPin=True)`.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lofty_mcp.sandbox.people import TEAM_ID
from lofty_mcp.sandbox.store import LEAD_COLUMNS

LEAD_DATA: Mapping[str, Any] = {
    "birthday": "",
    "emails": [],
    "phones": [],
    "phoneStatuses": [],
    "leadSource": -1,
    "streetAddress": "",
    "city": "",
    "state": "",
    "zipCode": "",
    "facebook": "",
    "twitter": "",
    "referredBy": "",
    "cannotText": False,
    "cannotCall": False,
    "cannotEmail": False,
    "unsubscription": False,
    "privateFlag": False,
    "segments": [],
    "leadTypes": [2],
    "leadType": 2,
    "assignCompletionStatus": True,
    "buyingTimeFrame": "",
    "preQual": "",
    "houseToSell": "",
    "fthb": "",
    "withBuyerAgent": "",
    "sellingTimeFrame": "",
    "mortgage": "",
    "buyHouse": "",
    "withListingAgent": "",
    "opportunity": None,
    "leadFamilyMemberList": [],
    "pondId": 0,
    "pondName": "",
    "language": "en",
    "leadInquiry": {
        "priceMin": -1,
        "priceMax": -1,
        "propertyType": [],
        "bedroomsMin": -1,
        "bedroomsMax": -1,
        "bathroomsMin": "",
        "bathroomsMax": "",
        "locations": [],
    },
    "leadPropertyList": [],
    "customAttributes": [],
}

_COLUMN_DEFAULTS: Mapping[str, Any] = {
    "firstName": "",
    "lastName": "",
    "stage": "New Lead",
    "source": "Website",
    "assignedUserId": 0,
    "lenderUserId": 0,
    "assistantUserId": 0,
    "coordinatorUserId": 0,
    "officeId": 0,
    "ownershipScope": "TEAM",
    "ownershipId": TEAM_ID,
    "hiddenFlag": 0,
    "trashed": 0,
    "createTime": 0,
    "assignTime": None,
    "lastTouch": None,
    "lastVisit": None,
    "lastUpdateTime": None,
    "score": 0,
}

ITEM_DATA: Mapping[str, Mapping[str, Any]] = {
    "note": {"content": "", "creatorId": 0, "lastEditorId": 0, "isPin": False, "systemNote": False, "editedAt": 0},
    "activity": {"type": "Browse", "text": "", "link": "", "picture": "", "scheduledDate": "", "pageName": ""},
    "communication": {
        "agentId": 0,
        "channel": "Call",
        "communicationType": "Manual",
        "direction": "Outbound",
        "callingOutcome": "",
        "leadPhoneNumber": "",
        "emailEventType": "",
        "emailSubject": "",
        "note": "",
        "isPin": False,
        "toEmail": "",
        "fromEmail": "",
    },
    "task": {
        "creatorId": 0,
        "content": "",
        "type": "Call",
        "timeZoneCode": "America/Denver",
        "allDay": False,
        "finishTime": "",
        "reminderType": 0,
        "assignedRole": "Agent",
        "subject": "",
        "body": "",
        "address": "",
        "pipelineId": 0,
        "queryInfo": "",
        "queryId": 0,
        "startsAt": 0,
        "createdAt": 0,
        "updatedAt": 0,
        "smartPlan": False,
    },
    "log": {
        "agentId": 0,
        "timelineType": 9,
        "timelineTypeDesc": "Lead Created",
        "fromId": 0,
        "fromType": 1,
        "toId": 0,
        "toType": 2,
        "refId": 0,
        "sticky": False,
        "canSticky": False,
        "content": {},
    },
}


def split(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part a lead's fields into columns and data; a name that is neither is a KeyError; times may be datetimes."""
    unknown = set(fields) - set(LEAD_COLUMNS) - set(LEAD_DATA)
    if unknown:
        raise KeyError(f"no such lead field: {sorted(unknown)}")
    columns = {name: _seconds(value) for name, value in fields.items() if name in LEAD_COLUMNS}
    return columns, {name: value for name, value in fields.items() if name in LEAD_DATA}


def _seconds(value: Any) -> Any:
    return int(value.timestamp()) if isinstance(value, datetime) else value


def lead_row(fields: Mapping[str, Any]) -> tuple[Any, ...]:
    """A full row for `Store.insert_leads`; `fields` needs at least `leadId`."""
    columns, data = split(fields)
    full = {**LEAD_DATA, **data}
    columns = {**_COLUMN_DEFAULTS, **columns, "data": json.dumps(full)}
    columns["search"] = search_text(columns["firstName"], columns["lastName"], full)
    return tuple(columns[name] for name in LEAD_COLUMNS)


def search_text(first: str, last: str, data: Mapping[str, Any]) -> str:
    """What the `key` filter looks into: name, e-mails and phones, in lower case."""
    return "\n".join((f"{first} {last}", *data["emails"], *data["phones"])).lower()


def item_data(kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The data of an item with the defaults of its kind filled in."""
    return {**ITEM_DATA[kind], **fields}
