"""delete_lead through a real client: who may, by which answer, and what is told of where the lead lies."""

from typing import Any

import httpx2
import pytest

from tests.support.cases import rest_slow
from tests.support.world import ERAS, MARK, OWNER, Bench, Person, data, error

LEAD = "/v1.0/leads/{id}"
NAME = "Mei O'Hara-Okafor"
GOT_IT = {"ok": True, "name": NAME}


def _lead(bench: Bench, **fields: Any) -> str:
    lead_id = bench.visible_lead()
    first, last = NAME.split()
    bench.world.update_lead(int(lead_id), firstName=first, lastName=last, stage="New Lead", **fields)
    return lead_id


def _call(lead_id: str, reason: str = "Asked to be forgotten") -> dict[str, Any]:
    return {"lead_id": lead_id, "reason": reason}


async def _delete(bench: Bench, lead_id: str, **more: Any) -> dict[str, Any]:
    async with bench.client(mode="auto", toolsets="all") as client:
        return data(await client.call_tool("delete_lead", {**_call(lead_id), **more}))


def _lies_in_trash(bench: Bench, lead_id: str) -> bool:
    return bool(bench.world.lead(int(lead_id))["trashed"])


@pytest.mark.parametrize("era", ERAS)
async def test_a_lead_goes_to_the_trash_with_its_reason_once_its_name_is_typed(bench: Bench, era: str) -> None:
    lead_id, person = _lead(bench), Person(content=GOT_IT)
    async with bench.client(era=era, person=person, toolsets="all") as client:
        done = data(await client.call_tool("delete_lead", _call(lead_id)))
        again = data(await client.call_tool("delete_lead", _call(lead_id)))
        gone = error(await client.call_tool("get_lead", {"lead_id": lead_id}))

    row = done["results"][0]
    assert (done["status"], row["outcome"]) == ("done", "applied")
    assert row["before"] == {"stage": "New Lead", "assigned_to": "Ana Reyes", "in_trash": False}
    assert row["after"] == {"in_trash": True}
    assert "undo" not in row, "Lofty has no way back out of the trash"
    assert bench.sent() == [("DELETE", f"/v1.0/leads/{lead_id}", None)]
    assert _lies_in_trash(bench, lead_id)
    assert bench.world.trash_reasons[int(lead_id)] == "Asked to be forgotten"
    assert len(person.asked) == 1
    for words in (f"{NAME} ({lead_id})", "trash", "reason: Asked to be forgotten"):
        assert words in person.asked[0]
    assert again["replayed"] is True, "whoever lost the answer asks again, and the lead cannot tell any more"
    assert again["results"] == done["results"]
    assert "Not found" in gone


async def test_a_lead_that_somebody_else_removed_is_not_there_for_the_same_call(bench: Bench) -> None:
    lead_id = _lead(bench)
    async with bench.client(mode="auto", toolsets="all") as client:
        data(await client.call_tool("delete_lead", _call(lead_id)))
        other = error(await client.call_tool("delete_lead", _call(lead_id, "Another reason")))
    async with bench.client(OWNER, mode="auto", toolsets="all") as client:
        stranger = error(await client.call_tool("delete_lead", _call(lead_id)))

    assert "Not found" in other
    assert stranger == other


async def test_a_name_typed_wrong_is_told_as_that_and_names_no_way_round(bench: Bench) -> None:
    lead_id, person = _lead(bench), Person(content={"ok": True, "name": "Somebody Else"})
    async with bench.client(person=person, toolsets="all") as client:
        told = data(await client.call_tool("delete_lead", _call(lead_id)))

    assert told["status"] == "declined"
    assert told["note"] == (
        "Nothing was changed: the name that was typed is not the lead's name as the question shows it."
    )
    assert bench.sent() == []


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("content", "yes"),
    rest_slow(
        ({"ok": True, "name": "Mei"}, False),
        ({"ok": True, "name": "  mei   o'hara-OKAFOR "}, True),
        ({"ok": True}, False),
        ({"ok": True, "name": ""}, False),
        ({"ok": True, "name": "Mei OHara-Okafor"}, False),
        ({"ok": True, "name": f"{NAME} Lee"}, False),
        ({"ok": True, "name": "MeiO'Hara-Okafor"}, False),
        ({"ok": False, "name": NAME}, False),
        ({"name": NAME}, False),
        ({"ok": "yes", "name": NAME}, False),
        ({}, False),
        (None, False),
    ),
    ids=str,
)
async def test_only_the_lead_that_was_named_whole_is_removed(
    bench: Bench, era: str, content: dict[str, Any] | None, yes: bool
) -> None:
    lead_id, person = _lead(bench), Person(content=content)
    async with bench.client(era=era, person=person, toolsets="all") as client:
        result = data(await client.call_tool("delete_lead", _call(lead_id)))

    assert result["status"] == ("done" if yes else "declined")
    assert "confirmation" not in result, "a no yields no code"
    assert _lies_in_trash(bench, lead_id) is yes
    assert len(bench.sent()) == int(yes)


@pytest.mark.slow
@pytest.mark.parametrize("typed", rest_slow("(no name)", ""))
async def test_a_lead_without_a_name_is_named_as_it_is_shown(bench: Bench, typed: str) -> None:
    lead_id, person = bench.visible_lead(), Person(content={"ok": True, "name": typed})
    bench.world.update_lead(int(lead_id), firstName="", lastName="")
    async with bench.client(person=person, toolsets="all") as client:
        result = data(await client.call_tool("delete_lead", _call(lead_id)))

    assert result["status"] == ("done" if typed else "declined")


@pytest.mark.slow
async def test_a_renamed_lead_is_asked_about_again(bench: Bench) -> None:
    lead_id = _lead(bench)
    person = Person(content=GOT_IT)
    person.meanwhile = lambda: bench.world.update_lead(int(lead_id), lastName=f"Quill{len(person.asked)}")
    async with bench.client(era="legacy", person=person, toolsets="all") as client:
        refused = data(await client.call_tool("delete_lead", _call(lead_id)))

    assert refused["status"] == "declined", "the name that was typed is not that of the lead as it is now"
    assert len(person.asked) == 2
    assert bench.sent() == []


@pytest.mark.parametrize("era", rest_slow(*ERAS))
async def test_a_code_removes_nothing_unless_the_operator_said_so(bench: Bench, era: str) -> None:
    lead_id = _lead(bench)
    async with bench.client(era=era, toolsets="all") as client:
        refused = error(await client.call_tool("delete_lead", _call(lead_id)))
    sent = bench.sent()
    async with bench.client(era=era, mode="code", toolsets="all") as client:
        preview = data(await client.call_tool("delete_lead", _call(lead_id)))
        other = await client.call_tool(
            "delete_lead", {**_call(lead_id, "Another"), "confirmation": preview["confirmation"]}
        )
        untouched = _lies_in_trash(bench, lead_id)
        done = data(await client.call_tool("delete_lead", {**_call(lead_id), "confirmation": preview["confirmation"]}))

    assert "needs a person's approval, and this client cannot ask for one" in refused
    assert sent == []
    assert f"{NAME} ({lead_id})" in preview["preview"]
    assert data(other)["status"] == "confirmation_required"
    assert not untouched
    assert done["results"][0]["outcome"] == "applied"
    assert len(bench.sent()) == 1


async def test_a_removal_without_a_reason_or_with_one_that_nobody_can_read_is_refused(bench: Bench) -> None:
    lead_id = _lead(bench)
    async with bench.client(mode="auto", toolsets="all") as client:
        for reason in ("", " \n ", "<b>spam</b>", "see\u200bthis", "r" * 201):
            refused = error(await client.call_tool("delete_lead", _call(lead_id, reason)))
            assert refused.startswith("reason:"), ascii(reason)
            assert refused.endswith("Nothing was changed.")
        unsaid = error(await client.call_tool("delete_lead", {"lead_id": lead_id}))

    assert "reason" in unsaid
    assert bench.sent() == []


async def test_a_reason_travels_whole_whatever_signs_it_holds(bench: Bench) -> None:
    lead_id, reason = _lead(bench), "Tom & Jo: 100 % done? a=b#c/d+e ünïcödé 日本"
    await _delete(bench, lead_id, reason=reason)

    assert bench.world.trash_reasons[int(lead_id)] == reason


@pytest.mark.parametrize(
    ("fault", "outcome"),
    rest_slow(
        ("reset_after", "applied"),
        ("half_body", "applied"),
        ("status_after=500", "applied"),
        ("status_after=403", "applied"),
        ("reset_before", "unknown"),
        ("status=503", "unknown"),
        ("status=403", "not_applied"),
        ("status=400", "not_applied"),
    ),
)
async def test_what_became_of_a_lead_is_told_by_where_it_lies(bench: Bench, fault: str, outcome: str) -> None:
    lead_id = _lead(bench)
    bench.world.faults.next("DELETE", LEAD, fault)
    row = (await _delete(bench, lead_id))["results"][0]

    assert row["outcome"] == outcome
    assert row["after"]["in_trash"] is _lies_in_trash(bench, lead_id) is (outcome == "applied")
    assert len(bench.sent()) == 1


@pytest.mark.parametrize("accepted", rest_slow(False, True))
async def test_a_lead_that_is_gone_but_not_in_the_trash_is_removed_only_if_lofty_said_so(
    bench: Bench, accepted: bool
) -> None:
    lead_id = _lead(bench)
    gone: list[str] = []

    def vanish(request: httpx2.Request) -> httpx2.Response | None:
        if request.method == "DELETE":
            gone.append(lead_id)
            return httpx2.Response(200 if accepted else 502, json={})
        missing = {"message": "BaseApplicationException:errorCode=20006,errorMsg=Lead not exist"}
        return httpx2.Response(404, json=missing) if gone and lead_id in request.url.path else None

    bench.network.before = vanish
    row = (await _delete(bench, lead_id))["results"][0]

    assert row["outcome"] == ("applied" if accepted else "unknown")
    assert row["after"] == {"in_trash": False}


async def test_a_lead_that_lofty_says_it_removed_and_that_is_still_there_is_unknown(bench: Bench) -> None:
    lead_id = _lead(bench)
    bench.network.before = lambda request: httpx2.Response(200, json={}) if request.method == "DELETE" else None
    row = (await _delete(bench, lead_id))["results"][0]

    assert row["outcome"] == "unknown"
    assert row["after"] == {"stage": "New Lead", "assigned_to": "Ana Reyes", "in_trash": False}


async def test_a_hidden_lead_is_not_there_to_be_removed_by_others(bench: Bench) -> None:
    hidden, missing, person = bench.hidden_lead(MARK), "1100000999999999", Person(content=GOT_IT)
    told = []
    async with bench.client(person=person, toolsets="all") as client:
        for lead_id in (missing, hidden):
            start = len(bench.world.log)
            said = error(await client.call_tool("delete_lead", _call(lead_id)))
            paths = [entry.path for entry in bench.world.log[start:] if "leads" in entry.path]
            told.append(str([said, *paths]).replace(lead_id, "#"))

    assert told[0] == told[1]
    assert not person.asked
    assert bench.sent() == []


async def test_the_agent_of_a_hidden_lead_removes_it_knowing_that_it_is_hidden(bench: Bench) -> None:
    hidden = bench.hidden_lead()
    name = " ".join(bench.world.lead(int(hidden))[part] for part in ("firstName", "lastName"))
    person = Person(content={"ok": True, "name": name})
    async with bench.client(person=person, toolsets="all") as client:
        done = data(await client.call_tool("delete_lead", _call(hidden)))

    assert done["results"][0]["outcome"] == "applied"
    assert "This lead is hidden." in person.asked[0]
