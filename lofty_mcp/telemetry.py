"""What the server tells of its own work, as spans and as counts: fixed words and times, never an argument or an id.

The one place that names them; docs/telemetry.md lists them. Only OpenTelemetry's API is needed here. Spans go nowhere
until the process is given an SDK, and nothing is counted until `use` is given a meter: `lofty_mcp.exporters` does
both. The metrics half of the API is not imported before, since that costs a start 7 ms.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult
from mcp.types.methods import SPEC_CLIENT_METHODS, SPEC_CLIENT_NOTIFICATION_METHODS
from mcp.types.version import KNOWN_PROTOCOL_VERSIONS
from opentelemetry.trace import SpanKind, StatusCode, get_tracer

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram, Meter, UpDownCounter

SCOPE = "lofty-mcp"
METHODS = SPEC_CLIENT_METHODS | SPEC_CLIENT_NOTIFICATION_METHODS
UNKNOWN = "unknown"
"""Stands for a word that is not ours, since it may be the caller's text."""

PATH_WORDS = frozenset(
    ("v1.0", "v2.0", "activities", "assignment", "lead-pipelines", "leads", "listTag", "me", "members", "notes")
) | {"org", "systemLogs", "tasks", "teamFeatures"}
"""What a path to Lofty may show; anything else of it is an id or an account."""
ONE_LEAD = ("GET", "/v1.0/leads/{id}")
WAY_FAILED = (401, 408, 425, 429)
"""Statuses below 500 that say nothing of the record asked for."""

A_WAIT_SECONDS = 0.001
OPERATION_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20)

Labels = dict[str, str | int | bool]


class Instruments:
    """Every metric, made on one meter."""

    def __init__(self, meter: "Meter") -> None:
        self.operations: Histogram = meter.create_histogram(
            "mcp.server.operation.duration",
            "s",
            "How long MCP requests and notifications take.",
            explicit_bucket_boundaries_advisory=OPERATION_SECONDS,
        )
        self.requests: Histogram = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "How long Lofty takes to answer a request.",
            explicit_bucket_boundaries_advisory=REQUEST_SECONDS,
        )
        self.waits: Histogram = meter.create_histogram(
            "lofty.pacing.wait",
            "s",
            "How long requests wait for their turn, where they do.",
            explicit_bucket_boundaries_advisory=REQUEST_SECONDS,
        )
        self.retries: Counter = meter.create_counter("lofty.retries", description="Requests sent again, by reason.")
        self.breaks: Counter = meter.create_counter("lofty.breaker.opened", description="Times a breaker opened.")
        self.broken: UpDownCounter = meter.create_up_down_counter(
            "lofty.breaker.open", description="Breakers that are open now."
        )
        self.confirmations: Counter = meter.create_counter(
            "lofty.confirmations", description="What became of writes before they were begun."
        )
        self.tickets: Counter = meter.create_counter(
            "lofty.tickets", description="Writes to one lead each, by outcome."
        )


_tracer = get_tracer(SCOPE)
_instruments: Instruments | None = None


def use(meter: "Meter | None") -> None:
    """Count on `meter` from now on; on none, nothing is counted."""
    global _instruments
    _instruments = None if meter is None else Instruments(meter)


async def measured(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Middleware: how long each request took and how it ended; with no meter, nothing."""
    if (to := _instruments) is None:
        return await call_next(ctx)
    failure = ""
    began = perf_counter()
    try:
        result = await call_next(ctx)
        match result:
            case CallToolResult(is_error=True) | {"isError": True}:
                failure = "tool_error"
            case {"resultType": "input_required"}:
                confirmation(_tool(ctx), "asked")
    except MCPError as error:
        failure = str(error.error.code)
        raise
    except BaseException as error:
        failure = type(error).__name__
        raise
    finally:
        to.operations.record(perf_counter() - began, _operation(ctx, failure))
    return result


def _operation(ctx: ServerRequestContext[Any, Any], failure: str) -> Labels:
    labels: Labels = {
        "mcp.method.name": ctx.method if ctx.method in METHODS else UNKNOWN,
        "mcp.protocol.version": ctx.protocol_version if ctx.protocol_version in KNOWN_PROTOCOL_VERSIONS else UNKNOWN,
        "network.transport": "pipe" if ctx.request is None else "tcp",
    }
    if ctx.method == "tools/call":
        labels["gen_ai.tool.name"] = _tool(ctx)
    if failure:
        labels["error.type"] = failure
    return labels


def _tool(ctx: ServerRequestContext[Any, Any]) -> str:
    name = str((ctx.params or {}).get("name"))
    return name if name in ctx.lifespan_context.effects else UNKNOWN


@dataclass
class Exchange:
    """A request under way; whoever sends it says here what status came back."""

    status: int | None = None


@contextmanager
def exchange(method: str, path: str) -> Iterator[Exchange]:
    """One request to Lofty, from its turn to the end of its answer."""
    route = template(path)
    labels: Labels = {"http.request.method": method, "url.template": route}
    told, failure = Exchange(), ""
    span = _tracer.start_span(f"{method} {route}", kind=SpanKind.CLIENT, attributes=labels)
    began = perf_counter()
    try:
        yield told
    except BaseException as error:
        failure = type(error).__name__
        raise
    finally:
        if ended := _ended(told.status, failure, one_lead=(method, route) == ONE_LEAD):
            span.set_attributes(ended)
            if "error.type" in ended:
                span.set_status(StatusCode.ERROR)
        span.end()
        if _instruments is not None:
            _instruments.requests.record(perf_counter() - began, labels | ended)


def _ended(status: int | None, failure: str, *, one_lead: bool) -> Labels:
    labels: Labels = {}
    # A lead that is hidden and one that is missing get different answers, which must not be told apart here.
    if status is not None and (not one_lead or status >= 500 or status in WAY_FAILED):
        labels["http.response.status_code"] = status
        failure = failure or (str(status) if status >= 400 else "")
    if failure:
        labels["error.type"] = failure
    return labels


def template(path: str) -> str:
    """A path to Lofty without the ids and accounts in it."""
    return "/".join(part if part in PATH_WORDS or not part else "{id}" for part in path.split("/"))


def waited(seconds: float) -> None:
    """A request has had its turn; one that came at once is not counted."""
    if _instruments is not None and seconds >= A_WAIT_SECONDS:
        _instruments.waits.record(seconds)


def retried(reason: Exception) -> None:
    """A request is sent again."""
    if _instruments is not None:
        _instruments.retries.add(1, {"error.type": type(reason).__name__})


def breaker(*, was_open: bool, is_open: bool) -> None:
    """A breaker may have opened or closed."""
    if _instruments is not None and was_open != is_open:
        _instruments.broken.add(1 if is_open else -1)
        if is_open:
            _instruments.breaks.add(1)


def confirmation(tool: str, step: str) -> None:
    """A write was `asked` about, `accepted`, `declined`, `preview`ed, `confirmed` by code, or `refused`."""
    if _instruments is not None:
        _instruments.confirmations.add(1, {"gen_ai.tool.name": tool, "lofty.step": step})


@dataclass
class Ticket:
    """A write under way; whoever carries it out says here what came of it."""

    outcome: str = ""
    replayed: bool = False


@contextmanager
def ticket(tool: str, lead: str) -> Iterator[Ticket]:
    """One lead's part of a write, with everything that it sends; `lead` is a hash."""
    told, failure = Ticket(), ""
    with _tracer.start_as_current_span(
        f"ticket {tool}", attributes={"lofty.lead": lead}, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield told
        except BaseException as error:
            failure = type(error).__name__
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            labels: Labels = {"gen_ai.tool.name": tool, "lofty.replayed": told.replayed}
            labels |= {"error.type": failure} if failure else {"lofty.outcome": told.outcome}
            span.set_attributes(labels)
            if _instruments is not None:
                _instruments.tickets.add(1, labels)
