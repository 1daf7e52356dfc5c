"""The figures as Markdown, each beside its bar. Pure but for asking the machine what it is."""

import os
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.exact import Exact
from bench.figures import Spread, ratios, table
from bench.rounds import DELAY_MS, Key, Measured, Series, Speeds
from bench.subjects import BARE, BARE_4, OURS, TRANSPORTS, Transport

PACKAGES = ("mcp", "httpx2", "pydantic", "uvicorn", "uvloop", "httptools", "lofty-mcp")
READ_BAR, START_BAR, GUARD_BAR_US = 1.3, 1.2, 300


def report(measured: Measured, exact: Exact, rounds: int) -> str:
    """Everything, in sections."""
    parts = [_taken(rounds), _bars(measured, exact)]
    for transport in TRANSPORTS:
        parts += [f"### Over {transport}", _speeds(measured.speeds, transport)]
    parts += [
        f"### While Lofty takes {DELAY_MS} ms",
        "`get_lead`; at most 4 requests of one credential are ever in flight to Lofty, by design.",
        _waiting(measured.waiting),
        "### Start and memory",
        _starts(measured),
        "### One read, inside",
        _costs(measured),
        "### Requests to Lofty, and tokens of the answer's text",
        table(
            ("Call, vocabulary warm", "Requests", "Tokens"), [(c.what, c.requests, str(c.tokens)) for c in exact.calls]
        ),
        "### Tokens of the tools",
        table(("Tool", "Tokens"), [(f"`{name}`", str(count)) for name, count in exact.tools.items()]),
        f"All tools {exact.all_tools}, the median tool {exact.median_tool}, the instructions {exact.instructions}.",
    ]
    return "\n\n".join(parts)


def machine() -> str:
    """What this was measured on and with."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    load = f", load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores of {_cpu()}, {platform.system()}, "
        f"Python {platform.python_version()}{load}. {versions}."
    )


def _taken(rounds: int) -> str:
    told = "each figure is the median of the rounds, with the least and the most in brackets"
    return f"{machine()} {rounds} rounds; {told}."


def _cpu() -> str:
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8").splitlines() if known.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _bars(measured: Measured, exact: Exact) -> str:
    rows: list[tuple[str, str, str, str]] = []

    def row(what: str, bar: str, found: str, *, holds: bool) -> None:
        rows.append((what, bar, found, "yes" if holds else "no"))

    for transport in TRANSPORTS:
        for name in ("get_lead", "search_leads", "get_timeline"):
            ratio = ratios(*(_of(measured.speeds, transport, name, 1, who).p50_ms for who in (OURS, BARE)))
            row(
                f"p50 of `{name}` over {transport}",
                f"≤ {READ_BAR} × bare",
                ratio.told(),
                holds=ratio.middle <= READ_BAR,
            )
        ours, bare = (measured.starts[transport, who] for who in (OURS, BARE))
        ratio = ratios(ours.to_list, bare.to_list)
        row(
            f"start to first answer, {transport}",
            f"≤ {START_BAR} × bare",
            ratio.told(),
            holds=ratio.middle <= START_BAR,
        )
    guard = Spread.of([cost.guard + cost.clean for cost in measured.costs])
    row("guard cost of a read", f"≤ {GUARD_BAR_US} µs", f"{guard.told(0)} µs", holds=guard.middle <= GUARD_BAR_US)
    row("tokens of the tool list", "≤ 6000", str(exact.all_tools), holds=exact.all_tools <= 6000)
    row("tokens of the median tool", "≤ 350", str(exact.median_tool), holds=exact.median_tool <= 350)
    page = next(call for call in exact.calls if "25 rows" in call.what)
    row("tokens of 25 concise leads", "≤ 1250", str(page.tokens), holds=page.tokens <= 1250)
    return table(("What", "Bar", "Found", "Holds"), rows)


def _of(speeds: Speeds, transport: Transport, name: str, level: int, who: str) -> Series:
    return speeds[Key(transport, name, level, who)]


def _speeds(speeds: Speeds, transport: Transport) -> str:
    header = (
        "Tool",
        "In flight",
        "p50, ms: ours",
        "bare",
        "p50 ratio",
        "p99, ms: ours",
        "bare",
        "Calls/s: ours",
        "bare",
    )
    rows = []
    for name, level in _measured(speeds, transport):
        series = [_of(speeds, transport, name, level, who) for who in (OURS, BARE)]
        rows.append(
            (
                *(f"`{name}`", str(level), *(_middle(one.p50_ms) for one in series)),
                ratios(series[0].p50_ms, series[1].p50_ms).told(),
                *(_middle(one.p99_ms) for one in series),
                *(_middle(one.per_second, 0) for one in series),
            )
        )
    limited = [
        f"`{name}` at {level}: {ratios(_of(speeds, transport, name, level, OURS).per_second, few.per_second).told()}"
        for name, level in _measured(speeds, transport)
        if (few := speeds.get(Key(transport, name, level, BARE_4))) is not None
    ]
    beside = (
        f"Calls per second over those of a bare server held to 4 requests in flight, as ours is: {', '.join(limited)}."
    )
    return f"{table(header, rows)}\n\n{beside}"


def _measured(speeds: Speeds, transport: Transport) -> Sequence[tuple[str, int]]:
    return [(key.tool, key.in_flight) for key in speeds if key.transport == transport and key.who == OURS]


def _middle(values: Sequence[float], digits: int = 2) -> str:
    return f"{Spread.of(values).middle:.{digits}f}"


def _waiting(speeds: Speeds) -> str:
    rows = []
    for transport in TRANSPORTS:
        for name, level in _measured(speeds, transport):
            told = [speeds.get(Key(transport, name, level, who)) for who in (OURS, BARE_4, BARE)]
            rows.append((transport, str(level), *(_middle(one.per_second, 0) if one else "-" for one in told)))
    return table(("", "In flight", "Calls/s: ours", "bare, 4 in flight", "bare"), rows)


def _starts(measured: Measured) -> str:
    rows = []
    shown: tuple[tuple[str, Callable[[tuple[Transport, str]], Sequence[float]], int], ...] = (
        ("s to the list of tools", lambda key: measured.starts[key].to_list, 2),
        ("s to the first lead", lambda key: measured.starts[key].to_lead, 2),
        ("MB at rest", lambda key: measured.starts[key].at_rest, 0),
        ("MB after the load", lambda key: [measured.loaded[key]], 0),
    )
    for transport in TRANSPORTS:
        for what, values, digits in shown:
            ours, bare = (values((transport, who)) for who in (OURS, BARE))
            both = (Spread.of(one).told(digits) if len(one) > 1 else f"{one[0]:.{digits}f}" for one in (ours, bare))
            rows.append((transport, what, *both, ratios(ours, bare).told()))
    return table(("", "What", "Ours", "Bare", "Ratio"), rows)


def _costs(measured: Measured) -> str:
    costs = measured.costs
    rows = [
        ("the request and its parsing alone", Spread.of([c.bare_read for c in costs])),
        ("visibility, policy, audit", Spread.of([c.guard for c in costs])),
        ("cleaning every text of the lead", Spread.of([c.clean for c in costs])),
        ("a whole call, through an MCP client in the same process", Spread.of([c.call for c in costs])),
        ("what metrics add to it", Spread.of([c.call_with_metrics - c.call for c in costs])),
        ("what spans add to it", Spread.of([c.call_with_spans - c.call for c in costs])),
    ]
    return table(("`get_lead`", "µs"), [(what, spread.told(0)) for what, spread in rows])
