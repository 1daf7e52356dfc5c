"""Who sees a hidden lead. Pure; the rule and its reasons stand in SECURITY.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from lofty_mcp.models.base import Id
from lofty_mcp.models.leads import LeadRow
from lofty_mcp.models.people import Member

Rule = Literal["assigned_agent", "any_assignee"]


@dataclass(frozen=True)
class Viewer:
    """The Lofty user whose eyes are used, as a set of user ids; empty when that user is not known for certain."""

    ids: frozenset[str] = frozenset()
    disputed: bool = False
    """The key names a user id that none of the user's own records bears; it does not count."""

    @property
    def known(self) -> bool:
        """Whether a hidden lead can be visible at all."""
        return bool(self.ids)


def is_hidden(lead: LeadRow) -> bool:
    """Whether `lead` is restricted: its `hiddenFlag` is not a plain false, or its undocumented `privateFlag` is set."""
    return lead.hidden_flag is not False or lead.private_flag


def visible(lead: LeadRow, viewer: Viewer, rule: Rule = "assigned_agent") -> bool:
    """Whether `lead` exists for `viewer`.

    Lofty's concept page: a lead with visibility restrictions is there for its assigned agent and nobody else.
    """
    if not is_hidden(lead):
        return True
    assignees = {lead.assigned_user_id}
    if rule == "any_assignee":
        assignees |= {role.assignee_id for role in lead.roles}
    return bool(viewer.ids & {person for person in assignees if person})


def viewer_of(me: Member, own_record: Member | None, claims: Mapping[str, Any]) -> Viewer:
    """The user ids that are certainly this user's (quirk 19: Lofty's records and the key disagree).

    `memberUserId` counts as Lofty defines it. The id of the member record is another kind of number; it counts only
    if the key's own payload names it too, and a number in the payload only if one of the two records bears it.
    """
    records = [record for record in (me, own_record) if record is not None]
    certain = {record.member_user_id for record in records}
    borne = certain | {record.id for record in records}
    claimed = {number for value in claims.values() if (number := _as_id(value))}
    users = {_as_id(value) for name, value in claims.items() if "user" in name.casefold()} - {None}
    return Viewer(frozenset(x for x in certain | (claimed & borne) if x), disputed=not users <= borne)


_ID: TypeAdapter[str | None] = TypeAdapter(Id)


def _as_id(value: object) -> str | None:
    try:
        return _ID.validate_python(value)
    except ValidationError:
        return None
