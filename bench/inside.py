"""What guarding one read costs, measured inside one process with a Lofty that answers at once.

`guard` is a read of one lead through everything that guards it (the middleware that opens the call, says what it may
do and writes its audit line; the gate with its viewer and its verdict), less the same request sent by the same client
and parsed by the same model; to that is added `clean`, the time of cleaning every text of that lead, which the model
does on its own. Run as `python -m bench.inside REPLIES`, it prints microseconds as JSON.
"""

import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import anyio
import httpx2
from mcp import Client
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from bench.replies import BASE_URL, Replies
from bench.upstream import HEADERS, Upstream
from lofty_mcp import exporters
from lofty_mcp.app import App, call
from lofty_mcp.client import endpoints
from lofty_mcp.guard.audit import audited
from lofty_mcp.models.clean import line
from lofty_mcp.server import build_server
from lofty_mcp.settings import load
from lofty_mcp.tools.access import allowed

TIMES = 400


@dataclass(frozen=True)
class Cost:
    """Microseconds: of one read as it is, of the parts, and of the whole call with and without telemetry."""

    bare_read: float
    guard: float
    clean: float
    call: float
    call_with_metrics: float
    call_with_spans: float


class AtOnce(httpx2.AsyncBaseTransport):
    """The fake Lofty without a socket."""

    def __init__(self, replies: Replies) -> None:
        self._upstream = Upstream(replies)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer at once."""
        status, body = self._upstream.answer(request.method, request.url.path)
        return httpx2.Response(status, headers=HEADERS, content=body, request=request)


async def measure(replies: Replies) -> Cost:
    """Take every figure, each as the median of many."""
    running: list[App] = []
    with tempfile.TemporaryDirectory() as state:
        settings = load(
            api_key=replies.key, base_url=BASE_URL, state_dir=Path(state, "lofty-mcp"), requests_per_minute=10_000
        )
        async with Client(build_server(settings, transport=AtOnce(replies), on_start=running.append)) as client:

            async def whole() -> None:
                assert not (await client.call_tool("get_lead", {"lead_id": replies.lead_id})).is_error

            whole_call = await _time(whole)
            bare, guarded = await _reads(running[0], replies)
            with exporters.running(0):
                with_metrics = await _time(whole)
            trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
            with_spans = await _time(whole)
    texts = _texts(json.loads(replies.answers[f"GET /v1.0/leads/{replies.lead_id}"])["lead"])
    began = perf_counter()
    for _ in range(TIMES):
        for text in texts:
            line(text)
    clean = (perf_counter() - began) / TIMES
    return Cost(*(second * 1e6 for second in (bare, guarded - bare, clean, whole_call, with_metrics, with_spans)))


async def _reads(app: App, replies: Replies) -> tuple[float, float]:
    """Seconds of a bare read and of a guarded one."""
    client = app.accounts.of(None).client
    context: Any = SimpleNamespace(request_id=1, method="tools/call", params={"name": "get_lead"}, lifespan_context=app)

    async def read(_: Any) -> Any:
        current = call()
        current.leads = [replies.lead_id]
        return await current.crm.lead(replies.lead_id)

    async def permitted(ctx: Any) -> Any:
        return await allowed(ctx, read)

    bare = await _time(lambda: endpoints.lead(client, replies.lead_id))
    return bare, await _time(lambda: audited(context, permitted))


async def _time(work: Callable[[], Awaitable[Any]]) -> float:
    for _ in range(20):
        await work()
    taken = []
    for _ in range(TIMES):
        began = perf_counter()
        await work()
        taken.append(perf_counter() - began)
    return median(taken)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inner for text in _texts(item)]


if __name__ == "__main__":
    print(json.dumps(asdict(anyio.run(measure, Replies.load(Path(sys.argv[1]))))))
