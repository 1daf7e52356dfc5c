"""What is read out of an issuer's JWKS document: the public keys that verify signatures, and nothing else.

Symmetric, private, short and broken entries are passed over. RFC 7517 (JWK), RFC 7518 (algorithms).
"""

import json
from dataclasses import dataclass, field
from typing import Any

import jwt

MIN_RSA_BITS = 2048

RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
FITS: dict[tuple[object, object], frozenset[str]] = {
    ("RSA", None): RSA,
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}
"""The algorithms that fit a key's type and curve. Nothing else is accepted, and nothing symmetric."""
ALGORITHMS = frozenset[str]().union(*FITS.values())


@dataclass(frozen=True)
class Key:
    """A public key with its id, if it has one, and the algorithms it may be used with."""

    kid: str | None
    algorithms: frozenset[str]
    public: Any = field(repr=False)


def read_jwks(document: bytes) -> tuple[Key, ...] | None:
    """The usable keys of a JWKS document; None if it is none."""
    try:
        parsed = json.loads(document)
    except (ValueError, RecursionError):
        return None
    entries = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(entries, list):
        return None
    return tuple(key for entry in entries if isinstance(entry, dict) and (key := _key(entry)) is not None)


def _key(entry: dict[str, Any]) -> Key | None:
    """What `entry` verifies with; None if that is nothing, or not for us to use.

    An entry with a private part (`d`) is known to the world, so its signature proves nothing.
    """
    kty, crv, kid, named = (entry.get(name) for name in ("kty", "crv", "kid", "alg"))
    if not (isinstance(kty, str) and isinstance(crv, str | None) and isinstance(kid, str | None)) or "d" in entry:
        return None
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use") not in (None, "sig") or not (isinstance(operations, list) and "verify" in operations):
        return None
    algorithms = FITS.get((kty, None if kty == "RSA" else crv), frozenset())
    if named is not None:
        algorithms = frozenset(name for name in algorithms if name == named)
    if not algorithms:
        return None
    try:
        public = jwt.PyJWK(entry, min(algorithms)).key
    except (jwt.PyJWTError, ValueError, TypeError, ArithmeticError):
        return None
    return None if kty == "RSA" and public.key_size < MIN_RSA_BITS else Key(kid, algorithms, public)


def fitting(keys: tuple[Key, ...], kid: str | None, algorithm: str) -> Key | None:
    """The one key of this id, or of any if a token names none; None if there is none or more than one."""
    found = [key for key in keys if kid in (None, key.kid) and algorithm in key.algorithms]
    return found[0] if len(found) == 1 else None
