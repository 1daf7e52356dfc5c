"""What a caller can notice of a call, and the four things in it that are never the same twice.

Numbers of requests need no rule: the two clients count alike. What is replaced here is replaced by its order of
appearance, and whatever stands beside it stays.
"""

import re
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from datetime import datetime

LOGGED = re.compile(r'(?<=^\{"time": )"[^"]*"')
"""The time of a log line."""
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:[+-]\d\d:\d\d|Z)")
CODE = re.compile(r"(?<![A-Za-z0-9_-])[a-z2-9]{16}(?![A-Za-z0-9_-])")
SEALED = re.compile(r'(?<="requestState":")[^"]+')
SEAL_JITTER = 24
"""By how many characters two sealed states may differ, since the SDK puts two times with all their digits in."""
NUMBER = re.compile(r"(?<![0-9])[0-9]{5,19}(?![0-9])")


def without_clocks(line: str, is_now: Callable[[datetime], bool]) -> str:
    """The line without what the server's own clock put in: moments of a time in which nothing else happens."""
    line = LOGGED.sub("<clock>", line)
    return MOMENT.sub(lambda found: "<clock>" if is_now(datetime.fromisoformat(found[0])) else found[0], line)


def handles_in_order(line: str, issued: Container[str], met: list[str]) -> str:
    """The line with each code that the ledger issued as the how-manieth it is."""
    return CODE.sub(lambda found: _named("handle", found[0], met) if found[0] in issued else found[0], line)


def without_seals(line: str, lengths: list[int]) -> str:
    """The line without the texts of sealed states, whose lengths are noted to be compared by `alike`."""
    lengths += map(len, SEALED.findall(line))
    return SEALED.sub("<sealed>", line)


def alike(there: list[int], never: list[int]) -> bool:
    """Whether sealed states are as long as each other, but for the digits of a clock."""
    return len(there) == len(never) and all(abs(a - b) <= SEAL_JITTER for a, b in zip(there, never, strict=True))


def made_ids_in_order(line: str, is_made: Callable[[int], bool], met: list[str]) -> str:
    """The line with each id of something that was made meanwhile as the how-manieth it is."""
    return NUMBER.sub(lambda found: _named("id", found[0], met) if is_made(int(found[0])) else found[0], line)


def _named(what: str, token: str, met: list[str]) -> str:
    if token not in met:
        met.append(token)
    return f"<{what} {met.index(token)}>"


@dataclass
class Normaliser:
    """The four rules, with what one run has met so far."""

    issued: Callable[[], Container[str]]
    is_made: Callable[[int], bool]
    is_now: Callable[[datetime], bool]
    handles: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    seals: list[int] = field(default_factory=list)

    def __call__(self, lines: list[str]) -> list[str]:
        """The lines as they can be compared."""
        issued = self.issued()
        plain = (without_clocks(without_seals(line, self.seals), self.is_now) for line in lines)
        coded = (handles_in_order(line, issued, self.handles) for line in plain)
        return [made_ids_in_order(line, self.is_made, self.ids) for line in coded]
