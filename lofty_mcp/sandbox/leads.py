"""Leads: list, get, change, trash, assign (`/v1.0/leads...`)."""

# ruff: noqa: S608 -- values are always bound; what is composed here are our own clauses
from typing import Any

from lofty_mcp.sandbox.call import EMPTY, Call, as_list, as_object, as_text
from lofty_mcp.sandbox.lead_list import conditions, order, page_start, scroll_id
from lofty_mcp.sandbox.lead_write import change, log_assignment
from lofty_mcp.sandbox.leads_view import record
from lofty_mcp.sandbox.people import ROLES, Member
from lofty_mcp.sandbox.refusals import ApiError, business, denied, invalid, no_lead

# Hidden leads are readable by the whole office: a leak on purpose, see the package docstring.
VISIBLE = (
    "(:admin OR ownershipScope = 'TEAM' OR (ownershipScope = 'OFFICE' AND ownershipId = :office)"
    " OR (ownershipScope = 'PERSONAL' AND ownershipId = :user)"
    " OR :user IN (assignedUserId, lenderUserId, assistantUserId, coordinatorUserId)"
    " OR (hiddenFlag = 1 AND officeId = :office))"
)


def viewer(member: Member) -> dict[str, Any]:
    """The SQL parameters of `VISIBLE`."""
    return {"admin": member.is_admin, "office": member.office, "user": member.user_id}


def find(call: Call, lead_id: int, *, with_trash: bool = False) -> Any:
    """The row of a lead the caller may see, else 404 20006."""
    sql = f"SELECT * FROM leads WHERE leadId = :lead AND (trashed = 0 OR :trash) AND {VISIBLE}"
    rows = call.world.store.rows(sql, {**viewer(call.member), "lead": lead_id, "trash": with_trash})
    if not rows:
        raise no_lead()
    return rows[0]


def find_or_deny(call: Call, lead_id: int) -> Any:
    """The row of a lead the caller may see, else 400 20017, as some operations on a lead's children answer."""
    try:
        return find(call, lead_id)
    except ApiError:
        raise denied() from None


def of_query(call: Call) -> int:
    """The lead named by `?leadId=`, once it is certain that the caller may see it."""
    lead_id = call.integer("leadId", low=1)
    if lead_id is None:
        raise invalid()
    find(call, lead_id)
    return lead_id


def list_leads(call: Call) -> object:
    """`{"_metadata", "leads"}`; unknown query names are ignored, limits outside 1..100 are 400 20042."""
    offset, limit = call.page("limit", 25, 100)
    where, params = conditions(call)
    where = f"trashed = 0 AND {VISIBLE}{where}"
    params = {**viewer(call.member), **params}
    store = call.world.store
    total = int(store.rows(f"SELECT count(*) FROM leads WHERE {where}", params)[0][0])
    offset = page_start(call, offset)
    shown_from = max(0, total - limit) if call.world.repeat_last_page and offset >= total else offset
    sql = f"SELECT leadId FROM leads WHERE {where} ORDER BY {order(call)} LIMIT :limit OFFSET :offset"
    ids = [row["leadId"] for row in store.rows(sql, {**params, "limit": limit, "offset": shown_from})]
    rows = store.leads(ids)
    tags = store.tags_of(ids)
    meta = {
        "collection": "leads",
        "limit": limit,
        "offset": offset,
        "total": total,
        "scrollId": scroll_id(offset + limit),
    }
    return {"_metadata": meta, "leads": [record(row, tags[row["leadId"]], call.world.members) for row in rows]}


def get_lead(call: Call) -> object:
    """`{"lead": ...}`."""
    row = find(call, call.path_id("leadId"), with_trash=bool(call.flag("withTrash")))
    tags = call.world.store.tags_of([row["leadId"]])[row["leadId"]]
    return {"lead": record(row, tags, call.world.members)}


def put_lead(call: Call) -> object:
    """`{"leadId"}`, or 200 `{"data": "no change"}` for a body without one field that is understood."""
    row = find(call, call.path_id("leadId"))
    if not change(call, row, as_object(call.body)):
        return {"data": "no change"}
    return {"leadId": row["leadId"]}


def delete_lead(call: Call) -> object:
    """To the trash, with a reason; an empty body back."""
    lead_id = call.path_id("leadId")
    reason = call.text("reason") or ""
    if not reason.strip():
        raise invalid()
    find(call, lead_id)
    call.world.update_lead(lead_id, trashed=1)
    call.world.trash_reasons[lead_id] = reason
    return EMPTY


def assign_lead(call: Call) -> object:
    """An array of `{"role", "assignee": <login e-mail>}`; all of it is checked before any of it is done."""
    row = find(call, call.path_id("leadId"))
    columns: dict[str, Any] = {}
    for entry in as_list(call.body):
        column, assignee = _assignment(call, entry)
        columns[column] = assignee.user_id
    if not columns:
        raise invalid()
    changed = {name: value for name, value in columns.items() if row[name] != value}
    if "assignedUserId" in changed:
        changed["assignTime"] = call.world.tick()
        log_assignment(call, row["leadId"], changed["assignedUserId"])
    call.world.update_lead(row["leadId"], **changed)
    return {"leadId": row["leadId"]}


def _assignment(call: Call, entry: Any) -> tuple[str, Member]:
    places = {"Agent": "assignedUserId"} | {role: column for _, role, column in ROLES}
    role, email = as_text(as_object(entry).get("role")), as_text(entry.get("assignee"))
    if role not in places:
        raise invalid()
    assignee = call.world.member(email)
    if assignee is None:
        raise business(404, 20003, "User not exist")
    return places[role], assignee
