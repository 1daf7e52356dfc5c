"""Text written by outsiders, made harmless to show.

A pure function of a string. It is hygiene, not a defence: what an assistant may do is decided by effects and
confirmation, whatever a note says.
"""

import html
import re
import unicodedata

_PLAIN = re.compile(r"[\n\t\x20-\x25\x27-\x3b=-\x5a\x5c-\x7e]*\Z")  # printable ASCII but & < [
_WORD = r"[!-%'-;=-Z\\^-~]+"
PLAIN_LINE = rf"^(?:{_WORD}(?: {_WORD})*)?$"
"""Matches only text that `line` would leave as it is."""
_ANSI = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_SCRIPT = re.compile(r"<(script|style)\b[^>]*>.*?(?:</\1\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_BREAK = re.compile(r"<(?:br|/p|/div|/li|/tr)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<![a-zA-Z\[][^<>]*>|<\?[^<>]*>")
_HALF_TAG = re.compile(r"<(?=[a-zA-Z/!?])")
_IMAGE = re.compile(r"!\[([^\[\]]{0,500})\](?:\((?:[^()]|\([^()]{0,500}\)){0,2000}\)|\[[^\[\]]{0,500}\])")
_HUGE_REFERENCE = re.compile(r"&#[xX]?[0-9a-fA-F]{9,};?")
LONGEST = 20_000
"""Characters that are looked at; Lofty keeps at most 5,000 of any text."""
_ROUNDS = 4
"""How deep nested encodings are followed before what is left is taken literally."""


def clean(text: str) -> str:
    """Outsiders' text in NFC, without markup, invisible characters or nested encodings of either.

    Strips control characters (but not line feed and tab), bidirectional and other format characters, tag characters,
    variation runs, ANSI sequences, HTML and markdown images (their description stays), and unescapes the HTML
    entities that Lofty puts into note text (quirk 32). `clean(clean(x)) == clean(x)`.
    """
    text = text[:LONGEST]
    if _PLAIN.match(text):
        return text
    for _ in range(_ROUNDS):
        before = text
        text = _strip(html.unescape(_HUGE_REFERENCE.sub("", text)))
        if text == before:
            return text
    return _strip(text.replace("&", "＆").replace("<", "‹"))  # still unfolding: someone is hiding something


def line(text: str) -> str:
    """`clean` text on one line, for names and other short values."""
    return " ".join(clean(text).split())


def _strip(text: str) -> str:
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = _ANSI.sub("", text)
    text = "".join(c for c in text if _visible(c))
    text = _SCRIPT.sub("", _COMMENT.sub("", text))
    text = _TAG.sub("", _BREAK.sub("\n", text))
    return _IMAGE.sub(r"\1", _HALF_TAG.sub("", text)).replace("![", "[")


def _visible(character: str) -> bool:
    if character in "\n\t":
        return True
    category = unicodedata.category(character)
    if category in ("Cc", "Cf", "Cs", "Co", "Cn"):
        return False
    return not ("\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef" or character in _BLANKS)


_BLANKS = "\u115f\u1160\u17b4\u17b5\u3164\uffa0\u2028\u2029\u034f\u180b\u180c\u180d\u180f\u2800\U0001d159"
"""Letters, marks and signs that show nothing, and the two separators that some readers take for line ends."""
