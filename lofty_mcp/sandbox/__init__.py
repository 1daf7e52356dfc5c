"""An imitation of the Lofty API, as Lofty behaves and not as its guides say: stateful, seeded, faulty on demand.

    app = build_app(leads=200, seed=42, strict=True)
    world = app.state.world
    world.key_of("ana.reyes@summitpeak.example")

It imports nothing of this project outside `lofty_mcp.sandbox`, so that a wrong belief cannot serve both sides.

**Who sees what.** TEAM leads: everybody. OFFICE leads: the office's members and the owner of the account. PERSONAL
leads: their owner, whoever is assigned in any role, the owner of the account. Trash: nobody, unless `withTrash=true`.
Nothing is known of how Lofty's REST treats hidden leads, so the sandbox leaks on purpose: a hidden lead is returned to
all who would see it otherwise *and* to its agent's whole office, in lists, by id, in children, in counters and in the
mixed array of tags. Whoever relies on the sandbox to hide a lead finds it shown.

**Where Lofty is unknown, the harsher guess**: arrays of a PUT replace; a sort without `desc` ascends; unset lead times
are null; `email` and `phone` match parts unless `preciseSearchFlag` is true; pages stop at the end unless
`repeat_last_page` is set.
"""

from lofty_mcp.sandbox.app import UnknownPath, build_app
from lofty_mcp.sandbox.faults import Faults, Rule, SandboxReset
from lofty_mcp.sandbox.people import Member
from lofty_mcp.sandbox.serve import serve
from lofty_mcp.sandbox.tokens import CLIENT_ID, CLIENT_SECRET
from lofty_mcp.sandbox.world import LogEntry, World

__all__ = [
    "CLIENT_ID",
    "CLIENT_SECRET",
    "Faults",
    "LogEntry",
    "Member",
    "Rule",
    "SandboxReset",
    "UnknownPath",
    "World",
    "build_app",
    "serve",
]
