"""Notes on a lead."""

import html
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from mcp.server.mcpserver import Resolve

from lofty_mcp.app import Ctx, call
from lofty_mcp.client.requests import NOTE_LIMIT, Hook
from lofty_mcp.errors import InvalidInput
from lofty_mcp.guard.confirm import Answer, asker, carry_out, in_time, plan_act
from lofty_mcp.guard.effects import Effect
from lofty_mcp.guard.gate import VisibleCrm
from lofty_mcp.guard.plans import Act, Plan, Values
from lofty_mcp.models.clean import clean
from lofty_mcp.models.leads import LeadRecord
from lofty_mcp.models.results import WriteResult
from lofty_mcp.models.timeline import Note
from lofty_mcp.tools.params import AllowDuplicate, Body, ChildId, Confirmation, LeadId, undoing
from lofty_mcp.tools.spec import ToolSpec
from lofty_mcp.tools.texts import is_plain, plain_text


@dataclass(frozen=True)
class LeadNotes:
    """A lead with its notes."""

    lead: LeadRecord
    notes: list[Note]

    def like(self, content: str) -> dict[str, bool]:
        """The notes with this text, by id, and whether each is pinned."""
        alike = [note for note in self.notes if note.content == clean(content)]
        return {note.note_id: bool(note.is_pin) for note in alike if note.note_id}


@dataclass(frozen=True)
class OneNote:
    """A lead and a note on it."""

    lead: LeadRecord
    note: Note
    formatted: bool
    """Whether it holds more than its plain text."""


async def with_notes(crm: VisibleCrm, lead: LeadRecord) -> LeadNotes:
    """The lead with its notes, as Lofty shows them."""
    notes = [Note.model_validate(row) for row in await crm.notes(lead)]
    return LeadNotes(lead, [note for note in notes if not note.delete_flag])


def with_note(note_id: str) -> Callable[[VisibleCrm, LeadRecord], Awaitable[OneNote]]:
    """A reader of the lead with this one note."""

    async def read(crm: VisibleCrm, lead: LeadRecord) -> OneNote:
        for row in await crm.notes(lead):
            note = Note.model_validate(row)
            if note.note_id == note_id and not note.delete_flag:
                return OneNote(lead, note, formatted=not is_plain(html.unescape(str(row.get("content") or ""))))
        raise InvalidInput(
            f"This lead has no note {note_id}; get_timeline with kinds=note lists them. Nothing was changed."
        )

    return read


@in_time
async def plan_note(lead_id: str, text: str, pin: bool, allow_duplicate: bool, confirmation: str | None) -> Plan:
    """A new note, planned on those that are there."""
    content = plain_text(text, "text", NOTE_LIMIT, call().app.settings.mark)

    async def write(crm: VisibleCrm, record: LeadNotes, before: Hook) -> Any:
        return await crm.add_note(record.lead, content, before, pin=pin)

    act = Act[LeadNotes](
        tool="add_note",
        effect=Effect.ADD,
        arguments={"text": content},  # by which it is known; the rest is in the basis
        title="Add a note?",
        read=with_notes,
        before=lambda _: {},
        after=lambda _: {"text": clean(content), "pinned": pin},
        done=lambda _: False,
        write=write,
        trace=lambda record: list(record.like(content)),
        shows=lambda trace, now: bool(now.like(content).keys() - set(trace)),
        told=lambda trace, now: _newest(now.like(content), trace) | {"text": clean(content)},
        once=True,
        again=allow_duplicate,
    )
    return await plan_act(act, [lead_id], confirmation)


NotePlan = Annotated[Plan, Resolve(plan_note)]
NoteAnswer = Annotated[Answer, Resolve(asker(plan_note))]


async def add_note(
    ctx: Ctx,
    plan: NotePlan,
    answer: NoteAnswer,
    lead_id: LeadId,
    text: Body,
    pin: bool = False,
    allow_duplicate: AllowDuplicate = False,
    confirmation: Confirmation = None,
) -> WriteResult:
    """Add a note to a lead, for the team to read.

    The same note again within two minutes is taken for a repetition.
    """
    return await carry_out(ctx, plan, answer)


@in_time
async def plan_note_change(lead_id: str, note_id: str, text: str, confirmation: str | None) -> Plan:
    """A note's new text, planned on the note as it is now."""
    content = plain_text(text, "text", NOTE_LIMIT)

    async def write(crm: VisibleCrm, record: OneNote, before: Hook) -> Any:
        return await crm.put_note(record.lead, note_id, content, before, pin=bool(record.note.is_pin))

    act = Act[OneNote](
        tool="update_note",
        effect=Effect.CHANGE,
        arguments={"note_id": note_id, "text": content},
        title=f"Change note {note_id}?",
        read=with_note(note_id),
        before=_shown,
        after=lambda _: {"text": clean(content)},
        done=lambda record: record.note.content == clean(content),
        write=write,
        undo=lambda lead_id, before, _: (
            undoing("update_note", lead_id=lead_id, note_id=note_id, text=before["text"])
            if before.get("text") and not before.get("formatted")
            else None
        ),
    )
    return await plan_act(act, [lead_id], confirmation)


NoteChangePlan = Annotated[Plan, Resolve(plan_note_change)]
NoteChangeAnswer = Annotated[Answer, Resolve(asker(plan_note_change))]


async def update_note(
    ctx: Ctx,
    plan: NoteChangePlan,
    answer: NoteChangeAnswer,
    lead_id: LeadId,
    note_id: ChildId,
    text: Body,
    confirmation: Confirmation = None,
) -> WriteResult:
    """Replace the text of a note; it stays pinned if it was. The person is asked first.

    note_id is in get_timeline.
    """
    return await carry_out(ctx, plan, answer)


def _newest(notes: dict[str, bool], known: list[str]) -> Values:
    note_id = max(notes.keys() - set(known), key=int)
    return {"note_id": note_id, "pinned": notes[note_id]}


def _shown(record: OneNote) -> Values:
    shown = {"text": record.note.content, "pinned": bool(record.note.is_pin)}
    return shown | ({"formatted": True} if record.formatted else {})


TOOLS = (
    ToolSpec(add_note, Effect.ADD, "Add note"),
    ToolSpec(update_note, Effect.CHANGE, "Update note", toolset="edits"),
)
