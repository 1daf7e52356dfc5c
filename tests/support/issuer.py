"""An issuer of access tokens: it makes keys, publishes them as a JWKS document, and signs."""

import base64
import json
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import AllowedPrivateKeys

from lofty_mcp.web.bearer_jwt import JwtVerifier

CURVES: dict[str, ec.EllipticCurve] = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
SERIAL = count(1)
NOW = 1_800_000_000.0
"""When a desk opens, in epoch seconds."""


class Issuer:
    """One issuer with the key it signs with now; `jwks_url` is where `http()` finds its keys."""

    def __init__(
        self,
        url: str = "https://issuer.example/",
        audience: str = "https://lofty.example/mcp",
        *,
        algorithm: str = "ES256",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = url
        self.audience = audience
        self.clock = clock
        self.jwks_url = "https://issuer.example/keys"
        self.fetches = 0
        self.entries: list[dict[str, Any]] = []
        self.algorithm = algorithm
        self.rotate()

    def rotate(self, algorithm: str | None = None, *, keep: bool = False) -> None:
        """Sign with a new key from now on; with `keep` the old one stays published beside it."""
        self.algorithm = algorithm or self.algorithm
        self.kid = f"key-{next(SERIAL)}"
        self.private = private_key(self.algorithm)
        kept = self.entries if keep else []
        self.entries = [*kept, jwk(self.private, kid=self.kid, alg=self.algorithm, use="sig")]

    def claims(self, subject: str = "ana", scopes: str | list[str] = "leads:read", **overrides: Any) -> dict[str, Any]:
        """The payload of a good token that lasts 5 minutes; an override of None takes a claim out."""
        now = int(self.clock())
        scope = scopes if isinstance(scopes, str) else " ".join(scopes)
        good = {
            "iss": self.url,
            "aud": self.audience,
            "sub": subject,
            "scope": scope,
            "client_id": "an-assistant",
            "iat": now,
            "exp": now + 300,
        }
        return {name: value for name, value in (good | overrides).items() if value is not None}

    def token(self, subject: str = "ana", scopes: str | list[str] = "leads:read", **overrides: Any) -> str:
        """A good token, but for what `overrides` say of its claims."""
        return self.sign(self.claims(subject, scopes, **overrides))

    def sign(self, payload: dict[str, Any] | str, **header: Any) -> str:
        """Any payload, as a table or as text, signed with today's key; a header field of None is taken out."""
        text = payload if isinstance(payload, str) else json.dumps(payload)
        fields = {name: value for name, value in ({"kid": self.kid} | header).items() if value is not None}
        return jwt.PyJWS().encode(text.encode(), self.private, self.algorithm, fields)

    def jwks(self) -> dict[str, Any]:
        """The document of public keys."""
        return {"keys": self.entries}

    def save(self, path: Path) -> str:
        """Replace the JWKS file at `path`, as a careful operator would."""
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(self.jwks()))
        draft.replace(path)
        return str(path)

    def http(self) -> httpx2.AsyncClient:
        """A client that finds this issuer's keys at `jwks_url` and nothing else; `fetches` counts."""

        def answer(request: httpx2.Request) -> httpx2.Response:
            if str(request.url) != self.jwks_url:
                return httpx2.Response(404)
            self.fetches += 1
            return httpx2.Response(200, json=self.jwks())

        return httpx2.AsyncClient(transport=httpx2.MockTransport(answer))


class Clock:
    """Epoch and monotonic seconds that pass when told to."""

    def __init__(self) -> None:
        self.passed = 0.0

    def epoch(self) -> float:
        """Seconds since 1970."""
        return NOW + self.passed

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self.passed


class Desk:
    """An issuer, a clock, and a verifier that trusts the issuer's address."""

    def __init__(self, algorithm: str = "ES256", **settings: Any) -> None:
        self.clock = Clock()
        self.issuer = Issuer(algorithm=algorithm, clock=self.clock.epoch)
        self.verifier = self.hire(**({"jwks": self.issuer.jwks_url, "http": self.issuer.http()} | settings))

    def hire(self, **settings: Any) -> JwtVerifier:
        """Another verifier of the same tokens."""
        return JwtVerifier(
            **({"issuer": self.issuer.url, "audience": self.issuer.audience} | settings),
            clock=self.clock.epoch,
            monotonic=self.clock.monotonic,
        )

    async def accepts(self, token: str) -> bool:
        """Whether the token is good here."""
        return await self.verifier.verify(token) is not None


def private_key(algorithm: str) -> AllowedPrivateKeys:
    """A new private key for `algorithm`."""
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm])
    return rsa.generate_private_key(65537, 2048)


def jwk(private: AllowedPrivateKeys, **fields: Any) -> dict[str, Any]:
    """The public half of a key as a JWK, with `fields`."""
    algorithm: Any = jwt.algorithms.RSAAlgorithm
    if isinstance(private, ec.EllipticCurvePrivateKey):
        algorithm = jwt.algorithms.ECAlgorithm
    elif isinstance(private, ed25519.Ed25519PrivateKey):
        algorithm = jwt.algorithms.OKPAlgorithm
    public: dict[str, Any] = algorithm.to_jwk(private.public_key(), as_dict=True)
    return public | fields


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
