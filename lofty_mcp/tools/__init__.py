"""The tools: thin functions over the gated view, one module per noun, listed by hand."""

from lofty_mcp.guard.effects import Effect
from lofty_mcp.settings import Mode, Settings
from lofty_mcp.tools import edit, leads, logs, messages, moves, notes, tags, tasks, team, timeline, trash
from lofty_mcp.tools.spec import ToolSpec

ALL: tuple[ToolSpec, ...] = (
    *leads.TOOLS,
    *timeline.TOOLS,
    *moves.TOOLS,
    *tags.TOOLS,
    *edit.TOOLS,
    *notes.TOOLS,
    *logs.TOOLS,
    *tasks.TOOLS,
    *team.TOOLS,
    *trash.TOOLS,
    *messages.TOOLS,
)


def listed(settings: Settings) -> tuple[ToolSpec, ...]:
    """The tools that the operator allows: what is not allowed is not listed."""
    return tuple(
        spec
        for spec in ALL
        if (settings.mode is not Mode.READ or spec.effect is Effect.READ)
        and (settings.sends != "off" or spec.effect is not Effect.SEND)
        and {spec.toolset, "all"} & set(settings.toolsets)
    )
