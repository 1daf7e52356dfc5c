"""Notes (`/v1.0/notes`): two ids, text HTML-escaped on the way out, no promised order, cut at 2,000 characters."""

import html
import json
import sqlite3
from typing import Any

from lofty_mcp.sandbox.call import EMPTY, Call, as_flag, as_number, as_object, as_text
from lofty_mcp.sandbox.leads import find, of_query
from lofty_mcp.sandbox.refusals import business, invalid
from lofty_mcp.sandbox.times import plain
from lofty_mcp.sandbox.world import SNOWFLAKE

CONTENT_LIMIT = 2000


def view(call: Call, row: sqlite3.Row) -> dict[str, Any]:
    """The `NoteResponse` of a stored note: `noteId` works in paths, `id` (of the timeline) does not."""
    data: dict[str, Any] = json.loads(row["data"])
    people = {member.user_id: member.name for member in call.world.members}
    at = plain(row["at"])
    return {
        "id": SNOWFLAKE + row["id"] * 4096,
        "noteId": row["id"],
        "leadId": row["leadId"],
        "creatorId": data["creatorId"],
        "creatorName": people.get(data["creatorId"], ""),
        "lastEditorId": data["lastEditorId"] or data["creatorId"],
        "lastEditorName": people.get(data["lastEditorId"] or data["creatorId"], ""),
        "createTime": at,
        "lastUpdate": plain(data["editedAt"]) if data["editedAt"] else at,
        "deleteFlag": False,
        "content": html.escape(data["content"]),
        "isPin": data["isPin"],
        "systemNote": data["systemNote"],
    }


def list_notes(call: Call) -> object:
    """`{"notes"}`: all of them, in no particular order."""
    rows = call.world.items("note", of_query(call))
    notes = [view(call, row) for row in rows]
    if not call.flag("includeSystemNote"):
        notes = [note for note in notes if not note["systemNote"]]
    return {"notes": sorted(notes, key=lambda note: note["noteId"] * 2654435761 % 2**32)}


def get_note(call: Call) -> object:
    """`{"note"}`."""
    return {"note": view(call, _find(call))}


def add_note(call: Call) -> object:
    """`{"noteId"}`."""
    content, lead_id, pin = _body(call)
    if lead_id is None:
        raise invalid()
    find(call, lead_id)
    note_id = call.world.add_note(lead_id, content=content, creatorId=call.member.user_id, isPin=pin)
    return {"noteId": call.world.written("note", note_id)}


def put_note(call: Call) -> object:
    """An empty body; a missing isPin is 400, and so is a leadId that is not the note's own."""
    row = _find(call)
    if "isPin" not in as_object(call.body):
        raise invalid()
    content, lead_id, pin = _body(call)
    if lead_id not in {None, row["leadId"]}:
        raise invalid()
    data = {**json.loads(row["data"]), "content": content, "isPin": pin, "lastEditorId": call.member.user_id}
    data["editedAt"] = call.world.tick() * 1000
    call.world.store.update_item("note", row["id"], data)
    return EMPTY


def delete_note(call: Call) -> object:
    """An empty body; unlike the other calls it finds a note that was written a moment ago."""
    call.world.store.remove_item("note", _allowed(call, call.world.store.item("note", call.path_id("noteId")))["id"])
    return EMPTY


def _find(call: Call) -> sqlite3.Row:
    return _allowed(call, call.world.item("note", call.path_id("noteId")))


def _allowed(call: Call, row: sqlite3.Row | None) -> sqlite3.Row:
    if row is None:
        raise business(404, 20007, "Resource not exist")
    find(call, row["leadId"])
    return row


def _body(call: Call) -> tuple[str, int | None, bool]:
    body = as_object(call.body)
    lead_id = as_number(body["leadId"]) if body.get("leadId") is not None else None
    return as_text(body.get("content"))[:CONTENT_LIMIT], lead_id, as_flag(body.get("isPin", False))
