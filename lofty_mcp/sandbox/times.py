"""Lofty's time formats, one function each; which place uses which is in the tables of the noun modules."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo


def gmt(seconds: int | None) -> str | None:
    """Lead times: `2026-04-30T17:33:32GMT`, or None when there is none."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SGMT")


def plain(milliseconds: int) -> str:
    """Note times: `2026-04-30 17:33:32`, UTC."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def iso(milliseconds: int, zone: str | None = None) -> str:
    """v2 and system-log times: ISO 8601 with an offset, in UTC unless an IANA zone is given; an unknown zone is UTC."""
    return datetime.fromtimestamp(milliseconds // 1000, _zone(zone)).isoformat()


def moment(text: str, zone: str | None = None) -> datetime | None:
    """The moment an ISO 8601 text means, in the zone where it has no offset of its own; None when it means none."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    # At either end of the calendar a change of zone leaves it.
    if not 1970 <= read.year < 9999:
        return None
    return read if read.tzinfo else read.replace(tzinfo=_zone(zone))


def _zone(name: str | None) -> tzinfo:
    try:
        return ZoneInfo(name) if name else UTC
    except (KeyError, ValueError, OSError):
        return UTC
