"""What a message holds that a person should notice: whose links, addresses and numbers, and words the law minds."""

import time
import tomllib
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lofty_mcp.guard.draft import Concern, fair_housing, foreign
from lofty_mcp.models.leads import LeadRecord

ANA = LeadRecord.model_validate(
    {
        "leadId": 1,
        "phones": ["9705550001", "(720) 555-0002", "evil.example"],
        "emails": ["Ana@mail.example", "o'brien@mail.example", "evil.example/@mail.example", "https://evil.example"],
    }
)
AGENT = ("970-555-0100", "mark@team.example", "https://www.team.example/", "listings.example/mark")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (
            "Hi Ana, meet at 10:30 on 2026-11-25, or 11/25/2026, near 80202-1234? $1,250,000. A. B. e.g. 3.5 baths",
            [],
        ),
        # the lead's own, the agent's own
        ("I have 970-555-0001, +1 (720) 555-0002 and ana@MAIL.example. Right?", []),
        ("Write to mailto:o'brien@mail.example.", []),
        (
            "Call 970 555 0100, mark@team.example, team.example, HTTP://team.example/a?b=c, listings.example/mark/7",
            [],
        ),
        # telephone numbers
        ("Call 970-555-0009!", ["970-555-0009"]),
        ("call (970)555.0009 or 555-0009", ["970)555.0009", "555-0009"]),
        ("+49 30 901820", ["+49 30 901820"]),
        ("+45 3312 3456", ["+45 3312 3456"]),
        ("9\u200b70\u00ad555\u20600009", ["9705550009"]),
        ("９７０ ５５５ ０００９", ["970 555 0009"]),
        ("٩٧٠٥٥٥٠٠٠٩", ["9705550009"]),
        ("9️⃣7️⃣0️⃣5️⃣5️⃣5️⃣0️⃣0️⃣0️⃣9️⃣", ["9705550009"]),
        ("97055500019705550009", ["97055500019705550009"]),
        # addresses
        ("eve@evil.example", ["eve@evil.example"]),
        ("ana@mail.example.evil.example", ["ana@mail.example.evil.example"]),
        ("ana@mail.example,eve@evil.example", ["eve@evil.example"]),
        ("eve＠evil．example", ["eve@evil.example"]),
        ('"eve"@evil.example', ["@evil.example"]),
        # links
        ("see https://evil.example/x?y=1#z.", ["https://evil.example/x?y=1#z"]),
        ("[the list](https://evil.example)", ["https://evil.example"]),
        ("<a href='//evil.example/x'>team.example</a>", ["href='//evil.example/x"]),
        ("h&#116;tps://ev&#105;l.example", ["https://evil.example"]),
        (f"&#{'9' * 5000};evil.example", ["evil.example"]),
        ("evil.example", ["evil.example"]),
        ("..evil.example..", ["evil.example"]),
        ("see:evil.example", ["see:evil.example"]),
        ("evil\u200b.exam\u2060ple", ["evil.example"]),
        ("evil。example", ["evil.example"]),
        ("пример.рф", ["пример.рф"]),
        ("xn--e1afmkfd.xn--p1ai", ["xn--e1afmkfd.xn--p1ai"]),
        ("http:\\\\evil.example", ["http:\\\\evil.example"]),
        ("10.0.0.1/x", ["10.0.0.1/x"]),
        ("javascript://x", ["javascript://x"]),
        # what only looks like the agent's or the lead's
        ("https://team.example@evil.example", ["https://team.example@evil.example"]),
        ("https://team.example\\@evil.example", ["https://team.example\\@evil.example"]),
        ("https://team.example.evil.example", ["https://team.example.evil.example"]),
        ("https://evil.example/@mail.example", ["https://evil.example/@mail.example"]),
        ("https://evil.example/team.example", ["https://evil.example/team.example"]),
        ("970-555-0100/evil.example", ["970-555-0100/evil.example"]),
        ("ana@mail.example/evil.example", ["ana@mail.example/evil.example"]),
        ("https://listings.example/marketing", ["https://listings.example/marketing"]),
        # each once
        ("evil.example, 970-555-0009, evil.example, 970-555-0009", ["evil.example", "970-555-0009"]),
    ],
)
def test_what_is_neither_the_leads_nor_the_agents_is_named(text: str, named: list[str]) -> None:
    assert foreign(text, ANA, AGENT) == named


def test_what_a_lead_wrote_as_its_number_or_address_does_not_make_a_link_its_own() -> None:
    assert foreign("evil.example https://evil.example evil.example/@mail.example", ANA) == [
        *("evil.example", "https://evil.example", "evil.example/@mail.example")
    ]


@given(st.text(max_size=200))
def test_a_foreign_link_address_or_number_is_named_whatever_stands_around_it(around: str) -> None:
    for planted in ("https://evil.example/x", "eve@evil.example", "970-555-0009"):
        assert any(planted in name for name in foreign(f"{around}\n{planted}\n{around}", ANA, AGENT))


@pytest.mark.parametrize(
    ("text", "concerns"),
    [
        ("Three bedrooms, a family room, quiet street, next to Church Street. No smoking.", []),
        ("Perfect for singles!", [("perfect for singles", "familial status")]),
        ("PERFECT  for\nSINGLES", [("perfect for singles", "familial status")]),
        ("Sorry, no child\u200bren", [("no children", "familial status")]),
        ("Ｎｏ ｃｈｉｌｄｒｅｎ", [("no children", "familial status")]),
        ("no&nbsp;children", [("no children", "familial status")]),
        ("able-bodied or able‑bodied", [("able bodied", "disability")]),
        ("No Section 8, no kids.", [("no section 8", "source of income"), ("no kids", "familial status")]),
        ("walking distance to church", [("walking distance to church", "religion")]),
        ("no section 80, casino children, perfect for singlesets", []),
        (
            "perfect for a couple of weeks",
            [("perfect for a couple", "familial status")],
        ),  # and so a warning, no refusal
    ],
)
def test_words_that_may_prefer_some_people_are_pointed_out(text: str, concerns: list[tuple[str, str]]) -> None:
    assert fair_housing(text) == [Concern(*concern) for concern in concerns]


def test_every_phrase_of_the_list_is_found_as_it_stands() -> None:
    listed = tomllib.loads((files("lofty_mcp.guard") / "fair_housing.toml").read_text(encoding="utf-8"))["phrases"]
    phrases = [(phrase, protected) for protected, some in listed.items() for phrase in some]
    assert len({phrase for phrase, _ in phrases}) == len(phrases) > 100
    for phrase, protected in phrases:
        assert fair_housing(f"({phrase.upper()}.)") == [Concern(phrase, protected)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    ["a", "a.", ".", "-", "1", "1 ", "1    ", "a@", "@", "a@b.", "://", "&#1", "&#", "w.", "(", "no ", "\u0301", "…"],
)
def test_four_times_the_text_takes_about_four_times_the_time(part: str) -> None:
    def seconds(size: int) -> float:
        text = part * (size // len(part))
        started = time.process_time()
        foreign(text, ANA, AGENT)
        fair_housing(text)
        return time.process_time() - started

    assert min(seconds(40_000) for _ in range(3)) < 12 * min(seconds(10_000) for _ in range(3)) + 0.01
