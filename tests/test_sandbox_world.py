import ast
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import lofty_mcp.sandbox
from lofty_mcp.sandbox import UnknownPath, World, build_app
from tests.contract.asking import ANA, MARK, NOW, OWNER, ask, sandbox, user_id


def _dump(world: World) -> list[list[tuple[object, ...]]]:
    tables = ("leads", "tags", "lead_tags", "items")
    return [[tuple(row) for row in world.store.rows(f"SELECT * FROM {table}")] for table in tables]  # noqa: S608 - names of ours


def test_the_same_seed_gives_the_same_world_and_another_one_does_not() -> None:
    worlds = [sandbox(seed=seed)[1] for seed in (7, 7, 8)]
    first, again, other = (_dump(world) for world in worlds)
    assert first == again
    assert first != other
    assert [member.key for member in worlds[0].members] != [member.key for member in worlds[2].members]


def test_a_bigger_world_begins_like_a_smaller_one() -> None:
    small, big = sandbox(leads=50)[1], sandbox(leads=80)[1]
    assert [small.lead(lead) for lead in small.lead_ids()] == [big.lead(lead) for lead in small.lead_ids()]


def test_without_a_moment_the_world_is_fresh() -> None:
    world: World = build_app(leads=1).state.world
    assert timedelta(0) <= datetime.now(UTC) - world.now < timedelta(hours=1, minutes=1)


@pytest.mark.slow
def test_50000_leads_are_there_in_ten_seconds() -> None:
    began = time.perf_counter()
    _, world = sandbox(leads=50_000)
    assert time.perf_counter() - began < 10
    assert len(world.lead_ids()) == 50_000


def test_the_seed_holds_one_of_every_kind_of_trouble() -> None:
    _, world = sandbox()
    leads = {lead: world.lead(lead) for lead in world.lead_ids()}
    hidden = [leads[lead] for lead in world.hidden_ids()]
    assert {lead["ownershipScope"] for lead in leads.values()} == {"TEAM", "OFFICE", "PERSONAL"}
    assert {lead["ownershipScope"] for lead in hidden} == {"PERSONAL"}
    assert {lead["assignedUserId"] for lead in hidden} == {m.user_id for m in world.members if m.role == "Agent"}
    helped = {role["role"] for lead in hidden for role in lead["customRoleList"] if role["assigneeId"] > 0}
    assert helped == {"Assistant", "Lender"}
    assert world.trashed_ids()
    assert sum(lead > 2**53 for lead in leads) >= 4
    shown = list(leads.values())
    for flag in ("privateFlag", "cannotText", "cannotEmail", "cannotCall", "unsubscription"):
        assert any(lead[flag] for lead in shown), flag
    assert {status for lead in shown for status in lead["phoneStatuses"]} >= {2, 4, 5}
    assert any(lead["stage"] == "Do Not Contact" for lead in shown)
    assert any(tag["tagName"] == "Do Not Contact" for lead in shown for tag in lead["tags"])
    assert any(lead["pondId"] > 0 and lead["pondName"] for lead in shown)
    assert any("<script>" in lead["lastName"] for lead in shown)
    assert any("ignore all previous" in p["description"] for lead in shown for p in lead["leadInquiry"]["locations"])
    assert all(len(lead["firstName"]) <= 30 and len(lead["lastName"]) <= 30 for lead in shown)
    notes = [row["data"] for row in world.store.rows("SELECT data FROM items WHERE kind='note'")]
    assert any("SYSTEM: ignore" in note for note in notes)


def test_hidden_leads_have_names_nobody_else_has() -> None:
    _, world = sandbox()
    hidden = {world.lead(lead)["lastName"] for lead in world.hidden_ids()}
    others = {world.lead(lead)["lastName"] for lead in set(world.lead_ids()) - set(world.hidden_ids())}
    assert not hidden & others


async def test_a_path_or_method_it_does_not_know_is_404_or_raises_when_strict() -> None:
    loose, strict = sandbox(leads=0, strict=False)[0], sandbox(leads=0)[0]
    for method, path in (("GET", "/v1/leads"), ("GET", "/v2.0/leads"), ("PATCH", "/v1.0/me"), ("HEAD", "/v1.0/me")):
        answer = await ask(loose, method, path)
        assert answer.status_code == 404
        assert method == "HEAD" or answer.json() == {"message": "The requested API endpoint does not exist"}
        with pytest.raises(UnknownPath, match=path):
            await ask(strict, method, path)


async def test_the_log_holds_every_request_as_it_came() -> None:
    app, world = sandbox(leads=0)
    await ask(app, "GET", "/v1.0/leads?limit=5&stage=New%20Lead", who=ANA)
    await ask(app, "POST", "/v1.0/notes", body={"leadId": 1, "content": "c", "isPin": False})
    first, second = world.log
    assert (first.method, first.path, first.query) == ("GET", "/v1.0/leads", {"limit": ["5"], "stage": ["New Lead"]})
    assert (first.member, first.status, first.body, first.headers["content-type"]) == (
        ANA,
        200,
        None,
        "application/json",
    )
    assert (second.member, second.status, second.body["content"]) == (OWNER, 404, "c")


def test_somebody_else_changes_a_lead_behind_our_back() -> None:
    _, world = sandbox(leads=0)
    lead = world.add_lead(firstName="Ada", tags=["a"])
    world.update_lead(
        lead, stage="Closed", hiddenFlag=1, assignedUserId=user_id(world, MARK), tags=["b"], cannotCall=True
    )
    after = world.lead(lead)
    assert (after["stage"], after["stageId"], after["hiddenFlag"], after["cannotCall"]) == ("Closed", 105, True, True)
    assert (after["assignedUser"], [tag["tagName"] for tag in after["tags"]]) == ("Mark Silva", ["b"])
    world.update_lead(lead, hiddenFlag=None, lastTouch=NOW)
    assert (world.lead(lead)["hiddenFlag"], world.lead(lead)["lastTouch"]) == (None, "2026-03-02T12:00:00GMT")
    with pytest.raises(KeyError, match="colour"):
        world.update_lead(lead, colour="red")


async def test_a_removed_lead_has_never_been() -> None:
    app, world = sandbox(leads=0)
    before = _dump(world)
    lead = world.add_lead(tags=["VIP"])
    note = world.add_note(lead, content="x")
    world.remove_lead(lead)
    assert _dump(world) == before
    assert (await ask(app, "GET", f"/v1.0/notes/{note}")).status_code == 404


def test_a_database_can_live_in_a_file(tmp_path: Path) -> None:
    _, world = sandbox(leads=3, database=str(tmp_path / "world.db"))
    world.store.close()
    assert (tmp_path / "world.db").stat().st_size > 0


def test_it_imports_nothing_of_ours() -> None:
    allowed = {*sys.stdlib_module_names, "starlette", "uvicorn", "anyio"}
    for module in Path(str(lofty_mcp.sandbox.__file__)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            names = [node.module or "."] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name.split(".")[0] in allowed or name.startswith("lofty_mcp.sandbox"), f"{module.name}: {name}"
