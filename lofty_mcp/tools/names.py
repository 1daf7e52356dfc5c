"""Names nearly right: what was probably meant, and what is valid. Pure."""

import difflib
from collections.abc import Sequence

from lofty_mcp.models.clean import line

MOST_NAMED = 30
LONGEST_NAME = 64


def near(name: str, known: Sequence[str]) -> list[str]:
    """The known names that `name` may be a slip for, nearest first."""
    folded = {word.casefold(): word for word in reversed(known)}
    close = difflib.get_close_matches(name.casefold(), list(folded), 3, 0.7)
    return [folded[word] for word in close]


def one_of(names: Sequence[str]) -> str:
    """A sentence that names what is valid."""
    more = len(names) - MOST_NAMED
    shown = ", ".join(line(name)[:LONGEST_NAME] for name in names[:MOST_NAMED])
    return f"Valid: {shown}{f' and {more} more' if more > 0 else ''}."
