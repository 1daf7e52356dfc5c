"""add_note and update_note through a real client: what is sent, what is told, and nothing twice."""

import json
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client

from tests.support.cases import rest_slow
from tests.support.world import ANA, ERAS, MARK, Bench, Person, data, error

SIGNED = "(written by an AI assistant)"
NOTE_LIMIT = 2_000
UNSEEN = [
    "<b>bold</b>",
    "a<script>x()</script>",
    "a &lt;b&gt;",
    "AT&amp;T",
    "![pixel](https://evil.example/p.png)",
    "see\u200bthis",
    "right\u202eleft",
    "bell\x07",
    "\x1b[31mred",
    "tag\U000e0041",
    "line\u2028separator",
    " \n\t ",
]
LOST = rest_slow("reset_after", "half_body", "status_after=500", "status_after=503")
NOTES, NOTE = "/v1.0/notes", "/v1.0/notes/{id}"


def _notes(bench: Bench, lead_id: str) -> dict[str, dict[str, Any]]:
    """The notes of a lead as the sandbox holds them, by id."""
    return {str(row["id"]): json.loads(row["data"]) for row in bench.world.store.items("note", int(lead_id))}


def _bare_lead(bench: Bench, email: str = ANA) -> str:
    """A visible lead of somebody's that has no notes."""
    return next(i for i in bench.visible_leads(3, email) if not _notes(bench, i))


def _a_note(bench: Bench, lead_id: str, content: str = "Likes gardens", **fields: Any) -> str:
    fields.setdefault("creatorId", bench.user_id(MARK))
    return str(bench.world.add_note(int(lead_id), content=content, **fields))


async def _add(bench: Bench, lead_id: str, text: str = "Call her on Monday", **more: Any) -> dict[str, Any]:
    settings = {"mode": "auto"} | {name: more.pop(name) for name in ("mark", "mode") if name in more}
    async with bench.client(**settings) as client:
        return data(await client.call_tool("add_note", {"lead_id": lead_id, "text": text, **more}))


@pytest.mark.parametrize(("era", "pin"), rest_slow(("auto", True), ("legacy", False)))
async def test_a_new_note_is_one_request_with_the_assistants_mark(bench: Bench, era: str, pin: bool) -> None:
    lead_id, person = _bare_lead(bench), Person()
    async with bench.client(era=era, person=person) as client:
        done = data(await client.call_tool("add_note", {"lead_id": lead_id, "text": "  Likes\r\ngardens ", "pin": pin}))

    content = f"Likes\ngardens\n{SIGNED}"
    [(note_id, note)] = _notes(bench, lead_id).items()
    assert done == {
        "status": "done",
        "results": [
            {"lead_id": lead_id, "outcome": "applied", "after": {"note_id": note_id, "text": content, "pinned": pin}}
        ],
    }
    assert bench.sent() == [("POST", NOTES, {"leadId": int(lead_id), "content": content, "isPin": pin})]
    assert (note["content"], note["isPin"]) == (content, pin)
    assert person.asked == []


@pytest.mark.parametrize(
    ("mark", "written"),
    rest_slow(
        ("off", "Hello"), (" by our bot ", "Hello\nby our bot"), ("OFF", "Hello"), ("", "Hello"), ("  ", "Hello")
    ),
)
async def test_the_mark_is_the_operators(bench: Bench, mark: str, written: str) -> None:
    lead_id = _bare_lead(bench)
    done = await _add(bench, lead_id, "Hello", mark=mark)

    assert done["results"][0]["after"]["text"] == written
    assert [body["content"] for _, _, body in bench.sent()] == [written]


@pytest.mark.parametrize("marked", rest_slow(True, False))
async def test_a_note_of_exactly_the_limit_is_taken_and_a_longer_one_refused_with_the_numbers(
    bench: Bench, marked: bool
) -> None:
    lead_id = _bare_lead(bench)
    beside = len(SIGNED) + 1 if marked else 0
    longest = "n" * (NOTE_LIMIT - beside)
    async with bench.client(mode="auto", mark=SIGNED if marked else "off") as client:
        refused = error(await client.call_tool("add_note", {"lead_id": lead_id, "text": f"{longest}n"}))
        sent = bench.sent()
        done = data(await client.call_tool("add_note", {"lead_id": lead_id, "text": longest}))

    assert f"cuts it at {NOTE_LIMIT} characters, and this has {NOTE_LIMIT + 1}" in refused
    assert (f"of which {beside} are the mark" in refused) is marked
    assert refused.endswith("Nothing was changed.")
    assert sent == []
    assert done["results"][0]["outcome"] == "applied"


@pytest.mark.parametrize("tool", rest_slow("add_note", "update_note"))
async def test_what_a_reader_would_not_see_as_it_is_is_refused(bench: Bench, tool: str) -> None:
    lead_id = bench.visible_lead()
    call = {"lead_id": lead_id} | ({"note_id": _a_note(bench, lead_id)} if tool == "update_note" else {})
    async with bench.client(mode="auto", toolsets="all") as client:
        for text in UNSEEN:
            refused = error(await client.call_tool(tool, {**call, "text": text}))
            assert refused.startswith("text:"), ascii(text)
            assert refused.endswith("Nothing was changed."), ascii(text)

    assert bench.sent() == []


async def test_plain_text_of_any_kind_is_written_and_recognised(bench: Bench) -> None:
    lead_id = _bare_lead(bench)
    texts = ["Tom & Jo: 3 < 4, a > b", "50 % & more; ünïcödé", "e\u0301 in NFD", "日本語\n- a\n- b", "tab\tstop"]
    async with bench.client(mode="auto", mark="off") as client:
        for text in texts:
            done = data(await client.call_tool("add_note", {"lead_id": lead_id, "text": text}))
            assert done["results"][0]["outcome"] == "applied", text

    assert len(bench.sent()) == len(texts)


async def test_the_same_note_again_within_two_minutes_is_told_again_and_not_sent(bench: Bench) -> None:
    lead_id = _bare_lead(bench)
    first = await _add(bench, lead_id)
    again = [await _add(bench, lead_id), await _add(bench, lead_id, " Call her on Monday\n")]
    bench.later += 60
    again.append(await _add(bench, lead_id))

    assert "replayed" not in first
    assert all(told["replayed"] is True and told["results"] == first["results"] for told in again)
    assert len(bench.sent()) == 1


@pytest.mark.parametrize("way", rest_slow("two minutes later", "allow_duplicate", "another text"))
async def test_a_note_that_is_meant_again_is_sent(bench: Bench, way: str) -> None:
    lead_id = _bare_lead(bench)
    first = await _add(bench, lead_id)
    bench.later += 121 if way == "two minutes later" else 0
    others: dict[str, dict[str, Any]] = {
        "allow_duplicate": {"allow_duplicate": True},
        "another text": {"text": "Call her on Tuesday"},
    }
    second = await _add(bench, lead_id, **others.get(way, {}))

    assert "replayed" not in second
    ids = [told["results"][0]["after"]["note_id"] for told in (first, second)]
    assert sorted(_notes(bench, lead_id)) == sorted(ids)
    assert len(bench.sent()) == 2


@pytest.mark.slow
@pytest.mark.parametrize("era", rest_slow(*ERAS))
async def test_a_repetition_is_told_without_a_question(bench: Bench, era: str) -> None:
    lead_id, person = _bare_lead(bench), Person()
    call = {"lead_id": lead_id, "text": "Hello"}
    async with bench.client(era=era, person=person, ask_from="add") as client:
        results = [data(await client.call_tool("add_note", call)) for _ in range(2)]

    assert [told.get("replayed", False) for told in results] == [False, True]
    assert len(person.asked) == 1
    assert len(bench.sent()) == 1


@pytest.mark.parametrize("alike", rest_slow(1, 0))
@pytest.mark.parametrize("fault", LOST)
async def test_a_note_whose_answer_was_lost_is_found_among_the_notes(bench: Bench, fault: str, alike: int) -> None:
    lead_id = _bare_lead(bench)
    before = {_a_note(bench, lead_id, f"Hello\n{SIGNED}") for _ in range(alike)}
    bench.world.faults.next("POST", NOTES, fault)
    done = await _add(bench, lead_id, "Hello")
    again = await _add(bench, lead_id, "Hello")

    [fresh] = _notes(bench, lead_id).keys() - before
    assert done["results"][0]["outcome"] == "applied"
    assert done["results"][0]["after"]["note_id"] == fresh
    assert again["replayed"] is True
    assert len(bench.sent()) == 1


@pytest.mark.parametrize("alike", rest_slow(1, 0, 3))
@pytest.mark.parametrize("fault", rest_slow("reset_before", "status=500"))
async def test_a_note_that_never_arrived_is_unknown_whatever_identical_ones_there_are(
    bench: Bench, fault: str, alike: int
) -> None:
    lead_id = _bare_lead(bench)
    for _ in range(alike):
        _a_note(bench, lead_id, f"Hello\n{SIGNED}")
    bench.world.faults.next("POST", NOTES, fault)
    done = await _add(bench, lead_id, "Hello")
    again = await _add(bench, lead_id, "Hello")

    assert done["status"] == "partial"
    assert done["results"][0] == {
        "lead_id": lead_id,
        "outcome": "unknown",
        "note": "Lofty gave no clear answer, but the record does not show it. Look at the lead before doing it again.",
    }
    assert again["replayed"] is True
    assert again["results"][0]["outcome"] == "unknown"
    assert len(bench.sent()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("fault", rest_slow("status=400", "status=403", "status=409"))
async def test_a_note_that_lofty_refuses_is_not_applied_and_may_be_tried_again(bench: Bench, fault: str) -> None:
    lead_id = _bare_lead(bench)
    bench.world.faults.next("POST", NOTES, fault)
    refused = await _add(bench, lead_id)
    done = await _add(bench, lead_id)

    assert refused["status"] == "failed"
    assert refused["results"][0]["outcome"] == "not_applied"
    assert "after" not in refused["results"][0], "a note that is not there has no text"
    assert done["results"][0]["outcome"] == "applied"
    assert "replayed" not in done
    assert len(bench.sent()) == 2


@pytest.mark.parametrize(
    ("late", "fault", "outcome"),
    rest_slow(
        (2, None, "applied"),
        (1, None, "applied"),
        (3, None, "unknown"),
        (99, None, "unknown"),
        (1, "reset_after", "applied"),
        (2, "half_body", "applied"),
        (99, "reset_after", "unknown"),
    ),
)
async def test_a_note_that_shows_late_is_waited_for_a_little(
    bench: Bench, late: int, fault: str | None, outcome: str
) -> None:
    lead_id = _bare_lead(bench)
    bench.world.late_reads = late
    if fault:
        bench.world.faults.next("POST", NOTES, fault)
    done = await _add(bench, lead_id)

    assert done["results"][0]["outcome"] == outcome
    assert ("after" in done["results"][0]) is (outcome == "applied")
    assert len(bench.sent()) == 1


async def test_an_unknown_note_that_shows_at_last_is_found_by_the_same_call(bench: Bench) -> None:
    lead_id = _bare_lead(bench)
    bench.world.late_reads = 3
    first = await _add(bench, lead_id)
    second = await _add(bench, lead_id)

    assert [told["results"][0]["outcome"] for told in (first, second)] == ["unknown", "applied"]
    assert second["results"][0]["after"]["note_id"] in _notes(bench, lead_id)
    assert len(bench.sent()) == 1


@pytest.mark.slow  # it waits three seconds for the one that is dead
@pytest.mark.parametrize("arrived", [True, False])
async def test_after_a_crash_between_send_and_answer_the_note_is_looked_for_and_not_sent_again(
    bench: Bench, arrived: bool
) -> None:
    lead_id = _bare_lead(bench)
    _a_note(bench, lead_id, f"Hello\n{SIGNED}")

    def die(request: httpx2.Request) -> None:
        if request.method == "POST":
            if arrived:
                _a_note(bench, lead_id, f"Hello\n{SIGNED}")
            raise MemoryError

    call = {"lead_id": lead_id, "text": "Hello"}
    bench.network.before = die
    async with bench.client(mode="auto") as client:
        crashed = error(await client.call_tool("add_note", call))
    bench.network.before = lambda _: None
    bench.later += 130  # its lease is over
    async with bench.client(mode="auto") as another:
        told = data(await another.call_tool("add_note", call))
        again = data(await another.call_tool("add_note", call))

    assert "it may have been done" in crashed
    assert told["results"][0]["outcome"] == ("applied" if arrived else "unknown")
    assert told["replayed"] is True
    assert again["results"][0]["outcome"] == told["results"][0]["outcome"]
    assert bench.sent() == []


async def test_the_same_note_from_two_servers_at_once_is_sent_once(bench: Bench) -> None:
    call, told = {"lead_id": _bare_lead(bench), "text": "Hello"}, list[dict[str, Any]]()

    async def ask(client: Client) -> None:
        told.append(data(await client.call_tool("add_note", call)))

    async with (
        bench.client(mode="auto") as one,
        bench.client(mode="auto") as another,
        anyio.create_task_group() as both,
    ):
        for client in (one, another) * 2:
            both.start_soon(ask, client)

    assert len({str(result["results"]) for result in told}) == 1
    assert [result.get("replayed", False) for result in told].count(False) == 1
    assert len(bench.sent()) == 1


async def test_lines_of_a_note_cannot_pass_for_lines_of_the_question(bench: Bench) -> None:
    lead_id, person = _bare_lead(bench), Person("decline")
    fake = "Hi\n- Nobody (1): stage New Lead → Closed\n(reference 12345678)\r\nApprove?"
    async with bench.client(person=person, ask_from="add") as client:
        data(await client.call_tool("add_note", {"lead_id": lead_id, "text": fake}))

    lines = person.asked[0].splitlines()
    ours = [text for text in lines if not text.startswith("    | ")]
    assert len(ours) == 3, ours
    assert ours[0] == "Add a note?"
    assert f"({lead_id}): pinned: no; text:" in ours[1]
    assert ours[2].startswith("(reference ")
    assert sum("reference" in text for text in ours) == 1
    assert bench.sent() == []


@pytest.mark.parametrize(("era", "pinned"), rest_slow(("legacy", True), ("auto", False)))
async def test_a_changed_note_keeps_its_pin_and_the_undo_puts_it_back(bench: Bench, era: str, pinned: bool) -> None:
    lead_id, person = _bare_lead(bench), Person()
    note_id = _a_note(bench, lead_id, "Likes R&D\nand gardens", isPin=pinned)
    call = {"lead_id": lead_id, "note_id": note_id, "text": "Likes\nponds"}
    async with bench.client(era=era, person=person, toolsets="all") as client:
        done = data(await client.call_tool("update_note", call))
        changed = _notes(bench, lead_id)[note_id]
        undo = done["results"][0]["undo"]
        undone = data(await client.call_tool(undo["tool"], undo["arguments"]))

    before = {"text": "Likes R&D\nand gardens", "pinned": pinned}
    assert done["results"] == [
        {
            "lead_id": lead_id,
            "outcome": "applied",
            "before": before,
            "after": {"text": "Likes\nponds", "pinned": pinned},
            "undo": {"tool": "update_note", "arguments": {**call, "text": before["text"]}},
        }
    ]
    assert bench.sent()[0] == (
        "PUT",
        f"{NOTES}/{note_id}",
        {"leadId": int(lead_id), "content": "Likes\nponds", "isPin": pinned},
    )
    assert (changed["content"], changed["isPin"]) == ("Likes\nponds", pinned)
    put_back = _notes(bench, lead_id)[note_id]
    assert (put_back["content"], put_back["isPin"]) == (before["text"], pinned)
    assert undone["results"][0]["outcome"] == "applied"
    assert len(person.asked) == len(bench.sent()) == 2
    assert "    | Likes R&D\n    | and gardens" in person.asked[0]


async def test_an_undo_is_offered_only_for_a_note_that_it_would_put_back_as_it_was(bench: Bench) -> None:
    lead_id = _bare_lead(bench)
    originals = {"": False, "<p>Likes <b>gardens</b></p>": False, "x" * NOTE_LIMIT: True, "a\r\nb & c": True}
    async with bench.client(mode="auto", toolsets="all") as client:
        for original, offered in originals.items():
            call = {"lead_id": lead_id, "note_id": _a_note(bench, lead_id, original), "text": "Likes ponds"}
            [row] = data(await client.call_tool("update_note", call))["results"]
            assert row["outcome"] == "applied"
            assert ("undo" in row) is offered, original


@pytest.mark.parametrize("fault", LOST)
async def test_a_changed_note_whose_answer_was_lost_is_applied_and_one_that_never_arrived_unknown(
    bench: Bench, fault: str
) -> None:
    lead_id = _bare_lead(bench)
    call = {"lead_id": lead_id, "note_id": _a_note(bench, lead_id), "text": "Likes ponds"}
    async with bench.client(mode="auto", toolsets="all") as client:
        bench.world.faults.next("PUT", NOTE, "reset_before")
        unknown = data(await client.call_tool("update_note", call))["results"][0]
        bench.world.faults.next("PUT", NOTE, fault)
        applied = data(await client.call_tool("update_note", call))["results"][0]
        same = data(await client.call_tool("update_note", call))["results"][0]

    assert (unknown["outcome"], unknown["after"]["text"]) == ("unknown", "Likes gardens")
    assert "undo" not in unknown
    assert (applied["outcome"], applied["after"]["text"]) == ("applied", "Likes ponds")
    assert same["outcome"] == "no_change"
    assert len(bench.sent()) == 2


@pytest.mark.slow
async def test_a_note_pinned_or_rewritten_meanwhile_needs_a_fresh_look(bench: Bench) -> None:
    lead_id = _bare_lead(bench)
    note_id = _a_note(bench, lead_id)
    call = {"lead_id": lead_id, "note_id": note_id, "text": "Likes ponds"}
    async with bench.client(toolsets="all") as client:
        call["confirmation"] = data(await client.call_tool("update_note", call))["confirmation"]
        row = bench.world.store.item("note", int(note_id))
        assert row is not None
        bench.world.store.update_item("note", row["id"], {**_notes(bench, lead_id)[note_id], "isPin": True})
        second = data(await client.call_tool("update_note", call))

    assert second["status"] == "confirmation_required"
    assert "does not fit" in second["note"]
    assert bench.sent() == []


async def test_a_note_that_is_not_this_leads_is_not_there_and_costs_the_same(bench: Bench) -> None:
    lead_id, other, hidden = _bare_lead(bench), bench.visible_leads(5)[4], bench.hidden_lead(MARK)
    missing = "1100000999999999"
    ids = {"nobody's": "999999999", "another's": _a_note(bench, other), "a hidden lead's": _a_note(bench, hidden)}
    told: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    async with bench.client(mode="auto", toolsets="all") as client:
        for whose, note_id in ids.items():
            start = len(bench.world.log)
            said = error(await client.call_tool("update_note", {"lead_id": lead_id, "note_id": note_id, "text": "x"}))
            asked = [(entry.path, str(entry.query.get("leadId"))) for entry in bench.world.log[start:]]
            told[whose] = (
                said.replace(note_id, "#"),
                [step for step in asked if "lead" in step[0] or "note" in step[0]],
            )
        for lead in (missing, hidden):
            start = len(bench.world.log)
            call = {"lead_id": lead, "note_id": ids["a hidden lead's"], "text": "x"}
            said = error(await client.call_tool("update_note", call))
            told[lead] = (said.replace(lead, "#"), [(e.path.replace(lead, "#"), "") for e in bench.world.log[start:]])

    assert len({str(told[whose]) for whose in ids}) == 1
    assert "This lead has no note #" in told["nobody's"][0]
    assert told[missing] == told[hidden]
    assert told[hidden][1] == [("/v1.0/leads/#", "")]
    assert bench.sent() == []
