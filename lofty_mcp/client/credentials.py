"""What is shown to Lofty as proof of who is calling: the scheme, a personal API key, and how keys are read.

Lofty: authentication/api-keys.
"""

import base64
import hashlib
import json
import re
from typing import Any, Literal, Protocol


class Credential(Protocol):
    """Something that Lofty accepts as proof of who is calling."""

    @property
    def principal(self) -> str:
        """32 hexadecimal digits that stand for what was configured, and reveal nothing of it."""

    @property
    def kind(self) -> Literal["api_key", "oauth"]:
        """Which of the two schemes this is."""

    async def authorization(self) -> str:
        """The value of the Authorization header, renewed first if it is about to expire."""

    async def renew(self, rejected: str) -> bool:
        """After a 401 to `rejected`: whether `authorization` now gives another value."""

    def claims(self) -> dict[str, Any]:
        """The payload of the JWT that names the user, not verified; empty if there is none."""

    async def aclose(self) -> None:
        """Let a renewal under way end; to be awaited before the HTTP client closes."""


class ApiKey:
    """A personal API key. Lofty wants the scheme word `token`; sent as Bearer it answers 400 with code 200058."""

    kind: Literal["api_key"] = "api_key"

    def __init__(self, key: str) -> None:
        self._key = clean_key(key)
        if not self._key:
            raise ValueError("The Lofty API key is empty. Copy it again from Lofty: Settings > Integrations > API.")
        self.principal = digest("api_key", self._key)

    async def authorization(self) -> str:
        """The header value; a key never changes."""
        return f"token {self._key}"

    async def renew(self, rejected: str) -> bool:
        """False: a key that stopped working can only be replaced by its owner."""
        return False

    def claims(self) -> dict[str, Any]:
        """The payload of the key, which is a JWT naming its user."""
        return jwt_claims(self._key)

    async def aclose(self) -> None:
        """Nothing: a key is never renewed."""


def clean_key(pasted: str) -> str:
    """The bare key in a pasted text: without white space, quotes, scheme word and anything outside ASCII.

    Copying from Lofty's page has brought U+2028 along, which no header can carry.
    """
    spaced = "".join(" " if c.isspace() else c for c in pasted)
    plain = "".join(c for c in spaced if " " <= c <= "~").strip(" \"'`")
    bare = re.sub(r"^(?:authorization\s*:\s*)?(?:(?:token|bearer)(?:\s+|$))*", "", plain, flags=re.IGNORECASE)
    return re.sub(r"[\s\"'`]", "", bare)


def jwt_claims(token: str) -> dict[str, Any]:
    """The payload of a JWT, not verified; empty for anything else."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def digest(*parts: str) -> str:
    """32 hexadecimal digits that stand for `parts`, and reveal nothing of them."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
