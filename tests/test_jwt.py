"""Inbound JWTs: who may come in, and what is read of their token."""

import hashlib
import hmac
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from lofty_mcp.web.bearer_jwt import Claims
from lofty_mcp.web.jwks import ALGORITHMS
from tests.support.issuer import NOW, Desk, Issuer, b64, jwk


def pieced(header: object, payload: object, signature: bytes = b"") -> str:
    return f"{b64(json.dumps(header).encode())}.{b64(json.dumps(payload).encode())}.{b64(signature)}"


async def refused(desk: Desk, token: str, caplog: pytest.LogCaptureFixture) -> str:
    """Why the token was refused, as the log says it, once nothing of the token was found there."""
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    assert await desk.verifier.verify(token) is None
    told = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    secrets = [part for part in (*token.split("."), desk.issuer.kid, "bob", "an-assistant") if len(part) > 2]
    assert not [part for part in secrets if part in told]
    (record,) = [record for record in caplog.records if record.msg == "inbound token refused"]
    return str(vars(record)["outcome"])


async def test_a_good_token_says_who_calls_with_which_scopes_until_when() -> None:
    desk = Desk()
    claims = await desk.verifier.verify(desk.issuer.token("ana", ["leads:read", "leads:write"]))
    assert claims == Claims(
        "ana", frozenset({"leads:read", "leads:write"}), NOW + 300, "an-assistant", "https://issuer.example/"
    )
    assert "ana" not in repr(claims)
    assert "an-assistant" not in repr(claims)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
async def test_each_pinned_algorithm_verifies_with_or_without_a_name_in_the_key(algorithm: str) -> None:
    desk = Desk(algorithm)
    assert await desk.accepts(desk.issuer.token())
    desk.issuer.entries = [jwk(desk.issuer.private, kid=desk.issuer.kid)]
    desk.verifier = desk.hire(jwks=desk.issuer.jwks_url, http=desk.issuer.http())
    assert await desk.accepts(desk.issuer.token())


def test_only_asymmetric_algorithms_are_pinned() -> None:
    assert {name[:2] for name in ALGORITHMS} == {"RS", "PS", "ES", "Ed"}


CLAIMS: dict[str, tuple[dict[str, Any], str]] = {
    "another issuer": ({"iss": "https://other.example/"}, "issuer"),
    "the issuer less its slash": ({"iss": "https://issuer.example"}, "issuer"),
    "the issuer in a list": ({"iss": ["https://issuer.example/"]}, "issuer"),
    "no issuer": ({"iss": None}, "claim"),
    "another audience": ({"aud": "https://other.example/mcp"}, "audience"),
    "an audience that begins like ours": ({"aud": "https://lofty.example/mcp/x"}, "audience"),
    "other audiences": ({"aud": ["a", "b"]}, "audience"),
    "our audience among numbers": ({"aud": ["https://lofty.example/mcp", 1]}, "audience"),
    "audiences as a table": ({"aud": {"https://lofty.example/mcp": 1}}, "audience"),
    "no audience": ({"aud": None}, "claim"),
    "an empty list of audiences": ({"aud": []}, "claim"),
    "no subject": ({"sub": None}, "claim"),
    "an empty subject": ({"sub": ""}, "subject"),
    "a blank subject": ({"sub": "  "}, "subject"),
    "a number as subject": ({"sub": 7}, "subject"),
    "a list as subject": ({"sub": ["ana"]}, "subject"),
    "a subject with a line break": ({"sub": "ana\nbob"}, "subject"),
    "a subject that is half a character": ({"sub": "\ud800"}, "subject"),
    "no expiry": ({"exp": None}, "claim"),
    "an expiry in words": ({"exp": str(NOW + 300)}, "claim"),
    "true as expiry": ({"exp": True}, "claim"),
    "an endless expiry": ({"exp": float("inf")}, "claim"),
    "an expiry that is no number": ({"exp": float("nan")}, "claim"),
    "an expiry past all floats": ({"exp": 10**400}, "claim"),
    "an expiry past by the leeway": ({"exp": NOW - 5}, "expired"),
    "a beginning beyond the leeway": ({"nbf": NOW + 5.1}, "not yet valid"),
    "a beginning in words": ({"nbf": "soon"}, "claim"),
    "an issue beyond the leeway": ({"iat": NOW + 5.1}, "not yet valid"),
    "an issue that is no number": ({"iat": [NOW]}, "claim"),
    "an ID token": ({"at_hash": "x"}, "type"),
}


@pytest.mark.parametrize("name", CLAIMS)
async def test_a_signed_token_with_a_wrong_claim_is_refused(name: str, caplog: pytest.LogCaptureFixture) -> None:
    overrides, reason = CLAIMS[name]
    desk = Desk()
    assert await refused(desk, desk.issuer.token(**overrides), caplog) == reason


PAYLOADS = {
    "no JSON": "ana",
    "a list": "[]",
    "a string": '"sub"',
    "nothing": "",
    "an integer of more digits than Python reads": '{"exp": ' + "9" * 5000 + "}",
    "lists in lists without end": "[" * 5000,
    "no text": "\ufffe\x00",
}


@pytest.mark.parametrize("name", PAYLOADS)
async def test_a_signed_payload_that_is_no_table_of_claims_is_refused(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk()
    assert await refused(desk, desk.issuer.sign(PAYLOADS[name]), caplog) == "malformed"


ACCEPTED: dict[str, dict[str, Any]] = {
    "our audience among others": {"aud": ["https://other.example", "https://lofty.example/mcp"]},
    "an expiry within the leeway": {"exp": NOW - 4.9},
    "an expiry with a fraction": {"exp": NOW + 0.5},
    "a beginning within the leeway": {"nbf": NOW + 5},
    "an issue within the leeway": {"iat": NOW + 5},
    "no time of issue": {"iat": None},
    "no client": {"client_id": None},
}


@pytest.mark.parametrize("name", ACCEPTED)
async def test_what_an_honest_issuer_may_write_is_accepted(name: str) -> None:
    desk = Desk()
    assert await desk.accepts(desk.issuer.token(**ACCEPTED[name]))


async def test_a_token_ends_when_its_time_has_come() -> None:
    desk = Desk()
    token = desk.issuer.token()
    desk.clock.passed = 304.9
    assert await desk.accepts(token)
    desk.clock.passed = 305.0
    assert not await desk.accepts(token)


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "leads:read leads:write"}, {"leads:read", "leads:write"}),
        ({"scope": " leads:read  leads:read "}, {"leads:read"}),
        ({"scope": ["leads:read", "leads:write"]}, {"leads:read", "leads:write"}),
        ({"scope": None, "scp": "leads:read"}, {"leads:read"}),
        ({"scope": None, "scp": ["leads:read", "leads:write"]}, {"leads:read", "leads:write"}),
        ({"scope": "leads:read", "scp": "leads:write"}, {"leads:read"}),
        ({"scope": None}, set()),
        ({"scope": ""}, set()),
        ({"scope": 7}, set()),
        ({"scope": {"leads:write": True}}, set()),
        ({"scope": ["leads:read leads:write", 1, None, "leads:\u202ewrite", "leads:read\n"]}, set()),
    ],
)
async def test_scopes_come_as_text_or_list_and_nothing_else_grants_any(
    claims: dict[str, Any], scopes: set[str]
) -> None:
    desk = Desk()
    found = await desk.verifier.verify(desk.issuer.token(**claims))
    assert found is not None
    assert found.scopes == scopes


@pytest.mark.parametrize(
    ("claims", "client"),
    [
        ({"client_id": "one", "azp": "two"}, "one"),
        ({"client_id": None, "azp": "two"}, "two"),
        ({"client_id": 1, "azp": "two"}, "two"),
        ({"client_id": "a\nb"}, ""),
        ({"client_id": None}, ""),
    ],
)
async def test_the_client_is_named_where_the_issuer_names_it(claims: dict[str, Any], client: str) -> None:
    desk = Desk()
    found = await desk.verifier.verify(desk.issuer.token(**claims))
    assert found is not None
    assert found.client_id == client


def with_its_own_key(issuer: Issuer) -> str:
    """A token of a stranger who sends the key along, under the name of the issuer's."""
    theirs = Issuer(clock=issuer.clock)
    own = jwk(theirs.private, kid=issuer.kid)
    return theirs.sign(issuer.claims(), kid=issuer.kid, jwk=own, jku="https://evil.example/keys", x5u="https://evil/x")


def hmac_with_the_public_key(issuer: Issuer) -> str:
    pem = issuer.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    unsigned = pieced({"alg": "HS256", "typ": "JWT", "kid": issuer.kid}, issuer.claims()).rpartition(".")[0]
    return f"{unsigned}.{b64(hmac.digest(pem, unsigned.encode(), hashlib.sha256))}"


def changed_after_signing(issuer: Issuer) -> str:
    header, _, signature = issuer.token().split(".")
    return f"{header}.{b64(json.dumps(issuer.claims(sub='bob')).encode())}.{signature}"


def renamed(issuer: Issuer, algorithm: str) -> str:
    header = {"alg": algorithm, "typ": "JWT", "kid": issuer.kid}
    return pieced(header, issuer.claims(), b"s" * 64)


FORGED: dict[str, tuple[Callable[[Issuer], str], str]] = {
    "no signature at all": (lambda i: pieced({"alg": "none", "kid": i.kid}, i.claims()), "algorithm"),
    "none in other letters": (lambda i: pieced({"alg": "NoNe", "kid": i.kid}, i.claims()), "algorithm"),
    "the public key as secret": (hmac_with_the_public_key, "algorithm"),
    "no algorithm": (lambda i: pieced({"kid": i.kid}, i.claims(), b"x"), "algorithm"),
    "a list of algorithms": (lambda i: pieced({"alg": ["ES256"], "kid": i.kid}, i.claims(), b"x"), "algorithm"),
    "an algorithm of another type of key": (lambda i: renamed(i, "RS256"), "key"),
    "an algorithm of another curve": (lambda i: renamed(i, "ES384"), "key"),
    "a signature of nothing": (lambda i: renamed(i, "ES256"), "signature"),
    "a payload changed after signing": (changed_after_signing, "signature"),
    "a signature cut short": (lambda i: i.token()[:-2], "signature"),
    "a key of its own": (with_its_own_key, "signature"),
    "the key of somebody else": (lambda i: Issuer(clock=i.clock).token(), "key"),
    "a number as key id": (lambda i: pieced({"alg": "ES256", "kid": 7}, i.claims(), b"x"), "malformed"),
    "the type of an ID token": (lambda i: i.sign(i.claims(), typ="id+jwt"), "type"),
    "the type of a logout token": (lambda i: i.sign(i.claims(), typ="logout+jwt"), "type"),
    "a type that is no text": (lambda i: i.sign(i.claims(), typ=["JWT"]), "type"),
    "an extension that must be understood": (
        lambda i: pieced({"alg": "ES256", "kid": i.kid, "crit": ["exp"], "exp": 1}, i.claims(), b"x"),
        "malformed",
    ),
    "the one extension that PyJWT knows": (
        lambda i: i.sign(i.claims(), b64=False, crit=["b64"]),
        "critical header",
    ),
    "a token of 8 KiB and more": (lambda i: i.token(more="x" * 8192), "malformed"),
    "four parts": (lambda i: i.token() + ".x", "malformed"),
    "a part that is none": (lambda i: "." + i.token(), "malformed"),
    "letters beyond ASCII": (lambda i: i.token() + "\u00e9", "malformed"),
    "half a character": (lambda i: i.token() + "\ud800", "malformed"),
    "nothing": (lambda _: "", "malformed"),
    "a header nested without end": (lambda _: b64(b"[" * 5000) + ".e30.", "malformed"),
}


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_token_is_refused(name: str, caplog: pytest.LogCaptureFixture) -> None:
    forge, reason = FORGED[name]
    desk = Desk()
    assert await refused(desk, forge(desk.issuer), caplog) == reason


async def test_an_rsa_signature_in_the_other_padding_is_refused_where_the_key_names_its_own() -> None:
    desk = Desk("PS256")
    desk.issuer.algorithm = "RS256"
    assert not await desk.accepts(desk.issuer.token())
    desk.issuer.algorithm = "PS256"
    assert await desk.accepts(desk.issuer.token())


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", ""])
async def test_the_types_of_an_access_token_are_accepted(typ: str) -> None:
    """An empty type is how the signing library is told to write none."""
    desk = Desk()
    assert await desk.accepts(desk.issuer.sign(desk.issuer.claims(), typ=typ))


async def test_a_token_just_under_the_limit_is_read() -> None:
    desk = Desk()
    token = desk.issuer.token(more="x" * 5700)
    assert 7900 < len(token) <= 8192
    assert await desk.accepts(token)


JUNK = st.text(alphabet=st.characters(codec="utf-8") | st.just("\ud800"), max_size=60) | st.binary(max_size=60).map(b64)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(
    ["alg", "typ", "kid", "crit", "b64", "jwk", "sub", "exp", "nbf", "iat", "aud", "iss", "scope", "jti"]
)


@given(st.lists(JUNK, max_size=5).map(".".join))
async def test_junk_with_dots_never_raises(token: str) -> None:
    assert not await Desk().accepts(token)


@given(st.dictionaries(NAMES, VALUES, max_size=4), st.dictionaries(NAMES, VALUES, max_size=4))
async def test_odd_headers_and_odd_signed_claims_never_raise(header: dict[str, Any], claims: dict[str, Any]) -> None:
    desk = Desk()
    await desk.verifier.verify(pieced({"alg": "ES256"} | header, claims, b"x" * 64))
    await desk.verifier.verify(desk.issuer.sign(json.dumps(desk.issuer.claims() | claims)))
