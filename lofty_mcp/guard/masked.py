"""Masked mode: what leaves for the client passes here, with leads' personal data made unreadable."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, TextContent

from lofty_mcp.app import App, call
from lofty_mcp.errors import LoftyError
from lofty_mcp.models.base import compact
from lofty_mcp.models.masking import MASK, Masking

WOULD_WRITE = (
    f"The arguments hold masked text ({MASK}), which is not what Lofty has and would be taken as it stands. "
    "Give the real value, or leave it out. Nothing was changed."
)


async def masked(ctx: ServerRequestContext[App, Any], call_next: CallNext) -> HandlerResult:
    """Middleware: mask every answer, and refuse arguments that hold what was masked.

    Prompts and completions pass as they are: they hold the caller's and the team's words, and never a lead's.
    """
    if ctx.method not in ("tools/call", "resources/read") or ctx.request_id is None:
        return await call_next(ctx)
    call().said = "\n".join(_texts((ctx.params or {}).get("arguments")))
    if MASK in call().said:
        call().outcome = "invalid"
        return CallToolResult(content=[TextContent(type="text", text=WOULD_WRITE)], is_error=True)
    try:
        answer = await call_next(ctx)
    except MCPError as error:
        raise MCPError(error.error.code, call().readable(error.error.message), error.error.data) from None
    if not isinstance(answer, dict):
        return answer
    if not answer.get("isError"):
        with suppress(LoftyError):
            await call().account.vocabulary.members()  # who is no lead, and keeps name and address
    return _masked(answer, call().masking())


def _masked(answer: dict[str, Any], masking: Masking) -> dict[str, Any]:
    """A tool's result, a question or a resource, with all that a person or a model reads of it masked."""
    match answer:
        case {"structuredContent": result, "content": [text, *_]}:
            shown = masking.payload(result)
            if "preview" in result:
                shown["preview"] = call().asked(result["preview"])
            return answer | {"structuredContent": shown, "content": [text | {"text": compact(shown)}]}
        case {"content": texts}:
            return answer | {"content": [text | {"text": masking.text(text["text"])} for text in texts]}
        case {"contents": texts}:
            shown = [text | {"text": compact(masking.payload(json.loads(text["text"])))} for text in texts]
            return answer | {"contents": shown}
        case {"inputRequests": questions}:
            return answer | {"inputRequests": {key: _asked(question) for key, question in questions.items()}}
    return answer


def _asked(question: dict[str, Any]) -> dict[str, Any]:
    params = question["params"]
    return question | {"params": params | {"message": call().asked(params["message"])}}


def _texts(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
        case str():
            yield value
