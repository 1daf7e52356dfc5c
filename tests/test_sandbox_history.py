"""What hangs on a lead: notes, site activities, communications, the change log, tasks."""

from datetime import timedelta
from typing import Any

import pytest

from tests.contract.asking import ANA, ASSISTANT, MARK, NOW, OWNER, ask, sandbox, user_id


async def _get(app: Any, path: str, **options: Any) -> Any:
    answer = await ask(app, "GET", path, **options)
    assert answer.status_code == 200
    return answer.json()


async def test_notes_come_escaped_with_two_ids_of_which_only_note_id_is_a_path() -> None:
    app, world = sandbox(leads=0)
    lead = world.add_lead()
    number = world.add_note(lead, content="3 beds & <b>2</b> baths", creatorId=user_id(world, ANA))
    [note] = (await _get(app, f"/v1.0/notes?leadId={lead}"))["notes"]
    assert note["content"] == "3 beds &amp; &lt;b&gt;2&lt;/b&gt; baths"
    assert (note["noteId"], note["creatorName"], note["createTime"][:10]) == (number, "Ana Reyes", "2026-03-02")
    assert note["id"] > 2**53
    assert (await _get(app, f"/v1.0/notes/{number}"))["note"] == note
    wrong = await ask(app, "GET", f"/v1.0/notes/{note['id']}")
    assert (wrong.status_code, "errorCode=20007" in wrong.json()["message"]) == (404, True)


async def test_system_notes_come_only_when_asked_for() -> None:
    app, world = sandbox(leads=0)
    lead = world.add_lead()
    plain, system = world.add_note(lead, content="a"), world.add_note(lead, content="b", systemNote=True)
    found = [
        {note["noteId"] for note in (await _get(app, f"/v1.0/notes?leadId={lead}{more}"))["notes"]}
        for more in ("", "&includeSystemNote=true")
    ]
    assert found == [{plain}, {plain, system}]


async def test_notes_are_not_in_order_of_time() -> None:
    app, world = sandbox(leads=1)
    notes = (await _get(app, f"/v1.0/notes?leadId={world.busy_lead_id}"))["notes"]
    times = [note["createTime"] for note in notes]
    assert len(times) == 12
    assert times not in (sorted(times), sorted(times, reverse=True))


async def test_a_note_is_written_cut_at_2000_changed_and_removed() -> None:
    app, world = sandbox(leads=0)
    lead = world.add_lead()
    body = {"leadId": lead, "content": "x" * 2100, "isPin": True}
    number = (await ask(app, "POST", "/v1.0/notes", who=ANA, body=body)).json()["noteId"]
    note = (await _get(app, f"/v1.0/notes/{number}"))["note"]
    assert (len(note["content"]), note["isPin"], note["creatorId"]) == (2000, True, user_id(world, ANA))
    changed = await ask(app, "PUT", f"/v1.0/notes/{number}", body={"content": "new", "isPin": False})
    assert (changed.status_code, changed.content) == (200, b"")
    note = (await _get(app, f"/v1.0/notes/{number}"))["note"]
    assert (note["content"], note["isPin"], note["lastEditorId"]) == ("new", False, user_id(world, OWNER))
    wrong = await ask(app, "PUT", f"/v1.0/notes/{number}", body={"content": "n", "isPin": False, "leadId": lead + 1})
    assert wrong.status_code == 400
    assert (await ask(app, "DELETE", f"/v1.0/notes/{number}")).content == b""
    assert (await ask(app, "GET", f"/v1.0/notes/{number}")).status_code == 404


async def test_site_activities_are_a_bare_array_newest_first_in_pages_of_100_from_0() -> None:
    app, world = sandbox(leads=1)
    pages = [await _get(app, f"/v1.0/leads/{world.busy_lead_id}/activities?curPage={page}") for page in range(4)]
    created = [row["created"] for page in pages for row in page]
    assert [len(page) for page in pages] == [100, 100, 50, 0]
    assert created == sorted(created, reverse=True)
    assert created[0] > 1_600_000_000_000
    assert (await _get(app, f"/v1.0/leads/{world.busy_lead_id}/activities?limit=5")) == pages[0]


async def test_communications_come_oldest_first_ten_by_default_by_offset_or_last_id() -> None:
    app, world = sandbox(leads=1)
    path = f"/v2.0/leads/{world.busy_lead_id}/activities"
    every = (await _get(app, f"{path}?limit=1000"))["activities"]
    first = (await _get(app, path))["activities"]
    times = [row["activityTime"] for row in every]
    assert (len(every), len(first)) == (40, 10)
    assert times == sorted(times)
    assert all(time.endswith("+00:00") for time in times)
    assert (await _get(app, f"{path}?offset=10"))["activities"] == every[10:20]
    assert (await _get(app, f"{path}?currentId={first[-1]['id']}"))["activities"] == every[10:20]
    assert (await ask(app, "GET", f"{path}?limit=1001")).status_code == 400


async def test_a_time_zone_changes_the_offset_and_not_the_moment() -> None:
    app, world = sandbox(leads=0)
    lead = world.add_lead()
    world.add_communication(lead, channel="Text", note="hello", at=NOW)
    [row] = (await _get(app, f"/v2.0/leads/{lead}/activities?timeZoneCode=America/Denver"))["activities"]
    assert row["activityTime"] == "2026-03-02T05:00:00-07:00"


async def test_the_change_log_is_for_the_admin_and_the_leads_agent() -> None:
    app, world = sandbox(leads=0)
    lead = world.add_lead(assignedUserId=user_id(world, ANA))
    world.add_system_log(lead, content={"a": 1})
    codes = {who: await ask(app, "GET", f"/v1.0/systemLogs?leadId={lead}", who=who) for who in (OWNER, ANA, MARK)}
    assert {who: answer.status_code for who, answer in codes.items()} == {OWNER: 200, ANA: 200, MARK: 403}
    assert codes[MARK].json()["code"] == 200100
    assert codes[ANA].json()["timeLines"][0]["content"] == {"a": 1}
    assert isinstance(codes[ANA].json()["timeLines"][0]["id"], str)


async def test_the_change_log_comes_newest_first_in_pages_and_between_times() -> None:
    app, world = sandbox(leads=0)
    lead = world.add_lead()
    for day in range(5):
        world.add_system_log(lead, timelineTypeDesc=f"day {day}", at=NOW - timedelta(days=5 - day))
    path = f"/v1.0/systemLogs?leadId={lead}"
    pages = [await _get(app, f"{path}&pageSize=2&pageNumber={page}") for page in range(3)]
    assert [[line["timelineTypeDesc"] for line in page["timeLines"]] for page in pages] == [
        ["day 4", "day 3"],
        ["day 2", "day 1"],
        ["day 0"],
    ]
    assert [page["hasMore"] for page in pages] == [1, 1, 0]
    start, end = (int((NOW - timedelta(days=days)).timestamp()) * 1000 for days in (4, 3))
    between = (await _get(app, f"{path}&startTime={start}&endTime={end}"))["timeLines"]
    assert [line["timelineTypeDesc"] for line in between] == ["day 2", "day 1"]


async def test_moving_a_stage_and_assigning_write_the_change_log() -> None:
    app, world = sandbox(leads=0)
    lead = world.add_lead(assignedUserId=user_id(world, ANA))
    await ask(app, "PUT", f"/v1.0/leads/{lead}", body={"stage": "Closed"})
    await ask(app, "POST", f"/v1.0/leads/{lead}/assignment", body=[{"role": "Agent", "assignee": MARK}])
    lines = (await _get(app, f"/v1.0/systemLogs?leadId={lead}"))["timeLines"]
    assert [line["timelineTypeDesc"] for line in lines] == ["Assigned", "Stage Changed"]
    assert (lines[0]["toFirstName"], lines[1]["content"]) == ("Mark", {"from": "New Lead", "to": "Closed"})


async def test_tasks_of_a_lead_carry_its_name_and_know_what_is_overdue_and_finished() -> None:
    app, world = sandbox(leads=0)
    lead = world.add_lead(firstName="Ada", lastName="Byron", assignedUserId=user_id(world, ANA), phones=["415"])
    world.add_task(lead, content="late", at=NOW - timedelta(days=1))
    world.add_task(lead, content="due", type="Appointment", at=NOW + timedelta(days=1))
    world.add_task(lead, content="done", finishTime="2026-03-01 10:00:00", at=NOW - timedelta(days=2))
    tasks = {task["content"]: task for task in (await _get(app, f"/v2.0/tasks?leadId={lead}"))["tasks"]}
    flags = {name: (task["overdueFlag"], task["finishFlag"]) for name, task in tasks.items()}
    assert flags == {"late": (True, False), "due": (False, False), "done": (False, True)}
    assert (tasks["due"]["leadName"], tasks["due"]["leadPhone"]) == ("Ada Byron", "415")
    assert tasks["due"]["startAt"] < tasks["due"]["endAt"] == "2026-03-03T05:00:00-07:00"


@pytest.mark.parametrize(
    "path",
    [
        "/v1.0/notes?leadId={lead}",
        "/v2.0/tasks?leadId={lead}",
        "/v1.0/systemLogs?leadId={lead}",
        "/v1.0/leads/{lead}/activities",
        "/v2.0/leads/{lead}/activities",
        "/v1.0/notes/{note}",
    ],
)
async def test_what_hangs_on_an_invisible_lead_is_404(path: str) -> None:
    app, world = sandbox(leads=0)
    ana = user_id(world, ANA)
    lead = world.add_lead(ownershipScope="PERSONAL", ownershipId=ana, assignedUserId=ana)
    path = path.format(lead=lead, note=world.add_note(lead, content="secret"))
    assert (await ask(app, "GET", path, who=ANA)).status_code == 200
    for who in (MARK, ASSISTANT):
        answer = await ask(app, "GET", path, who=who)
        assert (answer.status_code, "errorCode=20006" in answer.text) == (404, True)
