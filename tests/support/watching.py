"""What the server tells of its work, as a test gets to see it: spans, counts and log lines."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from lofty_mcp.exporters import Shown


class Seen(SpanExporter):
    """Keeps spans while a test looks."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.spans is not None:
            self.spans += spans
        return SpanExportResult.SUCCESS


@cache
def tracing() -> Seen:
    """The process has one tracer provider for good, so tests share it and only switch the looking on and off."""
    seen, provider = Seen(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Shown(seen)))
    trace.set_tracer_provider(provider)
    return seen


class Counts:
    """The metrics of one test."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider([self._reader], shutdown_on_exit=False)

    def points(self) -> list[tuple[str, dict[str, Any], float]]:
        """Name, labels and value of everything counted so far; of a histogram, how often."""
        collected = self._reader.get_metrics_data()
        return [
            (metric.name, dict(p.attributes or {}), p.value if isinstance(p, NumberDataPoint) else p.count)
            for resource in (collected.resource_metrics if collected else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for p in metric.data.data_points
        ]

    def of(self, name: str, **labels: str | int | bool) -> float:
        """The sum of a metric's points with these labels; `__` in a label's name stands for a dot."""
        wanted = {key.replace("__", "."): value for key, value in labels.items()}
        return sum(value for n, found, value in self.points() if n == name and found.items() >= wanted.items())
