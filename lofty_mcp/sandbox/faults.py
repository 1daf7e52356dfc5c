"""Faults on demand: for one request (header `X-Sandbox-Fault`), for the next ones on a path, or at a rate.

A kind is a word, with a value where it takes one:

    latency=0.2        answers, that many seconds later
    status=503         answers that status; nothing was processed
    status_after=503   the same, after processing
    429, 429=1500      "Too Many Requests", the value being X-RateLimit-Reset in milliseconds; nothing was processed
    reset_before       the connection is reset; nothing was processed
    reset_after        the same, after processing
    half_body          processed; the answer announces its full length and stops half way

Under an in-process transport a cut connection is `SandboxReset` raised out of the app.
"""

import random
import re
from dataclasses import dataclass
from typing import Literal

When = Literal["before", "after"]
_KIND = re.compile(r"(latency|status|status_after|429|reset_before|reset_after|half_body)(?:=([0-9.]+))?")
_NEEDS_VALUE = {"latency", "status", "status_after"}


class SandboxReset(ConnectionResetError):
    """The connection went away, `before` or `after` the request was processed."""

    def __init__(self, when: When) -> None:
        super().__init__(f"reset {when} processing")
        self.when: When = when


@dataclass(frozen=True)
class Fault:
    """One fault: its kind and, where the kind takes one, its value."""

    kind: str
    value: float = 0.0


@dataclass
class Rule:
    """The next `times` requests of this method and path fail so; see `Faults.next` for the pattern."""

    method: str
    pattern: str
    kind: str
    times: int = 1

    def fits(self, method: str, path: str) -> bool:
        """True when there are turns left and both method and path match."""
        if self.times <= 0 or self.method not in {"*", method}:
            return False
        if self.pattern.endswith("*"):
            return path.startswith(self.pattern[:-1])
        return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", self.pattern), path) is not None


def parse(text: str) -> Fault:
    """Read a kind such as `latency=0.2`; anything else is a ValueError naming it."""
    match = _KIND.fullmatch(text.strip())
    if match is None or (match[1] in _NEEDS_VALUE and match[2] is None):
        raise ValueError(f"unknown fault: {text!r}")
    return Fault(match[1], float(match[2] or 0))


class Faults:
    """Which request fails, and how: a header wins over a rule, a rule over the rate (0.0 to 1.0 of all requests)."""

    def __init__(
        self, rules: tuple[Rule, ...] = (), *, rate: float = 0.0, kinds: tuple[str, ...] = (), seed: int = 1
    ) -> None:
        for kind in (*kinds, *(rule.kind for rule in rules)):
            parse(kind)
        if rate and not kinds:
            raise ValueError("a rate needs kinds")
        self._rules = list(rules)
        self._rate = rate
        self._kinds = kinds
        self._random = random.Random(seed)  # noqa: S311 - the same for the same seed

    def next(self, method: str, pattern: str, kind: str, times: int = 1) -> None:
        """Fail the next `times` requests.

        `method` is a method or `*`; `pattern` is a path, where `{name}` stands for one segment, other
        regular-expression syntax works too, and a final `*` makes it a prefix.
        """
        parse(kind)
        self._rules.append(Rule(method, pattern, kind, times))

    def pick(self, method: str, path: str, header: str | None) -> Fault | None:
        """The fault for this request, using up a turn of the rule it came from."""
        if header:
            return parse(header)
        for rule in self._rules:
            if rule.fits(method, path):
                rule.times -= 1
                return parse(rule.kind)
        if self._rate and self._random.random() < self._rate:
            return parse(self._random.choice(self._kinds))
        return None
