"""The operator's contact rules, as the tools ask about them."""

import hmac
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256

from lofty_mcp.app import call
from lofty_mcp.client.requests import phone_digits
from lofty_mcp.guard.outreach import ContactPolicy
from lofty_mcp.guard.zones import folded
from lofty_mcp.models.leads import LeadRecord

DAY_SECONDS = 24 * 3600.0
ADDED = "added here"
SENDS = ("send_text", "send_email")


async def contact_policy() -> ContactPolicy:
    """What the operator allows, in the account's zone."""
    settings = call().app.settings
    return ContactPolicy(
        account_zone=str(await call().account.vocabulary.zone()),
        daily_cap=settings.sends_per_day,
        consent=settings.consent,
        consent_tags=settings.consent_tags,
        do_not_contact=settings.do_not_contact,
    )


def barring(name: str | None) -> bool:
    """Whether a stage, tag or segment of this name says that its lead is not to be contacted."""
    return name is not None and folded(name) in {folded(listed) for listed in call().app.settings.do_not_contact}


def consenting(name: str) -> bool:
    """Whether a tag of this name says that its lead may be written to; only a person can know that."""
    return folded(name) in {folded(listed) for listed in call().app.settings.consent_tags}


def why_only_a_person_moves(lead: LeadRecord) -> str | None:
    """Why a person has to decide about another stage: the lead's own says that it is not to be contacted."""
    return f"Out of {lead.stage!r} this lead may be written to again." if barring(lead.stage) else None


def mark_of(lead: LeadRecord) -> str | None:
    """The stage, tag or segment that says that this lead is not to be contacted."""
    return next((name for name in (lead.stage, *lead.tag_names, *lead.segments) if barring(name)), None)


def now() -> datetime:
    """The moment of this call."""
    return datetime.fromtimestamp(call().app.clock(), UTC)


async def sent_today() -> int:
    """How many messages this account has sent in 24 hours, or is sending."""
    since = call().app.clock() - DAY_SECONDS
    return await call().app.ledger.begun(call().account.principal, SENDS, since)


async def was_added_here(lead: LeadRecord, way: str) -> bool:
    """Whether this number or address was added to this lead here within a day."""
    return await call().app.ledger.redeem("", ADDED, _name(lead, way)) is not None


async def remember_added(lead: LeadRecord, ways: Iterable[str]) -> None:
    """Remember for a day which of these numbers and addresses are new to the lead."""
    known = {_name(lead, way) for way in (*lead.phones, *lead.emails)}
    for name in dict.fromkeys(_name(lead, way) for way in ways):
        if name not in known:
            await call().app.ledger.issue("", ADDED, {}, DAY_SECONDS, code=name)


def _name(lead: LeadRecord, way: str) -> str:
    """What the ledger knows a lead's number or address by."""
    plain = f"{lead.lead_id} {way.casefold() if '@' in way else phone_digits(way)}"
    return hmac.new(call().app.secret, plain.encode(), sha256).hexdigest()
