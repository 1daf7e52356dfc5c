"""Text that a call writes into the CRM: plain, whole and no longer than Lofty keeps. Pure."""

import unicodedata

from lofty_mcp.errors import InvalidInput
from lofty_mcp.models.clean import clean


def plain_text(text: str, name: str, limit: int, mark: str = "") -> str:
    """`text` as it will be written, with `mark` on a line of its own behind it.

    Raises:
        InvalidInput: it is empty, holds what a reader would not see as it is, or is longer than Lofty keeps.
    """
    written = _tidied(text)
    if not written:
        raise InvalidInput(f"{name}: must not be empty. Nothing was changed.")
    if not is_plain(written):
        raise InvalidInput(
            f"{name}: holds markup, entities or characters that cannot be seen; give plain text. Nothing was changed."
        )
    whole = f"{written}\n{mark}" if mark and not written.endswith(mark) else written
    if len(whole) > limit:
        beside = f", of which {len(whole) - len(written)} are the mark of an assistant" if mark else ""
        raise InvalidInput(
            f"{name}: Lofty cuts it at {limit} characters, and this has {len(whole)}{beside}. Nothing was changed."
        )
    return whole


def is_plain(text: str) -> bool:
    """Whether a reader sees all of `text`: no markup, no entities, nothing invisible."""
    return clean(_tidied(text)) == _tidied(text)


def _tidied(text: str) -> str:
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
