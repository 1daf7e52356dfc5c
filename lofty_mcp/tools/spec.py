"""A tool as a value, and how one is served: closed input, clear refusals, compact and complete results."""

import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, ElicitResult, InputRequiredResult, TextContent
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lofty_mcp.app import call
from lofty_mcp.errors import CredentialRejected, LedgerUnavailable, LoftyError
from lofty_mcp.guard.effects import Effect
from lofty_mcp.ledger import LedgerError
from lofty_mcp.models.base import View, compact
from lofty_mcp.models.results import WriteResult
from lofty_mcp.tools.budget import fit_write

TOO_SLOW = "Lofty took too long to answer. Ask for less, or try again in a moment. Nothing was changed."
KEY_REFUSED = (
    "Lofty does not accept your key. Ask the operator of this server, who can see more with `lofty-mcp doctor`."
)
UNTRUSTED = {"lofty/untrusted": True}
"""Says of a result that text in it may be written by outsiders."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ToolSpec:
    """One tool: the function, what it may do at most, and how it is called in a menu."""

    fn: Callable[..., Awaitable[View]]
    effect: Effect
    title: str
    toolset: str = "core"
    lists: tuple[str, ...] = ()
    """Parameters that are lists and take a bare value as well."""

    @property
    def name(self) -> str:
        """The function's name."""
        return str(getattr(self.fn, "__name__"))  # noqa: B009 - Callable has no __name__

    def build(self) -> "ClosedTool":
        """The tool as the SDK serves it."""
        tool = ClosedTool.from_function(
            self.fn, title=self.title, description=inspect.getdoc(self.fn), annotations=self.effect.hints
        )
        assert isinstance(tool, ClosedTool)  # nosec B101 # noqa: S101 - from_function builds the class it is called on
        tool.parameters = slim(tool.parameters) | {"additionalProperties": False}
        tool.fn_metadata.output_schema = slim(tool.fn_metadata.output_schema or {})
        tool.reads = self.effect is Effect.READ
        tool.lists = self.lists
        return tool


class ClosedTool(Tool):
    """A tool that refuses unknown arguments by name and answers every failure in a sentence of ours."""

    reads: bool = True
    lists: tuple[str, ...] = ()

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        """Serve one round; the audit line's outcome is left on the call."""
        valid = list(self.parameters.get("properties", {}))
        if unknown := [name for name in arguments if name not in valid]:
            return self._failed(
                f"There is no argument {', '.join(map(repr, unknown[:5]))} in {self.name}. Valid: {', '.join(valid)}. "
                "Nothing was changed.",
                "invalid",
            )
        if not _is_text(arguments):
            return self._failed("The arguments hold text that is not valid Unicode. Nothing was changed.", "invalid")
        wrapped = {
            name: [value] if name in self.lists and isinstance(value, str | int) and not _is_json_list(value) else value
            for name, value in arguments.items()
        }
        _read_empty_answers_as_no(context)
        try:
            with anyio.fail_after(call().app.settings.call_seconds if self.reads else None):
                result = await super().run(wrapped, context)
        except ToolError as error:
            return self._explained(error)
        except TimeoutError:
            return self._failed(TOO_SLOW, "failed")
        if isinstance(result, InputRequiredResult):
            return result
        if isinstance(result, WriteResult):
            result = fit_write(result, call().app.settings.result_tokens)
        return answer(result)

    def _explained(self, error: ToolError) -> CallToolResult:
        cause = error.__cause__
        match cause:
            case MCPError():
                raise cause
            case CredentialRejected() if call().caller.principal is not None:
                return self._failed(KEY_REFUSED, "CredentialRejected")
            case LoftyError():
                return self._failed(str(cause), type(cause).__name__)
            case LedgerError():
                return self._failed(str(LedgerUnavailable()), "LedgerUnavailable")
            case ValidationError() if not isinstance(error, UnexpectedToolError):  # of the arguments
                return self._failed(_explain(cause), "invalid")
            case TimeoutError():
                return self._failed(TOO_SLOW, "failed")
        log.error("a tool crashed", extra={"tool": self.name}, exc_info=cause or error)
        told = (
            "Nothing was changed." if self.reads else "Look at the leads before doing it again: it may have been done."
        )
        return self._failed(f"The server itself failed on this call; its log says where. {told}", "crashed")

    def _failed(self, text: str, outcome: str) -> CallToolResult:
        call().outcome = outcome
        return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)


def answer(view: View) -> CallToolResult:
    """A result as structured content and as the same JSON in text."""
    payload = view.payload()
    text = TextContent(type="text", text=compact(payload))
    return CallToolResult(content=[text], structured_content=payload, _meta=dict(UNTRUSTED))


def slim(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON schema said shortly: without titles, null arms, empty defaults, references and lengths of strings.

    What it allowed it allows still. Lengths are checked all the same; results may gain fields in later versions.
    """
    slimmed: dict[str, Any] = _slim(schema, schema.get("$defs", {}))
    return slimmed


_UNSAID = ("title", "$defs", "minLength", "maxLength", "additionalProperties")


def _slim(node: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_slim(item, definitions) for item in node]
    if not isinstance(node, Mapping):
        return node
    kept = {key: value for key, value in node.items() if key not in _UNSAID}
    if "$ref" in kept:  # nothing of ours is recursive, and what is said once is shorter in its place
        referred = definitions[str(kept.pop("$ref")).removeprefix("#/$defs/")]
        return _slim({**{key: value for key, value in referred.items() if key != "description"}, **kept}, definitions)
    if "default" in kept and kept["default"] in (None, [], {}):
        del kept["default"]
    if "anyOf" in kept:
        arms = [arm for arm in kept.pop("anyOf") if arm != {"type": "null"}]
        if len(arms) == 1:
            return _slim({**arms[0], **kept}, definitions)
        kept["anyOf"] = arms
    return {
        key: {name: _slim(item, definitions) for name, item in value.items()}
        if key == "properties"
        else _slim(value, definitions)
        for key, value in kept.items()
    }


def _explain(error: ValidationError) -> str:
    sentences = [_sentence(detail) for detail in error.errors(include_input=False, include_url=False)[:3]]
    return f"{'; '.join(sentences)}. Nothing was changed."


def _sentence(detail: ErrorDetails) -> str:
    where = ".".join(str(part) for part in detail["loc"] if not str(part).startswith("function-")) or "arguments"
    match detail["type"]:
        case "too_short" | "string_too_short":
            text = "must not be empty"
        case "string_too_long":
            text = f"at most {detail['ctx']['max_length']} characters are taken"
        case "too_long":
            text = f"at most {detail['ctx']['max_length']} are taken"
        case _:
            text = detail["msg"].removeprefix("Value error, ")
    return f"{where}: {text[:1].lower()}{text[1:]}"


def _is_text(arguments: dict[str, Any]) -> bool:
    try:
        json.dumps(arguments, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


def _is_json_list(value: str | int) -> bool:
    return isinstance(value, str) and value.lstrip().startswith("[")


def _read_empty_answers_as_no(context: Context[Any, Any]) -> None:
    # The SDK raises on an accepted question without a filled form; whoever sends that has not ticked the box.
    answers = context.input_responses or {}
    for key, reply in list(answers.items()):
        if isinstance(reply, ElicitResult) and reply.action == "accept" and not _ticked(reply.content):
            answers[key] = reply.model_copy(update={"content": {"ok": False}})


def _ticked(content: Mapping[str, Any] | None) -> bool:
    return content is not None and content.get("ok") is True
