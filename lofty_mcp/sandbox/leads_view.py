"""A stored lead row as the record Lofty shows."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from lofty_mcp.sandbox.people import ROLES, TEAM_ID, Member, stage_id
from lofty_mcp.sandbox.times import gmt

_TIMES = ("createTime", "assignTime", "lastUpdateTime", "lastTouch", "lastVisit")
_PLAIN = (
    "leadId",
    "firstName",
    "lastName",
    "source",
    "stage",
    "assignedUserId",
    "lenderUserId",
    "score",
    "ownershipScope",
    "ownershipId",
)


def record(row: sqlite3.Row, tags: Iterable[sqlite3.Row], members: Sequence[Member]) -> dict[str, Any]:
    """The `LeadResponse` of a row: times with a literal GMT, tags as objects, the whole role catalogue."""
    data: dict[str, Any] = json.loads(row["data"])
    people = {member.user_id: member for member in members}
    assignee = people.get(row["assignedUserId"])
    return {
        **{name: row[name] for name in _PLAIN},
        **data,
        **{name: gmt(row[name]) for name in _TIMES},
        "leadUserId": row["leadId"] + 7,
        "teamId": TEAM_ID,
        "stageId": stage_id(row["stage"]) or 0,
        "assignedUser": assignee.name if assignee else "",
        "hiddenFlag": None if row["hiddenFlag"] is None else bool(row["hiddenFlag"]),
        "groups": data["segments"],
        "tags": [tag(one) for one in tags],
        "customRoleList": [_role(row, role, people) for role in ROLES],
    }


def tag(row: sqlite3.Row) -> dict[str, Any]:
    """A tag as Lofty shows it on a lead and, with leadId 0, as a definition."""
    at = gmt(row["createTime"])
    return {
        "leadId": row["leadId"],
        "tagId": row["tagId"],
        "createTime": at,
        "updateTime": at,
        "tagName": row["tagName"],
        "creatorUserId": row["creatorUserId"],
        "visibleType": 1,
    }


def _role(row: sqlite3.Row, role: tuple[int, str, str], people: dict[int, Member]) -> dict[str, Any]:
    number, name, column = role
    assignee = people.get(row[column])
    # Two spellings of "nobody" are known, so both occur: 0, and -1 for roles of the team's own making.
    nobody = -1 if number > 10 else 0
    return {
        "roleId": number,
        "role": name,
        "assigneeId": assignee.user_id if assignee else nobody,
        "assignee": assignee.email if assignee else "",
    }
