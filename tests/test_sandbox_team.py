from tests.contract.asking import ANA, MARK, OWNER, SHORT_ME, ask, sandbox, user_id


async def test_me_gives_the_long_user_id_save_to_one_member() -> None:
    app, world = sandbox(leads=0)
    ana = (await ask(app, "GET", "/v1.0/me", who=ANA)).json()
    short = (await ask(app, "GET", "/v1.0/me", who=SHORT_ME)).json()
    told = (await ask(app, "GET", f"/v1.0/members/{SHORT_ME}", who=ANA)).json()
    assert (ana["memberUserId"], ana["isAdmin"]) == (user_id(world, ANA), False)
    assert short["id"] == short["memberUserId"] < 10**6
    assert told["memberUserId"] == user_id(world, SHORT_ME) > 10**14


async def test_members_page_filter_by_office_and_hold_one_ambiguous_name() -> None:
    app, _ = sandbox(leads=0)
    every = (await ask(app, "GET", "/v1.0/members")).json()
    names = [f"{one['firstName']} {one['lastName']}" for one in every["members"]]
    roles = sorted(one["roleName"] for one in every["members"])
    assert roles == ["Agent", "Agent", "Agent", "Agent", "Assistant", "Lender", "Owner"]
    assert names.count("Chris Lee") == 2
    page = (await ask(app, "GET", "/v1.0/members?limit=2&offset=6")).json()
    assert (page["_metadata"]["total"], page["members"]) == (7, every["members"][6:])
    west = (await ask(app, "GET", "/v1.0/members?groupIds=9102")).json()["members"]
    assert {one["groupName"] for one in west} == {"Western Slope Office"}


async def test_a_stranger_is_404_20003() -> None:
    app, _ = sandbox(leads=0)
    answer = await ask(app, "GET", "/v1.0/members/no@one.example")
    assert (answer.status_code, "errorCode=20003" in answer.json()["message"]) == (404, True)


async def test_the_organisation_shows_all_offices_to_the_owner_and_their_own_to_agents() -> None:
    app, _ = sandbox(leads=0)
    shown = [(await ask(app, "GET", "/v1.0/org", who=who)).json()["enterpriseInfo"] for who in (OWNER, MARK)]
    assert [len(info["visibleOrgInfoList"]) for info in shown] == [2, 1]
    assert shown[1]["profileName"] == "Agent"


async def test_tags_mix_definitions_with_instances_those_of_hidden_leads_too() -> None:
    app, world = sandbox(leads=0)
    hidden = world.add_lead(hiddenFlag=1, ownershipScope="PERSONAL", ownershipId=1, tags=["Divorce"])
    rows = (await ask(app, "GET", "/v1.0/teamFeatures/listTag", who=MARK)).json()
    assert sorted(row["leadId"] for row in rows if row["tagName"] == "Divorce") == [0, hidden]
    assert {row["tagName"] for row in rows if row["leadId"] == 0} > {"Buyer", "VIP", "Do Not Contact"}


async def test_one_stage_works_as_a_filter_and_is_in_no_list() -> None:
    app, _ = sandbox(leads=60)
    listed = {row["name"] for row in (await ask(app, "GET", "/v1.0/teamFeatures/lead-pipelines")).json()["pipelines"]}
    assert listed > {"New Lead", "Contacted", "Qualified", "Under Contract", "Closed", "Open House Follow-Up"}
    assert "Past Client" not in listed
    leads = (await ask(app, "GET", "/v1.0/leads", params={"stage": "Past Client"})).json()["leads"]
    assert leads
    assert {lead["stage"] for lead in leads} == {"Past Client"}


async def test_pipelines_page_from_zero_and_filter_by_name() -> None:
    app, _ = sandbox(leads=0)
    path = "/v1.0/teamFeatures/lead-pipelines"
    pages = [(await ask(app, "GET", f"{path}?pageSize=4&currPage={page}")).json()["pipelines"] for page in range(3)]
    assert [len(page) for page in pages] == [4, 3, 0]
    named = (await ask(app, "GET", f"{path}?name=Closed")).json()
    assert [row["name"] for row in named["pipelines"]] == ["Closed"]
