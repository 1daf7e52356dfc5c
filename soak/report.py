"""What a soak found: a line each minute, and the whole at the end. Pure but for asking the machine what it is."""

from collections.abc import Mapping, Sequence
from statistics import median
from time import monotonic

from bench.figures import percentile, table
from bench.report import machine
from soak.run import CALLS_PER_SECOND, WORKERS
from soak.tally import MOST_GROWTH_MB, MOST_MORE_DESCRIPTORS, WARM_UP, Tally, slope_mb_per_hour


def line(tally: Tally) -> str:
    """How it stands."""
    seconds = [one for taken in tally.seconds.values() for one in taken]
    now = monotonic() - tally.began
    last = tally.samples[-1]
    return (
        f"{now / 60:5.1f} min: {len(seconds)} calls, {len(seconds) / now:.1f}/s, p50 {median(seconds) * 1e3:.0f} ms, "
        f"p99 {percentile(seconds, 0.99) * 1e3:.0f} ms, {last.memory_mb:.0f} MB, {last.descriptors} descriptors; "
        f"{tally.intents} writes, {len(tally.duplicates)} duplicates, {len(tally.wrong)} wrong outcomes, "
        f"{len(tally.leaks)} leaks, {sum(tally.errors.values())} errors"
    )


def report(tally: Tally, struck: Mapping[str, int], minutes: float) -> str:
    """Everything, in tables."""
    first, last = tally.samples[0], tally.samples[-1]
    most = max(one.memory_mb for one in tally.samples)
    descriptors = [one.descriptors for one in tally.samples]
    facts = [
        ("calls answered", f"{tally.calls} ({tally.calls / (minutes * 60):.1f} a second)"),
        ("writes intended", str(tally.intents)),
        ("faults on the way to Lofty", str(sum(struck.values()))),
        ("writes done twice, or sent more often than called for", str(len(tally.duplicates))),
        ("outcomes told that were not so", str(len(tally.wrong))),
        ("hidden leads shown", str(len(tally.leaks))),
        ("memory, MB: first, last, most", f"{first.memory_mb:.0f}, {last.memory_mb:.0f}, {most:.0f}"),
        ("memory after the warm-up, MB an hour", f"{slope_mb_per_hour(tally.samples):+.1f}"),
        ("descriptors: first, last, most", f"{descriptors[0]}, {descriptors[-1]}, {max(descriptors)}"),
    ]
    return "\n\n".join(
        [
            f"{machine()} {minutes:g} minutes, {WORKERS} sessions at a time, at most {CALLS_PER_SECOND:g} calls a "
            f"second. It fails on a single double, wrong outcome or leak, and on {MOST_GROWTH_MB:g} MB or "
            f"{MOST_MORE_DESCRIPTORS} descriptors more at the end than after the first {WARM_UP:.0%}.",
            table(("What", "Found"), facts),
            table(("Call", "Calls", "p50, ms", "p99, ms"), _speeds(tally)),
            f"What writes were told to have come to, lead by lead: {_counts(tally.outcomes)}.",
            f"Faults: {_counts(struck)}.",
            table(("Errors told", "Calls"), [(text, str(count)) for text, count in tally.errors.most_common(12)]),
        ]
    )


def _speeds(tally: Tally) -> Sequence[tuple[str, ...]]:
    return [
        (kind, str(len(taken)), f"{median(taken) * 1e3:.1f}", f"{percentile(taken, 0.99) * 1e3:.1f}")
        for kind, taken in sorted(tally.seconds.items())
    ]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda one: -one[1])) or "none"
