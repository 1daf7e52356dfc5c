"""What a person should notice in a message before it goes out. Pure; it points at words and refuses nothing."""

import html
import re
import tomllib
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from lofty_mcp.guard.outreach import digits
from lofty_mcp.models.leads import LeadRecord

_TOKEN = re.compile(r"[^\s<>\"“”„«»()\[\]{},;|*`]+")
_EDGES = ".!?:…'‘’_-/\\"
_HOST = re.compile(r"[\w.-]+")
_ADDRESS = re.compile(r"\w@\w")
_OWN_ADDRESS = re.compile(r"[\w.+%'-]+@[\w.-]+")
"""Nothing in it that could make it a link: what a lead has as its address, the lead may have written."""
_FOUR_NUMBERS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_NUMBER = re.compile(r"\+?[0-9](?:[ \t()./·•_‐-―−-]{0,4}[0-9])*")
_REFERENCE_TOO_LONG = re.compile(r"&#[xX]?[0-9a-fA-F]{9,};?")


@dataclass(frozen=True)
class Concern:
    """Words that may speak of a preference among people, and what the law protects there."""

    words: str
    protected: str


def foreign(text: str, lead: LeadRecord, known: Collection[str] = ()) -> list[str]:
    """The links, addresses and telephone numbers in `text` that are neither this lead's nor `known`, each once.

    Known is what belongs to the agent: numbers, addresses, and hosts or addresses of pages (with all below them).
    What looks like one counts; a person sees them all and decides. The time taken grows with the length of `text` only.
    """
    addresses = {one.casefold() for one in (*lead.emails, *known) if _OWN_ADDRESS.fullmatch(one)}
    pages = tuple(f"{page}/" for page in map(_page, known) if _is_host(page.partition("/")[0]))
    numbers = {number for one in (*lead.phones, *known) if (number := digits(one))}
    found: dict[str, None] = {}

    def take(match: re.Match[str]) -> str:
        token = match[0].strip(_EDGES)
        if not _points_somewhere(token):
            return match[0]
        if token.casefold().removeprefix("mailto:") not in addresses and not f"{_page(token)}/".startswith(pages):
            found[token] = None
        return "|"

    rest = _TOKEN.sub(take, _legible(text))
    return list(found | dict.fromkeys(number for number in _numbers(rest) if digits(number) not in numbers))


def fair_housing(text: str) -> list[Concern]:
    """The words in `text` that fair-housing guidance warns of, each once and in the order of the text."""
    listed = _phrases()
    return [Concern(words, listed[words]) for words in dict.fromkeys(_pattern().findall(_words(text)))]


def _legible(text: str) -> str:
    """`text` as a person would read it: references resolved, digits and full stops plain, nothing invisible."""
    text = unicodedata.normalize("NFKC", html.unescape(_REFERENCE_TOO_LONG.sub("", text))).replace("。", ".")
    return "".join(_plain(c) for c in text)


def _plain(character: str) -> str:
    if character.isspace():
        return character
    if unicodedata.category(character) in ("Cc", "Cf", "Me", "Mn"):
        return ""
    return str(unicodedata.decimal(character, character))


def _points_somewhere(token: str) -> bool:
    if "://" in token or _ADDRESS.search(token):
        return True
    return any(_is_host(piece.strip("._-")) for piece in _HOST.findall(token))


def _is_host(name: str) -> bool:
    before, _, last = name.rpartition(".")
    named = (len(last) > 1 and last.isalpha()) or last.casefold().startswith("xn--")
    return "@" not in name and bool((before and named) or _FOUR_NUMBERS.fullmatch(name))


def _page(link: str) -> str:
    """A link without what makes no difference to where it leads."""
    return re.sub(r"^(?:https?://)?(?:www\.)?", "", link.strip().casefold()).rstrip("/")


def _numbers(text: str) -> list[str]:
    """What reads as a telephone number: 7 digits, or 10 and more; 8 and 9 (dates, ZIP codes) only behind a plus."""
    runs = [(match[0], sum(c.isdecimal() for c in match[0])) for match in _NUMBER.finditer(text)]
    return [run for run, count in runs if count == 7 or count >= 10 or (count > 7 and run.startswith("+"))]


def _words(text: str) -> str:
    return re.sub(r"[\s‐-―-]+", " ", _legible(text).casefold().replace("’", "'"))


@cache
def _phrases() -> dict[str, str]:
    read = tomllib.loads((files(__package__) / "fair_housing.toml").read_text(encoding="utf-8"))
    return {_words(phrase): protected for protected, phrases in read["phrases"].items() for phrase in phrases}


@cache
def _pattern() -> re.Pattern[str]:
    longest_first = sorted(_phrases(), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
