"""What a write says happened, when the network, Lofty or the client fails on the way."""

from typing import Any

import anyio
import httpx2
import pytest
from pydantic import TypeAdapter

from tests.support.world import Bench, Person, data, error

LEAD = "/v1.0/leads/{id}"


async def _move(bench: Bench, lead_id: str, stage: str = "Qualified", **settings: Any) -> dict[str, Any]:
    async with bench.client(mode="auto", **settings) as client:
        return data(await client.call_tool("update_stage", {"lead_ids": [lead_id], "stage": stage}))


def _lead_at(bench: Bench, stage: str = "New Lead") -> str:
    lead_id = bench.visible_lead()
    bench.world.update_lead(int(lead_id), stage=stage)
    return lead_id


@pytest.mark.parametrize("fault", ["reset_after", "half_body", "status_after=503"])
async def test_a_write_that_lofty_processed_but_never_answered_is_found_applied(bench: Bench, fault: str) -> None:
    lead_id = _lead_at(bench)
    bench.world.faults.next("PUT", LEAD, fault)

    result = await _move(bench, lead_id)

    assert result["results"][0]["outcome"] == "applied"
    assert result["results"][0]["after"] == {"stage": "Qualified"}
    assert len(bench.sent()) == 1


@pytest.mark.parametrize("fault", ["reset_before", "status=503"])
async def test_a_write_without_an_answer_that_shows_no_effect_is_unknown_and_not_sent_again(
    bench: Bench, fault: str
) -> None:
    lead_id = _lead_at(bench)
    bench.world.faults.next("PUT", LEAD, fault)

    result = await _move(bench, lead_id)

    assert result["status"] == "partial"
    assert result["results"][0]["outcome"] == "unknown"
    assert result["results"][0]["after"] == {"stage": "New Lead"}
    assert "Look at the lead" in result["results"][0]["note"]
    assert len(bench.sent()) == 1


async def test_a_write_whose_read_back_fails_is_unknown_never_not_applied(bench: Bench) -> None:
    lead_id = _lead_at(bench)
    bench.world.faults.next("PUT", LEAD, "reset_after")

    def break_reads(request: Any) -> None:
        if request.method == "PUT":
            bench.world.faults.next("GET", LEAD, "status=503", times=3)

    bench.network.before = break_reads
    result = await _move(bench, lead_id)

    assert result["results"][0]["outcome"] == "unknown"
    assert "after" not in result["results"][0]
    assert bench.world.lead(int(lead_id))["stage"] == "Qualified"


async def test_an_unknown_outcome_becomes_applied_when_the_same_code_finds_it_so(bench: Bench) -> None:
    lead_id = _lead_at(bench)
    call = {"lead_ids": [lead_id], "stage": "Qualified"}
    bench.world.faults.next("PUT", LEAD, "reset_before")
    async with bench.client() as client:
        call["confirmation"] = data(await client.call_tool("update_stage", call))["confirmation"]
        first = data(await client.call_tool("update_stage", call))
        bench.world.update_lead(int(lead_id), stage="Qualified")
        again = data(await client.call_tool("update_stage", call))

    assert first["results"][0]["outcome"] == "unknown"
    assert again["results"][0]["outcome"] == "applied"
    assert again["replayed"] is True
    assert len(bench.sent()) == 1


async def test_a_definite_refusal_is_not_applied_and_told_again_under_its_code(bench: Bench) -> None:
    lead_id = _lead_at(bench)
    call = {"lead_ids": [lead_id], "stage": "Qualified"}
    bench.world.faults.next("PUT", LEAD, "status=400")
    async with bench.client() as client:
        call["confirmation"] = data(await client.call_tool("update_stage", call))["confirmation"]
        results = [data(await client.call_tool("update_stage", call)) for _ in range(2)]

    assert [r["results"][0]["outcome"] for r in results] == ["not_applied", "not_applied"]
    assert [r["status"] for r in results] == ["failed", "failed"]
    assert len(bench.sent()) == 1


async def test_a_rate_limit_is_waited_out_and_the_write_sent_again(bench: Bench) -> None:
    lead_id = _lead_at(bench)
    bench.world.faults.next("PUT", LEAD, "429=20")

    result = await _move(bench, lead_id)

    assert result["results"][0]["outcome"] == "applied"
    assert len(bench.sent()) == 2


async def test_a_long_rate_limit_sends_nothing_and_leaves_the_code_good(bench: Bench) -> None:
    lead_id = _lead_at(bench)
    call = {"lead_ids": [lead_id], "stage": "Qualified"}
    async with bench.client() as client:
        call["confirmation"] = data(await client.call_tool("update_stage", call))["confirmation"]
        bench.world.faults.next("PUT", LEAD, "429=50000")
        limited = data(await client.call_tool("update_stage", call))
    async with bench.client() as later:
        done = data(await later.call_tool("update_stage", call))

    assert limited["results"][0]["outcome"] == "not_applied"
    assert "retry in 50 s" in limited["results"][0]["note"]
    assert done["results"][0]["outcome"] == "applied"
    assert "replayed" not in done


async def test_lofty_answering_no_change_is_not_taken_for_success(bench: Bench) -> None:
    lead_id = _lead_at(bench)
    bench.network.before = lambda request: (
        httpx2.Response(200, json={"data": "no change"}) if request.method == "PUT" else None
    )

    result = await _move(bench, lead_id)

    assert result["results"][0]["outcome"] == "not_applied"
    assert "changed nothing" in result["results"][0]["note"]


async def test_a_lead_already_there_is_no_change_and_nothing_is_sent_or_asked(bench: Bench) -> None:
    lead_id, person = _lead_at(bench, "Qualified"), Person()
    async with bench.client(person=person) as client:
        result = data(await client.call_tool("update_stage", {"lead_ids": [lead_id], "stage": "Qualified"}))

    assert result["status"] == "done"
    assert result["results"][0]["outcome"] == "no_change"
    assert bench.sent() == []
    assert person.asked == []


async def test_an_honest_repeat_after_an_undo_is_a_new_write(bench: Bench) -> None:
    lead_id = _lead_at(bench)
    first = await _move(bench, lead_id)
    bench.world.update_lead(int(lead_id), stage="New Lead")
    second = await _move(bench, lead_id)

    assert [r["results"][0]["outcome"] for r in (first, second)] == ["applied", "applied"]
    assert len(bench.sent()) == 2


async def test_a_client_that_hangs_up_mid_write_finds_it_done_once(bench: Bench) -> None:
    lead_id = _lead_at(bench)
    call = {"lead_ids": [lead_id], "stage": "Qualified"}
    bench.world.faults.next("PUT", LEAD, "latency=0.2")
    left = anyio.Event()
    async with bench.client(era="legacy") as client:
        call["confirmation"] = data(await client.call_tool("update_stage", call))["confirmation"]
        with anyio.CancelScope() as patience:
            bench.network.before = lambda request: patience.cancel() if request.method == "PUT" else None
            await client.call_tool("update_stage", call)
            left.set()
        again = data(await client.call_tool("update_stage", call))

    assert not left.is_set(), "the client hung up"
    assert again["results"][0]["before"] == {"stage": "New Lead"}, "the write itself reported, nobody had to guess"
    assert again["results"][0]["outcome"] == "applied"
    assert len(bench.sent()) == 1


async def test_a_process_that_died_after_sending_is_reconciled_by_reading_back(bench: Bench) -> None:
    lead_id = _lead_at(bench)
    call = {"lead_ids": [lead_id], "stage": "Qualified"}

    def die(request: httpx2.Request) -> None:
        if request.method == "PUT":
            bench.world.update_lead(int(lead_id), stage="Qualified")  # it arrived
            raise MemoryError  # and the process never learned of it

    bench.network.before = die
    async with bench.client() as client:
        call["confirmation"] = data(await client.call_tool("update_stage", call))["confirmation"]
        error(await client.call_tool("update_stage", call))
    async with bench.client() as restarted:
        told = data(await restarted.call_tool("update_stage", call))

    assert told["results"][0]["outcome"] == "applied"
    assert told["replayed"] is True
    assert bench.sent() == []


@pytest.mark.parametrize("fault", ["status_after=400", "status_after=403", "status_after=404", "status_after=409"])
async def test_a_refusal_that_the_record_belies_is_told_as_applied(bench: Bench, fault: str) -> None:
    lead_id = _lead_at(bench)
    bench.world.faults.next("PUT", LEAD, fault)

    result = await _move(bench, lead_id)

    assert result["results"][0]["outcome"] == "applied"
    assert len(bench.sent()) == 1


@pytest.mark.parametrize("bomb", ["&#" + "9" * 5000 + ";", "![](" + " " * 20_000, "<script " * 2500])
async def test_hostile_text_that_arrives_during_a_write_does_not_change_what_is_told(bench: Bench, bomb: str) -> None:
    lead_id = _lead_at(bench)

    def hostile(request: httpx2.Request) -> None:
        if request.method == "PUT":
            bench.world.update_lead(int(lead_id), referredBy=bomb)

    bench.network.before = hostile
    with anyio.fail_after(3):
        result = await _move(bench, lead_id)

    assert result["results"][0]["outcome"] == "applied"


async def test_a_read_back_that_shows_another_lead_proves_nothing(bench: Bench) -> None:
    lead_id = _lead_at(bench)
    sent: list[str] = []

    def confused(request: httpx2.Request) -> httpx2.Response | None:
        if request.method == "PUT":
            sent.append(request.url.path)
            return httpx2.Response(502, json={"message": "bad gateway"})
        other = {"lead": {"leadId": 77, "hiddenFlag": False, "stage": "Qualified"}}
        return httpx2.Response(200, json=other) if sent and lead_id in request.url.path else None

    bench.network.before = confused
    result = await _move(bench, lead_id)

    assert result["results"][0]["outcome"] == "unknown"


async def test_a_crash_of_our_own_after_sending_never_reads_as_nothing_changed(bench: Bench) -> None:
    lead_id = _lead_at(bench)

    def crash(request: httpx2.Request) -> None:
        if request.method == "PUT":
            TypeAdapter(int).validate_python("not a number")

    bench.network.before = crash
    async with bench.client(mode="auto") as client:
        told = error(await client.call_tool("update_stage", {"lead_ids": [lead_id], "stage": "Qualified"}))

    assert "it may have been done" in told
    assert "Nothing was changed" not in told


@pytest.mark.slow
async def test_a_creation_that_a_crash_left_open_is_unknown_once_its_trace_is_forgotten(bench: Bench) -> None:
    lead_id, call = _lead_at(bench), {"text": "Called back"}
    call["lead_id"] = lead_id

    def die(request: httpx2.Request) -> None:
        if request.method == "POST":
            raise MemoryError

    bench.network.before = die
    async with bench.client(mode="auto") as client:
        error(await client.call_tool("add_note", call))
    bench.network.before = lambda _: None
    bench.later += 31 * 24 * 3600
    await _move(bench, lead_id)  # which lets the ledger forget what is too old
    async with bench.client(mode="auto") as client:
        told = data(await client.call_tool("add_note", call))
        bench.later += 121
        anew = data(await client.call_tool("add_note", call))

    assert told["results"][0]["outcome"] == "unknown"
    assert anew["results"][0]["outcome"] == "applied"
    assert [path for method, path, _ in bench.sent() if method == "POST"] == ["/v1.0/notes"]
