"""What outsiders write: injections from a file, put into every text of a lead and of all that hangs on it."""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from lofty_mcp.models import leads, timeline
from lofty_mcp.models.base import Upstream
from lofty_mcp.sandbox import World
from lofty_mcp.sandbox.records import ITEM_DATA, LEAD_DATA, lead_row
from lofty_mcp.sandbox.store import LEAD_COLUMNS

CHANNELS = ("Call", "Text", "Email")
"""What Lofty itself says of a communication, without which it is not shown by its id."""
LOFTYS_OWN = {"search", "data", "ownershipScope", "timeZoneCode", "finishTime"}
"""Texts that Lofty or the sandbox makes, and that decide what a record is."""
RECORDS: dict[str, type[Upstream]] = {
    "note": timeline.Note,
    "activity": timeline.SiteActivity,
    "communication": timeline.Communication,
    "task": timeline.Task,
    "log": timeline.SystemLog,
}


@dataclass(frozen=True)
class Injection:
    """One text meant to talk an assistant into something."""

    id: str
    kind: str
    text: str

    def about(self, lead: int, other: int, hidden: int, mark: str) -> str:
        """The text with ids and an address that mean something here."""
        return Template(self.text).safe_substitute(lead=lead, other=other, hidden=hidden, mark=mark)


def injections() -> list[Injection]:
    """All of them, in the order of the file."""
    path = Path(__file__).parents[1] / "injections.toml"
    return [Injection(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8"))["injection"]]


@dataclass
class Outsider:
    """Whoever writes on one lead, another text into each place."""

    world: World
    lead_id: int
    supply: Iterator[str]
    written: list[str] = field(default_factory=list)

    def write(self) -> str:
        """The next text."""
        self.written.append(next(self.supply))
        return self.written[-1]

    def plant(self, *, tags: bool = True) -> None:
        """Write into every text of the lead and of one item of each kind, or of each channel."""
        columns = dict(zip(LEAD_COLUMNS, lead_row({"leadId": 1}), strict=True))
        fields: dict[str, Any] = {name: self.write() for name, value in columns.items() if _is_open(name, value)}
        own = self.world.lead(self.lead_id)
        known = {field.alias or name: field.annotation for name, field in leads.LeadRecord.model_fields.items()}
        for name, default in ((n, value) for n, value in LEAD_DATA.items() if not _is_id(n)):
            filled = self.filled(known.get(name, str if isinstance(default, str) else None))
            if isinstance(default, dict):
                filled = {**default, **filled}
            if filled:
                fields[name] = [*own[name], *filled] if name in ("emails", "phones") else filled
        fields["phoneStatuses"] = [2 for _ in fields["phones"]]
        self.world.update_lead(self.lead_id, **fields, pondId=5501, tags=[self.write()] if tags else [])
        for kind, defaults in ITEM_DATA.items():
            for fixed in self._fixed(kind):
                texts = {name: self.write() for name, value in defaults.items() if _is_open(name, value)}
                self.world._add(kind, self.lead_id, texts | self.filled(RECORDS[kind]) | fixed)

    def _fixed(self, kind: str) -> list[dict[str, Any]]:
        if kind == "communication":
            return [{"communicationType": "Logged", "channel": channel} for channel in CHANNELS]
        return [{"fromId": self.lead_id, "fromType": 2, "toId": self.lead_id}] if kind == "log" else [{}]

    def filled(self, kind: Any) -> Any:
        """What `kind` is read from, with a text in every place that takes one; nothing where none does."""
        origin, inner = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return self.filled(inner[0])
        if origin in (Union, UnionType):
            return next((found for arm in inner if (found := self.filled(arm))), None)
        if origin is list:
            return [item] if (item := self.filled(inner[0])) else None
        if origin is dict:
            return {self.write(): self.write(), "note": self.write()}
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names = {f.alias or name: f.annotation for name, f in kind.model_fields.items()}
            parts = {name: self.filled(annotation) for name, annotation in names.items() if not _is_id(name)}
            return {name: part for name, part in parts.items() if part}
        return self.write() if kind is str else None


def _is_open(name: str, value: object) -> bool:
    return isinstance(value, str) and name not in LOFTYS_OWN


def _is_id(name: str) -> bool:
    return name == "id" or (name.endswith("Id") and name != "listingId")


def in_turn(texts: Sequence[str], start: int) -> Iterator[str]:
    """The texts over and over, from the one at `start`."""
    while True:
        yield texts[start % len(texts)]
        start += 1
