"""The HTTP mode: who gets in, as whom, and how far; nothing of one reaches another."""

import base64
import hashlib
import json
import logging
import random
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import httpx2
import jwt
import pytest
from mcp import Client, MCPError
from mcp.types import TextContent

from lofty_mcp.accounts import Caller
from lofty_mcp.ledger.sqlite import SqliteLedger
from lofty_mcp.logs import JsonFormatter
from lofty_mcp.server import build_server
from lofty_mcp.settings import BadSettings, load
from lofty_mcp.web.app import build_web
from tests.support.issuer import Issuer
from tests.support.web import BASE, Builder, Site, accounts, token
from tests.support.world import ANA, ERAS, MARK, OWNER, Bench, Person, data, error, rows, text

ONE = "one-token-of-the-operator"
METADATA = f"{BASE}/.well-known/oauth-protected-resource/mcp"
AUDIENCE = f"{BASE}/mcp"


@pytest.fixture
def two(builder: Builder) -> Path:
    """An accounts file with Ana and Mark."""
    return builder.write_accounts(accounts(ana={"credential": "env:KEY_ANA"}, mark={"credential": "env:KEY_MARK"}))


@pytest.fixture
def issuer() -> Issuer:
    """Who issues JWTs for this server."""
    return Issuer(audience=AUDIENCE)


@pytest.fixture
def signed_in(builder: Builder, issuer: Issuer, tmp_path: Path) -> dict[str, Any]:
    """Settings under which Ana and Mark come with a JWT."""
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps(issuer.jwks()), encoding="utf-8")
    known = accounts(
        ana={"subject": "ana", "credential": "env:KEY_ANA"}, mark={"subject": "mark", "credential": "env:KEY_MARK"}
    )
    path = builder.write_accounts(known)
    return {"accounts": path, "issuer": issuer.url, "audience": AUDIENCE, "jwks": str(keys)}


async def me(client: Client) -> str:
    """The e-mail address of whom the server acts as."""
    return str(data(await client.call_tool("who_am_i", {}))["account"]["email"])


# Who gets in


@pytest.mark.parametrize("era", ERAS)
async def test_each_static_token_acts_as_its_own_member(builder: Builder, two: Path, era: str) -> None:
    async with builder.site(accounts=two) as site:
        async with site.client(token("ana"), era) as client:
            assert await me(client) == ANA
        async with site.client(token("mark"), era) as client:
            assert await me(client) == MARK


@pytest.mark.parametrize("era", ERAS)
async def test_the_one_token_acts_with_the_credential_of_the_environment(builder: Builder, era: str) -> None:
    async with (
        builder.site(api_key=builder.bench.world.key_of(ANA), token=ONE) as site,
        site.client(ONE, era) as client,
    ):
        assert await me(client) == ANA


@pytest.mark.parametrize("era", ERAS)
async def test_a_good_jwt_acts_as_the_principal_of_its_subject(
    builder: Builder, signed_in: dict[str, Any], issuer: Issuer, era: str
) -> None:
    async with builder.site(**signed_in) as site:
        for subject, email in (("ana", ANA), ("mark", MARK)):
            async with site.client(issuer.token(subject, ["leads:read", "leads:write"]), era) as client:
                assert await me(client) == email


def _none(issuer: Issuer) -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(issuer.claims())}."


def _of_another_key(issuer: Issuer) -> str:
    other = Issuer(issuer.url, issuer.audience)
    other.kid = issuer.kid
    return other.token("ana")


def _of_another_algorithm(issuer: Issuer) -> str:
    secret = json.dumps(issuer.jwks()["keys"][0])
    return jwt.encode(issuer.claims(), hashlib.sha256(secret.encode()).hexdigest(), "HS256", {"kid": issuer.kid})


def _tampered(issuer: Issuer) -> str:
    head, payload, signature = issuer.token("ana").split(".")
    return f"{head}.{payload}.{signature[:-4]}AAAA"


BAD_TOKENS: dict[str, Callable[[Issuer], str]] = {
    "another issuer": lambda i: i.token(iss="https://elsewhere.example/"),
    "another audience": lambda i: i.token(aud="https://elsewhere.example/mcp"),
    "another algorithm": _of_another_algorithm,
    "none": _none,
    "expired": lambda i: i.token(exp=1_000_000_000),
    "no expiry": lambda i: i.token(exp=None),
    "not yet valid": lambda i: i.token(nbf=9_000_000_000),
    "an unknown subject": lambda i: i.token("somebody"),
    "an empty subject": lambda i: i.token(""),
    "no subject": lambda i: i.token(sub=None),
    "another key": _of_another_key,
    "a broken signature": _tampered,
    "no token at all": lambda i: "",
    "a word": lambda i: "opensesame",
    "a static token of nobody": lambda i: token("nobody"),
}


@pytest.mark.parametrize("what", BAD_TOKENS)
async def test_a_wrong_token_is_refused_with_a_way_to_a_right_one(
    builder: Builder, signed_in: dict[str, Any], issuer: Issuer, what: str
) -> None:
    async with builder.site(**signed_in) as site:
        refused = await site.post("tools/list", BAD_TOKENS[what](issuer))
        taken = await site.post("tools/list", issuer.token("ana"))

    assert refused.status_code == 401
    said = refused.headers["www-authenticate"]
    assert said.startswith("Bearer ")
    assert f'resource_metadata="{METADATA}"' in said
    assert ('error="invalid_token"' in said) == (what != "no token at all")
    assert taken.status_code == 200
    assert builder.bench.world.log == []


async def test_a_key_taken_out_by_the_issuer_signs_nobody_in_any_more(
    builder: Builder, signed_in: dict[str, Any], issuer: Issuer
) -> None:
    old = issuer.token("ana")
    async with builder.site(**signed_in) as site:
        before = (await site.post("tools/list", old)).status_code
        issuer.rotate()
        Path(signed_in["jwks"]).write_text(json.dumps(issuer.jwks()), encoding="utf-8")
        after = (await site.post("tools/list", old)).status_code
        new = (await site.post("tools/list", issuer.token("ana"))).status_code

    assert (before, after, new) == (200, 401, 200)


@pytest.mark.parametrize(("in_header", "status"), [(False, 401), (True, 400)])
async def test_a_token_in_the_address_is_refused(builder: Builder, two: Path, in_header: bool, status: int) -> None:
    async with builder.site(accounts=two) as site:
        shown = token("ana") if in_header else None
        refused = await site.post("tools/list", shown, url=f"/mcp?access_token={token('ana')}")

    assert refused.status_code == status
    assert token("ana") not in refused.text
    if status == 401:
        assert f'resource_metadata="{METADATA}"' in refused.headers["www-authenticate"]


@pytest.mark.parametrize("header", ["", "Basic YW5hOnRva2Vu", "Bearer", "Bearer  ", "Token {}", "{}"])
async def test_whoever_shows_no_bearer_token_is_asked_for_one(builder: Builder, two: Path, header: str) -> None:
    async with builder.site(accounts=two) as site:
        refused = await site.post("tools/list", headers={"authorization": header.format(token("ana"))})

    assert refused.status_code == 401
    assert f'resource_metadata="{METADATA}"' in refused.headers["www-authenticate"]


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "PUT", "OPTIONS"])
async def test_no_method_gets_past_the_door_without_a_token(builder: Builder, two: Path, method: str) -> None:
    async with builder.site(accounts=two) as site:
        assert (await site.http.request(method, "/mcp")).status_code == 401


@pytest.mark.parametrize("path", ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"])
async def test_the_resource_says_where_a_token_comes_from(
    builder: Builder, signed_in: dict[str, Any], issuer: Issuer, path: str
) -> None:
    async with builder.site(**signed_in) as site:
        told = (await site.http.get(path)).json()

    assert told["resource"] == AUDIENCE
    assert told["authorization_servers"] == [issuer.url]
    assert told["scopes_supported"] == ["leads:read", "leads:write"]
    assert told["bearer_methods_supported"] == ["header"]


async def test_without_an_issuer_the_resource_names_no_authorization_server(builder: Builder, two: Path) -> None:
    async with builder.site(accounts=two) as site:
        told = (await site.http.get("/.well-known/oauth-protected-resource/mcp")).json()

    assert told["resource"] == AUDIENCE
    assert "authorization_servers" not in told


async def test_behind_a_proxy_the_resource_is_known_by_the_public_name(builder: Builder, two: Path) -> None:
    async with builder.site(accounts=two, allowed_hosts="mcp.brokerage.example", host="0.0.0.0") as site:
        refused = await site.post("tools/list", headers={"host": "mcp.brokerage.example"})

    assert (
        'resource_metadata="https://mcp.brokerage.example/.well-known/oauth-protected-resource/mcp"'
        in refused.headers["www-authenticate"]
    )


# How far they get


@pytest.mark.parametrize("era", ERAS)
async def test_a_token_that_may_only_read_is_told_which_scope_writing_needs(
    builder: Builder, signed_in: dict[str, Any], issuer: Issuer, era: str
) -> None:
    reader = issuer.token("ana", "leads:read")
    call = {"name": "add_tag", "arguments": {"lead_ids": [builder.bench.visible_lead()], "tags": ["Buyer"]}}
    async with builder.site(**signed_in) as site:
        refused = await site.post("tools/call", reader, params=call)
        async with site.client(reader, era) as client:
            assert await me(client) == ANA

    assert refused.status_code == 403
    said = refused.headers["www-authenticate"]
    assert 'error="insufficient_scope"' in said
    assert 'scope="leads:read leads:write"' in said
    assert f'resource_metadata="{METADATA}"' in said
    assert builder.bench.sent() == []


async def test_a_token_without_any_scope_of_ours_reads_nothing(
    builder: Builder, signed_in: dict[str, Any], issuer: Issuer
) -> None:
    async with builder.site(**signed_in) as site:
        refused = await site.post("tools/list", issuer.token("ana", "openid profile"))

    assert refused.status_code == 403
    assert 'scope="leads:read"' in refused.headers["www-authenticate"]


MODES = ("read", "ask", "code", "auto")


@pytest.mark.parametrize(("operator", "account"), list(product(MODES, MODES)))
async def test_the_tightest_mode_of_operator_account_and_request_holds(
    builder: Builder, operator: str, account: str
) -> None:
    path = builder.write_accounts(accounts(ana={"credential": "env:KEY_ANA", "mode": account}))
    leads = iter(builder.bench.visible_leads(5))
    async with builder.site(accounts=path, mode=operator) as site:
        for asked in (None, *MODES):
            headers = {"lofty-mode": asked} if asked else {}
            written = len(builder.bench.sent())
            async with site.client(token("ana"), headers=headers) as client:
                told = data(await client.call_tool("who_am_i", {}))
                listed = {tool.name for tool in (await client.list_tools()).tools}
                moved = await client.call_tool("update_stage", {"lead_ids": [next(leads)], "stage": "Closed"})

            tightest = min((operator, account, asked or "auto"), key=MODES.index)
            assert told["mode"] == tightest
            assert listed == set(told["may"])
            assert ("update_stage" in listed) == (tightest != "read")
            assert len(builder.bench.sent()) - written == (tightest == "auto")
            if tightest == "read":
                assert error(moved).startswith(("Unknown tool: update_stage", "update_stage is not available"))
            else:
                assert data(moved)["status"] == ("done" if tightest == "auto" else "confirmation_required")


async def test_an_unknown_mode_of_a_request_is_refused_with_the_valid_ones(builder: Builder, two: Path) -> None:
    async with builder.site(accounts=two) as site:
        refused = await site.post("tools/list", token("ana"), headers={"lofty-mode": "yolo"})

    assert refused.status_code == 400
    assert "read, ask, code, auto" in refused.json()["error_description"]


@pytest.mark.parametrize("answer", ["accept", "decline"])
async def test_a_question_reaches_the_person_behind_the_client(builder: Builder, two: Path, answer: str) -> None:
    lead_id = builder.bench.visible_lead(stage="New Lead")
    person = Person(action=answer)
    async with (
        builder.site(accounts=two) as site,
        site.client(token("ana"), elicitation_callback=person) as client,
    ):
        moved = data(await client.call_tool("update_stage", {"lead_ids": [lead_id], "stage": "Contacted"}))

    assert moved["status"] == ("done" if answer == "accept" else "declined")
    assert len(person.asked) == 1
    assert len(builder.bench.sent()) == (answer == "accept")


async def test_a_client_of_the_2025_era_gets_the_two_steps(builder: Builder, two: Path) -> None:
    call = {"lead_ids": [builder.bench.visible_lead(stage="New Lead")], "stage": "Contacted"}
    async with (
        builder.site(accounts=two) as site,
        site.client(token("ana"), "legacy", elicitation_callback=Person()) as client,
    ):
        first = data(await client.call_tool("update_stage", call))
        second = data(await client.call_tool("update_stage", call | {"confirmation": first["confirmation"]}))

    assert (first["status"], second["status"]) == ("confirmation_required", "done")
    assert len(builder.bench.sent()) == 1


# Nothing of one reaches another


@pytest.mark.parametrize("rounds", [3, pytest.param(100, marks=pytest.mark.slow)])
async def test_of_interleaved_calls_none_shows_one_principal_what_is_the_others(
    builder: Builder, two: Path, rounds: int
) -> None:
    """100 calls a round; 10,000 in `scripts/check`."""
    hidden = {"ana": builder.bench.hidden_lead(ANA), "mark": builder.bench.hidden_lead(MARK)}
    other = {"ana": "mark", "mark": "ana"}
    emails = {"ana": ANA, "mark": MARK}
    order = random.Random(7)  # noqa: S311 - picks calls, guards nothing
    crossed: list[str] = []
    counted = 0

    async def work(name: str, client: Client, calls: int) -> None:
        nonlocal counted
        for _ in range(calls):
            match order.randrange(4):
                case 0:
                    own = await client.call_tool("get_lead", {"lead_id": hidden[name]})
                    fits = not own.is_error and data(own)["lead_id"] == hidden[name]
                case 1:
                    foreign = await client.call_tool("get_lead", {"lead_id": hidden[other[name]]})
                    fits = error(foreign).startswith("Not found")
                case 2:
                    fits = await me(client) == emails[name]
                case _:
                    found = rows(data(await client.call_tool("search_leads", {"limit": 3, "assigned_to": "me"})))
                    fits = hidden[other[name]] not in {row["lead_id"] for row in found}
            counted += 1
            if not fits:
                crossed.append(name)

    unlimited: dict[str, Any] = {"calls_per_minute": 0, "not_found_per_minute": 0}
    async with (
        builder.site(accounts=two, **unlimited) as site,
        site.client(token("ana")) as ana,
        site.client(token("mark")) as mark,
        site.client(token("ana"), "legacy") as old_ana,
        site.client(token("mark"), "legacy") as old_mark,
        anyio.create_task_group() as group,
    ):
        for name, client, calls in (
            ("ana", ana, 9),
            ("mark", mark, 9),
            ("ana", old_ana, 1),
            ("mark", old_mark, 1),
        ):
            for _ in range(5):
                group.start_soon(work, name, client, calls * rounds)

    assert crossed == []
    assert counted == 100 * rounds


@pytest.mark.parametrize("era", ERAS)
async def test_a_cursor_of_one_principal_is_worthless_to_another(builder: Builder, two: Path, era: str) -> None:
    async with builder.site(accounts=two) as site:
        async with site.client(token("ana"), era) as client:
            cursor = data(await client.call_tool("search_leads", {"limit": 2}))["next_cursor"]
        async with site.client(token("mark"), era) as client:
            foreign = error(await client.call_tool("search_leads", {"limit": 2, "cursor": cursor}))
            invented = error(await client.call_tool("search_leads", {"limit": 2, "cursor": "a" * 16}))

    assert foreign == invented


@pytest.mark.parametrize("shared", [False, True])
async def test_a_code_of_one_principal_is_worthless_to_another(builder: Builder, two: Path, shared: bool) -> None:
    if shared:  # the same Lofty key, and so the same records
        both = {"credential": "env:KEY_OLIVIA", "member": OWNER}
        two = builder.write_accounts(accounts(ana=both, mark=both))
    lead_id = builder.bench.visible_lead(ANA, stage="New Lead")
    call = {"lead_ids": [lead_id], "stage": "Contacted"}
    async with builder.site(accounts=two) as site:
        async with site.client(token("ana")) as client:
            code = data(await client.call_tool("update_stage", call))["confirmation"]
        async with site.client(token("mark")) as client:
            foreign = await client.call_tool("update_stage", call | {"confirmation": code})
            assert foreign.is_error or data(foreign)["status"] == "confirmation_required"
        assert builder.bench.sent() == []
        async with site.client(token("ana")) as client:
            own = data(await client.call_tool("update_stage", call | {"confirmation": code}))

    assert own["status"] == "done"


async def test_an_answered_question_of_one_principal_is_worthless_to_another(builder: Builder) -> None:
    both = {"credential": "env:KEY_OLIVIA", "member": OWNER}
    path = builder.write_accounts(accounts(ana=both, mark=both))
    lead_id = builder.bench.visible_lead(ANA, stage="New Lead")
    params = {
        "name": "update_stage",
        "arguments": {"lead_ids": [lead_id], "stage": "Contacted"},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
        },
    }
    modern = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "update_stage"}

    async def call(site: Site, name: str, **more: Any) -> dict[str, Any]:
        answer = await site.post("tools/call", token(name), headers=modern, params=params | more)
        return dict(answer.json())

    async with builder.site(accounts=path) as site:
        asked = (await call(site, "ana"))["result"]
        answers = {key: {"action": "accept", "content": {"ok": True}} for key in asked["inputRequests"]}
        given = {"inputResponses": answers, "requestState": asked["requestState"]}
        foreign = await call(site, "mark", **given)
        assert builder.bench.sent() == []
        own = await call(site, "ana", **given)

    assert "error" in foreign
    assert own["result"]["structuredContent"]["status"] == "done"


async def test_principals_of_one_key_see_with_the_eyes_of_their_own_members(builder: Builder) -> None:
    """Olivia owns the account; her key stands for two agents, and she herself is neither."""
    path = builder.write_accounts(
        accounts(
            ana={"credential": "env:KEY_OLIVIA", "member": ANA},
            mark={"credential": "env:KEY_OLIVIA", "member": MARK},
            nobody={"credential": "env:KEY_OLIVIA", "member": "nobody@summitpeak.example"},
        )
    )
    hidden = {name: builder.bench.hidden_lead(email) for name, email in (("ana", ANA), ("mark", MARK))}
    hidden["own"] = builder.bench.visible_lead(ANA)
    own = builder.bench.user_id(OWNER)
    builder.bench.world.update_lead(int(hidden["own"]), hiddenFlag=True, assignedUserId=own)
    seen = {}
    async with builder.site(accounts=path) as site:
        for name in ("ana", "mark", "nobody"):
            async with site.client(token(name)) as client:
                told = data(await client.call_tool("who_am_i", {}))
                found = {
                    whose
                    for whose, i in hidden.items()
                    if not (await client.call_tool("get_lead", {"lead_id": i})).is_error
                }
                seen[name] = (told["account"].get("email"), told["viewer_known"], found)

    assert seen["ana"] == (ANA, True, {"ana"})
    assert seen["mark"] == (MARK, True, {"mark"})
    assert seen["nobody"] == ("nobody@summitpeak.example", False, set())


async def test_me_is_the_member_a_principal_acts_for(builder: Builder) -> None:
    path = builder.write_accounts(accounts(ana={"credential": "env:KEY_OLIVIA", "member": ANA}))
    async with builder.site(accounts=path) as site, site.client(token("ana")) as client:
        found = rows(data(await client.call_tool("search_leads", {"assigned_to": "me", "limit": 5})))

    assert found
    own = str(builder.bench.user_id(ANA))
    assert {str(builder.bench.world.lead(int(row["lead_id"]))["assignedUserId"]) for row in found} == {own}


async def test_a_caller_who_may_not_write_is_refused_behind_the_door_too(bench: Bench) -> None:
    settings = load(api_key=bench.world.key_of(ANA), base_url="http://127.0.0.1", state_dir=bench.state, mode="auto")
    server = build_server(settings, transport=bench.network, caller=lambda: Caller(may_write=False))
    async with Client(server) as client:
        call = {"lead_ids": [bench.visible_lead(stage="New Lead")], "stage": "Contacted"}
        refused = error(await client.call_tool("update_stage", call))

    assert "leads:write" in refused
    assert bench.sent() == []


@pytest.mark.parametrize("era", ERAS)
async def test_while_writes_are_paused_nobody_is_asked_in_vain(bench: Bench, era: str) -> None:
    ledger = await SqliteLedger.open(bench.state / "ledger.db")
    await ledger.pause(True)
    person = Person()
    async with bench.client(era=era, person=person) as client:
        call = {"lead_ids": [bench.visible_lead(stage="New Lead")], "stage": "Contacted"}
        refused = error(await client.call_tool("update_stage", call))
        await ledger.pause(False)
        done = data(await client.call_tool("update_stage", call))
    await ledger.close()

    assert "paused" in refused
    assert done["status"] == "done"
    assert len(person.asked) == 1


async def test_what_was_done_under_a_code_is_told_again_while_writes_are_paused(bench: Bench) -> None:
    lead_id = bench.visible_lead(stage="New Lead")
    call = {"lead_ids": [lead_id], "stage": "Contacted"}
    ledger = await SqliteLedger.open(bench.state / "ledger.db")
    async with bench.client() as client:
        code = data(await client.call_tool("update_stage", call))["confirmation"]
        data(await client.call_tool("update_stage", call | {"confirmation": code}))
        fresh = {"lead_ids": [lead_id], "stage": "Closed"}
        unused = data(await client.call_tool("update_stage", fresh))["confirmation"]
        await ledger.pause(True)
        bench.world.update_lead(int(lead_id), stage="New Lead")  # by somebody else
        again = data(await client.call_tool("update_stage", call | {"confirmation": code}))
        bench.world.update_lead(int(lead_id), stage="Contacted")
        held = data(await client.call_tool("update_stage", fresh | {"confirmation": unused}))
    await ledger.close()

    assert again["replayed"]
    assert again["results"][0]["outcome"] == "applied"
    assert held["results"][0]["outcome"] == "not_applied"
    assert "paused" in held["results"][0]["note"]
    assert len(bench.sent()) == 1


# What becomes of tokens


async def test_an_inbound_token_goes_nowhere(
    builder: Builder, signed_in: dict[str, Any], issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    carried: list[str] = []

    def overhear(request: httpx2.Request) -> None:
        carried.append(f"{request.url} {request.headers} {request.content!r}")

    builder.bench.network.before = overhear
    static = "canary-static-0123456789-token"
    known = Path(signed_in["accounts"]).read_text(encoding="utf-8")
    digest = hashlib.sha256(static.encode()).hexdigest()
    extra = f'[principals.olivia]\ntoken_sha256 = "{digest}"\ncredential = "env:KEY_OLIVIA"\n'
    builder.write_accounts(f"{known}\n{extra}")
    canaries = [issuer.token("ana"), issuer.token("somebody"), static, "canary-of-nobody-0123456789"]
    async with builder.site(**signed_in) as site:
        for canary in canaries:
            await site.post("tools/call", canary, params={"name": "get_lead", "arguments": {"lead_id": "1"}})
            await site.post("tools/call", canary, params={"name": canary, "arguments": {canary: canary}})
            refused = await site.post("tools/list", url=f"/mcp?access_token={canary}")
            assert canary not in refused.text + str(refused.headers)

    assert len(carried) > 2
    kept = (builder.bench.state / "ledger.db").read_bytes()
    logged = [JsonFormatter().format(record) for record in caplog.records]
    assert any("a token was refused" in line for line in logged)
    for canary in canaries:
        assert not [line for line in carried if canary in line]
        assert not [line for line in logged if canary in line]
        assert canary.encode() not in kept


# The accounts file


async def test_a_principal_taken_out_has_no_access_at_the_next_call(builder: Builder, two: Path) -> None:
    async with builder.site(accounts=two) as site:
        before = [(await site.post("tools/list", token(name))).status_code for name in ("ana", "mark")]
        builder.write_accounts(accounts(ana={"credential": "env:KEY_ANA"}))
        after = [(await site.post("tools/list", token(name))).status_code for name in ("ana", "mark")]

    assert (before, after) == ([200, 200], [200, 401])


async def test_a_principal_put_in_or_changed_is_known_at_the_next_call(builder: Builder, two: Path) -> None:
    async with builder.site(accounts=two) as site:
        assert (await site.post("tools/list", token("olivia"))).status_code == 401
        builder.write_accounts(
            accounts(ana={"credential": "env:KEY_MARK", "mode": "read"}, olivia={"credential": "env:KEY_OLIVIA"})
        )
        async with site.client(token("olivia")) as client:
            assert await me(client) == OWNER
        async with site.client(token("ana")) as client:
            assert await me(client) == MARK
            assert "update_stage" not in {tool.name for tool in (await client.list_tools()).tools}


@pytest.mark.parametrize("broken", ["", "not toml", "[principals.ana]\nmode = 'read'\n", None])
async def test_a_file_that_cannot_be_used_lets_nobody_in_until_it_is_mended(
    builder: Builder, two: Path, broken: str | None
) -> None:
    good = two.read_text(encoding="utf-8")
    async with builder.site(accounts=two) as site:
        assert (await site.post("tools/list", token("ana"))).status_code == 200
        if broken is None:
            two.unlink()
        else:
            builder.write_accounts(broken)
        refused = await site.post("tools/list", token("ana"))
        builder.write_accounts(good)
        mended = await site.post("tools/list", token("ana"))

    assert refused.status_code == 503
    assert mended.status_code == 200


def _table(**changed: Any) -> str:
    table = {"credential": "env:KEY_ANA", "token_sha256": "0" * 64} | changed
    return accounts(ana={key: value for key, value in table.items() if value is not None})


BAD_FILES = {
    _table(credential="eyJhbGciOiJIUzI1NiJ9.secret"): "env:NAME, file:PATH or command:PROGRAM",
    _table(credential="env:"): "env:NAME, file:PATH or command:PROGRAM",
    _table(credential="env:KEY_NOBODY"): "the variable KEY_NOBODY is not set",
    _table(credential="file:/nowhere/at/all"): "credential: No such file",
    _table(credential="command:false"): "failed with exit code 1",
    _table(credential="command:/nowhere/at/all"): "credential: No such file or directory",
    _table(credential=None): "credential is missing",
    _table(token_sha256="abc"): "token_sha256",
    _table(subject="ana"): "both token_sha256 and subject",
    _table(mode="careful"): "mode",
    _table(member="Ana"): "member",
    _table(toolsets=["everything"]): "valid are all, core, edits, messages",
    _table(modus="ask"): "there is no setting modus",
    "mode = 'ask'": "[principals.NAME]",
    "principals = 3": "[principals.NAME]",
    "[principals": "not TOML",
    accounts(a={"credential": "env:KEY_ANA"}, b={"credential": "env:KEY_ANA"}): "name the member it acts for",
    accounts(a={"credential": "env:KEY_ANA", "member": ANA}, b={"credential": "env:KEY_ANA"}): "principal 'b' shares",
    accounts(a={"credential": "env:KEY_ANA", "subject": "x"}, b={"credential": "env:KEY_MARK", "subject": "x"}): (
        "two principals have the same subject"
    ),
}


@pytest.mark.parametrize("text_", BAD_FILES, ids=list(BAD_FILES.values()))
async def test_a_wrong_accounts_file_is_refused_at_the_start_with_the_reason(builder: Builder, text_: str) -> None:
    path = builder.write_accounts(text_)
    web = build_web(load(accounts=path, state_dir=builder.bench.state, issuer="i", audience="a", jwks="/none"))
    assert web.accounts is not None

    with pytest.raises(BadSettings) as refused:
        await web.accounts.directory()

    assert BAD_FILES[text_] in str(refused.value)
    assert "eyJ" not in str(refused.value)


@pytest.mark.parametrize("source", ["env:KEY_ANA", "file:{folder}/ana.key", "command:cat {folder}/ana.key"])
async def test_a_key_is_taken_from_where_the_file_says(builder: Builder, tmp_path: Path, source: str) -> None:
    (tmp_path / "ana.key").write_text(f"{builder.bench.world.key_of(ANA)}\n", encoding="utf-8")
    path = builder.write_accounts(accounts(ana={"credential": source.format(folder=tmp_path)}))
    async with builder.site(accounts=path) as site, site.client(token("ana")) as client:
        assert await me(client) == ANA


async def test_a_key_of_the_file_that_the_one_token_uses_too_needs_a_member(builder: Builder, two: Path) -> None:
    web = build_web(load(accounts=two, api_key=builder.bench.world.key_of(ANA), token=ONE))
    assert web.accounts is not None
    with pytest.raises(BadSettings, match="principal 'ana' shares"):
        await web.accounts.directory()


# How it is opened


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "nobody could sign in"),
        ({"host": "0.0.0.0", "token": ONE}, "LOFTY_MCP_ALLOWED_HOSTS"),
        ({"host": "::", "token": ONE}, "LOFTY_MCP_ALLOWED_HOSTS"),
    ],
)
def test_a_server_that_would_be_open_to_the_wrong_people_does_not_start(given: dict[str, Any], reason: str) -> None:
    host = given.pop("host", "127.0.0.1")
    with pytest.raises(BadSettings, match=reason):
        build_web(load(**given), host=host)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"token": "short"}, "LOFTY_MCP_TOKEN: must have at least 16 characters"),
        ({"issuer": "https://issuer.example"}, "go together"),
        ({"issuer": "https://i.example", "audience": "a", "jwks": "/keys.json"}, "LOFTY_MCP_ACCOUNTS"),
        ({"accounts": "accounts.toml"}, "LOFTY_MCP_ACCOUNTS: must be a whole path"),
        ({"allowed_hosts": "https://mcp.example/mcp"}, "LOFTY_MCP_ALLOWED_HOSTS: .* is not a host name"),
        ({"allowed_hosts": "*"}, "LOFTY_MCP_ALLOWED_HOSTS: .* is not a host name"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadSettings, match=reason):
        load(**given)


async def test_an_open_door_asks_nobody_and_still_counts(builder: Builder) -> None:
    key = builder.bench.world.key_of(ANA)
    async with builder.site(api_key=key, open_door=True, calls_per_minute=3) as site:
        answered = [(await site.post("tools/list")).status_code for _ in range(4)]

    assert answered == [200, 200, 200, 429]


@pytest.mark.parametrize("path", ["/mcp/", "/", "/mcp/mcp", "//evil.example/mcp"])
async def test_no_other_path_leads_anywhere(builder: Builder, two: Path, path: str) -> None:
    async with builder.site(accounts=two) as site:
        answer = await site.http.request("POST", f"{BASE}{path}", headers={"host": "evil.example"})

    assert answer.status_code == 404
    assert "location" not in answer.headers


async def test_resources_prompts_and_completions_are_the_callers_own(builder: Builder, two: Path) -> None:
    async with builder.site(accounts=two) as site:
        for name, email in (("ana", ANA), ("mark", MARK)):
            async with site.client(token(name)) as client:
                read = (await client.read_resource("lofty://me")).contents[0]
                assert email in read.text  # type: ignore[union-attr]
                prompt = await client.get_prompt("morning_briefing")
                assert isinstance(prompt.messages[0].content, TextContent)
        hidden = builder.bench.hidden_lead(ANA)
        async with site.client(token("mark")) as client:
            with pytest.raises(MCPError):
                await client.read_resource(f"lofty://leads/{hidden}")
        async with site.client(token("ana")) as client:
            assert hidden in (await client.read_resource(f"lofty://leads/{hidden}")).contents[0].text  # type: ignore[union-attr]


async def test_progress_reaches_a_client_over_http(builder: Builder, two: Path) -> None:
    steps: list[float] = []

    async def heard(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    leads = builder.bench.visible_leads(3)
    path = builder.write_accounts(accounts(ana={"credential": "env:KEY_ANA", "mode": "auto"}))
    async with builder.site(accounts=path, mode="auto") as site, site.client(token("ana")) as client:
        done = await client.call_tool("add_tag", {"lead_ids": leads, "tags": ["Buyer"]}, progress_callback=heard)

    assert "done" in text(done)
    assert steps == [1, 2, 3]
