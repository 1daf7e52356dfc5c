"""Prompts from `prompts/*.md`: front matter in TOML, then the one message that the person sends."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from mcp.server import MCPServer
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver.prompts import Prompt
from mcp.server.mcpserver.prompts.base import PromptArgument
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS

from lofty_mcp.app import App
from lofty_mcp.models.clean import line

LONGEST_ARGUMENT = 200
HERE = Path(__file__).parent


@dataclass(frozen=True)
class PromptFile:
    """One prompt: its front matter and its text with `$argument` places."""

    name: str
    title: str
    description: str
    arguments: tuple[PromptArgument, ...]
    defaults: dict[str, str]
    text: str

    def fill(self, given: Mapping[str, object]) -> str:
        """The message with the arguments in their places; they are text, whatever they say.

        Raises:
            MCPError: an argument is missing, unknown or too long.
        """
        valid = {argument.name for argument in self.arguments}
        values = {name: line(str(value or "")) for name, value in given.items()}
        missing = [argument.name for argument in self.arguments if argument.required and not values.get(argument.name)]
        if unknown := sorted(given.keys() - valid):
            raise _bad(f"{self.name} has no argument {unknown[0]!r}. Valid: {', '.join(sorted(valid)) or 'none'}.")
        if missing:
            raise _bad(f"{self.name} needs the argument {missing[0]!r}.")
        if long := [name for name, value in values.items() if len(value) > LONGEST_ARGUMENT]:
            raise _bad(f"{self.name}: {long[0]!r} is longer than {LONGEST_ARGUMENT} characters.")
        filled = {name: value for name, value in values.items() if value}
        return Template(self.text).substitute(dict.fromkeys(valid, "") | self.defaults | filled)


def folder() -> Path:
    """Where the prompt files are: in the wheel beside the code, in a checkout beside the package."""
    packed = HERE / "_prompts"
    return packed if packed.is_dir() else HERE.parent / "prompts"


def read(path: Path) -> PromptFile:
    """A prompt file."""
    found = re.fullmatch(r"\+\+\+\n(.*?)\n\+\+\+\n(.*)", path.read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        raise ValueError(f"{path.name} has no front matter between +++ lines")
    head: dict[str, Any] = tomllib.loads(found[1])
    arguments: dict[str, dict[str, Any]] = head.get("arguments", {})
    return PromptFile(
        path.stem,
        head["title"],
        head["description"],
        tuple(
            PromptArgument(name=name, description=a["description"], required=a.get("required", False))
            for name, a in arguments.items()
        ),
        {name: a["default"] for name, a in arguments.items() if "default" in a},
        found[2].strip(),
    )


def register(server: MCPServer[App]) -> None:
    """Add every prompt file to `server`."""
    for path in sorted(folder().glob("*.md")):
        server.add_prompt(_prompt(read(path)))


async def known(ctx: ServerRequestContext[App, Any], call_next: CallNext) -> HandlerResult:
    """Middleware: a prompt that is not there is answered in a sentence; the SDK would call it an internal error."""
    if ctx.method == "prompts/get":
        names = sorted(path.stem for path in folder().glob("*.md"))
        if (ctx.params or {}).get("name") not in names:
            raise _bad(f"There is no such prompt. Valid: {', '.join(names)}.")
    return await call_next(ctx)


def _prompt(file: PromptFile) -> Prompt:
    def render(**arguments: str) -> str:
        return file.fill(arguments)

    return _Checked(
        name=file.name,
        title=file.title,
        description=file.description,
        arguments=list(file.arguments),
        fn=render,
    )


class _Checked(Prompt):
    """A prompt that checks its own arguments."""

    async def render(self, arguments: dict[str, Any] | None, context: Any) -> Any:
        """The prompt's messages."""
        # All optional to the SDK, whose own check of what is missing does not tell the client what it is.
        optional = [argument.model_copy(update={"required": False}) for argument in self.arguments or []]
        unchecked = Prompt.model_copy(self, update={"arguments": optional})
        return await Prompt.render(unchecked, arguments, context)


def _bad(text: str) -> MCPError:
    return MCPError(code=INVALID_PARAMS, message=text)
