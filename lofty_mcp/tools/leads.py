"""Finding leads and reading one."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from lofty_mcp.app import call
from lofty_mcp.client import requests
from lofty_mcp.errors import InvalidInput, LoftyError, NoSuchOperation, NotFound
from lofty_mcp.guard.effects import Effect
from lofty_mcp.guard.gate import LeadQuery
from lofty_mcp.models.clean import line
from lofty_mcp.models.leads import Lead, LeadRow, lead_view
from lofty_mcp.models.results import Table
from lofty_mcp.tools.budget import fit_lead
from lofty_mcp.tools.contact import mark_of
from lofty_mcp.tools.lead_table import lead_table, resume
from lofty_mcp.tools.names import near, one_of
from lofty_mcp.tools.params import Cursor, LeadId, Limit, Text, point_in_time
from lofty_mcp.tools.spec import ToolSpec
from lofty_mcp.tools.team import find_member, stage_names, tag_names

Detail = Literal["concise", "full"]
Sort = Literal["created", "assigned", "last_contact", "last_activity", "score"]
Tags = Annotated[list[Text] | None, Field(max_length=20)]


async def search_leads(
    query: Annotated[Text | None, Field(description="Part of a name, e-mail or phone")] = None,
    email: Annotated[Text | None, Field(description="Exact e-mail address")] = None,
    phone: Annotated[Text | None, Field(description="Exact phone number")] = None,
    stage: Text | None = None,
    source: Text | None = None,
    assigned_to: Annotated[Text | None, Field(description='Member id, e-mail or name, or "me"')] = None,
    tags_any: Tags = None,
    tags_all: Tags = None,
    contacted: bool | None = None,
    created_after: Annotated[Text | None, Field(description="ISO 8601 date or time")] = None,
    sort: Sort = "created",
    descending: bool = True,
    limit: Limit = 20,
    cursor: Cursor = None,
    detail: Detail = "concise",
) -> Table:
    """Find leads by name, contact data, stage, source, assignee, tags or age; filters narrow each other.

    Without filters it lists the newest leads. next_cursor brings the rest; total comes once all have been seen.
    """
    zone = await call().account.vocabulary.zone()
    since = point_in_time(created_after, zone, "created_after")
    filters = {
        "key": query,
        "email": email,
        "preciseSearchFlag": True if email else None,
        "phone": _digits(phone),
        "stage": stage,
        "source": source,
        "assignedUserId": await _user_id(assigned_to),
        "contacted": contacted,
        "anyTags": _joined(tags_any, "tags_any"),
        "allTags": _joined(tags_all, "tags_all"),
        "sort": requests.SORTS[sort],
        "desc": descending,
    }
    given = {name: value for name, value in filters.items() if value is not None}
    searched = LeadQuery(
        given,
        descending if sort == "created" else None,
        keep=_checks(given, tags_any, tags_all, since),
        past=lambda row: bool(descending and since and row.create_time and row.create_time < since),
    )
    bound = given | {"created_after": str(since)}
    try:
        found = await call().crm.search(
            searched, await resume(bound, cursor), min(limit, call().app.settings.page_rows)
        )
    except NotFound:
        if stage is None:
            raise NoSuchOperation from None
        # Lofty's 404 to a list means that a filter names something that is not there (quirk 8).
        raise InvalidInput(
            f"Lofty knows no stage {stage!r}. {one_of(await stage_names())} Nothing was changed."
        ) from None
    table = await lead_table(found, bound, zone, full=detail == "full")
    unknown = await _unknown_tags([*(tags_any or ()), *(tags_all or ())]) if not table.rows else None
    return table.model_copy(update={"note": unknown}) if unknown else table


async def get_lead(lead_id: LeadId, detail: Detail = "concise") -> Lead:
    """Read one lead: contact data, stage, assignee, tags, what they look for, and how they may be reached.

    detail="full" adds properties, qualification, routing, family and custom fields.
    """
    return await read_lead(lead_id, full=detail == "full")


async def read_lead(lead_id: str, *, full: bool) -> Lead:
    """One lead's view within the result budget, for the tool and the resource."""
    current = call()
    current.leads = [lead_id]
    record = await current.crm.lead(lead_id)
    email = await _email(record.assigned_user_id)
    view = lead_view(record, await current.account.vocabulary.zone(), full=full, agent_email=email)
    if (mark := mark_of(record)) is not None:
        barred = {**(view.contact_permissions or {}), "do_not_contact": mark}
        view = view.model_copy(update={"contact_permissions": barred})
    return fit_lead(view, current.app.settings.result_tokens)


async def _unknown_tags(tags: list[str]) -> str | None:
    """Why a search by tags may have found nothing: a name that the account does not have."""
    known = await tag_names() if tags else []
    missing = [tag for tag in tags if tag not in known]
    if not missing:
        return None
    hint = f"Near: {', '.join(map(line, close))}." if (close := near(missing[0], known)) else one_of(known)
    return f"The account has no tag {missing[0]!r}. {hint}"


async def _email(user_id: str | None) -> str | None:
    try:
        people = await call().account.vocabulary.members()
    except LoftyError:
        return None  # the team is not everybody's to see
    return next((member.email for member in people if user_id and member.member_user_id == user_id), None)


async def _user_id(text: str | None) -> str | None:
    if text is None:
        return None
    member = await find_member(text)
    return member.member_user_id or member.id


def _digits(phone: str | None) -> str | None:
    if phone is None:
        return None
    digits = requests.phone_digits(phone)
    if not 5 <= len(digits) <= 15:
        raise InvalidInput("phone: give the whole number, 5 to 15 digits. Nothing was changed.")
    return digits


def _joined(tags: list[str] | None, name: str) -> str | None:
    if not tags:
        return None
    if any("," in tag for tag in tags):
        raise InvalidInput(f"{name}: Lofty cannot search for a tag with a comma in it. Nothing was changed.")
    return ",".join(tags)


def _checks(
    filters: Mapping[str, str | bool],
    tags_any: list[str] | None,
    tags_all: list[str] | None,
    since: datetime | None,
) -> Callable[[LeadRow], bool]:
    """What each row must bear out, where it says anything: Lofty ignores a filter that it does not know.

    An empty value says something; a field that Lofty did not send says nothing.
    """

    email, phone = filters.get("email"), filters.get("phone")
    exact = {"stage": filters.get("stage"), "source": filters.get("source")}
    exact["assigned_user_id"] = filters.get("assignedUserId")
    if not (email or phone or tags_any or tags_all or since or any(exact.values())):
        return lambda _: True

    def fits(row: LeadRow) -> bool:
        tags, unsaid = {tag.casefold() for tag in row.tag_names}, type(row).model_fields.keys() - row.model_fields_set
        return (
            all(v is None or name in unsaid or _same(getattr(row, name), str(v)) for name, v in exact.items())
            and (email is None or "emails" in unsaid or str(email).casefold() in {e.casefold() for e in row.emails})
            and (phone is None or "phones" in unsaid or phone in {requests.phone_digits(p) for p in row.phones})
            and (not tags_any or "tags" in unsaid or bool(tags & {t.casefold() for t in tags_any}))
            and (not tags_all or "tags" in unsaid or {t.casefold() for t in tags_all} <= tags)
            and (since is None or (row.create_time is not None and row.create_time >= since))
        )

    return fits


def _same(found: str | None, wanted: str) -> bool:
    return found is not None and found.casefold() == wanted.casefold()


TOOLS = (
    ToolSpec(search_leads, Effect.READ, "Search leads", lists=("tags_any", "tags_all")),
    ToolSpec(get_lead, Effect.READ, "Get lead"),
)
