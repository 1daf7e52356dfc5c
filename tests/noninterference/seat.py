"""A client at one world's server, and all that its caller and its operator are told of a call."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import quote

from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import (
    ElicitResult,
    InputRequiredResult,
    InputResponses,
    PromptReference,
    ResourceTemplateReference,
)
from pydantic import BaseModel

from lofty_mcp.logs import JsonFormatter
from lofty_mcp.settings import Settings
from tests.noninterference.calls import Door
from tests.noninterference.wire import Asked, Wire
from tests.support.world import Bench

MOST_ROUNDS = 4
WIDE_OPEN: dict[str, Any] = {"toolsets": ("all",), "sends": "on"}
"""Settings under which every tool there is gets listed, where the server knows them."""


class Seat:
    """One client, and what it has been told since the last call began."""

    def __init__(self, bench: Bench, client: Client, answer: ElicitResult | None) -> None:
        self.bench, self.client = bench, client
        self.told: list[str] = []
        self._answer = answer
        assert isinstance(bench.network, Wire)
        self._wire = bench.network

    async def play(self, door: Door, arguments: Mapping[str, Any]) -> tuple[list[str], list[Asked]]:
        """All that is told of one call, the time it took on the not-found answers' clock, and what Lofty was asked."""
        self.told.clear()
        self._wire.asked.clear()
        began = self.bench.tick
        with _overheard(self.told):
            try:
                await self._call(door, arguments)
            except MCPError as refusal:
                self.told.append(f"refused {refusal.code} {refusal.message} {refusal.data}")
        self.told.append(f"after {self.bench.tick - began:.6f} s")
        return list(self.told), list(self._wire.asked)

    async def _call(self, door: Door, arguments: Mapping[str, Any]) -> None:
        session = self.client.session
        match door.method:
            case "tools/call":
                await self._tool(door.name, dict(arguments))
            case "resources/read":
                uri = door.name
                for name, value in arguments.items():
                    uri = uri.replace(f"{{{name}}}", quote(str(value), safe=""))
                self.hear(await session.read_resource(uri))
            case "prompts/get":
                self.hear(await session.get_prompt(door.name, {name: str(v) for name, v in arguments.items()}))
            case "completion/complete":
                self.hear(await session.complete(_reference(door.name), {"name": door.argument, **arguments}))
            case "tools/list":
                self.hear(await session.list_tools())
            case "resources/list":
                self.hear(await session.list_resources())
            case "resources/templates/list":
                self.hear(await session.list_resource_templates())
            case "prompts/list":
                self.hear(await session.list_prompts())
            case unknown:
                raise AssertionError(f"nobody here knows how to call {unknown}")

    async def _tool(self, name: str, arguments: dict[str, Any]) -> None:
        """Call a tool; of the 2026 era's rounds each is told, with its sealed state."""
        responses: InputResponses | None = None
        state: str | None = None
        for _ in range(MOST_ROUNDS):
            result = await self.client.session.call_tool(
                name,
                arguments,
                progress_callback=self._progress,
                input_responses=responses,
                request_state=state,
                allow_input_required=True,
            )
            self.hear(result)
            if not isinstance(result, InputRequiredResult):
                return
            assert self._answer is not None, "a client that cannot be asked was asked"
            responses = dict[str, Any].fromkeys(result.input_requests or (), self._answer)
            state = result.request_state

    def hear(self, message: BaseModel) -> None:
        """Note a message as it came over the wire."""
        self.told.append(message.model_dump_json(by_alias=True, exclude_none=True))

    async def _progress(self, progress: float, total: float | None, message: str | None) -> None:
        self.told.append(f"progress {progress} of {total}: {message}")


@asynccontextmanager
async def seated(bench: Bench, viewer: str, era: str, answer: ElicitResult | None) -> AsyncIterator[Seat]:
    """A client of a server that acts as `viewer`; it answers every question with `answer`, or cannot be asked."""
    seats: list[Seat] = []

    async def asked(context: Any, params: Any) -> ElicitResult:
        seats[0].hear(params)
        assert answer is not None
        return answer

    async def noticed(message: Any) -> None:
        seats[0].told.append(repr(message))

    async def logged(params: Any) -> None:
        seats[0].told.append(repr(params))

    settings = {name: value for name, value in WIDE_OPEN.items() if name in Settings.model_fields}
    client = Client(
        bench.server(viewer, **settings),
        mode=era,
        elicitation_callback=asked if answer else None,
        message_handler=noticed,
        logging_callback=logged,
    )
    async with client:
        seats.append(Seat(bench, client, answer))
        yield seats[0]


class _Ear(logging.Handler):
    """Hears what would go to stderr."""

    def __init__(self, told: list[str]) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        """Note the record as the server's log shows it."""
        self._told.append(self.format(record))


@contextmanager
def _overheard(told: list[str]) -> Any:
    root, ours, ear = logging.getLogger(), logging.getLogger("lofty_mcp"), _Ear(told)
    levels = root.level, ours.level
    root.addHandler(ear)
    root.setLevel(logging.WARNING)
    ours.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(ear)
        root.setLevel(levels[0])
        ours.setLevel(levels[1])


def _reference(name: str) -> PromptReference | ResourceTemplateReference:
    if "://" in name:
        return ResourceTemplateReference(type="ref/resource", uri=name)
    return PromptReference(type="ref/prompt", name=name)
