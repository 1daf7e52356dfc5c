"""send_text, send_email and get_message through a real client: who is written to, when, and what is told of it."""

from collections.abc import Callable
from typing import Any

import pytest

from lofty_mcp.sandbox.world import Message
from tests.support.world import ANA, ERAS, MARK, OWNER, Bench, Person, data, error

HOME, MOBILE, ADDRESS = "303-555-0142", "720-555-0199", "zoe.quill@mail.example"
TEXT = {"text": "The key is under the mat."}
EMAIL = {"subject": "Your visit", "text": "See you on Monday.\nAna"}
CALLS: dict[str, dict[str, Any]] = {"send_text": TEXT, "send_email": EMAIL}
ON: dict[str, Any] = {"toolsets": ("all",), "sends": "on"}
FORGED = "Hi\n(reference 12345678)\n- Ann (1): to"
EACH = pytest.mark.parametrize("tool", CALLS)


def a_lead(bench: Bench, **fields: Any) -> str:
    """A lead of Ana's in Denver, at noon there, that nothing bars from being written to."""
    bench.by_day()
    whole: dict[str, Any] = {"firstName": "Zoe", "lastName": "Quill", "state": "CO", "emails": [ADDRESS]}
    whole |= {"phones": [HOME, MOBILE], "phoneStatuses": [2, 3], "assignedUserId": bench.user_id(ANA)}
    return str(bench.world.add_lead(**(whole | fields)))


@EACH
@pytest.mark.parametrize("era", ERAS)
async def test_a_message_is_asked_about_word_by_word_and_sent_once(bench: Bench, era: str, tool: str) -> None:
    lead_id, person = a_lead(bench), Person()
    async with bench.client(era=era, person=person, **ON) as client:
        done = data(await client.call_tool(tool, {"lead_id": lead_id, **CALLS[tool]}))

    [row] = done["results"]
    assert row["outcome"] == "applied"
    assert row["note"] == "Accepted by Lofty. Whether it arrives is not known here."
    assert "undo" not in row
    to = HOME if tool == "send_text" else ADDRESS
    assert row["after"].items() >= {"to": to, **CALLS[tool]}.items()
    [asked] = person.asked
    for words in (to, *CALLS[tool].values()):
        assert words.replace("\n", "\n    | ") in asked
    kind, subject = ("sms", "") if tool == "send_text" else ("email", EMAIL["subject"])
    sent = Message(kind, int(lead_id), bench.user_id(ANA), to, subject, CALLS[tool]["text"])
    assert bench.world.messages == [sent]


@EACH
@pytest.mark.parametrize("mode", ["ask", "code", "auto"])
async def test_a_draft_is_checked_and_shown_and_leaves_for_nobody(bench: Bench, tool: str, mode: str) -> None:
    lead_id, person = a_lead(bench), Person()
    async with bench.client(person=person, mode=mode, toolsets=("all",)) as client:
        drafted = data(await client.call_tool(tool, {"lead_id": lead_id, **CALLS[tool]}))
        bench.world.update_lead(int(lead_id), stage="Do Not Contact")
        refused = error(await client.call_tool(tool, {"lead_id": lead_id, **CALLS[tool]}))

    assert drafted["status"] == "draft"
    assert drafted["results"][0]["outcome"] == "not_applied"
    assert CALLS[tool]["text"].split("\n")[0] in drafted["preview"]
    assert refused == 'This lead is marked "Do Not Contact" by a stage, tag or segment. Nothing was sent.'
    assert person.asked == []
    assert bench.sent() == []


async def test_without_sends_there_is_no_tool_that_sends(bench: Bench) -> None:
    async with bench.client(toolsets=("all",), sends="off") as client:
        listed = {tool.name for tool in (await client.list_tools()).tools}

    assert "get_message" in listed
    assert not listed & set(CALLS)


async def test_messages_are_a_toolset_of_their_own(bench: Bench) -> None:
    async with bench.client(sends="on") as client:
        assert not {tool.name for tool in (await client.list_tools()).tools} & {*CALLS, "get_message"}
        assert (await client.call_tool("send_text", {"lead_id": a_lead(bench), **TEXT})).is_error

    assert bench.world.messages == []


@EACH
async def test_a_client_that_cannot_ask_sends_nothing(bench: Bench, tool: str) -> None:
    lead_id = a_lead(bench)
    async with bench.client(**ON) as client:
        refused = error(await client.call_tool(tool, {"lead_id": lead_id, **CALLS[tool]}))

    assert "cannot ask" in refused
    assert bench.sent() == []


@pytest.mark.parametrize(
    ("tool", "fields", "why"),
    [
        ("send_text", {"cannotText": True}, "say no texts"),
        ("send_email", {"cannotEmail": True}, "say no e-mails"),
        ("send_email", {"unsubscription": True}, "has unsubscribed"),
        ("send_text", {"phoneStatuses": [2, 5]}, "do-not-contact person"),
        ("send_text", {"phones": [HOME], "phoneStatuses": [4]}, "do-not-call number"),
        ("send_text", {"stage": "Do Not Contact"}, "Do Not Contact"),
        ("send_email", {"tags": ["do not contact"]}, "do not contact"),
        ("send_text", {"state": "GU"}, "in Pacific/Guam"),
        ("send_email", {"emails": []}, "no e-mail address"),
        ("send_text", {"phones": [], "phoneStatuses": []}, "no telephone number"),
    ],
)
@pytest.mark.parametrize("mode", ["ask", "auto"])
async def test_what_bars_contact_is_said_and_no_mode_overrides_it(
    bench: Bench, mode: str, tool: str, fields: dict[str, Any], why: str
) -> None:
    lead_id, person = a_lead(bench, **fields), Person()
    async with bench.client(person=person, mode=mode, **ON) as client:
        refused = error(await client.call_tool(tool, {"lead_id": lead_id, **CALLS[tool], "allow_duplicate": True}))

    assert why in refused
    assert refused.endswith("Nothing was sent.")
    assert person.asked == []
    assert bench.sent() == []


@EACH
@pytest.mark.parametrize("era", ERAS)
async def test_an_opt_out_while_the_person_reads_stops_the_message(bench: Bench, era: str, tool: str) -> None:
    lead_id = a_lead(bench)

    def opts_out() -> None:
        bench.world.update_lead(int(lead_id), cannotText=True, cannotEmail=True)

    async with bench.client(era=era, person=Person(meanwhile=opts_out), **ON) as client:
        refused = error(await client.call_tool(tool, {"lead_id": lead_id, **CALLS[tool]}))

    assert "contact permissions" in refused
    assert bench.sent() == []


async def test_consent_by_tag_lets_only_tagged_leads_be_written_to(bench: Bench) -> None:
    plain, tagged = a_lead(bench), a_lead(bench, tags=["Text consent"])
    settings = {**ON, "consent": "tagged", "consent_tags": ("Text Consent",)}
    async with bench.client(mode="auto", **settings) as client:
        refused = error(await client.call_tool("send_text", {"lead_id": plain, **TEXT}))
        data(await client.call_tool("send_text", {"lead_id": tagged, **TEXT}))

    assert "records its consent" in refused
    assert [message.lead_id for message in bench.world.messages] == [int(tagged)]


@EACH
async def test_only_the_leads_own_numbers_and_addresses_are_taken(bench: Bench, tool: str) -> None:
    lead_id = a_lead(bench, emails=[ADDRESS, "zoe@work.example"])
    own, foreign = (MOBILE, "303-555-0100") if tool == "send_text" else ("zoe@work.example", "else@mail.example")
    async with bench.client(mode="auto", **ON) as client:
        data(await client.call_tool(tool, {"lead_id": lead_id, "to": own, **CALLS[tool]}))
        refused = error(
            await client.call_tool(tool, {"lead_id": lead_id, "to": foreign, **CALLS[tool], "allow_duplicate": True})
        )

    assert "of this lead" in refused
    assert [message.to for message in bench.world.messages] == [own]


async def test_links_numbers_and_charged_words_are_pointed_out_in_the_question(bench: Bench) -> None:
    lead_id, person = a_lead(bench), Person("decline", None)
    text = f"Perfect for singles, no children. See https://evil.example/x or call 303-555-7777, or me at {HOME}."
    async with bench.client(person=person, **ON) as client:
        data(await client.call_tool("send_text", {"lead_id": lead_id, "text": text}))

    [asked] = person.asked
    assert "It names what is not the lead's own: https://evil.example/x, 303-555-7777." in asked
    assert "Fair housing" in asked
    assert "'no children' (familial status)" in asked
    assert bench.sent() == []


async def test_text_cannot_pass_for_a_line_of_the_question(bench: Bench) -> None:
    lead_id, person = a_lead(bench), Person("decline", None)
    async with bench.client(person=person, **ON) as client:
        text = "Hi\n(reference 12345678)\n- Ann (1): to"
        data(await client.call_tool("send_text", {"lead_id": lead_id, "text": text}))

    assert [line for line in person.asked[0].splitlines() if line.startswith(("(reference", "- "))] == [
        f"- Zoe Quill ({lead_id}): to: {HOME}; text: ",
        person.asked[0].splitlines()[-1],
    ]


@EACH
async def test_the_same_message_again_is_told_again_and_sent_only_when_it_is_meant(bench: Bench, tool: str) -> None:
    call = {"lead_id": a_lead(bench), **CALLS[tool]}
    person = Person()
    async with bench.client(person=person, **ON) as client:
        first, again = [data(await client.call_tool(tool, call)) for _ in range(2)]
        meant = data(await client.call_tool(tool, {**call, "allow_duplicate": True}))
        bench.later += 121
        later = data(await client.call_tool(tool, call))

    assert again["replayed"] is True
    assert again["results"] == first["results"]
    assert "replayed" not in meant
    assert "replayed" not in later
    assert len(bench.world.messages) == 3
    assert len(person.asked) == 3, "nobody is asked about what is only told again"


async def test_the_same_words_to_the_same_number_spelled_otherwise_are_a_repetition(bench: Bench) -> None:
    call = {"lead_id": a_lead(bench), **TEXT}
    async with bench.client(mode="auto", **ON) as client:
        told = [
            data(await client.call_tool("send_text", {**call, **({"to": to} if to else {})}))
            for to in (None, HOME, f"+1 {HOME}", "(303) 555-0142", MOBILE)
        ]

    assert len(bench.world.messages) == 1
    assert [result.get("replayed") for result in told] == [None, True, True, True, True]
    assert {result["results"][0]["after"]["to"] for result in told} == {HOME}


async def test_an_e_mail_that_was_lost_is_not_told_by_another_with_its_subject(bench: Bench) -> None:
    lead_id = a_lead(bench)
    one, two = ({"lead_id": lead_id, "subject": "Offer", "text": text} for text in ("one", "two"))
    bench.world.faults.next("POST", "/v1.0/message*", "status=503")
    async with bench.client(mode="auto", **ON) as client:
        lost = data(await client.call_tool("send_email", one))
        data(await client.call_tool("send_email", two))
        again = data(await client.call_tool("send_email", one))

    assert lost["results"][0]["outcome"] == again["results"][0]["outcome"] == "unknown"
    assert [message.content for message in bench.world.messages] == ["two"]


async def test_the_days_limit_holds_over_both_channels_and_every_process(bench: Bench) -> None:
    leads = [a_lead(bench) for _ in range(3)]
    for lead_id, tool in zip(leads, CALLS, strict=False):
        async with bench.client(mode="auto", sends_per_day=2, **ON) as client:
            data(await client.call_tool(tool, {"lead_id": lead_id, **CALLS[tool]}))
    async with bench.client(mode="auto", sends_per_day=2, **ON) as client:
        refused = error(await client.call_tool("send_text", {"lead_id": leads[2], **TEXT}))
    assert refused == "The day's limit of 2 messages is reached. Nothing was sent."
    bench.later += 24 * 3600
    async with bench.client(mode="auto", sends_per_day=2, **ON) as client:
        data(await client.call_tool("send_text", {"lead_id": leads[2], **TEXT}))

    assert len(bench.world.messages) == 3


@pytest.mark.parametrize("mode", ["ask", "code", "auto"])
async def test_a_number_that_was_added_here_today_is_texted_on_a_persons_answer_only(bench: Bench, mode: str) -> None:
    lead_id, new = a_lead(bench), "719-555-0133"
    async with bench.client(mode="auto", **ON) as client:
        data(await client.call_tool("update_lead", {"lead_id": lead_id, "how": "add", "phones": [new]}))
        bench.world.update_lead(int(lead_id), phoneStatuses=[2, 3, 2])
        old = data(await client.call_tool("send_text", {"lead_id": lead_id, "to": MOBILE, "text": "Hi"}))
    async with bench.client(mode=mode, **ON) as client:
        refused = error(await client.call_tool("send_text", {"lead_id": lead_id, "to": new, **TEXT}))
    async with bench.client(mode=mode, person=(person := Person()), **ON) as client:
        data(await client.call_tool("send_text", {"lead_id": lead_id, "to": new, **TEXT}))

    assert old["results"][0]["outcome"] == "applied"
    assert "a person's own answer" in refused
    assert len(person.asked) == 1
    assert [message.to for message in bench.world.messages] == [MOBILE, new]


async def test_an_address_that_was_added_here_today_is_written_to_on_a_persons_answer_only(bench: Bench) -> None:
    lead_id, new = a_lead(bench), "new@mail.example"
    async with bench.client(mode="auto", **ON) as client:
        data(await client.call_tool("update_lead", {"lead_id": lead_id, "how": "add", "emails": [new]}))
        data(await client.call_tool("send_email", {"lead_id": lead_id, **EMAIL}))
        refused = error(await client.call_tool("send_email", {"lead_id": lead_id, "to": new, **EMAIL, "text": "Hi"}))

    assert "a person's own answer" in refused
    assert [message.to for message in bench.world.messages] == [ADDRESS]


async def test_only_a_person_puts_on_a_tag_that_records_consent(bench: Bench) -> None:
    lead_id, settings = a_lead(bench), {**ON, "mode": "auto", "consent": "tagged", "consent_tags": ("Text Consent",)}
    async with bench.client(**settings) as client:
        refused = error(await client.call_tool("add_tag", {"lead_ids": lead_id, "tags": ["Text Consent"]}))
    async with bench.client(person=(person := Person()), **settings) as client:
        data(await client.call_tool("add_tag", {"lead_ids": lead_id, "tags": ["Text Consent"]}))
        data(await client.call_tool("send_text", {"lead_id": lead_id, **TEXT}))

    assert "a person's own answer" in refused
    assert len(person.asked) == 1
    assert len(bench.world.messages) == 1


async def test_what_was_sent_is_told_again_whatever_holds_by_now(bench: Bench) -> None:
    call = {"lead_id": a_lead(bench), **TEXT}
    async with bench.client(mode="auto", sends_per_day=1, **ON) as client:
        first = data(await client.call_tool("send_text", call))
        bench.world.update_lead(int(call["lead_id"]), cannotText=True)
        told = [data(await client.call_tool("send_text", call))]
    for settings in (ON, {**ON, "sends": "draft"}):  # and this client cannot be asked
        async with bench.client(mode="ask", **settings) as client:
            told.append(data(await client.call_tool("send_text", call)))

    assert [(again["replayed"], again["results"]) for again in told] == [(True, first["results"])] * 3
    assert len(bench.world.messages) == 1


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("reset_after", "found"),
        ("status_after=500", "found"),
        ("status=503", "unknown"),
        ("status=400", "not_applied"),
    ],
)
@EACH
async def test_a_lost_answer_is_looked_up_and_never_sent_again(
    bench: Bench, tool: str, fault: str, outcome: str
) -> None:
    if outcome == "found":  # of an e-mail Lofty shows no words, so that another may have the same subject
        outcome = "applied" if tool == "send_text" else "unknown"
    call = {"lead_id": a_lead(bench), **CALLS[tool]}
    bench.world.faults.next("POST", "/v1.0/message*", fault)
    async with bench.client(mode="auto", **ON) as client:
        told = data(await client.call_tool(tool, call))
        again = data(await client.call_tool(tool, call))

    assert told["results"][0]["outcome"] == outcome
    assert len(bench.sent()) == (2 if outcome == "not_applied" else 1)
    assert again["results"][0]["outcome"] == ("applied" if outcome == "not_applied" else outcome)


@EACH
async def test_the_same_words_sent_before_are_not_taken_for_this_message(bench: Bench, tool: str) -> None:
    call = {"lead_id": a_lead(bench), **CALLS[tool]}
    async with bench.client(mode="auto", **ON) as client:
        data(await client.call_tool(tool, call))
        bench.later += 300
        bench.world.faults.next("POST", "/v1.0/message*", "status=503")
        told = data(await client.call_tool(tool, call))

    assert told["results"][0]["outcome"] == "unknown"


async def test_a_message_that_went_elsewhere_is_not_told_as_applied(bench: Bench) -> None:
    lead_id = a_lead(bench)

    def elsewhere(request: Any) -> None:
        if request.url.path.endswith("sms/send"):  # the number changes hands in the last moment
            bench.world.update_lead(int(lead_id), phones=[MOBILE], phoneStatuses=[2])

    bench.network.before = elsewhere
    async with bench.client(mode="auto", **ON) as client:
        told = data(await client.call_tool("send_text", {"lead_id": lead_id, **TEXT}))

    assert [message.to for message in bench.world.messages] == [MOBILE]
    assert told["results"][0]["outcome"] == "unknown"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"text": " \n "}, "must not be empty"),
        ({"text": "x" * 1001}, "cuts it at 1000 characters, and this has 1001"),
        ({"text": "Hello <b>you</b>"}, "holds markup"),
        ({"text": "Hel\u200blo"}, "cannot be seen"),
    ],
)
async def test_text_that_would_not_arrive_as_it_is_is_refused(bench: Bench, change: dict[str, str], says: str) -> None:
    lead_id = a_lead(bench)
    async with bench.client(mode="auto", **ON) as client:
        refused = error(await client.call_tool("send_text", {"lead_id": lead_id, **change}))

    assert says in refused
    assert "Nothing was changed." in refused
    assert bench.sent() == []


@pytest.mark.parametrize("tool", [*CALLS, "get_message"])
@pytest.mark.parametrize("viewer", [OWNER, MARK])
async def test_a_hidden_lead_is_not_there_to_be_written_to(bench: Bench, tool: str, viewer: str) -> None:
    hidden, never = a_lead(bench, hiddenFlag=1, ownershipScope="PERSONAL"), "1100000999999999"
    call = CALLS.get(tool, {"message_id": "1241334726691762178", "kind": "text"})
    told, asked = [], []
    async with bench.client(viewer, mode="auto", **ON) as client:
        for lead_id in (hidden, never):
            before = len(bench.world.log)
            told.append(error(await client.call_tool(tool, {"lead_id": lead_id, **call})))
            asked.append([entry.method for entry in bench.world.log[before:]][-1:])

    assert told[0] == told[1]
    assert asked[0] == asked[1]
    assert bench.sent() == []


# Reading one back


@pytest.mark.parametrize("era", ERAS)
async def test_a_message_is_read_by_the_id_that_the_timeline_gives(bench: Bench, era: str) -> None:
    lead_id = a_lead(bench)
    async with bench.client(era=era, mode="auto", **ON) as client:
        sent = data(await client.call_tool("send_text", {"lead_id": lead_id, **TEXT}))["results"][0]["after"]
        short = data(await client.call_tool("get_timeline", {"lead_id": lead_id}))
        full = data(await client.call_tool("get_timeline", {"lead_id": lead_id, "detail": "full"}))
        message_id = full["rows"][0][full["columns"].index("message_id")]
        read = data(
            await client.call_tool("get_message", {"lead_id": lead_id, "message_id": message_id, "kind": "text"})
        )

    assert "message_id" not in short["columns"]
    assert sent["message_id"] == message_id
    assert read.items() >= {"kind": "text", "text": TEXT["text"], "direction": "Outbound"}.items()


NOT_THERE: dict[str, Callable[[Bench, str, str], tuple[str, str]]] = {
    "never was": lambda bench, lead_id, _: (lead_id, "1241334726691799999"),
    "another lead's": lambda bench, _, message_id: (a_lead(bench), message_id),
}


@pytest.mark.parametrize("case", NOT_THERE)
async def test_a_message_of_another_lead_reads_as_one_that_never_was(bench: Bench, case: str) -> None:
    lead_id = a_lead(bench)
    message_id = str(bench.world.add_communication(int(lead_id), channel="Text", note="Hi"))
    asked_lead, asked_id = NOT_THERE[case](bench, lead_id, message_id)
    async with bench.client(**ON) as client:
        call = {"lead_id": asked_lead, "message_id": asked_id, "kind": "text"}
        refused = error(await client.call_tool("get_message", call))

    assert refused == "Not found: this lead has no such message. get_timeline with detail=full names their ids."
    assert bench.tick == pytest.approx(0.3)
