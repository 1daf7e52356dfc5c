"""Log lines: JSON on stderr, made of fixed words only.

A record of ours shows its message (a literal, which scripts/scan watches) and the fields of `ALLOWED`; a record of
any library shows where it came from, never its text, since libraries log addresses, arguments and exception texts.
"""

import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import PurePath
from types import TracebackType

OURS = "lofty_mcp"
ALLOWED = ("tool", "outcome", "status", "code", "attempt", "seconds", "era", "count", "setting", "instead", "signal")
"""Fields that may be given as `extra`: words, counts and durations of our own making."""


class JsonFormatter(logging.Formatter):
    """One line of JSON without personal data, whatever the record holds."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's time, level, logger, and what of it is ours to show."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        shown: dict[str, object] = {"time": when, "level": record.levelname.lower(), "logger": record.name}
        if record.name.split(".")[0] == OURS:
            shown["event"] = record.msg
            shown |= {name: getattr(record, name) for name in ALLOWED if hasattr(record, name)}
        else:
            shown["at"] = f"{record.module}:{record.lineno}"
        if record.exc_info and record.exc_info[0] is not None:
            shown["error"] = list(_causes(record.exc_info[1]))
            shown["frames"] = list(_frames(record.exc_info[2]))
        return json.dumps(shown)


def configure(level: str = "warning") -> None:
    """Send every log record to stderr as JSON; called before the SDK sets up its own handler."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("httpx2", "httpcore2", "mcp", "uvicorn"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))
    logging.getLogger("mcp.server.transport_security").setLevel(logging.ERROR)  # anybody could fill the log with it


def _causes(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield f"{type(error).__module__}.{type(error).__qualname__}"
        error = error.__cause__ or error.__context__


def _frames(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        code = trace.tb_frame.f_code
        yield f"{PurePath(code.co_filename).name}:{trace.tb_lineno}:{code.co_name}"
        trace = trace.tb_next
