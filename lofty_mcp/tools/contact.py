"""The operator's contact rules, as the tools ask about them."""

import hmac
from datetime import UTC, datetime
from hashlib import sha256

from lofty_mcp.app import call
from lofty_mcp.client.requests import phone_digits
from lofty_mcp.guard.outreach import ContactPolicy
from lofty_mcp.guard.zones import folded
from lofty_mcp.models.leads import LeadRecord

DAY_SECONDS = 24 * 3600.0
NEW_NUMBER = "number added here"
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


def in_barring_stage(lead: LeadRecord) -> bool:
    """Whether the lead's stage says so; who takes it out of there loosens a rule, and only a person does that."""
    return barring(lead.stage)


def now() -> datetime:
    """The moment of this call."""
    return datetime.fromtimestamp(call().app.clock(), UTC)


async def sent_today() -> int:
    """How many messages this account has sent in 24 hours, or is sending."""
    since = call().app.clock() - DAY_SECONDS
    return await call().app.ledger.begun(call().account.principal, SENDS, since)


def _added_here(lead: LeadRecord, number: str) -> str:
    """The name under which the ledger remembers for a day that this number was added to this lead here."""
    digits = f"{lead.lead_id} {phone_digits(number)}"
    return hmac.new(call().app.secret, digits.encode(), sha256).hexdigest()


async def was_added_here(lead: LeadRecord, number: str) -> bool:
    """Whether this number was added to this lead here within a day."""
    return await call().app.ledger.redeem("", NEW_NUMBER, _added_here(lead, number)) is not None


async def remember_new_numbers(lead: LeadRecord, numbers: list[str]) -> None:
    """Remember for a day which of these are new to the lead."""
    known = {phone_digits(number) for number in lead.phones}
    for number in numbers:
        if phone_digits(number) not in known:
            name = _added_here(lead, number)
            await call().app.ledger.issue("", NEW_NUMBER, {}, DAY_SECONDS, code=name)
