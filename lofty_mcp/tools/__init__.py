"""The tools: thin functions over the gated view, one module per noun, listed by hand."""

from lofty_mcp.guard.effects import Effect
from lofty_mcp.settings import Mode
from lofty_mcp.tools import leads, moves, team, timeline
from lofty_mcp.tools.spec import ToolSpec

ALL: tuple[ToolSpec, ...] = (*leads.TOOLS, *timeline.TOOLS, *moves.TOOLS, *team.TOOLS)


def listed(mode: Mode) -> tuple[ToolSpec, ...]:
    """The tools that a client sees: what is not allowed is not listed."""
    return tuple(spec for spec in ALL if mode is not Mode.READ or spec.effect is Effect.READ)
