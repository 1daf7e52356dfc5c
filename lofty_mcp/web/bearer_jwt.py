"""Inbound access tokens: whether a JWT is the issuer's, is meant for us, and is good now.

RFC 7519 (JWT), RFC 8725 (its best practice), RFC 9068 (access tokens). The signature and the plain claims are PyJWT's
work; times are checked here, against a clock that is an argument.
"""

import logging
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx2
import jwt
from jwt.exceptions import InvalidSubjectError

from lofty_mcp.web.jwks import ALGORITHMS, Key
from lofty_mcp.web.keys import FETCH_SECONDS, KeysUnavailable, open_keys

MAX_TOKEN = 8192
"""Characters of the longest token that is looked at."""
LEEWAY_SECONDS = 5.0
"""How far the issuer's clock may be from ours."""
TYPES = ("jwt", "at+jwt", "application/at+jwt")
REQUIRED = ["exp", "iss", "aud", "sub"]
ID_TOKEN_ONLY = ("at_hash", "c_hash")
"""Claims of OpenID Connect that only tokens about a sign-in have; they are no permission to call anybody."""

log = logging.getLogger(__name__)


class Refusal(StrEnum):
    """Why a token is not accepted, as the log says it."""

    MALFORMED = "malformed"
    TYPE = "type"
    ALGORITHM = "algorithm"
    CRITICAL = "critical header"
    KEY = "key"
    SIGNATURE = "signature"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    SUBJECT = "subject"
    CLAIM = "claim"
    EXPIRED = "expired"
    NOT_YET = "not yet valid"


BY_ERROR: tuple[tuple[type[jwt.PyJWTError], Refusal], ...] = (
    (jwt.InvalidSignatureError, Refusal.SIGNATURE),
    (jwt.InvalidAlgorithmError, Refusal.ALGORITHM),
    (jwt.InvalidKeyError, Refusal.KEY),
    (jwt.InvalidIssuerError, Refusal.ISSUER),
    (jwt.InvalidAudienceError, Refusal.AUDIENCE),
    (InvalidSubjectError, Refusal.SUBJECT),
    (jwt.MissingRequiredClaimError, Refusal.CLAIM),
)


@dataclass(frozen=True)
class Claims:
    """What an accepted token says of its caller."""

    subject: str = field(repr=False)
    scopes: frozenset[str]
    expires_at: float
    """Epoch seconds."""
    client_id: str = field(repr=False)
    """The program that asked for the token; may be empty."""
    issuer: str


@dataclass(frozen=True)
class Header:
    """Which key a token claims to be signed with, and how."""

    algorithm: str
    kid: str | None = field(repr=False)


class JwtVerifier:
    """Verifies the access tokens of one issuer for one audience.

    `jwks` is an address (https, or http to this machine), fetched through `http`, or the path of a file; `clock` gives
    epoch seconds, `monotonic` the age of keys, `patience` the seconds a fetch may take. ValueError for what cannot be.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        jwks: str,
        http: httpx2.AsyncClient | None = None,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        patience: float = FETCH_SECONDS,
    ) -> None:
        if not issuer or not audience:
            raise ValueError("an issuer and an audience are needed to verify tokens")
        self._issuer = issuer
        self._audience = audience
        self._keys = open_keys(jwks, http, monotonic, patience)
        self._clock = clock

    async def verify(self, token: str) -> Claims | None:
        """What the token says, or None for one that is not accepted; raises KeysUnavailable if none can be judged."""
        found = await self._judge(token)
        if isinstance(found, Claims):
            return found
        log.info("inbound token refused", extra={"outcome": found.value})
        return None

    async def has_keys(self) -> bool:
        """Whether tokens can be judged at all just now."""
        try:
            await self._keys.find(None, "")
        except KeysUnavailable:
            return False
        return True

    async def aclose(self) -> None:
        """End a fetch of keys under way, before its client is closed."""
        await self._keys.aclose()

    async def _judge(self, token: str) -> Claims | Refusal:
        header = read_header(token)
        if isinstance(header, Refusal):
            return header
        key = await self._keys.find(header.kid, header.algorithm)
        if key is None:
            return Refusal.KEY
        payload = read_payload(token, key, self._issuer, self._audience)
        return payload if isinstance(payload, Refusal) else read_claims(payload, self._clock())


def read_header(token: str) -> Header | Refusal:
    """The part of the header that matters, before anything is proved; keys it brings along do not."""
    if len(token) > MAX_TOKEN or not token.isascii():
        return Refusal.MALFORMED
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        return Refusal.MALFORMED
    if "crit" in header or "b64" in header:
        return Refusal.CRITICAL
    if str(header.get("typ", "JWT")).lower() not in TYPES:
        return Refusal.TYPE
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        return Refusal.ALGORITHM
    return Header(algorithm, header.get("kid"))


def read_payload(token: str, key: Key, issuer: str, audience: str) -> dict[str, Any] | Refusal:
    """The payload, once signature, issuer and audience are proved."""
    try:
        payload: dict[str, Any] = jwt.decode(
            token,
            key.public,
            algorithms=sorted(key.algorithms),
            issuer=issuer,
            audience=audience,
            options={
                "require": REQUIRED,
                "enforce_minimum_key_length": True,
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except jwt.PyJWTError as error:
        return next((refusal for kind, refusal in BY_ERROR if isinstance(error, kind)), Refusal.MALFORMED)
    return payload


def read_claims(payload: dict[str, Any], now: float) -> Claims | Refusal:
    """The claims of a proved payload, if it is an access token and good at `now`, in epoch seconds."""
    if any(name in payload for name in ID_TOKEN_ONLY):
        return Refusal.TYPE
    subject = payload["sub"]
    if not subject.strip() or not subject.isprintable():
        return Refusal.SUBJECT
    expires_at, begins, issued = (_seconds(payload.get(name, now)) for name in ("exp", "nbf", "iat"))
    if expires_at is None or begins is None or issued is None:
        return Refusal.CLAIM
    if now >= expires_at + LEEWAY_SECONDS:
        return Refusal.EXPIRED
    if max(begins, issued) > now + LEEWAY_SECONDS:
        return Refusal.NOT_YET
    scopes = _scopes(payload.get("scope", payload.get("scp")))
    client_id = next((text for name in ("client_id", "azp") if (text := _text(payload.get(name)))), "")
    return Claims(subject, scopes, expires_at, client_id, payload["iss"])


def _seconds(value: object) -> float | None:
    """Epoch seconds as RFC 7519 writes them: a number, and a finite one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) else None


def _scopes(value: object) -> frozenset[str]:
    """Scopes, as a string with spaces or as a list; what RFC 6749 does not allow in one is none."""
    parts = value.split(" ") if isinstance(value, str) else value if isinstance(value, list) else []
    return frozenset(part for part in parts if isinstance(part, str) and re.fullmatch(r"[!#-\[\]-~]+", part))


def _text(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() else ""
