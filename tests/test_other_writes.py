"""The second imitation of Lofty itself: what it does with what is written, in each of its manners."""

import json
from typing import Any

import httpx2
import pytest

from tests.support.other_lofty import INES, KOFI, Manner, OtherLofty, Person, Wire

CALL = {"logType": "logCall", "content": "Tom & Jo are moving", "leadPhoneNumber": "2065551001"}
TASK = {"type": "Text", "content": "Send the plan", "assignedRole": "Agent", "endAt": "2026-11-21T09:00:00-08:00"}


async def ask(lofty: OtherLofty, method: str, path: str, body: Any = None, who: Person = KOFI) -> tuple[int, Any]:
    """The status and the parsed answer of one request."""
    headers = {"authorization": f"token {who.key}", "content-type": "application/json"}
    content = None if body is None else json.dumps(body)
    async with httpx2.AsyncClient(transport=Wire(lofty), base_url="http://lofty") as client:
        answer = await client.request(method, path, headers=headers, content=content)
    return answer.status_code, answer.json() if answer.content else None


async def listed(lofty: OtherLofty, path: str) -> list[Any]:
    """The rows of a list, whatever it calls them."""
    status, answer = await ask(lofty, "GET", path)
    assert status == 200
    return list(next(value for value in answer.values() if isinstance(value, list)))


def quiet(lofty: OtherLofty) -> str:
    """A lead of everybody's that has no history."""
    return lofty.plain[8]


@pytest.mark.parametrize(
    ("reply", "answers"),
    [
        ("string", [{"noteId": "9000"}, {"taskId": "41001"}, {"logType": {"id": "9007199254810995"}}]),
        ("number", [9000, 41001, 9007199254810995]),
        ("empty", [None, None, None]),
        ("none", [None, None, None]),
    ],
)
async def test_what_is_written_is_there_however_it_was_answered(reply: Any, answers: list[Any]) -> None:
    lofty = OtherLofty(Manner(reply=reply))
    lead = quiet(lofty)
    told = [
        (await ask(lofty, "POST", path, {"leadId": int(lead), **body}))[1]
        for path, body in (("/v1.0/notes", {"content": " a "}), ("/v2.0/tasks", TASK), ("/v1.0/logType", CALL))
    ]
    assert told == answers
    [note] = await listed(lofty, f"/v1.0/notes?leadId={lead}")
    [task] = await listed(lofty, f"/v2.0/tasks?leadId={lead}")
    [log] = await listed(lofty, f"/v1.0/logType?leadId={lead}&logType=logCall")
    [talk] = await listed(lofty, f"/v2.0/leads/{lead}/activities")
    assert (note["content"], task["endAt"], log["callingOutcome"]) == ("a", "2026-11-21T17:00:00Z", "Talked")
    assert (talk["id"], talk["communicationType"], talk["note"]) == (log["id"], "Logged", CALL["content"])


async def test_text_comes_back_escaped_where_this_account_escapes_it() -> None:
    lofty = OtherLofty(Manner(escaped=frozenset({"log"})))
    lead = quiet(lofty)
    await ask(lofty, "POST", "/v1.0/logType", {"leadId": lead, **CALL})
    await ask(lofty, "POST", "/v1.0/notes", {"leadId": lead, "content": "a & b"})
    [log] = await listed(lofty, f"/v1.0/logType?leadId={lead}&logType=logCall")
    [note] = await listed(lofty, f"/v1.0/notes?leadId={lead}")
    assert (log["content"], note["content"]) == ("Tom &amp; Jo are moving", "a & b")


async def test_what_was_written_is_told_late_where_this_account_is_late() -> None:
    lofty = OtherLofty(Manner(late=2))
    lead = quiet(lofty)
    await ask(lofty, "POST", "/v1.0/notes", {"leadId": lead, "content": "a"})
    assert [len(await listed(lofty, f"/v1.0/notes?leadId={lead}")) for _ in range(4)] == [0, 0, 1, 1]


@pytest.mark.parametrize(("write", "kept"), [("lost", 1), ("nothing", 0), ("no change", 0)])
async def test_a_new_note_shares_the_fate_of_every_write(write: Any, kept: int) -> None:
    lofty = OtherLofty(write=write)
    lead = quiet(lofty)
    if write == "lost":
        with pytest.raises(httpx2.ReadError):
            await ask(lofty, "POST", "/v1.0/notes", {"leadId": lead, "content": "a"})
    else:
        assert (await ask(lofty, "POST", "/v1.0/notes", {"leadId": lead, "content": "a"}))[0] == 200
    assert len(await listed(lofty, f"/v1.0/notes?leadId={lead}")) == kept


async def test_a_note_is_changed_with_text_and_pin_only_and_deleted() -> None:
    lofty = OtherLofty()
    lead = quiet(lofty)
    await ask(lofty, "POST", "/v1.0/notes", {"leadId": lead, "content": "a", "isPin": True})
    assert (await ask(lofty, "PUT", "/v1.0/notes/9000", {"content": "b"}))[0] == 400
    assert (await ask(lofty, "PUT", "/v1.0/notes/9000", {"content": "b", "isPin": True}))[0] == 200
    note = (await ask(lofty, "GET", "/v1.0/notes/9000"))[1]["note"]
    assert (note["content"], note["isPin"]) == ("b", True)
    assert (await ask(lofty, "DELETE", "/v1.0/notes/9000"))[0] == 200
    assert (await ask(lofty, "GET", "/v1.0/notes/9000"))[0] == 404


@pytest.mark.parametrize("finish", ["flag", "flag and time"])
async def test_a_task_is_finished_and_opened_but_not_one_of_a_plan(finish: Any) -> None:
    lofty = OtherLofty(Manner(finish=finish))
    lead = quiet(lofty)
    planned = lofty.desk.plan_task(lead)
    await ask(lofty, "POST", "/v2.0/tasks", {"leadId": lead, **TASK})
    for verb, finished in (("finish", True), ("unfinish", False)):
        assert (await ask(lofty, "POST", f"/v2.0/tasks/41001/{verb}"))[0] == 200
        task = (await ask(lofty, "GET", "/v2.0/tasks/41001"))[1]["task"]
        assert task["finishFlag"] is finished
        assert ("finishTime" in task) == (finish == "flag and time")
    assert await ask(lofty, "POST", f"/v2.0/tasks/{planned}/finish") == (400, {"message": "TASK_IS_SMARTPLAN"})


@pytest.mark.parametrize("told", [True, False])
async def test_a_message_goes_to_the_leads_own_number_or_address(told: bool) -> None:
    lofty = OtherLofty(Manner(sends_told=told))
    lead = quiet(lofty)
    record = lofty.leads[lead]
    record["phones"].append("+1 (206) 555-9999")
    sms = {"leadId": lead, "content": "Hello", "phoneNumber": "+1 (206) 555-9999"}
    email = {"leadId": lead, "content": "Hello", "subject": "Plan", "toEmail": "else@where.example"}
    assert (await ask(lofty, "POST", "/v1.0/message/sms/send", sms))[0] == 200
    assert (await ask(lofty, "POST", "/v1.0/message/email/send", email))[0] == 200
    assert [sent["to"] for sent in lofty.desk.sent] == [record["phones"][1], record["emails"][0]]
    shown = await listed(lofty, f"/v2.0/leads/{lead}/activities")
    assert [row["channel"] for row in shown] == (["Text", "Email"] if told else [])
    number = next(paper.number for paper in lofty.desk.papers.values())
    assert (await ask(lofty, "GET", f"/v2.0/communication/text/{number}"))[1]["textContent"] == "Hello"
    assert (await ask(lofty, "GET", f"/v2.0/communication/call/{number}"))[0] == 400


@pytest.mark.parametrize(("honours", "status"), [(False, 200), (True, 400)])
async def test_a_lead_that_must_not_be_texted_is_texted_unless_this_account_minds(honours: bool, status: int) -> None:
    lofty = OtherLofty(Manner(honours_flags=honours))
    lofty.leads[quiet(lofty)]["cannotText"] = True
    body = {"leadId": quiet(lofty), "content": "Hello"}
    assert (await ask(lofty, "POST", "/v1.0/message/sms/send", body))[0] == status


@pytest.mark.parametrize(
    ("arrays", "emails", "inquiry"),
    [("replace", ["new@mail.example"], {"priceMin": 5}), ("merge", None, None)],
)
async def test_arrays_replace_or_merge_and_tags_go_by_name(arrays: Any, emails: Any, inquiry: Any) -> None:
    lofty = OtherLofty(Manner(arrays=arrays))
    lead = next(i for i in lofty.plain if lofty.leads[i]["tags"] and isinstance(lofty.leads[i]["tags"][0], dict))
    record = lofty.leads[lead]
    old, wanted, tag = record["emails"], record["leadInquiry"], record["tags"][0]["tagName"]
    body = {"emails": ["new@mail.example"], "inquiry": {"priceMin": 5}, "tagsRemove": [tag], "shoeSize": 9}
    assert (await ask(lofty, "PUT", f"/v1.0/leads/{lead}", body))[0] == 200
    assert record["emails"] == (emails or [*old, "new@mail.example"])
    assert record["leadInquiry"] == (inquiry or wanted | {"priceMin": 5})
    assert tag not in str(record["tags"])
    assert "shoeSize" not in record


async def test_a_deleted_lead_is_in_the_trash_with_its_reason() -> None:
    lofty = OtherLofty()
    lead = quiet(lofty)
    assert (await ask(lofty, "DELETE", f"/v1.0/leads/{lead}"))[0] == 400
    assert (await ask(lofty, "DELETE", f"/v1.0/leads/{lead}?reason=moved"))[0] == 200
    assert (await ask(lofty, "GET", f"/v1.0/leads/{lead}"))[0] == 404
    status, answer = await ask(lofty, "GET", f"/v1.0/leads/{lead}?withTrash=true")
    assert (status, str(answer["lead"]["leadId"]), lofty.trash[lead][1]) == (200, lead, "moved")


@pytest.mark.parametrize(("foreign", "status"), [("shown", 200), ("refused", 400), ("missing", 404)])
async def test_what_hangs_on_a_hidden_lead_is_as_hidden_as_the_lead(foreign: Any, status: int) -> None:
    lofty = OtherLofty(Manner(foreign=foreign))
    lead = lofty.hidden
    for path, body in (("/v1.0/notes", {"content": "a"}), ("/v2.0/tasks", TASK), ("/v1.0/logType", CALL)):
        assert (await ask(lofty, "POST", path, {"leadId": lead, **body}))[0] == status
        assert (await ask(lofty, "POST", path, {"leadId": lead, **body}, INES))[0] == 200
    number = next(paper.number for paper in lofty.desk.papers.values())
    assert (await ask(lofty, "GET", f"/v1.0/notes/{number}"))[0] == status
    assert (await ask(lofty, "GET", f"/v1.0/notes/{number}", who=INES))[0] == 200
