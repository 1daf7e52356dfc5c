"""The writes of a soak: each an intent on leads that nobody else works on meanwhile."""

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from lofty_mcp.sandbox.people import STAGES
from lofty_mcp.sandbox.texts import DNC_TAG, TAGS
from soak.judge import Intent
from soak.lofty import Lofty

LISTED = [name for _, name, listed in STAGES if listed and name != DNC_TAG]
DUE = "2026-12-31T10:00:00"
NUMBERS = itertools.count(1)
CREATES: dict[str, Callable[[str], dict[str, Any]]] = {
    "add_note": lambda text: {"text": text},
    "log_communication": lambda text: {"kind": "text", "text": text},
    "create_task": lambda text: {"text": text, "due": DUE},
    "send_text": lambda text: {"text": text},
    "send_email": lambda text: {"subject": text, "text": "Hello."},
}
"""What makes a record that bears a text, by tool: its arguments beside the lead."""


@dataclass
class Writes:
    """Makes intents for the tools that are listed."""

    lofty: Lofty
    chance: random.Random

    def known(self) -> dict[str, Callable[[list[str]], Intent]]:
        """How each tool that writes is used here."""
        return {
            "update_stage": self._stage,
            "add_tag": self._tag,
            "remove_tag": self._untag,
            "update_lead": self._rename,
            "delete_lead": self._delete,
            "update_note": self._rewrite,
            "complete_task": self._complete,
            **{tool: partial(self._create, tool) for tool in CREATES},
        }

    def _stage(self, leads: list[str]) -> Intent:
        taken = {self.lofty.lead(lead_id)["stage"] for lead_id in leads}
        stage = self.chance.choice([name for name in LISTED if name not in taken])
        arguments = {"lead_ids": leads, "stage": stage}
        return Intent("update_stage", arguments, leads, lambda i: self.lofty.lead(i)["stage"] == stage)

    def _tag(self, leads: list[str]) -> Intent:
        tag = self.chance.choice(TAGS)
        for lead_id in leads:
            self.lofty.world.update_lead(int(lead_id), tags=[t for t in self.lofty.tags(lead_id) if t != tag][-3:])
        return Intent("add_tag", {"lead_ids": leads, "tags": [tag]}, leads, lambda i: tag in self.lofty.tags(i))

    def _untag(self, leads: list[str]) -> Intent:
        tag = self.chance.choice(TAGS)
        for lead_id in leads:
            self.lofty.world.update_lead(int(lead_id), tags=[*self.lofty.tags(lead_id)[-3:], tag])
        return Intent("remove_tag", {"lead_ids": leads, "tags": [tag]}, leads, lambda i: tag not in self.lofty.tags(i))

    def _rename(self, leads: list[str]) -> Intent:
        name = f"Soak{next(NUMBERS)}"
        arguments = {"lead_id": leads[0], "first_name": name}
        return Intent("update_lead", arguments, leads[:1], lambda i: self.lofty.lead(i)["firstName"] == name)

    def _delete(self, leads: list[str]) -> Intent:
        return Intent(
            "delete_lead",
            {"lead_id": leads[0], "reason": "It was soaked."},
            leads[:1],
            lambda i: bool(self.lofty.lead(i)["trashed"]),
            clean=lambda: self.lofty.world.update_lead(int(leads[0]), trashed=0),
        )

    def _rewrite(self, leads: list[str]) -> Intent:
        old, text = (f"Soaked {words} {next(NUMBERS)} times." for words in ("but", "no less than"))
        note = str(self.lofty.world.add_note(int(leads[0]), content=old))
        return Intent(
            "update_note",
            {"lead_id": leads[0], "note_id": note, "text": text},
            leads[:1],
            lambda i: bool(self.lofty.made(i, text)),
            clean=lambda: self.lofty.world.store.remove_item("note", int(note)),
            on=note,
        )

    def _complete(self, leads: list[str]) -> Intent:
        task = str(
            self.lofty.world.add_task(int(leads[0]), type="Call", content=f"Soak for the {next(NUMBERS)}. time.")
        )
        return Intent(
            "complete_task",
            {"lead_id": leads[0], "task_id": task},
            leads[:1],
            lambda _: self.lofty.finished(task),
            clean=lambda: self.lofty.world.store.remove_item("task", int(task)),
            on=task,
        )

    def _create(self, tool: str, leads: list[str]) -> Intent:
        lead_id = leads[0]
        text = f"Soaked through for the {next(NUMBERS)}. time."
        return Intent(
            tool,
            {"lead_id": lead_id, **CREATES[tool](text)},
            [lead_id],
            lambda i: bool(self.lofty.made(i, text)),
            lambda i: len(self.lofty.made(i, text)),
            lambda: self._remove(lead_id, text),
        )

    def _remove(self, lead_id: str, text: str) -> None:
        for kind, item_id in self.lofty.made(lead_id, text):
            self.lofty.world.store.remove_item(kind, item_id)
