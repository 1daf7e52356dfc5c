"""Who is calling, and what people are called."""

from importlib.metadata import version

from lofty_mcp.app import Call, call
from lofty_mcp.client.requests import STAGE_LIMIT
from lofty_mcp.client.vocabulary import spelled
from lofty_mcp.errors import InvalidInput, LoftyError
from lofty_mcp.guard.effects import Effect
from lofty_mcp.guard.visibility import Viewer
from lofty_mcp.models.clean import line
from lofty_mcp.models.people import Account, Member, Whoami
from lofty_mcp.settings import Mode
from lofty_mcp.tools.names import near, one_of
from lofty_mcp.tools.spec import ToolSpec


async def who_am_i() -> Whoami:
    """Say whose eyes and permissions are used here, whether hidden leads can be shown, and what this server may do.

    Call it once at the start, or when something seems to be missing.
    """
    return await whoami()


async def whoami() -> Whoami:
    """The account, the viewer and the rules, for the tool and the resource."""
    current = call()
    vocabulary = current.account.vocabulary
    person = await current.crm.person()
    viewer = await current.crm.viewer()
    try:
        company = (await vocabulary.org()).company
    except LoftyError:
        company = None  # the organisation is not everybody's to see
    return Whoami(
        account=await _account(person or Member(email=current.account.member), company),
        viewer_known=viewer.known,
        viewer_note=_viewer_note(viewer),
        mode=current.mode,
        toolsets=list(current.toolsets),
        may=current.may,
        asks_before=_asks_before(current),
        sends=current.app.settings.sends if Effect.SEND in current.tools.values() else None,
        personal_data=current.app.settings.pii,
        writes_paused=await current.app.ledger.paused(),
        sandbox=current.app.sandbox,
        version=version("lofty-mcp"),
    )


async def _account(person: Member, company: str | None) -> Account:
    vocabulary = call().account.vocabulary
    # Of the credential's own user, `/v1.0/me` says more than the member record.
    shown = person if call().account.member else await vocabulary.me()
    return Account(
        name=shown.name,
        email=shown.email,
        user_id=person.member_user_id or shown.id,
        role=shown.role_name,
        admin=shown.is_admin,
        office=shown.group_name,
        company=company,
        team_id=shown.team_id,
        time_zone=str(await vocabulary.zone()),
    )


def _viewer_note(viewer: Viewer) -> str | None:
    if not viewer.known:
        return "Lofty's records do not show for certain which user this is, so no hidden lead is visible."
    if viewer.disputed:
        return "The key names another user id than Lofty's records; hidden leads assigned to that id are not visible."
    return None


def _asks_before(current: Call) -> list[str]:
    if current.mode in (Mode.READ, Mode.AUTO):
        return []
    line_drawn = Effect[current.app.settings.ask_from.upper()]
    asked = {current.tools[name] for name in current.may if current.tools[name] >= line_drawn}
    return [effect.name.lower() for effect in sorted(asked) if effect is not Effect.READ]


async def find_member(text: str) -> Member:
    """The one member with this id, e-mail address or name; `me` is the caller.

    Raises:
        InvalidInput: nobody, or more than one; the message names the candidates.
    """
    vocabulary = call().account.vocabulary
    if text.casefold() == "me":
        if (person := await call().crm.person()) is not None:
            return person
        raise InvalidInput("Lofty shows no record of the member this account acts for. Nothing was changed.")
    found = _matching(await vocabulary.members(), text) or _matching(await vocabulary.members(again=True), text)
    if len(found) == 1:
        return found[0]
    if found:
        names = "; ".join(f"{m.name} <{m.email or 'no e-mail'}>" for m in found[:10])
        raise InvalidInput(f"{text!r} fits more than one member: {names}. Give the e-mail. Nothing was changed.")
    everybody = [member.name for member in await vocabulary.members()]
    raise InvalidInput(
        f"There is no member {text!r}. {one_of(near(text, everybody) or everybody)} Nothing was changed."
    )


def _matching(people: list[Member], text: str) -> list[Member]:
    wanted = text.casefold()
    by_id = [m for m in people if text in (m.member_user_id, m.id)]
    by_email = [m for m in people if (m.email or "").casefold() == wanted]
    by_name = [m for m in people if m.name.casefold() == wanted]
    by_part = [m for m in people if wanted in m.name.casefold().split()]
    by_user_id = [m for m in by_id if m.member_user_id == text]
    return by_user_id or by_id or by_email or by_name or by_part


async def stage_names(*, again: bool = False) -> list[str]:
    """The stages this viewer can know of, in the account's spelling."""
    current = call()
    return list(dict.fromkeys([*await current.account.vocabulary.stages(again=again), *current.account.seen.stages]))


async def tag_names(*, again: bool = False) -> list[str]:
    """The tags this viewer can know of, in the account's spelling."""
    current = call()
    return list(dict.fromkeys([*await current.account.vocabulary.tags(again=again), *current.account.seen.tags]))


async def find_stage(name: str) -> str:
    """`name`, if it is a stage.

    Raises:
        InvalidInput: it is not; the message names those that are.
    """
    exact = spelled(_short_enough(name), await stage_names()) or spelled(name, await stage_names(again=True))
    if exact is not None:
        return exact
    names = await stage_names()
    close = near(name, names)
    known, met = await call().crm.stage_is_known(name)
    if met or (known and not close):  # of a near miss, an answer without rows proves nothing
        return name
    hint = f" Did you mean {line(close[0])!r}?" if close else ""
    raise InvalidInput(f"There is no stage {name!r}.{hint} {one_of(names)} Nothing was changed.")


def _short_enough(name: str) -> str:
    if line(name) != name:
        raise InvalidInput(
            f"stage: {line(name)!r} holds markup or characters that cannot be seen. Nothing was changed."
        )
    if len(name) > STAGE_LIMIT:
        raise InvalidInput(
            f"Lofty cuts stage names at {STAGE_LIMIT} characters, so {name!r} cannot be set. Nothing was changed."
        )
    return name


TOOLS = (ToolSpec(who_am_i, Effect.READ, "Who am I"),)
