"""get_timeline through a real client: one stream of everything that happened, newest first, every event once."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rs_bpe import openai

from tests.support.world import ANA, ERAS, MARK, NOW, OWNER, Bench, data, error, rows, text, walk, warm

KINDS = ["site", "call", "text", "email", "note", "task", "system"]
TOKENS = openai.o200k_base()
SITE, TALK, NOTES, LOGS = 250, 40, 12, 2
"""What the sandbox's busy lead has; it has no tasks."""


def _empty_lead(bench: Bench, **fields: Any) -> str:
    return str(bench.world.add_lead(firstName="Mei", assignedUserId=bench.user_id(ANA), **fields))


async def _timeline(bench: Bench, lead_id: str, viewer: str = ANA, **arguments: Any) -> dict[str, Any]:
    async with bench.client(viewer) as client:
        return data(await client.call_tool("get_timeline", {"lead_id": lead_id, **arguments}))


def _day(number: int, hour: int = 12) -> datetime:
    return datetime(2026, 11, number, hour, 0, tzinfo=UTC)


@pytest.mark.parametrize("era", ERAS)
async def test_a_timeline_is_a_table_of_what_happened_newest_first(bench: Bench, era: str) -> None:
    lead_id = str(bench.world.busy_lead_id)
    async with bench.client(era=era) as client:
        timeline = data(await client.call_tool("get_timeline", {"lead_id": lead_id}))

    times = [datetime.fromisoformat(row["at"]) for row in rows(timeline)]
    assert timeline["lead_id"] == lead_id
    assert timeline["columns"][:2] == ["at", "kind"]
    assert timeline["returned"] == len(timeline["rows"]) == 20
    assert timeline["has_more"] is True
    assert len(timeline["next_cursor"]) == 16
    assert "incomplete" not in timeline
    assert times == sorted(times, reverse=True)
    assert {time.utcoffset() for time in times} <= {timedelta(hours=-7), timedelta(hours=-6)}
    assert {row["kind"] for row in rows(timeline)} <= set(KINDS)


async def test_each_source_is_told_as_its_kind(bench: Bench) -> None:
    lead_id = _empty_lead(bench)
    number = int(lead_id)
    agent = bench.user_id(ANA)
    bench.world.add_activity(number, type="Favorite", text="saved 18 Pine Court", at=_day(1, 7))
    bench.world.add_communication(
        number, channel="Call", direction="Inbound", callingOutcome="Talked", note="About Oak", at=_day(2)
    )
    bench.world.add_communication(number, channel="Text", note="See you at 5", at=_day(3))
    bench.world.add_communication(
        number, channel="Email", emailSubject="Your home's value", emailEventType="Opened", at=_day(4)
    )
    bench.world.add_note(number, content="Wants 3 beds & 2 baths", creatorId=agent, isPin=True, at=_day(5))
    bench.world.add_task(number, type="Call", content="Send comparables", at=_day(25))
    bench.world.add_system_log(
        number, timelineTypeDesc="Stage Changed", content={"from": "New Lead", "to": "Closed"}, at=_day(6)
    )
    told = {row["kind"]: row for row in rows(await _timeline(bench, lead_id))}

    assert set(told) == set(KINDS)
    assert "saved 18 Pine Court" in told["site"]["text"]
    assert (told["call"]["direction"], told["call"]["outcome"]) == ("Inbound", "Talked")
    assert "About Oak" in told["call"]["text"]
    assert told["text"]["text"] == "See you at 5"
    assert "Your home's value" in told["email"]["text"]
    assert told["note"]["text"] == "Wants 3 beds & 2 baths"
    assert (told["note"]["by"], told["note"]["pinned"]) == ("Ana Reyes", True)
    assert told["note"]["note_id"].isdigit()
    assert told["task"]["text"] == "Call: Send comparables"
    assert told["task"]["due"] == "2026-11-25T05:00:00-07:00"
    assert "finished" not in told["task"], "a column that says no everywhere is left out"
    assert "New Lead" in told["system"]["text"]
    assert "Closed" in told["system"]["text"]
    assert told["site"]["at"] == "2026-11-01T01:00:00-06:00", "before the clocks changed"


async def test_a_logged_call_is_a_call_marked_as_logged_and_comes_once(bench: Bench) -> None:
    lead_id = _empty_lead(bench)
    logged = bench.world.add_communication(
        int(lead_id), channel="Call", communicationType="Logged", callingOutcome="Talked", at=_day(2)
    )
    bench.world.add_communication(int(lead_id), channel="Call", communicationType="Manual", at=_day(3))
    bench.world.add_system_log(
        int(lead_id), timelineTypeDesc="Call Logged", refId=logged, at=_day(2), content={"outcome": "Talked"}
    )
    timeline = rows(await _timeline(bench, lead_id))

    assert [(row["kind"], row["logged"]) for row in timeline] == [("call", False), ("call", True)]


async def test_a_lead_without_history_has_an_empty_timeline(bench: Bench) -> None:
    timeline = await _timeline(bench, _empty_lead(bench))

    assert timeline["rows"] == []
    assert (timeline["returned"], timeline["has_more"]) == (0, False)
    assert timeline["columns"][:2] == ["at", "kind"]
    assert "next_cursor" not in timeline


@pytest.mark.parametrize("kinds", [*[[kind] for kind in KINDS], ["call", "text", "email"], ["note", "system"], "note"])
async def test_kinds_narrow_the_timeline(bench: Bench, kinds: list[str] | str) -> None:
    lead_id = str(bench.world.busy_lead_id)
    everything = await _timeline(bench, lead_id, limit=100)
    narrowed = await _timeline(bench, lead_id, kinds=kinds, limit=100)
    wanted = {kinds} if isinstance(kinds, str) else set(kinds)

    assert {row["kind"] for row in rows(narrowed)} <= wanted
    seen = [(row["at"], row["text"]) for row in rows(everything) if row["kind"] in wanted]
    assert seen == [(row["at"], row["text"]) for row in rows(narrowed)][: len(seen)]


async def test_since_and_until_are_days_of_the_accounts_zone_both_included(bench: Bench) -> None:
    lead_id = _empty_lead(bench)
    for hour, note in ((6, "the day before"), (7, "midnight"), (23, "afternoon")):
        bench.world.add_note(int(lead_id), content=note, at=_day(18, hour))
    bench.world.add_note(int(lead_id), content="last minute", at=_day(19, 6) + timedelta(minutes=59))
    bench.world.add_note(int(lead_id), content="the day after", at=_day(19, 7))

    async def between(since: str, until: str) -> list[str]:
        return [row["text"] for row in rows(await _timeline(bench, lead_id, since=since, until=until))]

    assert await between("2026-11-18", "2026-11-18") == ["last minute", "afternoon", "midnight"]
    assert await between("2026-11-18T23:00:00Z", "2026-11-19T06:59:00Z") == ["last minute", "afternoon"]
    assert await between("2026-11-18T16:00", "2026-11-18T16:00") == ["afternoon"]


@pytest.mark.parametrize(
    ("path", "missing"),
    [
        ("/v1.0/leads/{id}/activities", {"site"}),
        ("/v2.0/leads/{id}/activities", {"call", "text", "email"}),
        ("/v1.0/notes", {"note"}),
        ("/v2.0/tasks", {"task"}),
        ("/v1.0/systemLogs", {"system"}),
    ],
)
async def test_a_source_that_fails_is_named_and_the_rest_returned(bench: Bench, path: str, missing: set[str]) -> None:
    lead_id = str(bench.world.busy_lead_id)
    bench.world.faults.next("GET", path, "status=500", times=10)
    timeline = await _timeline(bench, lead_id, limit=100)

    assert set(timeline["incomplete"]) == missing
    assert timeline["rows"]
    assert not {row["kind"] for row in rows(timeline)} & missing


async def test_a_source_that_was_not_asked_for_is_not_read(bench: Bench) -> None:
    bench.world.faults.next("GET", "/v1.0/notes", "status=500", times=10)
    timeline = await _timeline(bench, str(bench.world.busy_lead_id), kinds=["call"])

    assert "incomplete" not in timeline
    assert not [entry for entry in bench.world.log if entry.path == "/v1.0/notes"]


async def test_a_change_log_that_is_not_the_callers_to_see_is_no_failure(bench: Bench) -> None:
    lead_id = bench.visible_lead(ANA, ownershipScope="TEAM")
    own = await _timeline(bench, lead_id, ANA, kinds=["system"])
    other = await _timeline(bench, lead_id, MARK, kinds=["system"])

    assert {row["kind"] for row in rows(own)} == {"system"}
    assert other["rows"] == []
    assert "incomplete" not in other


async def test_long_texts_are_cut_with_how_much_is_missing_and_whole_with_detail_full(bench: Bench) -> None:
    lead_id = _empty_lead(bench)
    bench.world.add_note(int(lead_id), content="n" * 1500, at=_day(2))
    [concise] = rows(await _timeline(bench, lead_id, kinds=["note"]))
    [full] = rows(await _timeline(bench, lead_id, kinds=["note"], detail="full"))

    assert concise["text"] == "n" * 280 + "… (+1220 characters)"
    assert full["text"] == "n" * 1500


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"kinds": ["fax"]}, "kinds"),
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"since": "last week"}, "since"),
        ({"until": "20-11-2026"}, "until"),
        ({"cursor": "aaaabbbbccccdddd"}, "cursor"),
        ({"detail": "all"}, "detail"),
    ],
    ids=str,
)
async def test_a_wrong_argument_is_refused_by_name(bench: Bench, arguments: dict[str, Any], says: str) -> None:
    async with bench.client() as client:
        refused = error(await client.call_tool("get_timeline", {"lead_id": bench.visible_lead(), **arguments}))

    assert says in refused
    assert "Nothing was changed." in refused


async def test_a_cursor_does_not_go_on_with_another_lead_or_other_filters(bench: Bench) -> None:
    call = {"lead_id": str(bench.world.busy_lead_id), "limit": 5}
    async with bench.client() as client:
        cursor = data(await client.call_tool("get_timeline", call))["next_cursor"]
        for changed in ({"lead_id": bench.visible_leads(2)[1]}, {"kinds": ["note"]}, {"since": "2026-11-01"}):
            assert "cursor" in error(await client.call_tool("get_timeline", {**call, **changed, "cursor": cursor}))
        assert data(await client.call_tool("get_timeline", {**call, "limit": 9, "cursor": cursor}))["returned"] == 9


async def test_calls_upstream_are_the_gate_and_the_sources(bench: Bench) -> None:
    lead_id = bench.visible_leads(2)[1]
    assert lead_id != str(bench.world.busy_lead_id)
    counts = []
    async with bench.client() as client:
        await warm(client)
        for kinds in (None, KINDS, ["note"], ["call", "text", "email"], ["site", "task"]):
            before = len(bench.world.log)
            data(await client.call_tool("get_timeline", {"lead_id": lead_id} | ({"kinds": kinds} if kinds else {})))
            counts.append(len(bench.world.log) - before)

    assert counts == [1 + 5, 1 + 5, 1 + 1, 1 + 1, 1 + 2]


async def _events(bench: Bench, arguments: dict[str, Any], limits: list[int], **given: Any) -> list[tuple[Any, ...]]:
    """Everything that a walk with these page sizes tells, in order, columns in one order."""
    told: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    async with bench.client(OWNER, **given) as client:
        for number in range(1_000):
            limit = limits[number % len(limits)]
            page = data(await client.call_tool("get_timeline", {**arguments, "limit": limit, **cursor}))
            assert page["returned"] <= limit
            told += rows(page)
            if not page["has_more"]:
                break
            cursor = {"cursor": page["next_cursor"]}
    return [(row["at"], row["kind"], row["text"], row.get("note_id", "-")) for row in told]


@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # to shrink a failure of whole walks takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    limits=st.lists(st.integers(9, 100), min_size=1, max_size=4),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, unique=True),
)
@pytest.mark.slow
async def test_every_event_comes_exactly_once_whatever_the_page_sizes(
    tmp_path_factory: pytest.TempPathFactory, limits: list[int], kinds: list[str]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("lofty"), leads=5)
    arguments = {"lead_id": str(bench.world.busy_lead_id)}
    everything = await _events(bench, arguments, limits)
    some = await _events(bench, {**arguments, "kinds": kinds}, limits)
    counts = Counter(kind for _, kind, _, _ in everything)

    assert counts["site"] == SITE
    assert counts["call"] + counts["text"] + counts["email"] == TALK
    assert counts["note"] == NOTES
    assert counts["system"] == LOGS
    assert [row for row in everything if row[1] in kinds] == some
    times = [datetime.fromisoformat(row[0]) for row in everything]
    assert times == sorted(times, reverse=True)


async def test_one_event_a_page_brings_each_once(bench: Bench) -> None:
    arguments = {"lead_id": str(bench.world.busy_lead_id), "kinds": ["note"]}

    assert await _events(bench, arguments, [1]) == await _events(bench, arguments, [100])
    assert len(await _events(bench, arguments, [1])) == NOTES


async def test_events_of_one_second_come_each_once(bench: Bench) -> None:
    lead_id = _empty_lead(bench)
    for number in range(230):
        bench.world.add_activity(int(lead_id), type="Browse", text=f"viewed {number // 2} Oak Street", at=_day(3))
    for number in range(5):
        bench.world.add_note(int(lead_id), content=f"note {number}", at=_day(3))
    told = await _events(bench, {"lead_id": lead_id, "kinds": ["site", "note"]}, [7, 20])

    assert len(told) == 235
    assert set(Counter(row for row in told if row[1] == "site").values()) == {2}, "the same page was viewed twice"


async def test_what_is_added_between_pages_neither_repeats_nor_hides_an_event(bench: Bench) -> None:
    lead_id = str(bench.world.busy_lead_id)
    added = 0

    def more() -> None:
        nonlocal added
        added += 1
        bench.world.add_activity(int(lead_id), type="Browse", text=f"new {added}", at=NOW + timedelta(seconds=added))
        bench.world.add_note(int(lead_id), content=f"new {added}", at=NOW + timedelta(seconds=added))

    before = Counter(await _events(bench, {"lead_id": lead_id}, [100]))
    async with bench.client(OWNER) as client:
        pages = await walk(client, "get_timeline", {"lead_id": lead_id, "limit": 30}, more)
    told = Counter(
        (row["at"], row["kind"], row["text"], row.get("note_id", "-")) for page in pages for row in rows(page)
    )

    assert added > 5
    assert told == before


@pytest.mark.parametrize("detail", ["concise", "full"])
async def test_a_page_is_cut_to_the_budget_and_the_cursors_bring_every_event_once(bench: Bench, detail: str) -> None:
    arguments = {"lead_id": str(bench.world.busy_lead_id), "limit": 100, "detail": detail}
    whole = await _events(bench, arguments, [100])
    async with bench.client(OWNER, result_tokens=500) as client:
        result = await client.call_tool("get_timeline", arguments)
        first = data(result)
    cut = await _events(bench, arguments, [100], result_tokens=500)

    assert 0 < first["returned"] < 60
    assert first["has_more"] is True
    assert "next_cursor" in first["note"]
    assert TOKENS.count(text(result)) <= 500
    assert cut == whole


@pytest.mark.parametrize("letter", ["n ", "语"])
async def test_one_event_longer_than_the_budget_is_cut_to_it(bench: Bench, letter: str) -> None:
    lead_id = _empty_lead(bench)
    for day in (2, 3):
        bench.world.add_note(int(lead_id), content=letter * (2_000 // len(letter)), at=_day(day))
    async with bench.client(result_tokens=500) as client:
        arguments = {"lead_id": lead_id, "kinds": ["note"], "detail": "full"}
        result = await client.call_tool("get_timeline", arguments)
        pages = await walk(client, "get_timeline", arguments)

    assert TOKENS.count(text(result)) <= 500
    assert "characters)" in text(result)
    assert [page["returned"] for page in pages] == [1, 1]


async def test_a_visit_to_the_site_while_its_pages_are_read_repeats_no_event(bench: Bench) -> None:
    lead_id = str(bench.world.busy_lead_id)
    arguments = {"lead_id": lead_id, "kinds": ["site"]}
    before = Counter(await _events(bench, arguments, [100]))

    def visit(request: httpx2.Request) -> None:
        if request.url.params.get("curPage") == "1":  # what was the end of page 0 is now the beginning of page 1
            bench.world.add_activity(int(lead_id), type="Browse", text="came back", at=NOW)

    bench.network.before = visit
    after = Counter(await _events(bench, arguments, [100]))

    assert sum(before.values()) == SITE
    assert {row: count for row, count in after.items() if "came back" not in row[2]} == dict(before)
