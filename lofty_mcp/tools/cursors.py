"""Cursors: 16 random characters that name a row of the ledger, good for one principal, tool and set of filters."""

from typing import Any

from lofty_mcp.app import call
from lofty_mcp.errors import InvalidInput
from lofty_mcp.guard.plans import digest
from lofty_mcp.ledger import LedgerError

CURSOR_SECONDS = 24 * 3600.0


async def keep(tool: str, filters: Any, place: dict[str, Any]) -> str | None:
    """A cursor for `place` in a walk with these filters; None while the ledger cannot keep one."""
    current = call()
    try:
        payload = {"filters": digest(filters), "place": place}
        handle = await current.app.ledger.issue(current.account.principal, f"cursor:{tool}", payload, CURSOR_SECONDS)
    except LedgerError:
        return None
    return handle.code


async def place_of(tool: str, filters: Any, cursor: str | None) -> dict[str, Any] | None:
    """The place that `cursor` names, None without a cursor.

    Raises:
        InvalidInput: it is not a cursor of this caller, has expired, or belongs to other filters.
    """
    if cursor is None:
        return None
    current = call()
    kept = await current.app.ledger.redeem(current.account.principal, f"cursor:{tool}", cursor)
    if kept is None or kept["filters"] != digest(filters):
        raise InvalidInput(
            "This cursor does not go on here: it expired, or the other arguments differ from those it was given for. "
            "Start again without cursor. Nothing was changed."
        )
    place: dict[str, Any] = kept["place"]
    return place
