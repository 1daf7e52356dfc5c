"""What is counted while it runs, and what of it must not be."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic

MOST_GROWTH_MB = 16.0
"""From the end of the warm-up to the end."""
MOST_MORE_DESCRIPTORS = 32
WARM_UP = 0.25
"""The share of a run before which growth is not judged: modules, caches and connections come."""


@dataclass(frozen=True)
class Sample:
    """The server's process at a moment."""

    at: float
    memory_mb: float
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> "Sample":
        """What Linux says of a process."""
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return cls(monotonic(), int(found[1]) / 1024, len(list(Path(f"/proc/{pid}/fd").iterdir())))


@dataclass
class Tally:
    """Counts, times and samples of one run."""

    began: float = field(default_factory=monotonic)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """How long the calls of each kind took."""
    outcomes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    """What calls failed with, in the server's words."""
    intents: int = 0
    duplicates: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """How many calls were answered."""
        return sum(map(len, self.seconds.values()))

    def count_error(self, text: str) -> None:
        """Count an error by its first sentence."""
        self.errors[re.sub(r"\d+", "N", text.split(". ")[0])[:100]] += 1

    def found(self) -> list[str]:
        """What must not be, in a line each."""
        bad = {"duplicates": self.duplicates, "wrong outcomes": self.wrong, "leaks": self.leaks}
        lines = [f"{len(cases)} {what}, such as: {cases[0]}" for what, cases in bad.items() if cases]
        return [*lines, *grown(self.samples)]


def settled(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples after the warm-up."""
    return samples[int(len(samples) * WARM_UP) :]


def grown(samples: Sequence[Sample]) -> list[str]:
    """Whether memory or descriptors grew beyond what is allowed, in a line each."""
    after = settled(samples)
    few = max(1, len(after) // 10)
    first, last = after[:few], after[-few:]
    memory = median(s.memory_mb for s in last) - median(s.memory_mb for s in first)
    descriptors = median(s.descriptors for s in last) - median(s.descriptors for s in first)
    return [
        *([f"memory grew by {memory:.1f} MB after the warm-up"] if memory > MOST_GROWTH_MB else []),
        *([f"{descriptors:.0f} more descriptors at the end"] if descriptors > MOST_MORE_DESCRIPTORS else []),
    ]


def slope_mb_per_hour(samples: Sequence[Sample]) -> float:
    """How fast memory grew after the warm-up, as the line nearest to the samples."""
    after = settled(samples)
    if len(after) < 2:
        return 0.0
    middle = sum(s.at for s in after) / len(after)
    height = sum(s.memory_mb for s in after) / len(after)
    spread = sum((s.at - middle) ** 2 for s in after)
    return sum((s.at - middle) * (s.memory_mb - height) for s in after) / spread * 3600


def leaked(text: str, asked: str, hidden: Mapping[str, str]) -> list[str]:
    """The hidden leads, ids with names, that `text` shows though `asked` did not name them."""
    return [
        lead_id
        for lead_id, name in hidden.items()
        if any(word in text and word not in asked for word in (lead_id, name))
    ]
