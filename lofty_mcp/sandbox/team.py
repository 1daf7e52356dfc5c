"""The team: who am I, members, organisation, tags, pipelines, ponds, custom fields."""

from typing import Any

from lofty_mcp.sandbox.call import Call
from lofty_mcp.sandbox.leads_view import tag
from lofty_mcp.sandbox.people import OFFICES, PONDS, STAGES, TEAM_ID, TEAM_NAME, Member
from lofty_mcp.sandbox.refusals import business

INSTANCES = 300
_ROLE_NUMBERS = {"Owner": 1, "Agent": 2, "Assistant": 3, "Lender": 4}


def me(call: Call) -> object:
    """One bare `UserResponse`; for one member both ids are the short one."""
    shown = person(call, call.member)
    return {**shown, "memberUserId": call.member.id} if call.member.short_me else shown


def list_members(call: Call) -> object:
    """`{"_metadata", "members"}`."""
    offset, limit = call.page("limit", 25, 100)
    wanted = {int(office) for office in call.query.get("groupIds", []) if office.isdigit()}
    members = [member for member in call.world.members if not wanted or member.office in wanted]
    shown = [person(call, member) for member in members[offset : offset + limit]]
    return {"_metadata": _meta("members", limit, offset, len(members)), "members": shown}


def get_member(call: Call) -> object:
    """One bare `UserResponse` by login e-mail, else 404 20003."""
    member = call.world.member(call.path["account"])
    if member is None:
        raise business(404, 20003, "User not exist")
    return person(call, member)


def person(call: Call, member: Member) -> dict[str, Any]:
    """The `UserResponse` of a member; the lead counters count hidden leads too."""
    sql = "SELECT count(*), total(stage = 'New Lead') FROM leads WHERE trashed = 0 AND assignedUserId = ?"
    assigned, new = call.world.store.rows(sql, (member.user_id,))[0]
    return {
        "id": member.id,
        "memberUserId": member.user_id,
        "teamId": TEAM_ID,
        "invitorUserId": call.world.members[0].user_id,
        "role": _ROLE_NUMBERS[member.role],
        "roleName": member.role,
        "firstLetter": member.first[0],
        "email": member.email,
        "firstName": member.first,
        "lastName": member.last,
        "phoneNumber": f"97055501{member.id % 100:02d}",
        "status": 1,
        "virtualNumber": f"97055502{member.id % 100:02d}" if member.role == "Agent" else "",
        "newLeadCount": int(new),
        "assignedLeadCount": assigned,
        "isAdmin": member.is_admin,
        "agentInfo": {
            "licenseId": f"FA.{member.id}",
            "position": member.role,
            "companyName": TEAM_NAME,
            "companyAddress": "12 Pine Street, Fort Collins, CO",
            "mlsAgentId": "",
            "agentPid": "",
        },
        "timeZoneId": member.time_zone,
        "groupId": member.office,
        "groupName": OFFICES[member.office],
        "group": {"id": member.office, "teamId": TEAM_ID, "parentId": TEAM_ID, "name": OFFICES[member.office]},
        "accountStatus": "ACTIVE",
    }


def org(call: Call) -> object:
    """The organisation; all offices for the owner, their own for everybody else."""
    visible = OFFICES if call.member.is_admin else {call.member.office: OFFICES[call.member.office]}
    return {
        "orgType": 1,
        "enterpriseInfo": {
            "groupId": call.member.office,
            "groupName": OFFICES[call.member.office],
            "profileId": _ROLE_NUMBERS[call.member.role],
            "profileName": "Company Owner" if call.member.is_admin else call.member.role,
            "visibleOrgInfoList": [
                {"groupId": office, "groupName": name, "parentId": TEAM_ID} for office, name in visible.items()
            ],
        },
        "multiTeamInfo": None,
    }


def list_tags(call: Call) -> object:
    """A bare array of definitions (leadId 0) and instances (leadId > 0), those of hidden leads first; at most 300."""
    store = call.world.store
    definitions = store.rows("SELECT 0 AS leadId, * FROM tags ORDER BY tagId")
    instances = store.rows(
        "SELECT l.leadId, t.tagId, t.tagName, t.creatorUserId, l.createTime FROM lead_tags l JOIN tags t USING (tagId)"
        " JOIN leads d ON d.leadId = l.leadId ORDER BY d.hiddenFlag DESC, l.leadId LIMIT ?",
        (INSTANCES,),
    )
    mixed = [*definitions, *instances]
    return [tag(row) for row in sorted(mixed, key=lambda row: (row["tagId"], row["leadId"]))]


def list_pipelines(call: Call) -> object:
    """`{"_metadata", "pipelines"}`: the stages, save one that exists all the same."""
    page, size = call.page("pageSize", 10, 100, start="currPage")
    name = call.text("name")
    stages = [{"id": number, "name": stage} for number, stage, listed in STAGES if listed and name in {None, stage}]
    shown = stages[page * size : (page + 1) * size]
    return {"_metadata": _meta("pipelines", size, page * size, len(stages)), "pipelines": shown}


def list_ponds(call: Call) -> object:
    """A bare array."""
    owner = call.world.members[0].user_id
    return [{"id": pond, "pondName": name, "pondOwnerId": owner, "agentIds": [owner]} for pond, name in PONDS.items()]


def list_custom_fields(_: Call) -> object:
    """A bare array."""
    return [{"attributeName": "Pet name", "attributeType": "text", "value": "", "params": ""}]


def _meta(collection: str, limit: int, offset: int, total: int) -> dict[str, Any]:
    return {"collection": collection, "limit": limit, "offset": offset, "total": total, "scrollId": ""}
