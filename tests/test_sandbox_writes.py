"""What is written beside a lead: logs by hand, tasks, texts and e-mails, and the reason of a delete."""

from typing import Any

import pytest

from tests.contract.asking import ANA, LENDER, MARK, NOW, OWNER, ask, sandbox, user_id

CALL = {"logType": "logCall", "content": "Talked about Oak Street", "leadPhoneNumber": "9705550000"}
TASK = {"type": "Call", "content": "Call back", "assignedRole": "Agent", "endAt": "2026-03-03T09:00:00-07:00"}


async def _get(app: Any, path: str, **options: Any) -> Any:
    answer = await ask(app, "GET", path, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _post(app: Any, path: str, body: Any = None, **options: Any) -> Any:
    answer = await ask(app, "POST", path, body=body, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _refusal(app: Any, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, str]:
    answer = await ask(app, method, path, body=body, **options)
    said = answer.json()["message"]
    return answer.status_code, said.removeprefix("BaseApplicationException:errorCode=").partition(",")[0]


async def test_a_call_logged_by_hand_is_told_by_id_in_its_list_and_among_the_communications() -> None:
    app, world = sandbox(leads=0)
    lead = world.add_lead()
    body = {"leadId": lead, **CALL, "callingOutcome": "NoAnswer", "outboundOrInbound": "inbound", "isPin": True}
    logged = (await _post(app, "/v1.0/logType", body, who=ANA))["logType"]
    assert (logged["content"], logged["callingOutcome"], logged["isPin"]) == (CALL["content"], "NoAnswer", True)
    assert (logged["agentId"], logged["createTime"]) == (user_id(world, ANA), "2026-03-02 12:00:03")
    assert (await _get(app, f"/v1.0/logType/{logged['id']}"))["logType"] == logged
    assert (await _get(app, f"/v1.0/logType?leadId={lead}&logType=logCall"))["logType"] == [logged]
    assert (await _get(app, f"/v1.0/logType?leadId={lead}&logType=logText"))["logType"] == []
    [shown] = (await _get(app, f"/v2.0/leads/{lead}/activities"))["activities"]
    assert (shown["id"], shown["communicationType"], shown["channel"]) == (logged["id"], "Logged", "Call")
    assert (shown["direction"], shown["note"]) == ("Inbound", CALL["content"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"content": "x" * 5100}, {"content": "x" * 5000}),
        ({"callingOutcome": "Shouted"}, {"callingOutcome": "Talked"}),
        ({"callingOutcome": ""}, {"callingOutcome": "Talked"}),
        ({"logType": "logText", "leadPhoneNumber": ""}, {"callingOutcome": "", "outboundOrInbound": "outbound"}),
        ({"logType": "logEmail", "emailSubject": "Hi", "toEmail": "a@b.example"}, {"emailSubject": "Hi"}),
    ],
)
async def test_a_log_is_cut_and_defaulted_as_lofty_does(change: Any, told: Any) -> None:
    app, world = sandbox(leads=0)
    logged = (await _post(app, "/v1.0/logType", {"leadId": world.add_lead(), **CALL, **change}))["logType"]
    assert {name: logged[name] for name in told} == told


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"logType": "logcall"}, "20012"),
        ({"content": ""}, "20012"),
        ({"leadPhoneNumber": ""}, "20012"),
        ({"outboundOrInbound": "up"}, "20012"),
        ({"leadPhoneNumber": "9" * 21}, "20043"),
        ({"callingOutcome": "T" * 21}, "20043"),
    ],
)
async def test_a_log_with_a_wrong_field_is_refused_and_nothing_is_kept(change: Any, code: str) -> None:
    app, world = sandbox(leads=0)
    lead = world.add_lead()
    assert await _refusal(app, "POST", "/v1.0/logType", {"leadId": lead, **CALL, **change}) == (400, code)
    assert (await _get(app, f"/v2.0/leads/{lead}/activities"))["activities"] == []


async def test_logs_are_listed_oldest_first_by_offset_or_last_id_and_an_odd_limit_is_ten() -> None:
    app, world = sandbox(leads=0)
    lead = world.add_lead()
    ids = [world.add_communication(lead, communicationType="Logged", note=str(one)) for one in range(12)]
    world.add_communication(lead, communicationType="Manual")

    async def listed(more: str) -> list[int]:
        found = await _get(app, f"/v1.0/logType?leadId={lead}&logType=logCall{more}")
        return [one["id"] for one in found["logType"]]

    assert await listed("") == await listed("&limit=0") == await listed("&limit=1001") == ids[:10]
    assert await listed("&order=desc&limit=2") == ids[:9:-1]
    assert await listed("&offset=10") == await listed(f"&currentId={ids[9]}") == ids[10:]
    for query, code in (("&offset=19991", "200104"), ("&sort=name", "20012"), ("&order=up", "20012")):
        path = f"/v1.0/logType?leadId={lead}&logType=logCall{query}"
        assert await _refusal(app, "GET", path) == (400, code)
    assert await _refusal(app, "GET", f"/v1.0/logType?leadId={lead}") == (400, "20012")


async def test_a_task_is_made_told_finished_and_opened_again() -> None:
    app, world = sandbox(leads=0)
    lead = world.add_lead(firstName="Alice", phones=["9705550000"], assignedUserId=user_id(world, ANA))
    number = (await _post(app, "/v2.0/tasks", {"leadId": lead, **TASK}, who=ANA))["taskId"]
    task = (await _get(app, f"/v2.0/tasks/{number}"))["task"]
    assert [task] == (await _get(app, f"/v2.0/tasks?leadId={lead}"))["tasks"]
    assert (task["content"], task["type"], task["creatorId"]) == ("Call back", "Call", user_id(world, ANA))
    assert (task["endAt"], task["createTime"]) == ("2026-03-03T16:00:00+00:00", "2026-03-02T12:00:03+00:00")
    assert (task["finishFlag"], task["finishTime"], task["leadPhone"]) == (False, "", "9705550000")
    for verb, finished in (("finish", True), ("finish", True), ("unfinish", False), ("unfinish", False)):
        assert await _post(app, f"/v2.0/tasks/{number}/{verb}") == {"message": "success"}
        task = (await _get(app, f"/v2.0/tasks/{number}"))["task"]
        assert (task["finishFlag"], bool(task["finishTime"])) == (finished, finished)


async def test_a_time_without_an_offset_is_meant_in_the_zone_of_the_task() -> None:
    app, world = sandbox(leads=0)
    body = {**TASK, "leadId": world.add_lead(), "type": "Appointment", "timeZoneCode": "America/Denver"}
    times = {"startAt": "2026-03-03T09:00:00", "endAt": "2026-03-03T09:30:00"}
    number = (await _post(app, "/v2.0/tasks", {**body, **times}))["taskId"]
    task = (await _get(app, f"/v2.0/tasks/{number}"))["task"]
    assert (task["startAt"], task["endAt"]) == ("2026-03-03T09:00:00-07:00", "2026-03-03T09:30:00-07:00")


@pytest.mark.parametrize(
    "change",
    [
        {"type": "Fax"},
        {"content": ""},
        {"assignedRole": "Owner"},
        {"endAt": "soon"},
        {"endAt": "0001-01-01T00:00:00"},
        {"endAt": "9999-12-31T23:59:59-12:00"},
        {"leadId": "x"},
    ],
)
async def test_a_task_with_a_wrong_field_is_refused_and_nothing_is_kept(change: Any) -> None:
    app, world = sandbox(leads=0)
    lead = world.add_lead()
    assert await _refusal(app, "POST", "/v2.0/tasks", {"leadId": lead, **TASK, **change}) == (400, "20012")
    assert (await _get(app, f"/v2.0/tasks?leadId={lead}"))["tasks"] == []


async def test_a_task_of_a_smart_plan_is_not_finished() -> None:
    app, world = sandbox(leads=0)
    number = world.add_task(world.add_lead(), smartPlan=True)
    assert await _refusal(app, "POST", f"/v2.0/tasks/{number}/finish") == (400, "TASK_IS_SMARTPLAN")
    assert (await _get(app, f"/v2.0/tasks/{number}"))["task"]["finishFlag"] is False


async def test_a_text_goes_to_the_number_asked_for_if_it_is_the_leads_own_and_else_to_the_first() -> None:
    app, world = sandbox(leads=0)
    lead = world.add_lead(phones=["9705550000", "9705550001"], cannotText=True, phoneStatuses=[4, 5])
    for asked, used in (({}, "0000"), ({"phoneNumber": "9705550001"}, "0001"), ({"phoneNumber": "5"}, "0000")):
        body = {"leadId": lead, "content": f"Hello {used}", **asked}
        sent = await _post(app, "/v1.0/message/sms/send", body, who=ANA)
        message = world.messages[-1]
        assert sent["phoneNumber"] == message.to == f"970555{used}"
        assert (message.kind, message.lead_id, message.sender_id) == ("sms", lead, user_id(world, ANA))
        assert message.content == f"Hello {used}"
    [*_, shown] = (await _get(app, f"/v2.0/leads/{lead}/activities"))["activities"]
    assert (shown["channel"], shown["direction"], shown["note"]) == ("Text", "Outbound", "Hello 0000")
    assert (await _get(app, f"/v2.0/communication/text/{shown['id']}"))["textContent"] == "Hello 0000"


async def test_an_email_is_sent_and_its_text_is_never_told_again() -> None:
    app, world = sandbox(leads=0)
    lead = world.add_lead(emails=["a@b.example"], unsubscription=True)
    body = {"leadId": lead, "subject": "Oak Street", "content": "See you", "toEmail": "who@else.example"}
    sent = await _post(app, "/v1.0/message/email/send", body)
    assert (sent["toEmail"], sent["subject"]) == ("a@b.example", "Oak Street")
    [message] = world.messages
    assert (message.kind, message.to, message.subject, message.content) == (
        "email",
        "a@b.example",
        "Oak Street",
        "See you",
    )
    [shown] = (await _get(app, f"/v2.0/leads/{lead}/activities"))["activities"]
    told = await _get(app, f"/v2.0/communication/email/{shown['id']}")
    assert (told["emailSubject"], told["eventType"]) == ("Oak Street", "Sent")
    assert "See you" not in str([shown, told])


async def test_nothing_is_sent_without_a_text_or_to_a_lead_without_a_number() -> None:
    app, world = sandbox(leads=0)
    lead = world.add_lead()
    for kind, body in (
        ("sms", {"content": "Hello"}),
        ("sms", {"content": " "}),
        ("email", {"subject": "", "content": "Hello"}),
    ):
        path = f"/v1.0/message/{kind}/send"
        assert await _refusal(app, "POST", path, {"leadId": lead, **body}) == (400, "20012")
    assert world.messages == []


async def test_what_hangs_on_a_lead_that_is_not_visible_is_refused_as_each_operation_refuses() -> None:
    app, world = sandbox(leads=0)
    mine = user_id(world, MARK)
    lead = world.add_lead(
        assignedUserId=mine, ownershipScope="PERSONAL", ownershipId=mine, phones=["1"], emails=["a@b"]
    )
    task = world.add_task(lead)
    text = world.add_communication(lead, channel="Text", communicationType="Logged")
    email, call = world.add_communication(lead, channel="Email"), world.add_communication(lead, channel="Call")
    for method, path, body, status, code in (
        ("POST", "/v1.0/logType", {"leadId": lead, **CALL}, 404, "20006"),
        ("GET", f"/v1.0/logType?leadId={lead}&logType=logText", None, 404, "20006"),
        ("GET", f"/v1.0/logType/{text}", None, 404, "20006"),
        ("POST", "/v2.0/tasks", {"leadId": lead, **TASK}, 400, "20017"),
        ("GET", f"/v2.0/tasks/{task}", None, 400, "20017"),
        ("POST", f"/v2.0/tasks/{task}/finish", None, 404, "20006"),
        ("POST", f"/v2.0/tasks/{task}/unfinish", None, 404, "20006"),
        ("POST", "/v1.0/message/sms/send", {"leadId": lead, "content": "a"}, 400, "20017"),
        ("POST", "/v1.0/message/email/send", {"leadId": lead, "subject": "a", "content": "a"}, 400, "20017"),
        ("GET", f"/v2.0/communication/text/{text}", None, 400, "20017"),
        ("GET", f"/v2.0/communication/email/{email}", None, 400, "20017"),
        ("GET", f"/v2.0/communication/call/{call}", None, 400, "20017"),
    ):
        assert await _refusal(app, method, path, body, who=LENDER) == (status, code), path
        assert (await ask(app, method, path, body=body, who=OWNER)).status_code == 200, path


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1.0/logType/5", 404, "20007"),
        ("GET", "/v2.0/tasks/5", 404, "TASK_NOT_EXIST"),
        ("POST", "/v2.0/tasks/5/finish", 404, "TASK_NOT_EXIST"),
        ("GET", "/v2.0/communication/text/5", 400, "20017"),
    ],
)
async def test_what_is_not_there_is_refused(method: str, path: str, status: int, code: str) -> None:
    app, _ = sandbox(leads=0)
    assert await _refusal(app, method, path) == (status, code)


async def test_only_its_own_kind_and_only_what_was_logged_answers_to_an_id() -> None:
    app, world = sandbox(leads=0)
    text = world.add_communication(world.add_lead(), channel="Text", communicationType="Manual", at=NOW)
    assert await _refusal(app, "GET", f"/v2.0/communication/call/{text}") == (400, "20017")
    assert await _refusal(app, "GET", f"/v1.0/logType/{text}") == (404, "20007")
    assert (await _get(app, f"/v2.0/communication/text/{text}"))["textTime"] == "2026-03-02T12:00:00+00:00"


async def test_the_reason_of_a_delete_is_kept_and_the_lead_is_told_with_the_trash_only() -> None:
    app, world = sandbox(leads=0)
    lead = world.add_lead()
    gone = await ask(app, "DELETE", f"/v1.0/leads/{lead}", params={"reason": "asked for it"})
    assert (gone.status_code, gone.content) == (200, b"")
    assert world.trash_reasons == {lead: "asked for it"}
    assert await _refusal(app, "GET", f"/v1.0/leads/{lead}") == (404, "20006")
    assert (await _get(app, f"/v1.0/leads/{lead}?withTrash=true"))["lead"]["leadId"] == lead


@pytest.mark.parametrize("body", [{"content": "new"}, {"isPin": True}])
async def test_a_note_is_not_changed_without_both_its_text_and_its_pin(body: Any) -> None:
    app, world = sandbox(leads=0)
    note = world.add_note(world.add_lead(), content="old")
    assert await _refusal(app, "PUT", f"/v1.0/notes/{note}", body) == (400, "20012")
    assert (await _get(app, f"/v1.0/notes/{note}"))["note"]["content"] == "old"


async def test_what_is_written_is_told_late_where_that_is_asked_for() -> None:
    app, world = sandbox(leads=0, late_reads=2)
    lead = world.add_lead(phones=["9705550000"])
    await _post(app, "/v1.0/notes", {"leadId": lead, "content": "a", "isPin": False})
    await _post(app, "/v2.0/tasks", {"leadId": lead, **TASK})
    await _post(app, "/v1.0/logType", {"leadId": lead, **CALL})
    await _post(app, "/v1.0/message/sms/send", {"leadId": lead, "content": "Hello"})
    for path, count in (
        (f"/v1.0/notes?leadId={lead}", 1),
        (f"/v2.0/tasks?leadId={lead}", 1),
        (f"/v2.0/leads/{lead}/activities", 2),
    ):
        told = [len(next(iter((await _get(app, path)).values()))) for _ in range(4)]
        assert told == [0, 0, count, count], path


async def test_a_note_written_a_moment_ago_is_not_there_by_id_but_can_be_deleted() -> None:
    app, world = sandbox(leads=0, late_reads=1)
    body = {"leadId": world.add_lead(), "content": "a", "isPin": False}
    first, second = [(await _post(app, "/v1.0/notes", body))["noteId"] for _ in range(2)]
    assert await _refusal(app, "PUT", f"/v1.0/notes/{first}", {"content": "b", "isPin": False}) == (404, "20007")
    assert (await _get(app, f"/v1.0/notes/{first}"))["note"]["content"] == "a"
    assert (await ask(app, "DELETE", f"/v1.0/notes/{second}")).status_code == 200
    assert world.store.item("note", second) is None


async def test_an_edit_moves_the_time_of_the_last_update_of_a_note() -> None:
    app, world = sandbox(leads=0)
    note = world.add_note(world.add_lead(), content="a", at=NOW)
    await ask(app, "PUT", f"/v1.0/notes/{note}", body={"content": "b", "isPin": False})
    told = (await _get(app, f"/v1.0/notes/{note}"))["note"]
    assert told["createTime"] == "2026-03-02 12:00:00" < told["lastUpdate"]


def test_the_seed_holds_what_writing_to_people_needs_to_be_shown() -> None:
    _, world = sandbox()
    leads = [world.lead(lead) for lead in world.lead_ids()]
    assert {lead["state"] for lead in leads} >= {"CO", "NY", "HI", "AZ", ""}
    assert any(tag["tagName"] == "Text Consent" for lead in leads for tag in lead["tags"])
    assert any("Email Consent" in lead["segments"] for lead in leads)
    tasks = [row["data"] for row in world.store.rows("SELECT data FROM items WHERE kind='task'")]
    assert any('"smartPlan": true' in task for task in tasks)
    assert any('"smartPlan": false' in task and '"finishTime": ""' in task for task in tasks)
