"""Personal data made unreadable in what leaves for a client: initials and last digits stay. Pure.

What is personal is learnt from the records that the call let through; e-mail addresses and telephone numbers are also
known by their form. A masked value holds `MASK`, so that none is taken for the real one or written back unnoticed.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, get_args

from lofty_mcp.models.leads import LONGEST_NAME, LeadRecord, LeadRow, Relative
from lofty_mcp.models.people import Member
from lofty_mcp.models.results import Outcome

MASK = "•••"
KEPT = frozenset(
    (
        *("columns", "status", "kind", "tool", "mode", "may", "toolsets", "asks_before", "version"),
        *("at", "due", "last_touch", "time_zone", "confirmation", "next_cursor", "incomplete", "language"),
        *("stage", "stages", "tags", "source", "segments", "lead_types"),
    )
)
"""Fields of ours, of times and codes, and of the team's own words; `_KEPT_ENDS` ends the names of others."""
_KEPT_ENDS = ("_id", "_ids", "_at")
SMALL_WORDS = frozenset(("and", "the", "for", "van", "von", "der", "den", "del", "dos", "las", "los", "mrs"))
"""Words in names such as "John and Mary" that, written small, are no name elsewhere."""

_BETWEEN = (
    r"\s!-/:-@\[-`{-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\u2000-\u20ff\u2190-\u2bff\u3000-\u303f\ufe10-\ufe6f"
    r"\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\U0001f000-\U0001faff"
)
"""What stands between words; accents and vowel signs do not, though to `re` they are no part of a word."""
_WORD = re.compile(f"[^{_BETWEEN}]+")
_MASKED = re.compile(rf"\w?{MASK}(?:@{MASK}|\d{{2,4}})?")
_CUT = "… (+"
"""Where `tools.budget.shorten` cut a text."""
_TORN = re.compile(r"(?:[+(]?\d[\d ().\-/]*|\S+)\Z")
_SPACELESS = r"\u0e00-\u0fff\u2e80-\u9fff\uac00-\ud7ff\U00020000-\U0003ffff"
"""Writing without spaces between words, where a name has no ends that it could be known by."""

_GAP = r"[ ().\-/]{0,2}"
_EMAIL = r"(?P<email>[\w.+%'-]+@[\w-]+(?:\.[\w-]+)*)"
_FORMS = (
    r"(?P<date>(?<!\d)(?:\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d[\d:.+-]*)?|\d{1,2}/\d{1,2}/\d{2,4})(?!\d))",
    rf"(?P<phone>(?<![\w.•])(?:\+\d(?:{_GAP}\d){{7,14}}|0\d(?:{_GAP}\d){{7,12}}"
    rf"|(?:1[ .-]?)?\(?\d{{3}}\)?{_GAP}\d{{3}}[ .-]?\d{{4}})(?!\w))",
    r"(?P<digits>(?<![\w.•])(?:\d{3}[ .-]\d{4}|\d{5,15})(?!\w))",
    rf"(?P<word>[^{_BETWEEN}{_SPACELESS}]+|[{_SPACELESS}])",
)


def name(text: str) -> str:
    """The initials of a name."""
    return _WORD.sub(lambda word: _initial(word[0]), text)


def email(text: str) -> str:
    """The first character of an e-mail address."""
    return f"{text[:1].lower()}{MASK}@{MASK}"


def phone(text: str) -> str:
    """The last four digits of a number; two of a very short one."""
    digits = _digits(text)
    return MASK + digits[-4 if len(digits) >= 7 else -2 :]


def whole(_: str) -> str:
    """Nothing."""
    return MASK


Mask = Callable[[str], str]
FIELDS: dict[str, Mask] = {
    **dict.fromkeys(("first_name", "last_name", "referred_by"), name),
    "emails": email,
    "phones": phone,
    **dict.fromkeys(("birthday", "street_address"), whole),
}
"""Fields that are masked by what they are, each with what stays of it."""


class Masking:
    """What is personal in one call, and how text and results look without it."""

    def __init__(self, leads: Iterable[LeadRow], team: Iterable[Member], said: str = "") -> None:
        """What these records hold is personal, but for the team and for words that the caller itself has `said`."""
        self._said: frozenset[str] = frozenset()
        self._words: set[str] = set()
        self._numbers: set[str] = set()
        self._phrases: dict[str, str] = {}
        self._ids: set[str] = set()
        personal, colleagues = set[str](), {called for member in team for called in (member.name, member.email or "")}
        for lead in leads:
            self._ids.add(lead.lead_id or "")
            colleagues |= {lead.assigned_user or "", *(role.assignee or "" for role in lead.roles)}
            for mask, value in _personal(lead):
                personal.add(value.lower())
                self._learn(mask, value)
        self._team = {called.lower() for called in colleagues} - personal
        for called in self._team:  # in full it stays, even if a lead bears one of its words
            if any(self._is_name(word) for word in _WORD.findall(called)):
                self._phrases[called] = called
        known = (_whole_words(phrase) for phrase in sorted(self._phrases, key=len, reverse=True))
        self._pattern = re.compile("|".join((_EMAIL, *known, *_FORMS)), re.IGNORECASE)
        self._said = frozenset(found[0].casefold() for found in self._pattern.finditer(said))

    def text(self, text: str) -> str:
        """`text` with what is personal masked; where it was cut short, the torn end is masked too."""
        head, cut, rest = text.rpartition(_CUT)
        if cut:
            return self._pattern.sub(self._replaced, self._untorn(head)) + cut + rest
        return self._pattern.sub(self._replaced, text)

    def payload(self, value: Any, field: str = "") -> Any:
        """A result with its texts masked: ids, codes, times, words of the team and all keys stay.

        An `undo` that would write masked values is left out.
        """
        match value:
            case str():
                return self._value(field, value)
            case list():
                return [self.payload(item, field) for item in value]
            case {"columns": list(columns), "rows": list(rows)}:
                cells = [[self.payload(*cell) for cell in zip(row, columns, strict=True)] for row in rows]
                return {key: cells if key == "rows" else self.payload(item, key) for key, item in value.items()}
            case dict():
                outsiders = field == "custom_fields"  # whose names mean nothing here
                masked = {key: self.payload(item, "" if outsiders else key) for key, item in value.items()}
                return {key: item for key, item in masked.items() if key != "undo" or item == value[key]}
        return value

    def _value(self, field: str, value: str) -> str:
        if field in KEPT or field.endswith(_KEPT_ENDS) or (field == "outcome" and value in get_args(Outcome)):
            return value  # the outcome of a call is in anybody's words
        if field in FIELDS and not _MASKED.fullmatch(value):
            return FIELDS[field](value)
        return self.text(value)

    def _learn(self, mask: Mask, value: str) -> None:
        if mask is name:
            self._words |= {word if len(word) == 2 else word.casefold() for word in _WORD.findall(value)}
            self._phrases |= {word: mask(word) for word in re.findall(f"[{_SPACELESS}]{{2,}}", value)}
        if mask is phone:
            digits = _digits(value)
            self._numbers |= {digits, digits[-10:], digits[-7:]}
        elif not self._is_known_by_form(mask, value):
            self._phrases[value.lower()] = mask(value)

    def _is_known_by_form(self, mask: Mask, value: str) -> bool:
        if mask is name:
            return all(map(self._is_name, _WORD.findall(value)))
        return mask is email and re.fullmatch(_EMAIL, value) is not None

    def _is_name(self, word: str) -> bool:
        if len(word) == 2:
            return word in self._words and not word.islower()
        return len(word) > 2 and word.casefold() in self._words and word not in SMALL_WORDS

    def _replaced(self, found: re.Match[str]) -> str:
        text, digits = found[0], _digits(found[0])
        if text.casefold() in self._said:
            return text
        match found.lastgroup:
            case "email":
                return text if text.lower() in self._team else email(text)
            case "phone":
                return text if digits in self._ids else phone(text)
            case "digits":
                return phone(text) if digits in self._numbers and digits not in self._ids else text
            case "word":
                return _initial(text) if self._is_name(text) else text
            case "date":
                return text
        known = text.lower()
        return text if known in self._team else self._phrases.get(known, MASK)

    def _untorn(self, head: str) -> str:
        folded = head.lower()
        for phrase in self._phrases.keys() - self._team:
            if begun := next((n for n in range(len(phrase) - 1, 2, -1) if folded.endswith(phrase[:n])), 0):
                return head[:-begun] + MASK
        return _TORN.sub(MASK, head)


def _personal(lead: LeadRow) -> Iterator[tuple[Mask, str]]:
    """Every personal value of a record, with what is to stay of it."""
    yield from _of_person(lead)
    if not isinstance(lead, LeadRecord):
        return
    for person in lead.lead_family_member_list:
        yield from _of_person(person)
    places = [*lead.lead_property_list, *(lead.lead_inquiry.locations if lead.lead_inquiry else ())]
    yield from ((whole, place.street_address) for place in places if place.street_address)
    if lead.referred_by:
        yield name, lead.referred_by


def _of_person(person: LeadRow | Relative) -> Iterator[tuple[Mask, str]]:
    if full := " ".join(part for part in (person.first_name, person.last_name) if part):
        yield name, full
        yield name, full[:LONGEST_NAME]
    yield from ((email, address) for address in person.emails)
    yield from ((phone, number) for number in person.phones)
    if isinstance(person, LeadRecord | Relative) and person.birthday:
        yield whole, person.birthday


def _whole_words(phrase: str) -> str:
    start, end = (not re.match(f"[{_SPACELESS}]", letter) for letter in (phrase[0], phrase[-1]))
    return f"(?<![^{_BETWEEN}])" * start + re.escape(phrase) + f"(?![^{_BETWEEN}])" * end


def _initial(word: str) -> str:
    return word[0].upper()[0] + MASK if len(word) > 1 else word


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)
