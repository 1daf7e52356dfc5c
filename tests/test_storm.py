"""The storm finds what is planted: ten thousand writes prove nothing if nothing could be wrong with them.

`./scripts/storm` is the storm itself.
"""

import asyncio
from pathlib import Path

import pytest

from tests.support.storm import READS, WRITES, Storm, storm

MAIN = "\nfrom lofty_mcp.cli import main\nmain()\n"
HOLES = ("black hole before", "black hole after", "late")
"""Left out here, since each takes as long as a write may."""
PLANTED = {
    "a write that failed is sent again": (
        """
from lofty_mcp.client import client
careful = client.pause_before_retry
client.pause_before_retry = lambda error, **given: careful(error, **{**given, "repeatable": True})
""",
        "sent again after",
        0.0,
    ),
    "a claim is no claim": (
        """
from lofty_mcp.ledger.sqlite import SqliteLedger
async def claim(*_, **__): return None
async def mark_sent(*_): return True
async def settle(self, ticket_id, outcome, *, before=None, after=None, note=None):
    from lofty_mcp.ledger import Ticket
    return Ticket(ticket_id, "settled", outcome, before, after, note, 0, "")
SqliteLedger.claim, SqliteLedger.mark_sent, SqliteLedger.settle = claim, mark_sent, settle
""",
        "sent again after",
        0.0,
    ),
    "a repetition is taken for another creation": (
        """
from lofty_mcp.guard import plans
async def repeated(*_): return None
plans._repeated = repeated
""",
        "sent again after",
        0.0,
    ),
    "what is unknown is told as not applied": (
        """
from lofty_mcp.guard.tickets import Executor
truly = Executor._settled
async def settled(self, act, step, outcome, *rest):
    return await truly(self, act, step, "not_applied" if outcome == "unknown" else outcome, *rest)
Executor._settled = settled
""",
        "told not_applied, and it was done",
        0.1,
    ),
    "what was sent is told as applied": (
        """
from lofty_mcp.guard.tickets import Executor
truly = Executor._settled
async def settled(self, act, step, outcome, *rest):
    return await truly(self, act, step, "applied" if outcome == "unknown" else outcome, *rest)
Executor._settled = settled
""",
        "told applied, and it was not done",
        0.0,
    ),
    "nobody looks at what became of it": (
        """
from lofty_mcp.guard.tickets import Executor
async def look(*_, **__): return None, False
Executor._look = look
""",
        "there was no look at what became of it",
        0.0,
    ),
    "what the look shows is not heeded": (
        """
from lofty_mcp.guard.plans import Act
Act.reached = lambda *_: False
""",
        "told unknown, and the read-back showed it",
        0.0,
    ),
}


def _rage(found: Storm, writes: int) -> list[str]:
    asyncio.run(found.rage(writes))
    return found.judged().wrong


@pytest.mark.slow
@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_planted_is_found(tmp_path: Path, planted: str) -> None:
    program, words, squalls = PLANTED[planted]
    writes, reads = ({k: v for k, v in kinds.items() if k not in HOLES} for kinds in (WRITES, READS))
    with storm(tmp_path, writes=writes, reads=reads, squalls=squalls, program=("-c", program + MAIN)) as raging:
        wrong = _rage(raging, 150)
    assert any(words in line for line in wrong), wrong
