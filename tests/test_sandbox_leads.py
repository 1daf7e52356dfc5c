import json
from typing import Any

import pytest

from lofty_mcp.sandbox import World
from tests.contract.asking import ANA, ASSISTANT, LENDER, MARK, OWNER, ask, sandbox, user_id

NO_LEAD = {"message": "BaseApplicationException:errorCode=20006,errorMsg=Lead not exist"}


async def _rows(app: Any, who: str = OWNER, **params: Any) -> list[dict[str, Any]]:
    answer = await ask(app, "GET", "/v1.0/leads", who=who, params={"limit": 100, **params})
    assert answer.status_code == 200
    rows: list[dict[str, Any]] = answer.json()["leads"]
    return rows


def _of(world: World, email: str, **fields: Any) -> int:
    return world.add_lead(assignedUserId=user_id(world, email), firstName="Nora", lastName="Vale", **fields)


async def test_the_list_has_metadata_under_its_wire_name_and_25_rows_newest_first() -> None:
    app, world = sandbox()
    body = (await ask(app, "GET", "/v1.0/leads")).json()
    times = [row["createTime"] for row in body["leads"]]
    assert (body["_metadata"]["limit"], body["_metadata"]["offset"], len(times)) == (25, 0, 25)
    assert body["_metadata"]["total"] == 200 - len(world.trashed_ids())
    assert times == sorted(times, reverse=True)
    assert all(time.endswith("GMT") for time in times)


@pytest.mark.parametrize("limit", ["0", "101", "-3"])
async def test_a_limit_outside_1_to_100_is_400_20042(limit: str) -> None:
    app, _ = sandbox(leads=1)
    answer = await ask(app, "GET", "/v1.0/leads", params={"limit": limit})
    assert answer.status_code == 400
    assert "errorCode=20042,errorMsg=Limit must be between 1 and 100" in answer.json()["message"]


async def test_names_that_are_no_parameters_are_ignored() -> None:
    app, _ = sandbox(leads=30)
    plain = (await ask(app, "GET", "/v1.0/leads")).json()
    odd = {"keyword": "zzz", "page": "3", "pageSize": "2", "stageId": "1", "tagId": "4", "pondId": "5501"}
    assert (await ask(app, "GET", "/v1.0/leads", params=odd)).json() == plain


async def test_offset_and_scroll_id_walk_the_same_list_to_its_end() -> None:
    app, world = sandbox(leads=30)
    by_offset = [row["leadId"] for start in (0, 12, 24, 36) for row in await _rows(app, limit=12, offset=start)]
    first = (await ask(app, "GET", "/v1.0/leads", params={"limit": 12})).json()
    second = await _rows(app, limit=12, scrollId=first["_metadata"]["scrollId"])
    assert sorted(by_offset) == world.lead_ids()
    assert [row["leadId"] for row in second] == by_offset[12:24]


async def test_past_the_end_there_is_nothing_or_if_asked_for_the_last_page_again() -> None:
    app, world = sandbox(leads=30)
    last = await _rows(app, limit=10, offset=20)
    assert await _rows(app, limit=10, offset=30) == []
    world.repeat_last_page = True
    assert await _rows(app, limit=10, offset=30) == last


async def test_an_unknown_stage_is_404_and_spelling_counts() -> None:
    app, _ = sandbox(leads=50)
    assert {row["stage"] for row in await _rows(app, stage="Contacted")} == {"Contacted"}
    for name in ("contacted", "No such stage"):
        assert (await ask(app, "GET", "/v1.0/leads", params={"stage": name})).status_code == 404


async def test_filters_are_anded() -> None:
    app, world = sandbox()
    ana = user_id(world, ANA)
    rows = await _rows(app, assignedUserId=ana, stage="Qualified", contacted="true")
    assert rows
    assert all(row["assignedUserId"] == ana and row["stage"] == "Qualified" and row["lastTouch"] for row in rows)
    sources = await _rows(app, source="Zillow", groupIds=9101, anyTags="VIP,Buyer")
    assert all(row["source"] == "Zillow" and {"VIP", "Buyer"} & {t["tagName"] for t in row["tags"]} for row in sources)


async def test_tag_filters_take_all_or_any() -> None:
    app, world = sandbox(leads=0)
    one, both = world.add_lead(tags=["a"]), world.add_lead(tags=["a", "b"])
    assert {row["leadId"] for row in await _rows(app, anyTags="a,b")} == {one, both}
    assert [row["leadId"] for row in await _rows(app, allTags="a,b")] == [both]


async def test_email_and_phone_match_parts_unless_told_to_be_precise() -> None:
    app, world = sandbox(leads=0)
    short = world.add_lead(emails=["ann@x.example"], phones=["5550001"])
    long = world.add_lead(emails=["joann@x.example"], phones=["15550001"])
    assert {row["leadId"] for row in await _rows(app, email="ANN@x.example")} == {short, long}
    assert [row["leadId"] for row in await _rows(app, email="ANN@x.example", preciseSearchFlag="true")] == [short]
    assert {row["leadId"] for row in await _rows(app, phone="5550001")} == {short, long}
    assert [row["leadId"] for row in await _rows(app, phone="5550001", preciseSearchFlag="true")] == [short]
    assert await _rows(app, phone="555-0001") == []


async def test_key_looks_into_name_email_and_phone() -> None:
    app, world = sandbox(leads=20)
    wanted = world.add_lead(firstName="Ada", lastName="Byron", emails=["count@engine.example"], phones=["4155550199"])
    for key in ("ada by", "ENGINE.example", "5550199"):
        assert [row["leadId"] for row in await _rows(app, key=key)] == [wanted]


async def test_a_role_filter_finds_the_leads_of_an_assistant() -> None:
    app, world = sandbox(leads=0)
    assistant = user_id(world, ASSISTANT)
    wanted = world.add_lead(assistantUserId=assistant)
    world.add_lead()
    text = json.dumps([{"roleName": "Assistant", "assigneeToIds": [assistant]}])
    assert [row["leadId"] for row in await _rows(app, roleAssigneeFilters=text)] == [wanted]


async def test_a_sort_without_desc_ascends() -> None:
    app, _ = sandbox(leads=40)
    scores = [row["score"] for row in await _rows(app, sort="Score")]
    assert scores == sorted(scores)
    assert [row["score"] for row in await _rows(app, sort="Score", desc="true")] == scores[::-1]


async def test_one_lead_is_wrapped_and_carries_unset_values_and_the_whole_role_catalogue() -> None:
    app, world = sandbox(leads=0)
    lead = _of(world, ANA, lenderUserId=user_id(world, LENDER))
    shown = (await ask(app, "GET", f"/v1.0/leads/{lead}")).json()["lead"]
    assert (shown["leadSource"], shown["leadInquiry"]["priceMin"], shown["pondId"]) == (-1, -1, 0)
    assert shown["assignedUser"] == "Ana Reyes"
    assert [(role["role"], role["assigneeId"], role["assignee"]) for role in shown["customRoleList"]] == [
        ("Lender", user_id(world, LENDER), LENDER),
        ("Assistant", 0, ""),
        ("Transaction Coordinator", -1, ""),
    ]


@pytest.mark.parametrize("path", ["5?x", "../me", "0", "-1", "9223372036854775808", "abc"])
async def test_an_id_that_is_no_id_is_400(path: str) -> None:
    app, _ = sandbox(leads=1, strict=False)
    answer = await ask(app, "GET", "/v1.0/leads/" + path.replace("?", "%3F").replace("/", "%2F"))
    assert answer.status_code in {400, 404}
    assert "lead" not in answer.json()


async def test_absent_invisible_and_trashed_leads_give_the_same_answer() -> None:
    app, world = sandbox(leads=0)
    foreign = _of(world, ANA, ownershipScope="PERSONAL", ownershipId=user_id(world, ANA))
    trashed = _of(world, MARK, trashed=1)
    for lead in (123456789, foreign, trashed):
        answer = await ask(app, "GET", f"/v1.0/leads/{lead}", who=MARK)
        assert (answer.status_code, answer.json()) == (404, NO_LEAD)
    assert (await ask(app, "GET", f"/v1.0/leads/{trashed}?withTrash=true", who=MARK)).status_code == 200


async def test_ownership_decides_who_sees_a_lead() -> None:
    app, world = sandbox(leads=0)
    mark = user_id(world, MARK)
    leads = {
        "team": world.add_lead(),
        "office": world.add_lead(ownershipScope="OFFICE", ownershipId=9102),
        "personal": world.add_lead(ownershipScope="PERSONAL", ownershipId=mark),
        "assigned": world.add_lead(ownershipScope="PERSONAL", ownershipId=1, assignedUserId=mark),
        "shared": world.add_lead(ownershipScope="PERSONAL", ownershipId=1, lenderUserId=user_id(world, LENDER)),
    }
    seen = {who: {row["leadId"] for row in await _rows(app, who)} for who in (OWNER, ANA, MARK, LENDER)}
    assert seen[OWNER] == set(leads.values())
    assert seen[ANA] == {leads["team"]}
    assert seen[MARK] == {leads["team"], leads["office"], leads["personal"], leads["assigned"]}
    assert seen[LENDER] == {leads["team"], leads["office"], leads["shared"]}


async def test_a_hidden_lead_leaks_to_the_owner_and_to_its_agents_office() -> None:
    app, world = sandbox(leads=0)
    lead = _of(world, ANA, hiddenFlag=1, ownershipScope="PERSONAL", ownershipId=user_id(world, ANA))
    codes = {
        who: (await ask(app, "GET", f"/v1.0/leads/{lead}", who=who)).status_code for who in (OWNER, ASSISTANT, MARK)
    }
    assert codes == {OWNER: 200, ASSISTANT: 200, MARK: 404}


async def test_a_put_changes_what_it_names_and_answers_the_id() -> None:
    app, world = sandbox(leads=0)
    lead = _of(world, ANA, phones=["1"], phoneStatuses=[4])
    before = world.lead(lead)
    body = {"stage": "Qualified", "cannotText": True, "phones": ["1", "2"], "inquiry": {"priceMax": 500000}}
    assert (await ask(app, "PUT", f"/v1.0/leads/{lead}", body=body)).json() == {"leadId": lead}
    after = world.lead(lead)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {
        "stage",
        "stageId",
        "cannotText",
        "phones",
        "phoneStatuses",
        "leadInquiry",
        "lastUpdateTime",
    }
    assert (after["phoneStatuses"], after["leadInquiry"]["priceMax"]) == ([4, 2], 500000)


@pytest.mark.parametrize("body", [{"stageId": 103}, {"nonsense": 1}, {}, {"stage": "No such stage"}])
async def test_a_put_without_anything_understood_is_200_no_change(body: dict[str, Any]) -> None:
    app, world = sandbox(leads=1)
    before = world.lead(world.busy_lead_id)
    answer = await ask(app, "PUT", f"/v1.0/leads/{world.busy_lead_id}", body=body)
    assert (answer.status_code, answer.json()) == (200, {"data": "no change"})
    assert world.lead(world.busy_lead_id) == before


async def test_an_unknown_stage_among_other_fields_is_dropped_without_a_word() -> None:
    app, world = sandbox(leads=0)
    lead = _of(world, ANA, stage="Contacted")
    answer = await ask(app, "PUT", f"/v1.0/leads/{lead}", body={"stage": "Nope", "lastName": "New"})
    assert answer.json() == {"leadId": lead}
    assert (world.lead(lead)["stage"], world.lead(lead)["lastName"]) == ("Contacted", "New")


async def test_long_names_stages_and_tags_are_cut_silently() -> None:
    app, world = sandbox(leads=0)
    lead = _of(world, ANA)
    body = {"firstName": "n" * 40, "stage": "Open House Follow-Up and more", "tagsAdd": ["t" * 80]}
    assert (await ask(app, "PUT", f"/v1.0/leads/{lead}", body=body)).status_code == 200
    assert world.lead(lead)["firstName"] == "n" * 30
    assert [tag["tagName"] for tag in world.lead(lead)["tags"]] == ["t" * 64]
    assert world.lead(lead)["stage"] == "Open House Follow-Up"


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ({"tagsAdd": ["c"]}, {"a", "b", "c"}),
        ({"tagsRemove": ["a", "*", "zz"]}, {"b"}),
        ({"tags": ["x", 6536952]}, {"x", "6536952"}),
        ({"tags": []}, set()),
        ({"tagsAdd": ["c", "d"], "tagsRemove": ["c", "a"]}, {"b", "d"}),
        ({"clearAllTags": True, "tags": ["x"], "tagsAdd": ["y"]}, set()),
    ],
)
async def test_tags_replace_add_remove_and_clear(body: dict[str, Any], left: set[str]) -> None:
    app, world = sandbox(leads=0)
    lead = _of(world, ANA, tags=["a", "b"])
    assert (await ask(app, "PUT", f"/v1.0/leads/{lead}", body=body)).json() == {"leadId": lead}
    assert {tag["tagName"] for tag in world.lead(lead)["tags"]} == left


@pytest.mark.parametrize(
    "body", [{"firstName": 5}, {"tags": "a"}, {"assignedUserId": 1}, {"phones": [1]}, {"firstName": "\ud800"}, []]
)
async def test_a_put_with_a_wrong_type_is_400_20012_and_changes_nothing(body: Any) -> None:
    app, world = sandbox(leads=1)
    before = world.lead(world.busy_lead_id)
    answer = await ask(app, "PUT", f"/v1.0/leads/{world.busy_lead_id}", body=body)
    assert answer.status_code == 400
    assert "errorCode=20012" in answer.json()["message"]
    assert world.lead(world.busy_lead_id) == before


async def test_only_a_personal_lead_can_be_hidden() -> None:
    app, world = sandbox(leads=0)
    team, personal = _of(world, ANA), _of(world, ANA, ownershipScope="PERSONAL", ownershipId=user_id(world, ANA))
    assert (await ask(app, "PUT", f"/v1.0/leads/{team}", body={"isHidden": True})).json() == {"data": "no change"}
    assert (await ask(app, "PUT", f"/v1.0/leads/{personal}", body={"isHidden": True})).json() == {"leadId": personal}
    assert world.hidden_ids() == [personal]


async def test_a_property_without_an_address_or_of_another_lead_is_refused() -> None:
    app, world = sandbox(leads=0)
    lead = _of(world, ANA)
    blank = await ask(app, "PUT", f"/v1.0/leads/{lead}", body={"property": {"price": 1}})
    foreign = await ask(app, "PUT", f"/v1.0/leads/{lead}", body={"property": {"id": 5, "city": "Denver"}})
    assert (blank.status_code, foreign.status_code) == (400, 404)
    assert "errorCode=200057" in blank.json()["message"]
    assert "errorCode=200108" in foreign.json()["message"]


async def test_delete_wants_a_reason_moves_to_trash_and_answers_nothing() -> None:
    app, world = sandbox(leads=0)
    lead = _of(world, ANA)
    for query in ("", "?reason=", "?reason=%20"):
        assert (await ask(app, "DELETE", f"/v1.0/leads/{lead}{query}")).status_code == 400
    assert world.trashed_ids() == []
    answer = await ask(app, "DELETE", f"/v1.0/leads/{lead}?reason=duplicate")
    assert (answer.status_code, answer.content) == (200, b"")
    assert world.trashed_ids() == [lead]
    assert (await ask(app, "DELETE", f"/v1.0/leads/{lead}?reason=duplicate")).status_code == 404


async def test_assignment_takes_an_array_of_roles_and_login_emails() -> None:
    app, world = sandbox(leads=0)
    lead = _of(world, ANA)
    body = [{"role": "Agent", "assignee": MARK}, {"role": "Lender", "assignee": LENDER}]
    assert (await ask(app, "POST", f"/v1.0/leads/{lead}/assignment", body=body)).json() == {"leadId": lead}
    after = world.lead(lead)
    assert (after["assignedUser"], after["lenderUserId"]) == ("Mark Silva", user_id(world, LENDER))
    assert after["customRoleList"][0]["assignee"] == LENDER


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"role": "Agent", "assignee": MARK}, 400, 20012),
        ([], 400, 20012),
        ([{"role": "Boss", "assignee": MARK}], 400, 20012),
        ([{"role": "Agent", "assignee": 550118203344913}], 400, 20012),
        ([{"role": "Lender", "assignee": LENDER}, {"role": "Agent", "assignee": "no@one.example"}], 404, 20003),
    ],
)
async def test_an_assignment_that_is_not_right_changes_nothing(body: Any, status: int, code: int) -> None:
    app, world = sandbox(leads=0)
    lead = _of(world, ANA)
    before = world.lead(lead)
    answer = await ask(app, "POST", f"/v1.0/leads/{lead}/assignment", body=body)
    assert answer.status_code == status
    assert f"errorCode={code}," in answer.json()["message"]
    assert world.lead(lead) == before
