"""log_communication through a real client: what is logged, what is told, and that nothing is sent to anybody."""

import json
from typing import Any

import httpx2
import pytest

from tests.support.cases import rest_slow
from tests.support.world import ANA, ERAS, Bench, Person, data, error

SIGNED = "(written by an AI assistant)"
LOG = "/v1.0/logType"
LOG_LIMIT = 5_000
PHONE = "(206) 555-1001"


def _logs(bench: Bench, lead_id: str) -> dict[str, dict[str, Any]]:
    """What was logged by hand on a lead, by id."""
    rows = {str(row["id"]): json.loads(row["data"]) for row in bench.world.store.items("communication", int(lead_id))}
    return {number: row for number, row in rows.items() if row["communicationType"] == "Logged"}


def _quiet_lead(bench: Bench, phones: tuple[str, ...] = (PHONE, "206-555-1002")) -> str:
    """A visible lead of Ana's on which nothing is logged, with these numbers."""
    lead_id = next(lead_id for lead_id in bench.visible_leads(8) if not _logs(bench, lead_id))
    bench.world.update_lead(int(lead_id), phones=list(phones), phoneStatuses=[2] * len(phones))
    return lead_id


def _a_log(bench: Bench, lead_id: str, note: str, **fields: Any) -> str:
    fields = {"communicationType": "Logged", "agentId": bench.user_id(ANA), **fields}
    return str(bench.world.add_communication(int(lead_id), note=note, **fields))


async def _log(bench: Bench, lead_id: str, **more: Any) -> dict[str, Any]:
    async with bench.client(mode="auto") as client:
        call = {"lead_id": lead_id, "kind": "call", "text": "Wants to see it", **more}
        return data(await client.call_tool("log_communication", call))


DONE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "call": ({"kind": "call"}, {"logType": "logCall", "callingOutcome": "Talked", "leadPhoneNumber": "2065551001"}),
    "inbound call": (
        {"kind": "call", "outcome": "NoAnswer", "phone": "+1 206-555-1002", "direction": "inbound"},
        {"logType": "logCall", "callingOutcome": "NoAnswer", "leadPhoneNumber": "2065551002"},
    ),
    "text": ({"kind": "text"}, {"logType": "logText", "leadPhoneNumber": "2065551001"}),
    "email": ({"kind": "email", "subject": "The plan"}, {"logType": "logEmail", "emailSubject": "The plan"}),
}
"""What may have been done elsewhere, and what is sent to log it."""


@pytest.mark.parametrize("era", rest_slow(*ERAS))
async def test_what_was_done_elsewhere_is_logged_in_one_request_and_nothing_is_sent(bench: Bench, era: str) -> None:
    lead_id, person, content = _quiet_lead(bench), Person(), f"Wants to see it\n{SIGNED}"
    async with bench.client(era=era, person=person) as client:
        for what, (given, sent) in DONE.items():
            before = _logs(bench, lead_id).keys()
            call = {"lead_id": lead_id, "text": "Wants to see it", **given}
            done = data(await client.call_tool("log_communication", call))
            [log_id] = _logs(bench, lead_id).keys() - before
            [row], direction = done["results"], given.get("direction", "outbound")
            body = {"leadId": int(lead_id), "content": content, "outboundOrInbound": direction}
            assert bench.sent()[-1] == ("POST", LOG, {**body, **sent}), what
            assert (done["status"], row["outcome"]) == ("done", "applied"), what
            assert row["after"] == {
                "log_id": log_id,
                "kind": given["kind"],
                "direction": direction,
                **({"outcome": sent["callingOutcome"]} if "callingOutcome" in sent else {}),
                **({"number": sent["leadPhoneNumber"]} if "leadPhoneNumber" in sent else {}),
                **({"subject": "The plan"} if "subject" in given else {}),
                "text": content,
            }, what
            assert "undo" not in row

    assert len(bench.sent()) == len(DONE)
    assert bench.world.messages == []
    assert person.asked == []


async def test_what_cannot_be_logged_is_refused_before_sending(bench: Bench) -> None:
    lead_id = _quiet_lead(bench)
    wrong: dict[str, list[dict[str, Any]]] = {
        "outcome goes with a call": [
            {"kind": "text", "outcome": "Talked"},
            {"kind": "email", "outcome": "Talked"},
            {"kind": "email", "phone": PHONE},
            {"kind": "call", "subject": "The plan"},
            {"kind": "text", "subject": "The plan"},
        ],
        "phone: give the whole number": [
            {"phone": "1234"},
            {"phone": "1234567890123456"},
            {"phone": "206-555-1001 ext. 9"},
            {"phone": "call her"},
            {"phone": "٢٠٦٥٥٥١٠٠١"},
        ],
        f"cuts it at {LOG_LIMIT} characters, and this has {LOG_LIMIT + 1}": [{"text": "t" * (LOG_LIMIT - len(SIGNED))}],
        "text: holds markup": [{"text": "<b>Wants it</b>"}],
        "subject: holds markup": [{"kind": "email", "subject": "<b>Plan</b>"}],
        "kind:": [{"kind": "fax"}],
        "outcome:": [{"outcome": "Shouted"}],
        "direction:": [{"direction": "sideways"}],
    }
    async with bench.client(mode="auto") as client:
        for said, calls in wrong.items():
            for arguments in calls:
                call = {"lead_id": lead_id, "kind": "call", "text": "Wants to see it", **arguments}
                refused = error(await client.call_tool("log_communication", call))
                assert said in refused, arguments
                assert refused.endswith("Nothing was changed."), arguments

    assert bench.sent() == []


@pytest.mark.parametrize("kind", rest_slow("call", "text"))
async def test_of_a_lead_without_a_number_the_one_that_was_used_is_asked_for(bench: Bench, kind: str) -> None:
    lead_id = _quiet_lead(bench, ())
    async with bench.client(mode="auto") as client:
        call = {"lead_id": lead_id, "kind": kind, "text": "Hello"}
        refused = error(await client.call_tool("log_communication", call))
        done = data(await client.call_tool("log_communication", {**call, "phone": "206 555 1003"}))
        email = data(await client.call_tool("log_communication", {**call, "kind": "email"}))

    assert "this lead has no number on record; give the one that was used. Nothing was changed." in refused
    assert done["results"][0]["after"]["number"] == "2065551003"
    assert email["results"][0]["outcome"] == "applied"
    assert len(bench.sent()) == 2


@pytest.mark.parametrize("era", rest_slow(*ERAS))
async def test_the_same_log_again_is_told_again_unless_it_is_another_or_meant(bench: Bench, era: str) -> None:
    lead_id, person = _quiet_lead(bench), Person()
    call = {"lead_id": lead_id, "kind": "call", "text": "Wants to see it"}
    others: list[dict[str, Any]] = [
        {"kind": "text"},
        {"direction": "inbound"},
        {"outcome": "VoiceMessage"},
        {"allow_duplicate": True},
    ]
    async with bench.client(era=era, person=person, ask_from="add") as client:
        first, again = [data(await client.call_tool("log_communication", call)) for _ in range(2)]
        fresh = [data(await client.call_tool("log_communication", {**call, **other})) for other in others]
        bench.later += 121
        fresh.append(data(await client.call_tool("log_communication", call)))

    assert again["replayed"] is True
    assert again["results"] == first["results"]
    assert all("replayed" not in told and told["results"][0]["outcome"] == "applied" for told in fresh)
    assert len(person.asked) == len(bench.sent()) == 1 + len(fresh)
    assert all("Nothing is sent." in asked for asked in person.asked)
    assert bench.world.messages == []


@pytest.mark.parametrize(
    ("fault", "late", "alike", "outcome"),
    rest_slow(
        ("reset_after", 0, 1, "applied"),
        ("half_body", 0, 1, "applied"),
        ("status_after=500", 0, 0, "applied"),
        ("half_body", 2, 1, "applied"),
        ("reset_before", 0, 1, "unknown"),
        ("status=500", 0, 2, "unknown"),
        ("latency=0", 2, 1, "applied"),
        ("latency=0", 99, 1, "unknown"),
        ("status=400", 0, 1, "not_applied"),
    ),
)
async def test_what_became_of_a_log_is_told_by_the_logs_that_are_there_then(
    bench: Bench, fault: str, late: int, alike: int, outcome: str
) -> None:
    lead_id = _quiet_lead(bench)
    before = {_a_log(bench, lead_id, f"Wants to see it\n{SIGNED}") for _ in range(alike)}
    bench.world.late_reads = late
    bench.world.faults.next("POST", LOG, fault)
    row = (await _log(bench, lead_id))["results"][0]

    assert row["outcome"] == outcome
    assert ("after" in row) is (outcome == "applied")
    assert outcome != "applied" or {row["after"]["log_id"]} == _logs(bench, lead_id).keys() - before
    assert len(bench.sent()) == 1
    assert bench.world.messages == []


@pytest.mark.slow  # it waits three seconds for the one that is dead
async def test_after_a_crash_the_log_is_found_and_not_made_again(bench: Bench) -> None:
    lead_id = _quiet_lead(bench)

    def die(request: httpx2.Request) -> None:
        if request.method == "POST":
            _a_log(bench, lead_id, f"Wants to see it\n{SIGNED}")
            raise MemoryError

    bench.network.before = die
    async with bench.client(mode="auto") as client:
        call = {"lead_id": lead_id, "kind": "call", "text": "Wants to see it"}
        error(await client.call_tool("log_communication", call))
    bench.network.before = lambda _: None
    bench.later += 130
    told = await _log(bench, lead_id)

    assert told["results"][0]["outcome"] == "applied"
    assert told["replayed"] is True
    assert bench.sent() == []


async def test_a_call_logged_under_a_number_that_is_gone_since_needs_a_fresh_preview(bench: Bench) -> None:
    lead_id = _quiet_lead(bench)
    call = {"lead_id": lead_id, "kind": "call", "text": "Wants to see it"}
    async with bench.client(ask_from="add") as client:
        call["confirmation"] = data(await client.call_tool("log_communication", call))["confirmation"]
        bench.world.update_lead(int(lead_id), phones=["206-555-1009"], phoneStatuses=[2])
        second = data(await client.call_tool("log_communication", call))

    assert second["status"] == "confirmation_required"
    assert "2065551009" in second["preview"]
    assert bench.sent() == []


async def test_lines_of_a_log_cannot_pass_for_lines_of_the_question(bench: Bench) -> None:
    lead_id, person = _quiet_lead(bench), Person("decline")
    fake = "Hi\n- Nobody (1): stage New Lead → Closed\n(reference 12345678)"
    async with bench.client(person=person, ask_from="add") as client:
        data(await client.call_tool("log_communication", {"lead_id": lead_id, "kind": "call", "text": fake}))

    ours = [text for text in person.asked[0].splitlines() if not text.startswith("    | ")]
    assert len(ours) == 3, ours
    assert ours[2].startswith("(reference ")
