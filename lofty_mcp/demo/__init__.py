"""A short true story in the terminal: a sandbox, servers and clients as real processes, each step verified."""

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import httpx2
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp import Client, StdioServerParameters
from mcp.client.context import ClientRequestContext
from mcp.types import CallToolResult, ElicitRequestParams, ElicitResult, TextContent

from lofty_mcp import hosts

STORY_SECONDS = 90.0
START_SECONDS = 30.0
AGENT = "ana.reyes@summitpeak.example"

Result = dict[str, Any]


class StepFailed(Exception):
    """A step did not do what the story says; the message is a sentence."""


def demand(held: bool, sentence: str) -> None:
    """Go on only if it `held`."""
    if not held:
        raise StepFailed(sentence)


@dataclass
class Person:
    """Whoever sits before the client: what they were asked, and what they answer, a no if nothing was agreed."""

    questions: list[str] = field(default_factory=list)
    answers: list[bool] = field(default_factory=list)

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        """Answer a question of the server's."""
        self.questions.append(params.message)
        if self.answers and self.answers.pop(0):
            return ElicitResult(action="accept", content={"ok": True})
        return ElicitResult(action="decline")


@dataclass
class Scene:
    """Where the story plays."""

    url: str
    members: dict[str, dict[str, str]]
    hidden: list[dict[str, str]]
    state_dir: Path
    environment: Mapping[str, str]
    """Of the server processes, without any setting of ours."""
    ana: Client = field(init=False)
    person: Person = field(default_factory=Person)
    lead_id: str = ""
    name: str = ""

    @asynccontextmanager
    async def server(self, email: str, person: Person | None = None) -> AsyncIterator[Client]:
        """A server process with this member's key, and a client of it; without a `person` it cannot be asked."""
        env = {
            **self.environment,
            "LOFTY_BASE_URL": self.url,
            "LOFTY_API_KEY": self.members[email]["key"],
            "LOFTY_MCP_STATE_DIR": str(self.state_dir),
            "LOFTY_MCP_REQUESTS_PER_MINUTE": "6000",
        }
        process = StdioServerParameters(command=sys.executable, args=["-m", "lofty_mcp", "serve"], env=env)
        async with Client(process, elicitation_callback=person) as client:
            yield client

    async def record(self, lead_id: str, email: str = AGENT) -> tuple[int, Result]:
        """The lead as the sandbox itself shows it to a member, past our server: status and record."""
        headers = {"Authorization": f"token {self.members[email]['key']}", "Content-Type": "application/json"}
        async with httpx2.AsyncClient(base_url=self.url, headers=headers, trust_env=False) as http:
            answer = await http.get(f"/v1.0/leads/{lead_id}")
        return answer.status_code, answer.json().get("lead", {})

    async def stage(self) -> str:
        """The lead's stage as the sandbox has it."""
        return str((await self.record(self.lead_id))[1]["stage"])


async def call(client: Client, tool: str, **arguments: Any) -> Result:
    """What a tool answers."""
    answer = await client.call_tool(tool, arguments)
    demand(not answer.is_error, f"{tool} failed: {text_of(answer)}")
    return answer.structured_content or {}


def text_of(answer: CallToolResult) -> str:
    """The text of a tool's answer."""
    return " ".join(block.text for block in answer.content if isinstance(block, TextContent))


Step = tuple[str, Callable[[Scene], Awaitable[list[str]]]]
"""A title, and what does it and answers what to tell of it."""


def run(steps: Sequence[Step], say: Callable[[str], None]) -> int:
    """Tell the story and answer 0 if each step did what it says, else 1."""
    told: list[str] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exception, so that the children are ended as well

    async def tell() -> None:
        with anyio.fail_after(STORY_SECONDS):
            async with _scene() as scene:
                for title, step in steps:
                    told.append(title)
                    lines = await step(scene)
                    say("\n".join([f"✓ {title}", *(f"    {line}" for line in lines)]))

    try:
        anyio.run(tell)
    except Exception as error:  # noqa: BLE001 - whatever breaks the story off is told in one sentence
        cause = _innermost(error)
        why = str(cause) if isinstance(cause, StepFailed) else f"it broke off ({type(cause).__name__})"
        say(f"✗ {told[-1] if told else 'the sandbox and the server start'}\n    {why}")
        return 1
    say(f"\nEach step did what it says. To use it with Lofty, paste one of these:\n\n{hosts.lines(hosts.command())}")
    return 0


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@asynccontextmanager
async def _scene() -> AsyncIterator[Scene]:
    with TemporaryDirectory(prefix="lofty-mcp-demo-") as folder:
        async with _sandbox() as told:
            members = {member["email"]: member for member in told["members"]}
            scene = Scene(told["url"], members, told["hidden"], Path(folder, "state"), _environment())
            async with scene.server(AGENT, scene.person) as scene.ana:
                yield scene


@asynccontextmanager
async def _sandbox() -> AsyncIterator[dict[str, Any]]:
    """A sandbox process and what it says of itself; it ends with this block, whatever ends the block."""
    command = [sys.executable, "-m", "lofty_mcp", "sandbox", "--port", "0", "--json", "--rate-limit", "6000"]
    process = await anyio.open_process(command, stderr=None, env=_environment())
    try:
        if process.stdout is None:
            raise StepFailed("the sandbox cannot be heard")
        with anyio.fail_after(START_SECONDS):
            line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 2**20)
        yield json.loads(line)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(3) as patience:
                await process.wait()
            if patience.cancelled_caught:
                process.kill()
            await process.aclose()


def _environment() -> dict[str, str]:
    """This process's environment without any setting of ours, for its children."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("LOFTY_")}
