"""What a call may do to the CRM, and whether a person is asked first. Pure."""

from dataclasses import dataclass
from enum import IntEnum

from mcp.types import ToolAnnotations

from lofty_mcp.settings import Mode

MOST_UNASKED = 5
"""Leads that one call may touch without being asked, or through the two steps of a client that cannot ask."""

ONLY_A_PERSON = (
    "This needs a person's own answer, and this client cannot ask for one. Do it in Lofty, or use a client that "
    "supports elicitation. Nothing was changed."
)


class Effect(IntEnum):
    """The strongest thing that a tool does, from the mildest."""

    READ = 0
    ADD = 1
    CHANGE = 2
    REMOVE = 3
    SEND = 4

    @property
    def hints(self) -> ToolAnnotations:
        """The four hints of MCP, all written out."""
        return ToolAnnotations(
            read_only_hint=self is Effect.READ,
            destructive_hint=self >= Effect.CHANGE,
            idempotent_hint=self in (Effect.READ, Effect.CHANGE),
            open_world_hint=True,
        )


@dataclass(frozen=True)
class Policy:
    """What the operator allows, and what this client can do."""

    mode: Mode
    ask_from: Effect
    can_ask: bool


@dataclass(frozen=True)
class Allow:
    """Go ahead; `basis` says in a word or two why, here and below: for the audit log, so of fixed words."""

    basis: str


@dataclass(frozen=True)
class Ask:
    """A person is to be asked: by a question if the client can put one, else by preview and code."""

    two_steps: bool
    basis: str


@dataclass(frozen=True)
class Refuse:
    """Not here; `why` says what would make it possible."""

    why: str
    basis: str


Decision = Allow | Ask | Refuse


def decide(effect: Effect, leads: int, policy: Policy, *, gives_away: bool = False, must_ask: bool = False) -> Decision:
    """Whether a call with the *effective* `effect` on so many leads goes ahead.

    The number of leads is that of the ids given, never of the leads found. What `gives_away` a lead, like what removes
    or sends, is not done by code alone unless the mode says so; what `must_ask` is done on a person's answer only.
    """
    if effect is Effect.READ:
        return Allow("read")
    if policy.mode is Mode.READ:
        return Refuse("This server is read-only (LOFTY_MCP_MODE=read). Nothing was changed.", "read-only")
    if must_ask:
        return Ask(two_steps=False, basis="person only") if policy.can_ask else Refuse(ONLY_A_PERSON, "person only")
    if policy.mode is Mode.AUTO or effect < policy.ask_from:
        return Allow("auto" if policy.mode is Mode.AUTO else "mild")
    if policy.can_ask:
        return Ask(two_steps=False, basis=effect.name.lower())
    final = effect > Effect.CHANGE or gives_away
    if policy.mode is Mode.CODE or (not final and leads <= MOST_UNASKED):
        return Ask(two_steps=True, basis=effect.name.lower())
    what = "Giving a lead away, removing it or sending a message" if final else "More than five leads at once"
    way = "Use" if final else "Do it for up to five leads at a time, use"
    return Refuse(
        f"{what} needs a person's approval, and this client cannot ask for one. {way} a client that supports "
        "elicitation, or let the operator set LOFTY_MCP_MODE=code. Nothing was changed.",
        "nobody to ask",
    )


def effective(effect: Effect, *, leads: int, widens: bool) -> Effect:
    """The effect that counts for this call: an ADD that touches many leads or `widens` is asked about like a CHANGE.

    `widens` marks what reaches beyond the lead: a tag name new to the account, or a tag that starts an automation.
    """
    return Effect.CHANGE if effect is Effect.ADD and (widens or leads > MOST_UNASKED) else effect
