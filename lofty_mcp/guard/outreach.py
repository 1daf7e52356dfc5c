"""Whether a person may be written to or called, now and there. Pure; the rules and their limits stand in SECURITY.md.

Every rule only ever refuses, and none has a way round it: no argument of a tool turns one off.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from lofty_mcp.client.requests import phone_digits
from lofty_mcp.guard.zones import folded, local_time, zones_of
from lofty_mcp.models.leads import LeadRecord

Channel = Literal["text", "email", "call"]
Rule = Literal[
    "permission",
    "unsubscribed",
    "number_status",
    "do_not_contact",
    "consent",
    "quiet_hours",
    "daily_cap",
    "destination",
]

EARLIEST, LATEST = 8, 21
"""The hours of the day, the last one left out, that no policy can widen."""
INVALID, DNC_NUMBER, DNC_CONTACT = 1, 4, 5
_BARRED = {DNC_NUMBER, DNC_CONTACT}
REACHABLE = {2, 3}
"""The phone statuses that let a number be used: valid, talked (reference §8.3)."""

_PHONE = re.compile(r"[0-9 ().+-]{10,30}")
_DIGITS = re.compile(r"[0-9]{10,15}")
_EMAIL = re.compile(r"[^\s@<>()\[\],;:\"\\]{1,64}@(?=[^@]{1,253}\Z)(?:[\w-]+\.)+[\w-]{2,63}")
_NOUNS = {"text": "texts", "email": "e-mails", "call": "calls"}


@dataclass(frozen=True)
class ContactPolicy:
    """What the operator allows; names are those of tags, segments and (to refuse) stages, in any case."""

    account_zone: str
    """The time zone of the account, which stands for its country."""
    daily_cap: int
    consent: Literal["not_opted_out", "tagged"] = "not_opted_out"
    consent_tags: tuple[str, ...] = ()
    do_not_contact: tuple[str, ...] = ("Do Not Contact",)
    first_hour: int = EARLIEST
    last_hour: int = LATEST

    def __post_init__(self) -> None:
        """Refuse hours that are wider than the law's, or none."""
        if not EARLIEST <= self.first_hour < self.last_hour <= LATEST:
            raise ValueError(f"hours lie between {EARLIEST} and {LATEST}, the first before the last")


@dataclass(frozen=True)
class May:
    """Go ahead, to this number or address, as Lofty holds it."""

    to: str


@dataclass(frozen=True)
class MayNot:
    """Not now or not ever; `rule` names the reason, `why` says it to whoever sees this lead."""

    rule: Rule
    why: str


def contact_decision(
    lead: LeadRecord,
    channel: Channel,
    now: datetime,
    policy: ContactPolicy,
    *,
    sent_today: int,
    to: str | None = None,
) -> May | MayNot:
    """Whether this lead may be reached by `channel` at `now`, and where; the first rule that refuses is the answer.

    Raises:
        ValueError: `now` says no offset.
    """
    if now.utcoffset() is None:
        raise ValueError("now has no offset")
    where = destination(lead, channel, to)
    barred = where if isinstance(where, MayNot) and where.rule == "number_status" else None
    answers = (
        _permission(lead, channel),
        _unsubscribed(lead, channel),
        barred,
        _do_not_contact(lead, policy),
        _consent(lead, policy),
        _quiet_hours(lead, channel, now, policy),
        _daily_cap(policy, sent_today),
        where,
    )
    return next(answer for answer in answers if answer is not None)


def destination(lead: LeadRecord, channel: Channel, to: str | None = None) -> May | MayNot:
    """The number or address that is used, as Lofty holds it: `to` if it is this lead's own, else the first usable."""
    return _address(lead, to) if channel == "email" else _number(lead, to)


def digits(text: str) -> str | None:
    """A telephone number as bare digits, without the country code 1; None if it is no whole number."""
    bare = phone_digits(text) if _PHONE.fullmatch(text) else ""
    return bare if _DIGITS.fullmatch(bare) else None


def barred_numbers(lead: LeadRecord) -> list[str]:
    """The lead's numbers that Lofty marks as do-not-contact; all, where a mark cannot be said to be one number's."""
    if len(lead.phone_statuses) != len(lead.phones):
        return lead.phones if _BARRED & {*lead.phone_statuses} else []
    return [number for number, status in zip(lead.phones, lead.phone_statuses, strict=True) if status in _BARRED]


def _not(rule: Rule, why: str) -> MayNot:
    return MayNot(rule, f"{why} Nothing was sent.")


def _address(lead: LeadRecord, to: str | None) -> May | MayNot:
    own = [address for address in lead.emails if to is None or address.casefold() == to.strip().casefold()]
    if to is not None and not own:
        return _not("destination", "That is not an e-mail address of this lead, and no other is written to.")
    usable = [address for address in own if _EMAIL.fullmatch(address)]
    return May(usable[0]) if usable else _not("destination", "This lead has no e-mail address that can be used.")


def _number(lead: LeadRecord, to: str | None) -> May | MayNot:
    if DNC_CONTACT in lead.phone_statuses:
        return _not("number_status", "Lofty has this lead as a do-not-contact person (phone status 5).")
    numbers = _statuses(lead)
    if to is not None:
        wanted = digits(to.strip())
        numbers = {number: statuses for number, statuses in numbers.items() if digits(number) == wanted}
        if not numbers:
            return _not("destination", "That is not a telephone number of this lead, and no other is used.")
    usable = [number for number, statuses in numbers.items() if statuses <= REACHABLE]
    if usable:
        return May(usable[0])
    met = frozenset[int | None]().union(*numbers.values())
    if DNC_NUMBER in met:
        return _not("number_status", "Lofty has this number as a do-not-call number (phone status 4).")
    if met - {INVALID}:
        return _not("number_status", "Lofty gives no status for this number, so it may be a do-not-call number.")
    return _not("destination", "This lead has no telephone number that can be used.")


def _statuses(lead: LeadRecord) -> dict[str, set[int | None]]:
    """The lead's numbers, each in its first spelling, with every status Lofty gives it; None where nobody can tell."""
    told: list[int | None] = list(lead.phone_statuses)
    if len(told) != len(lead.phones):  # which number a status belongs to is known by its place alone
        told = [None] * len(lead.phones)
    spelled: dict[str, str] = {}
    statuses: dict[str, set[int | None]] = {}
    for number, status in zip(lead.phones, told, strict=True):
        if bare := digits(number):
            statuses.setdefault(spelled.setdefault(bare, number), set()).add(status)
    return statuses


def _permission(lead: LeadRecord, channel: Channel) -> MayNot | None:
    barred = {"text": lead.cannot_text, "email": lead.cannot_email, "call": lead.cannot_call}[channel]
    return _not("permission", f"This lead's contact permissions in Lofty say no {_NOUNS[channel]}.") if barred else None


def _unsubscribed(lead: LeadRecord, channel: Channel) -> MayNot | None:
    if channel != "email" or not lead.unsubscription:
        return None
    return _not("unsubscribed", "This lead has unsubscribed from e-mail.")


def _do_not_contact(lead: LeadRecord, policy: ContactPolicy) -> MayNot | None:
    listed = {folded(name) for name in policy.do_not_contact}
    marks = [mark for mark in (lead.stage, *lead.tag_names, *lead.segments) if mark and folded(mark) in listed]
    return _not("do_not_contact", f'This lead is marked "{marks[0]}" by a stage, tag or segment.') if marks else None


def _consent(lead: LeadRecord, policy: ContactPolicy) -> MayNot | None:
    listed = {folded(name) for name in policy.consent_tags} - {""}
    if policy.consent == "not_opted_out" or any(folded(mark) in listed for mark in (*lead.tag_names, *lead.segments)):
        return None
    return _not("consent", "No tag or segment of this lead records its consent, which is required here.")


def _quiet_hours(lead: LeadRecord, channel: Channel, now: datetime, policy: ContactPolicy) -> MayNot | None:
    if channel == "email":
        return None
    states = [state for state in (lead.state, *(place.state for place in lead.lead_property_list)) if state]
    for zone in sorted(zones_of(states, policy.account_zone)):
        there = local_time(now, zone)
        if not policy.first_hour <= there.hour < policy.last_hour:
            return _not(
                "quiet_hours",
                f"It is {there:%H:%M} in {zone}; {_NOUNS[channel]} go out from {policy.first_hour}:00 to "
                f"{policy.last_hour}:00 in every zone of the lead's state (of the country, if the state is unknown).",
            )
    return None


def _daily_cap(policy: ContactPolicy, sent_today: int) -> MayNot | None:
    if sent_today < policy.daily_cap:
        return None
    return _not("daily_cap", f"The day's limit of {policy.daily_cap} messages is reached.")
