"""The load: workers that open a session, make a mixture of calls, and come again as somebody else."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import anyio
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.types import ElicitRequestFormParams, ElicitResult

from soak.run import WORKERS, Principal, Run
from soak.session import Session

ANSWER_SECONDS = 60.0
"""No call of the server takes longer."""
GRACE_SECONDS = 120.0
"""For what is under way when the time is over."""


async def load(run: Run) -> None:
    """All workers, and the leads that come and go, to the end of the run."""
    with anyio.fail_after(run.until - monotonic() + GRACE_SECONDS):
        async with anyio.create_task_group() as group:
            for _ in range(WORKERS):
                group.start_soon(_work, run)
            while not run.over:
                await anyio.sleep(1.5)
                run.lofty.come_and_go()


async def _work(run: Run) -> None:
    while not run.over:
        await run.pace()
        who = run.chance.choice(run.principals)
        try:
            async with _client(run, who) as client:
                await Session(run, who, client).go()
        except* (MCPError, httpx2.TransportError, TimeoutError) as errors:
            for error in errors.exceptions:
                run.tally.count_error(f"a session ended with {type(error).__name__}")


@asynccontextmanager
async def _client(run: Run, who: Principal) -> AsyncIterator[Client]:
    async def person(_: Any, question: ElicitRequestFormParams) -> ElicitResult:
        if run.chance.random() < 0.2:
            return ElicitResult(action="decline")
        named = re.search(r"Soak\d* Workbench\d+", question.message)
        return ElicitResult(action="accept", content={"ok": True, **({"name": named[0]} if named else {})})

    asked: Callable[..., Any] | None = person if who.answers else None
    era = run.chance.choice(("auto", "legacy"))
    headers = {"authorization": f"Bearer {who.token}"}
    began = monotonic()
    async with (
        httpx2.AsyncClient(headers=headers, timeout=ANSWER_SECONDS, trust_env=False) as http,
        Client(
            streamable_http_client(run.url, http_client=http), mode=era, elicitation_callback=asked, cache=None
        ) as client,
    ):
        run.tally.seconds["connect"].append(monotonic() - began)
        yield client
