"""The table in `tests/contract/lofty.json` against the sandbox, Lofty's published contract, and planted errors."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from lofty_mcp.sandbox import CLIENT_ID, CLIENT_SECRET, World
from tests.contract import TABLE, check_reply, check_request, find
from tests.contract.asking import ANA, LENDER, MARK, ask, bare, sandbox
from tests.contract.published import differences

EDIT = {
    "stage": "Closed",
    "tagsAdd": ["VIP"],
    "inquiry": {"priceMax": 1, "locations": [{"city": "Denver"}]},
    "property": {"city": "Denver", "bathrooms": 1.5},
    "customAttributeList": [{"attributeName": "Pet", "attributeType": "text", "value": "cat"}],
}
TASK = {"type": "Call", "content": "Call back", "assignedRole": "Agent", "endAt": "2026-03-03T09:00:00-07:00"}
LOG = {"logType": "logCall", "content": "Talked", "leadPhoneNumber": "9705550000", "isPin": False}


def _requests(world: World) -> list[tuple[str, str, dict[str, str], Any]]:
    """One good request for every operation of the table but the token endpoints."""
    lead, other = world.busy_lead_id, world.lead_ids()[5]
    note, task = world.add_note(lead, content="a"), world.add_task(lead, content="a")
    logged = world.add_communication(lead, channel="Call", communicationType="Logged")
    return [
        ("GET", "/v1.0/me", {}, None),
        ("GET", "/v1.0/members", {"limit": "10"}, None),
        ("GET", f"/v1.0/members/{MARK}", {}, None),
        ("GET", "/v1.0/org", {}, None),
        ("GET", "/v1.0/leads", {"limit": "100", "sort": "CreateTime", "desc": "true"}, None),
        ("GET", f"/v1.0/leads/{lead}", {"withTrash": "false"}, None),
        ("PUT", f"/v1.0/leads/{lead}", {}, EDIT),
        ("DELETE", f"/v1.0/leads/{other}", {"reason": "test"}, None),
        ("POST", f"/v1.0/leads/{lead}/assignment", {}, [{"role": "Lender", "assignee": LENDER}]),
        ("GET", f"/v1.0/leads/{lead}/activities", {"curPage": "1"}, None),
        ("GET", f"/v2.0/leads/{lead}/activities", {"limit": "1000"}, None),
        ("GET", "/v1.0/systemLogs", {"leadId": str(lead)}, None),
        ("GET", "/v1.0/notes", {"leadId": str(lead)}, None),
        ("POST", "/v1.0/notes", {}, {"leadId": lead, "content": "b", "isPin": False}),
        ("GET", f"/v1.0/notes/{note}", {}, None),
        ("PUT", f"/v1.0/notes/{note}", {}, {"content": "c", "isPin": True}),
        ("DELETE", f"/v1.0/notes/{note}", {}, None),
        ("GET", "/v2.0/tasks", {"leadId": str(world.lead_ids()[2])}, None),
        ("POST", "/v2.0/tasks", {}, {"leadId": lead, **TASK}),
        ("GET", f"/v2.0/tasks/{task}", {}, None),
        ("POST", f"/v2.0/tasks/{task}/finish", {}, None),
        ("POST", f"/v2.0/tasks/{task}/unfinish", {}, None),
        ("POST", "/v1.0/logType", {}, {"leadId": lead, **LOG}),
        ("GET", "/v1.0/logType", {"leadId": str(lead), "logType": "logCall", "order": "desc"}, None),
        ("GET", f"/v1.0/logType/{logged}", {}, None),
        ("POST", "/v1.0/message/sms/send", {}, {"leadId": lead, "content": "Hello"}),
        ("POST", "/v1.0/message/email/send", {}, {"leadId": lead, "subject": "Hello", "content": "Hello"}),
        ("GET", f"/v2.0/communication/call/{logged}", {}, None),
        ("GET", f"/v2.0/communication/email/{world.add_communication(lead, channel='Email')}", {}, None),
        ("GET", f"/v2.0/communication/text/{world.add_communication(lead, channel='Text')}", {}, None),
        ("GET", "/v1.0/teamFeatures/listTag", {}, None),
        ("GET", "/v1.0/teamFeatures/lead-pipelines", {"pageSize": "50"}, None),
        ("GET", "/v1.0/teamFeatures/listCustomField", {}, None),
        ("GET", "/v1.0/team-features/lead-ponds", {}, None),
    ]


async def _reply(app: Starlette, method: str, path: str, query: dict[str, str], body: Any) -> Any:
    answer = await ask(app, method, path, params=query, body=body)
    assert answer.status_code == 200, f"{method} {path}: {answer.text}"
    return answer.json() if answer.content else None


async def test_every_request_and_every_reply_of_the_sandbox_conforms_to_the_table() -> None:
    app, world = sandbox()
    asked = set()
    for method, path, query, body in _requests(world):
        check_request(method, path, query, body)
        check_reply(method, path, 200, await _reply(app, method, path, query, body))
        asked.add((method, find(method, path)["path"]))
    published = {(one["method"], one["path"]) for one in TABLE["operations"] if not one.get("unpublished")}
    assert asked == published


@pytest.mark.parametrize("path", ["/oauth/token", "/api/user-web/oauth/token"])
async def test_the_token_endpoints_conform_to_the_table(path: str) -> None:
    app, world = sandbox(leads=0)
    body = {
        "grant_type": "client_credentials",
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "customer_key": world.key_of(ANA),
    }
    check_request("POST", path, {}, body)
    answer = await bare(app, "POST", path, json=body)
    check_reply("POST", path, answer.status_code, answer.json())
    refused = await bare(app, "POST", path, json={**body, "client_secret": "no"})
    check_reply("POST", path, refused.status_code, refused.json())


async def test_the_sandbox_leaves_no_field_of_a_lead_a_person_or_a_note_out() -> None:
    app, world = sandbox(leads=1)
    lead = (await ask(app, "GET", f"/v1.0/leads/{world.busy_lead_id}")).json()["lead"]
    person = (await ask(app, "GET", "/v1.0/me")).json()
    note = (await ask(app, "GET", f"/v1.0/notes?leadId={world.busy_lead_id}")).json()["notes"][0]
    call = (await ask(app, "GET", f"/v2.0/leads/{world.busy_lead_id}/activities")).json()["activities"][0]
    log = (await ask(app, "GET", f"/v1.0/systemLogs?leadId={world.busy_lead_id}")).json()["timeLines"][0]
    for shape, shown in (("Lead", lead), ("Person", person), ("Note", note), ("Communication", call), ("LogLine", log)):
        assert set(shown) == set(TABLE["shapes"][shape]), shape


async def test_refusals_conform_to_the_table() -> None:
    app, _ = sandbox(leads=1)
    for path, status in (("/v1.0/leads/5", 404), ("/v1.0/leads?limit=0", 400), ("/v1.0/leads?stage=No", 404)):
        answer = await ask(app, "GET", path)
        assert answer.status_code == status
        check_reply("GET", path.partition("?")[0], status, answer.json())


async def test_no_change_is_a_reply_of_put_only() -> None:
    app, world = sandbox(leads=1)
    path = f"/v1.0/leads/{world.busy_lead_id}"
    answer = await ask(app, "PUT", path, body={"stageId": 5})
    check_reply("PUT", path, 200, answer.json())
    with pytest.raises(AssertionError, match="data is not a field"):
        check_reply("POST", f"{path}/assignment", 200, answer.json())


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "named"),
    [
        ("GET", "/v1.0/leads", {"keyword": "x"}, None, "query keyword is not a parameter"),
        ("GET", "/v1.0/leads", {"limit": "ten"}, None, "query limit is not int"),
        ("GET", "/v1.0/leads", {"desc": "1"}, None, "query desc is not bool"),
        ("GET", "/v1.0/leads", {"limit": ["1", "2"]}, None, "query limit is given more than once"),
        ("GET", "/v1.0/notes", {}, None, "query leadId is required"),
        ("DELETE", "/v1.0/leads/5", {}, None, "query reason is required"),
        ("GET", "/v1.0/leads/abc", {}, None, "path leadId has another type"),
        ("GET", "/v1.0/leads/5", {}, {"a": 1}, "body is not expected"),
        ("PUT", "/v1.0/leads/5", {}, {"stageId": 103}, "body.stageId is not a field of EditLead"),
        ("PUT", "/v1.0/leads/5", {}, {"tags": [5]}, r"body.tags\[0\] is not str"),
        ("PUT", "/v1.0/leads/5", {}, {"isHidden": 1}, "body.isHidden is not bool"),
        ("PUT", "/v1.0/leads/5", {}, {"ownershipId": True}, "body.ownershipId is not int"),
        ("POST", "/v1.0/leads/5/assignment", {}, {"role": "Agent", "assignee": "a@b"}, r"body is not \[Assignment\]"),
        ("POST", "/v1.0/leads/5/assignment", {}, [{"role": "Agent"}], r"body\[0\].assignee is required"),
        ("POST", "/v1.0/message/sms/send", {}, {"leadId": 5, "text": "a"}, "body.text is not a field of NewSms"),
        ("POST", "/v1.0/message/fax/send", {}, {}, "not an operation"),
    ],
)
def test_a_wrong_request_is_caught_by_name(method: str, path: str, query: Any, body: Any, named: str) -> None:
    with pytest.raises(AssertionError, match=named):
        check_request(method, path, query, body)


async def test_a_wrong_reply_is_caught_by_name() -> None:
    app, world = sandbox(leads=1)
    path = f"/v1.0/leads/{world.busy_lead_id}"
    good = (await ask(app, "GET", path)).json()
    spoilt: list[tuple[str, Any]] = [
        ("reply.lead.shoeSize is not a field", {"lead": {**good["lead"], "shoeSize": 44}}),
        ("reply.lead.score is not int", {"lead": {**good["lead"], "score": "high"}}),
        ("reply.lead.leadId is not int", {"lead": {**good["lead"], "leadId": None}}),
        (
            r"customRoleList\[0\].assigneeId is not int",
            {"lead": {**good["lead"], "customRoleList": [{"assigneeId": ""}]}},
        ),
        ("reply.leadId is not a field of OneLead", good["lead"]),
        ("reply is not OneLead", None),
    ]
    check_reply("GET", path, 200, good)
    for named, reply in spoilt:
        with pytest.raises(AssertionError, match=named):
            check_reply("GET", path, 200, reply)


@pytest.fixture
def openapi() -> Any:
    """Lofty's own contract, from the file that LOFTY_OPENAPI names."""
    return json.loads(Path(os.environ["LOFTY_OPENAPI"]).read_text(encoding="utf-8"))


@pytest.mark.published_contract
def test_the_table_conforms_to_the_published_contract(openapi: Any) -> None:
    assert differences(TABLE, openapi) == []


@pytest.mark.published_contract
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda table: table["shapes"]["Lead"].update(shoeSize="int"), "shoeSize is not published"),
        (lambda table: table["shapes"]["Lead"].update(score="str"), "reply.lead.score: str here, integer there"),
        (lambda table: table["shapes"]["EditLead"].update(stageId="int"), "body: stageId is not published"),
        (lambda table: table["shapes"]["EditLead"].update(tags="str"), "body.tags: str here, array there"),
        (lambda table: table["shapes"]["Role"].update(name="str"), "name is not published"),
        (lambda table: table["operations"][4]["query"].update(keyword="str"), "query keyword is not published"),
        (lambda table: table["operations"][4]["query"].update(limit="str"), "query limit: str here, integer there"),
        (lambda table: table["operations"][0].update(path="/v1.0/myself"), "not published"),
        (lambda table: table["operations"][0].update(reply="[Person]"), r"[Person] here, object there"),
    ],
)
def test_a_wrong_entry_of_the_table_is_caught_by_the_published_contract(openapi: Any, change: Any, named: str) -> None:
    table = copy.deepcopy(dict(TABLE))
    change(table)
    found = differences(table, openapi)
    assert any(named in line for line in found), found
