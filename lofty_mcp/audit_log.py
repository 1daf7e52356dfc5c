"""The audit log as people read it: as a table, JSON lines or CSV, now and as it grows, and whether it is whole."""

import csv
import io
import json
import re
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lofty_mcp.ledger import AuditQuery
from lofty_mcp.ledger.journal import Line, Verdict
from lofty_mcp.ledger.reading import AuditReader

ROWS = 50
"""Rows of a table, unless more are asked for."""
LOOK_SECONDS = 0.5
_SHOWN_LEADS = 2
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_WIDTHS = (19, 8, 16, 18, 6, 22, 22, 6, 0)
_HEADER = ("when", "who", "eyes", "tool", "effect", "decision", "outcome", "ms", "leads")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell must not begin with, since a spreadsheet would work it out."""


@dataclass(frozen=True)
class Format:
    """A way to write lines."""

    head: str | None
    row: Callable[[Line], str]


def add_arguments(parser: ArgumentParser) -> None:
    """What `lofty-mcp audit` understands."""
    for name in ("principal", "tool", "effect", "decision", "outcome"):
        parser.add_argument(f"--{name}", help=f"only lines with this {name}")
    parser.add_argument("--lead", metavar="ID", help="only lines about this lead, whether the log keeps hashes or ids")
    for name in ("since", "until"):
        parser.add_argument(
            f"--{name}", type=_moment, metavar="WHEN", help="2026-11-25, 2026-11-25T17:00, 90m, 12h, 7d"
        )
    parser.add_argument("--limit", type=_count, metavar="N", help=f"the newest N lines (of a table {ROWS}, else all)")
    parser.add_argument("--format", choices=FORMATS, default="table", help="(%(default)s)")
    parser.add_argument("--follow", action="store_true", help="go on with the lines that are added, until Ctrl-C")
    parts = parser.add_subparsers(dest="part", metavar="verify", parser_class=type(parser))
    verify = "check that no line was changed, inserted or removed; name the first bad line and exit 1 if one was"
    checking = parts.add_parser("verify", help=verify, description=verify)
    checking.add_argument("--head", type=_head, help="a head noted earlier, so that lines cut off since are missed")


def _a_moment() -> None:
    time.sleep(LOOK_SECONDS)


def asked_for(log: AuditReader, parsed: Namespace, wait: Callable[[], None] = _a_moment) -> Iterator[str]:
    """The newest lines as `parsed` wants them, oldest first; with `follow` on and on, `wait` between two looks."""
    given = {name: getattr(parsed, name) for name in AuditQuery.__dataclass_fields__}
    query = AuditQuery(**{name: value for name, value in given.items() if value is not None})
    form = FORMATS[parsed.format]
    found = log.lines(query, parsed.limit or (ROWS if parsed.format == "table" else -1))
    if form.head is not None:
        yield form.head
    yield from map(form.row, found)
    last = 0
    while parsed.follow:
        last = found[-1].number if found else last
        wait()
        found = log.lines(query, after=last)
        yield from map(form.row, found)


def _moment(text: str) -> float:
    try:
        return moment(text, datetime.now().astimezone())
    except (ValueError, OverflowError):
        raise ArgumentTypeError("a moment is such as 2026-11-25, 2026-11-25T17:00, 90m, 12h or 7d") from None


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 10**9:
        raise ArgumentTypeError("must be a number from 1")
    return int(text)


def _head(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise ArgumentTypeError("a head is the 64 hex digits that `lofty-mcp audit verify` prints")
    return text


def moment(text: str, now: datetime) -> float:
    """Epoch seconds of "2026-11-25", "2026-11-25T17:00" (in the zone of `now`), or "90m", "12h", "7d" ago.

    Raises:
        ValueError: it is none of these.
    """
    if ago := re.fullmatch(r"(\d{1,6})([mhd])", text):
        return (now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})).timestamp()
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=now.tzinfo)).timestamp()


def report(verdict: Verdict, head: str | None) -> str:
    """What `verify` found, in sentences."""
    lines = f"{verdict.count} line{'' if verdict.count == 1 else 's'}"
    said = [f"The log is whole: {lines}."]
    if verdict.bad:
        said = [verdict.bad, f"Before that it is whole: {lines}."]
    elif head:
        said.append("The head given is in the chain.")
    if up_to := verdict.checkpoint.up_to:
        when = datetime.fromtimestamp(verdict.checkpoint.at).astimezone().date()
        said.append(f"Lines 1 to {up_to} were removed by age, last on {when}; a signed checkpoint stands for them.")
    if not verdict.bad:
        said.append(f"Head: {verdict.head or 'none yet'}")
    return "\n".join(said)


def _table_row(line: Line) -> str:
    entry = line.entry
    when = datetime.fromtimestamp(entry.at).astimezone().isoformat(" ", "seconds")[:19]
    decision = f"{entry.decision}: {entry.basis}" if entry.basis else entry.decision
    more = f" +{len(entry.leads) - _SHOWN_LEADS}" if len(entry.leads) > _SHOWN_LEADS else ""
    leads = " ".join(entry.leads[:_SHOWN_LEADS]) + more
    who = (when, entry.principal[:8], entry.viewer, entry.tool, entry.effect)
    return _cells((*who, decision, entry.outcome, f"{entry.duration_ms:.0f}", leads))


def _cells(cells: Sequence[str]) -> str:
    text = "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _record(line: Line) -> dict[str, Any]:
    when = datetime.fromtimestamp(line.entry.at, UTC).isoformat(timespec="milliseconds")
    return {"line": line.number, **asdict(line.entry), "at": when, "hash": line.hash}


def _json_row(line: Line) -> str:
    return json.dumps(_record(line), separators=(",", ":"))


def _csv_row(line: Line) -> str:
    cells = [" ".join(cell) if isinstance(cell, tuple) else cell for cell in _record(line).values()]
    return _csv([f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell for cell in cells])


def _csv(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().removesuffix("\r\n")


_COLUMNS = (
    *("line", "at", "principal", "viewer", "tool", "effect", "decision", "basis", "tickets", "outcome", "leads"),
    *("duration_ms", "hash"),
)
FORMATS = {
    "table": Format(_cells(_HEADER), _table_row),
    "jsonl": Format(None, _json_row),
    "csv": Format(_csv(_COLUMNS), _csv_row),
}
