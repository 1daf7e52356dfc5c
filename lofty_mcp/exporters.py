"""Where telemetry goes with `--metrics`: metrics to a port of this machine, spans to a collector if one is named.

Imported only then, since it needs the extra `telemetry`. What a span may show is decided here, by a list: the SDK's
own spans carry the caller's words (names of tools that are not there, request ids) and error texts with addresses.
"""

import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIServer

from mcp.types.methods import SERVER_REQUESTS
from mcp.types.version import KNOWN_PROTOCOL_VERSIONS
from opentelemetry import trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, Status
from prometheus_client import CollectorRegistry, make_wsgi_app, start_http_server
from prometheus_client.process_collector import ProcessCollector

from lofty_mcp import prompts, telemetry, tools
from lofty_mcp.settings import BadSettings, is_loopback, variable

COLLECTOR = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""The standard variables that name a collector; the exporter reads them, and its other ones, by itself."""
SDK_SCOPE = "mcp-python-sdk"
END_SECONDS = 1.0
"""How long an ending process waits for the collector to take the last spans."""


@contextmanager
def running(port: int) -> Iterator[str]:
    """Count, and trace if a collector is named, until the block ends; yields the address to read metrics at.

    Raises:
        BadSettings: the port cannot be used.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    reader = PrometheusMetricReader(scope_info_enabled=False, registry=registry)
    try:
        httpd, _ = start_http_server(port, addr="127.0.0.1", registry=registry)
    except OSError as error:
        raise BadSettings(f"--metrics {port}: the port cannot be used: {error.strerror}") from None
    httpd.set_app(_for_this_machine(make_wsgi_app(registry)))
    meters = MeterProvider(
        [reader], resource=resource(), exemplar_filter=AlwaysOffExemplarFilter(), shutdown_on_exit=False
    )
    telemetry.use(meters.get_meter(telemetry.SCOPE))
    spans = _collector() if any(map(variable, COLLECTOR)) else None
    try:
        yield f"http://127.0.0.1:{httpd.server_port}/metrics"
    finally:
        telemetry.use(None)
        # A collector that does not answer would hold the end for half a minute.
        last = threading.Thread(target=_end, args=(spans, httpd), daemon=True)
        last.start()
        last.join(END_SECONDS)


def _end(spans: TracerProvider | None, httpd: WSGIServer) -> None:
    if spans is not None:
        spans.shutdown()
    httpd.shutdown()
    httpd.server_close()


def _collector() -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    provider = TracerProvider(resource=resource(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Shown(OTLPSpanExporter())))
    trace.set_tracer_provider(provider)
    return provider


def resource() -> Resource:
    """Who tells: this program, or whatever name the standard variables give it."""
    ours = Resource.create({"service.name": "lofty-mcp", "service.version": version("lofty-mcp")})
    return ours.merge(OTELResourceDetector().detect())


def _for_this_machine(app: Callable[..., Any]) -> Callable[..., Any]:
    # A web page whose name was made to point here asks under its own name.
    def checked(request: dict[str, Any], start: Callable[..., Any]) -> Any:
        with suppress(ValueError):  # of a Host that is none
            if is_loopback(urlsplit(f"//{request.get('HTTP_HOST', '')}").hostname or ""):
                return app(request, start)
        start("421 Misdirected Request", [("Content-Length", "0")])
        return [b""]

    return checked


class Shown(SpanExporter):
    """Hands on what `shown` leaves of each span."""

    def __init__(self, to: SpanExporter) -> None:
        self._to = to
        prompt_names = {path.stem for path in prompts.folder().glob("*.md")}
        self._words = words({spec.name for spec in tools.ALL}, prompt_names)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export what may be seen."""
        seen = [kept for span in spans if (kept := shown(span, self._words)) is not None]
        return self._to.export(seen) if seen else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """End the exporter behind."""
        self._to.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter behind."""
        return self._to.force_flush(timeout_millis)


Words = Mapping[str, Collection[str] | None]


def words(tool_names: Collection[str], prompt_names: Collection[str]) -> Words:
    """The attributes of the SDK's spans that may be shown, with the words they may hold; None: what reads as a code."""
    return {
        "mcp.method.name": telemetry.METHODS | {method for method, _ in SERVER_REQUESTS},
        "mcp.protocol.version": KNOWN_PROTOCOL_VERSIONS,
        "gen_ai.operation.name": ("execute_tool",),
        "gen_ai.tool.name": tool_names,
        "gen_ai.prompt.name": prompt_names,
        "error.type": None,
        "rpc.response.status_code": None,
    }


def shown(span: ReadableSpan, known: Words) -> ReadableSpan | None:
    """`span` with fixed words only; None if neither we nor the MCP SDK made it.

    Events and the text of the status go, since they quote exceptions; so does the caller's own trace state.
    """
    scope = span.instrumentation_scope.name if span.instrumentation_scope else ""
    name, attributes = span.name, dict(span.attributes or {})
    if scope == telemetry.SCOPE and not span.events and not (span.parent and span.parent.trace_state):
        return span
    if scope == SDK_SCOPE:
        attributes = {key: _word(value, known[key]) for key, value in attributes.items() if key in known}
        target = attributes.get("gen_ai.tool.name") or attributes.get("gen_ai.prompt.name")
        name = " ".join(str(part) for part in (attributes.get("mcp.method.name", telemetry.UNKNOWN), target) if part)
    elif scope != telemetry.SCOPE:
        return None
    return ReadableSpan(
        name,
        _bare(span.context),
        _bare(span.parent),
        span.resource,
        attributes,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _word(value: object, known: Collection[str] | None) -> str:
    text = str(value)
    fits = re.fullmatch(r"-?\d{1,6}|[A-Za-z_.]{1,60}", text) if known is None else text in known
    return text if fits else telemetry.UNKNOWN


def _bare(context: SpanContext | None) -> SpanContext | None:
    return context and SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)
