"""Completions for what people are asked to type: stages, tags, members, sources. Never leads."""

from collections import Counter
from collections.abc import Awaitable, Callable

import anyio
from mcp.server import MCPServer
from mcp.types import Completion, CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference

from lofty_mcp.app import App, call
from lofty_mcp.errors import LoftyError
from lofty_mcp.models.clean import line
from lofty_mcp.tools.team import stage_names, tag_names

MOST_VALUES = 100


async def _people() -> list[str]:
    people = await call().account.vocabulary.members()
    names = Counter(member.name for member in people)
    return [member.name if names[member.name] == 1 else member.email or member.name for member in people]


async def _sources() -> list[str]:
    return list(call().account.seen.sources)


SOURCES: dict[str, Callable[[], Awaitable[list[str]]]] = {
    "stage": stage_names,
    "tag": tag_names,
    "member": _people,
    "agent": _people,
    "assignee": _people,
    "source": _sources,
}
"""Where the values of an argument come from, by its name."""


async def complete(
    ref: PromptReference | ResourceTemplateReference, argument: CompletionArgument, context: CompletionContext | None
) -> Completion | None:
    """The values that begin with what was typed, ignoring case; none while Lofty does not answer."""
    source = SOURCES.get(argument.name)
    if source is None:
        return None
    try:
        with anyio.fail_after(call().app.settings.call_seconds):
            known = sorted({line(value) for value in await source()}, key=str.casefold)
    except (LoftyError, TimeoutError):
        return Completion(values=[], total=0, has_more=False)
    typed = argument.value.casefold()
    values = [value for value in known if value.casefold().startswith(typed)]
    return Completion(values=values[:MOST_VALUES], total=len(values), has_more=len(values) > MOST_VALUES)


def register(server: MCPServer[App]) -> None:
    """Add the completion handler to `server`."""
    server.completion()(complete)  # type: ignore[no-untyped-call]  # the SDK leaves it unannotated
