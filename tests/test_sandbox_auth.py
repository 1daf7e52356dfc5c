import base64
import json
from typing import Any

import pytest
from starlette.applications import Starlette

from lofty_mcp.sandbox import CLIENT_ID, CLIENT_SECRET
from tests.contract.asking import ANA, JSON, OWNER, ask, bare, sandbox, user_id

TYPED_READS = (
    "/v1.0/teamFeatures/lead-pipelines",
    "/v1.0/teamFeatures/listCustomField",
    "/v1.0/team-features/lead-ponds",
)


async def test_a_key_sent_as_bearer_is_400_200058() -> None:
    app, world = sandbox(leads=0)
    answer = await bare(app, "GET", "/v1.0/me", headers={"authorization": f"Bearer {world.key_of(ANA)}", **JSON})
    assert (answer.status_code, answer.json()["code"]) == (400, 200058)


@pytest.mark.parametrize("header", [{}, {"authorization": "token eyJno.such.key"}, {"authorization": "Bearer nothing"}])
async def test_a_missing_or_unknown_credential_is_401(header: dict[str, str]) -> None:
    app, _ = sandbox(leads=0)
    answer = await bare(app, "GET", "/v1.0/me", headers={**header, **JSON})
    assert (answer.status_code, answer.json()["code"]) == (401, 20004)


async def test_the_scheme_word_of_a_key_is_lower_case_token() -> None:
    app, world = sandbox(leads=0)
    answer = await bare(app, "GET", "/v1.0/me", headers={"authorization": f"Token {world.key_of(ANA)}", **JSON})
    assert answer.status_code == 401


async def test_a_revoked_key_is_401_at_once() -> None:
    app, world = sandbox(leads=0)
    assert (await ask(app, "GET", "/v1.0/me", who=ANA)).status_code == 200
    world.tokens.revoke(world.key_of(ANA))
    assert (await ask(app, "GET", "/v1.0/me", who=ANA)).status_code == 401


def test_a_key_bears_the_long_user_id_and_the_scope() -> None:
    _, world = sandbox(leads=0)
    payload = world.key_of(ANA).split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["userId"] == user_id(world, ANA)
    assert claims["scope"] == "THIRD_PARTY_OPERATION"


@pytest.mark.parametrize("path", TYPED_READS)
async def test_some_reads_are_415_without_a_content_type(path: str) -> None:
    app, world = sandbox(leads=0)
    key = {"authorization": f"token {world.key_of(ANA)}"}
    answer = await bare(app, "GET", path, headers=key)
    assert answer.status_code == 415
    assert "Content-Type 'null' is not supported" in answer.json()["message"]
    assert (await bare(app, "GET", path, headers={**key, **JSON})).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/v1.0/leads/{id}?reason=x"),
        ("PUT", "/v1.0/leads/{id}"),
        ("POST", "/v1.0/leads/{id}/assignment"),
        ("POST", "/v1.0/notes"),
    ],
)
async def test_writes_are_400_20001_without_a_content_type_and_do_nothing(method: str, path: str) -> None:
    app, world = sandbox(leads=1)
    before = world.lead(world.busy_lead_id)
    key = {"authorization": f"token {world.key_of(OWNER)}"}
    answer = await bare(app, method, path.format(id=world.busy_lead_id), headers=key, content=b'{"firstName":"X"}')
    assert (answer.status_code, answer.json()["code"]) == (400, 20001)
    assert world.lead(world.busy_lead_id) == before


async def test_every_answer_carries_the_rate_headers_with_reset_in_milliseconds() -> None:
    app, world = sandbox(leads=1, rate_limit=7, clock=lambda: 100.0, strict=False)
    answers = [
        await ask(app, "GET", "/v1.0/me"),
        await ask(app, "GET", "/v1.0/nothing"),
        await ask(app, "GET", "/v1.0/leads/1"),
        await ask(app, "GET", "/v1.0/me", headers={"x-sandbox-fault": "status=503"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 404, 503]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["6", "5", "4", "3"]
    assert {answer.headers["x-ratelimit-limit"] for answer in answers} == {"7"}
    assert {answer.headers["x-ratelimit-reset"] for answer in answers} == {"60000"}
    assert world.log[-1].status == 503


async def test_over_the_limit_is_429_until_the_minute_is_over_and_per_key() -> None:
    now = [0.0]
    app, _ = sandbox(leads=0, rate_limit=2, clock=lambda: now[0])
    codes = [(await ask(app, "GET", "/v1.0/me")).status_code for _ in range(2)]
    now[0] = 20.0
    refused = await ask(app, "GET", "/v1.0/me")
    assert (codes, refused.status_code, refused.json()) == ([200, 200], 429, {"message": "Too Many Requests"})
    assert (refused.headers["x-ratelimit-remaining"], refused.headers["x-ratelimit-reset"]) == ("0", "40000")
    assert (await ask(app, "GET", "/v1.0/me", who=ANA)).status_code == 200
    now[0] = 60.0
    assert (await ask(app, "GET", "/v1.0/me")).status_code == 200


async def _token(app: Starlette, fields: dict[str, str], *, basic: bool = False, form: bool = False) -> Any:
    options: dict[str, Any] = {}
    if basic:
        options["auth"] = (CLIENT_ID, CLIENT_SECRET)
    else:
        fields = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, **fields}
    return await bare(app, "POST", "/oauth/token", **{"data" if form else "json": fields}, **options)


@pytest.mark.parametrize("basic", [True, False])
@pytest.mark.parametrize("form", [True, False])
async def test_client_credentials_give_a_bearer_token_that_acts_as_the_owner_of_the_key(
    basic: bool, form: bool
) -> None:
    app, world = sandbox(leads=0)
    fields = {"grant_type": "client_credentials", "customer_key": world.key_of(ANA)}
    answer = await _token(app, fields, basic=basic, form=form)
    token = answer.json()
    assert (token["token_type"], token["expires_in"], token["scope"]) == ("Bearer", 3600, "openApi")
    me = await bare(app, "GET", "/v1.0/me", headers={"authorization": f"Bearer {token['access_token']}", **JSON})
    assert me.json()["email"] == ANA


async def test_a_refresh_token_works_once() -> None:
    app, world = sandbox(leads=0)
    first = world.issue_tokens(ANA)["refresh_token"]
    renewed = await _token(app, {"grant_type": "refresh_token", "refresh_token": first})
    assert renewed.json()["refresh_token"] != first
    again = await _token(app, {"grant_type": "refresh_token", "refresh_token": first})
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


async def test_an_access_token_ends_with_its_lifetime() -> None:
    now = [0.0]
    app, world = sandbox(leads=0, token_ttl=30, clock=lambda: now[0])
    token = world.issue_tokens(ANA)
    header = {"authorization": f"Bearer {token['access_token']}", **JSON}
    assert (token["expires_in"], (await bare(app, "GET", "/v1.0/me", headers=header)).status_code) == (30, 200)
    now[0] = 30.0
    assert (await bare(app, "GET", "/v1.0/me", headers=header)).status_code == 401


@pytest.mark.parametrize(
    ("fields", "status", "error"),
    [
        ({"grant_type": "client_credentials", "customer_key": "no"}, 400, "invalid_grant"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "client_secret": "wrong"}, 401, "invalid_client"),
    ],
)
async def test_a_token_request_that_is_not_right_is_refused(fields: dict[str, str], status: int, error: str) -> None:
    app, _ = sandbox(leads=0)
    answer = await _token(app, fields)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
