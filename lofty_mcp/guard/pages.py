"""Walking a list of leads that changes under one's feet: where a page ended, and what of the next one is new. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from lofty_mcp.models.base import moment
from lofty_mcp.models.leads import LeadRow

OVERLAP = 5
"""Rows of the page before that a next page is asked for again, to see that it joins on."""
REMEMBERED = 500


@dataclass(frozen=True)
class Position:
    """Where a walk stands: rows of Lofty's list passed, and enough of them to know them again.

    In created order (`mark`, the creation time of the last row passed) a row is passed for good whatever is added to,
    moved in or taken out of the list. In other orders only the last `REMEMBERED` rows are known again.
    """

    offset: int = 0
    mark: datetime | None = None
    seen: tuple[str, ...] = ()
    delivered: int = 0
    ordered: bool = True
    """False once Lofty's rows turned out not to be in the order asked for."""

    def payload(self) -> dict[str, Any]:
        """The position as JSON data, for a cursor."""
        return asdict(self) | {"mark": self.mark.isoformat() if self.mark else None}

    @classmethod
    def of(cls, payload: dict[str, Any]) -> "Position":
        """The position that a cursor kept."""
        return cls(**(payload | {"mark": moment(payload["mark"]), "seen": tuple(payload["seen"])}))

    @property
    def start(self) -> int:
        """The offset to ask Lofty for."""
        return max(0, self.offset - OVERLAP)


def in_order(rows: Sequence[LeadRow], *, newest_first: bool) -> bool:
    """Whether rows are ordered by creation time; without creation times nobody can tell."""
    times = [row.create_time for row in rows]
    if None in times:
        return False
    return all((a >= b) if newest_first else (a <= b) for a, b in pairwise(t for t in times if t))


def passed(row: LeadRow, position: Position, *, newest_first: bool | None) -> bool:
    """Whether `row` lies behind `position`; `newest_first` is None when the order is not by creation time."""
    if not row.lead_id or row.lead_id in position.seen:
        return True
    if newest_first is None or position.mark is None or row.create_time is None:
        return False
    return row.create_time > position.mark if newest_first else row.create_time < position.mark


def joins(rows: Sequence[LeadRow], start: int, position: Position, *, newest_first: bool | None) -> bool:
    """Whether a page fetched at `start` begins behind `position`, so that no row was skipped between them."""
    if start == 0 or newest_first is None:
        return True
    return bool(rows) and passed(rows[0], position, newest_first=newest_first)


def after(position: Position, row: LeadRow, offset: int, *, newest_first: bool | None) -> Position:
    """The position once `row`, at `offset` of Lofty's list, has been passed."""
    return Position(
        offset=offset + 1,
        mark=None if newest_first is None else row.create_time or position.mark,
        seen=(*position.seen, row.lead_id or "")[-REMEMBERED:],
        delivered=position.delivered,
        ordered=newest_first is not None,
    )
