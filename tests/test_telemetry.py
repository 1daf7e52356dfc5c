"""What telemetry tells the operator, what it never tells, and that it is not there when it is off."""

import json
import re
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from lofty_mcp import telemetry
from lofty_mcp.client import requests
from lofty_mcp.client.client import LoftyClient, open_pool
from lofty_mcp.client.credentials import ApiKey
from lofty_mcp.client.pacing import Pacer
from lofty_mcp.errors import UpstreamFailed
from lofty_mcp.server import build_server
from lofty_mcp.settings import load
from tests.support.process import ROOT, Host, environment, run, town, until
from tests.support.watching import Counts
from tests.support.world import ANA, ERAS, MARK, OWNER, Bench, Person, data, error, warm

LEAD = "/v1.0/leads/{id}"
CANARY = "quetzalfink"
PARENT = "00-11112222333344445555666677778888-9999aaaabbbbcccc-01"
HEAVY = ("opentelemetry.sdk", "opentelemetry.metrics", "opentelemetry.exporter", "prometheus_client", "google.protobuf")


def _shape(found: list[ReadableSpan]) -> list[tuple[Any, ...]]:
    """Spans without their times and identities."""
    return [(s.name, s.kind, s.status.status_code, dict(s.attributes or {}), len(s.events)) for s in found]


def _ours(found: list[ReadableSpan], start: str) -> list[ReadableSpan]:
    return [span for span in found if span.name.startswith(start)]


async def test_a_read_is_one_server_span_with_its_requests_inside(bench: Bench, spans: list[ReadableSpan]) -> None:
    async with bench.client() as client:
        await warm(client)
        spans.clear()
        data(await client.call_tool("get_lead", {"lead_id": bench.visible_lead()}))

    served = [s for s in spans if s.kind is SpanKind.SERVER]
    (request,) = _ours(spans, "GET ")
    assert [(s.name, s.attributes) for s in served] == [
        (
            "tools/call get_lead",
            {
                "mcp.method.name": "tools/call",
                "mcp.protocol.version": "2026-07-28",
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "get_lead",
            },
        )
    ]
    assert request.name == f"GET {LEAD}"
    assert request.attributes == {"http.request.method": "GET", "url.template": LEAD}
    assert request.parent is not None
    assert request.parent.span_id == served[0].context.span_id


async def test_a_write_is_a_ticket_with_its_outcome_and_no_id(
    bench: Bench, spans: list[ReadableSpan], counts: Counts
) -> None:
    lead_id = bench.visible_lead()
    async with bench.client() as client:
        data(await client.call_tool("add_tag", {"lead_ids": [lead_id], "tags": ["VIP"]}))

    (ticket,) = _ours(spans, "ticket ")
    attributes = dict(ticket.attributes or {})
    assert re.fullmatch("[0-9a-f]{16}", str(attributes.pop("lofty.lead")))
    assert ticket.name == "ticket add_tag"
    assert attributes == {"gen_ai.tool.name": "add_tag", "lofty.outcome": "applied", "lofty.replayed": False}
    (put,) = _ours(spans, "PUT ")
    assert put.parent is not None
    assert put.parent.span_id == ticket.context.span_id
    assert put.attributes is not None
    assert put.attributes["http.response.status_code"] == 200
    assert counts.of("lofty.tickets", gen_ai__tool__name="add_tag", lofty__outcome="applied") == 1
    assert lead_id not in str(_shape(spans)) + str(counts.points())


CALLS: dict[str, Callable[[Client, str], Any]] = {
    "get_lead": lambda client, lead_id: client.call_tool("get_lead", {"lead_id": lead_id}),
    "get_timeline": lambda client, lead_id: client.call_tool("get_timeline", {"lead_id": lead_id}),
    "add_tag": lambda client, lead_id: client.call_tool("add_tag", {"lead_ids": [lead_id], "tags": ["VIP"]}),
    "resource": lambda client, lead_id: client.read_resource(f"lofty://leads/{lead_id}"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_a_hidden_lead_and_a_missing_one_leave_the_same_spans_and_counts(
    bench: Bench, spans: list[ReadableSpan], call: Callable[[Client, str], Any]
) -> None:
    hidden, told = bench.hidden_lead(MARK), []
    async with bench.client(OWNER) as client:  # whom Lofty would show it
        await warm(client)
        for lead_id in (hidden, "1199999999999999"):
            counted = Counts()
            telemetry.use(counted.provider.get_meter("test"))
            spans.clear()
            try:
                error(await call(client, lead_id))
            except MCPError:
                assert call is CALLS["resource"]
            told.append((_shape(spans), counted.points()))
            telemetry.use(None)
            counted.provider.shutdown()

    assert len(told[0][0]) >= 2
    assert told[0] == told[1]


async def test_among_several_leads_a_hidden_one_and_a_missing_one_leave_no_ticket(
    bench: Bench, spans: list[ReadableSpan], counts: Counts
) -> None:
    leads = [bench.visible_lead(), bench.hidden_lead(MARK), "1199999999999999"]
    async with bench.client(OWNER) as client:
        result = data(await client.call_tool("add_tag", {"lead_ids": leads, "tags": ["VIP"]}))

    assert [row["outcome"] for row in result["results"]] == ["applied", "not_found", "not_found"]
    assert len(_ours(spans, "ticket ")) == 1
    assert counts.of("lofty.tickets") == 1


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(("action", "became"), [("accept", "accepted"), ("decline", "declined")])
async def test_a_question_and_its_answer_are_counted_once_each(
    bench: Bench, counts: Counts, era: str, action: str, became: str
) -> None:
    call = {"lead_ids": [bench.visible_lead(stage="New Lead")], "stage": "Qualified"}
    async with bench.client(era=era, person=Person(action)) as client:
        data(await client.call_tool("update_stage", call))

    steps = {p[1]["lofty.step"]: p[2] for p in counts.points() if p[0] == "lofty.confirmations"}
    assert steps == {"asked": 1, became: 1}


async def test_a_preview_its_code_and_a_refusal_are_counted(bench: Bench, counts: Counts) -> None:
    call: dict[str, Any] = {"lead_ids": [bench.visible_lead(stage="New Lead")], "stage": "Qualified"}
    async with bench.client() as client:
        call["confirmation"] = data(await client.call_tool("update_stage", call))["confirmation"]
        for _ in range(2):
            data(await client.call_tool("update_stage", call))
        six = {"lead_ids": bench.visible_leads(6), "stage": "Qualified"}
        error(await client.call_tool("update_stage", six))

    steps = {p[1]["lofty.step"]: p[2] for p in counts.points() if p[0] == "lofty.confirmations"}
    assert steps == {"preview": 1, "confirmed": 2, "refused": 1}
    assert counts.of("lofty.tickets", lofty__outcome="applied", lofty__replayed=False) == 1
    assert counts.of("lofty.tickets", lofty__outcome="applied", lofty__replayed=True) == 1


async def test_an_unknown_outcome_is_counted(bench: Bench, counts: Counts, spans: list[ReadableSpan]) -> None:
    call = {"lead_ids": [bench.visible_lead(stage="New Lead")], "stage": "Qualified"}
    bench.world.faults.next("PUT", LEAD, "reset_before")
    async with bench.client(mode="auto") as client:
        data(await client.call_tool("update_stage", call))

    assert counts.of("lofty.tickets", lofty__outcome="unknown") == 1
    assert counts.of("http.client.request.duration", http__request__method="PUT", error__type="UpstreamFailed") == 1
    assert _ours(spans, "ticket ")[0].attributes["lofty.outcome"] == "unknown"  # type: ignore[index]


async def test_a_retry_is_counted_with_its_reason(bench: Bench, counts: Counts, spans: list[ReadableSpan]) -> None:
    lead_id = bench.visible_lead()
    async with bench.client() as client:
        await warm(client)
        bench.world.faults.next("GET", LEAD, "429=20")
        bench.world.faults.next("GET", LEAD, "status=503")
        data(await client.call_tool("get_lead", {"lead_id": lead_id}))

    assert counts.of("lofty.retries", error__type="RateLimited") == 1
    assert counts.of("lofty.retries", error__type="UpstreamFailed") == 1
    statuses = [(s.attributes or {}).get("http.response.status_code") for s in _ours(spans, f"GET {LEAD}")]
    assert statuses == [429, 503, None]
    assert counts.of("http.client.request.duration", url__template=LEAD, http__response__status_code=429) == 1


async def test_a_breaker_is_counted_when_it_opens(bench: Bench, counts: Counts) -> None:
    lead_id = bench.visible_lead()
    async with bench.client() as client:
        await warm(client)
        bench.world.faults.next("GET", LEAD, "status=503", times=5)
        for _ in range(2):
            error(await client.call_tool("get_lead", {"lead_id": lead_id}))
        requests = counts.of("http.client.request.duration")
        error(await client.call_tool("get_lead", {"lead_id": lead_id}))

    assert (counts.of("lofty.breaker.opened"), counts.of("lofty.breaker.open")) == (1, 1)
    assert counts.of("http.client.request.duration") == requests, "an open breaker sends nothing"


async def test_a_request_that_waits_for_its_turn_is_counted(counts: Counts) -> None:
    pacer = Pacer("key", None, per_minute=10_000)
    async with open_pool(
        "http://127.0.0.1", httpx2.MockTransport(lambda _: httpx2.Response(200)), proxies=False
    ) as http:
        pacer.pause(0.02)
        await LoftyClient(http, ApiKey("key"), pacer, user_agent="test").send(requests.get("/v1.0/me"))

    assert counts.of("lofty.pacing.wait") == 1


async def test_a_breaker_is_no_longer_shown_as_open_when_lofty_is_back(counts: Counts) -> None:
    now, statuses = [0.0], [503] * 6 + [200]
    http = open_pool(
        "http://127.0.0.1", httpx2.MockTransport(lambda _: httpx2.Response(statuses.pop(0), json={})), proxies=False
    )
    pacer = Pacer("key", None, per_minute=10_000)
    async with http:
        client = LoftyClient(http, ApiKey("key"), pacer, user_agent="test", clock=lambda: now[0])
        shown = []
        for _ in range(5 + 1 + 1):
            with suppress(UpstreamFailed):
                await client.send(requests.put_lead("1", {}))
            shown.append(counts.of("lofty.breaker.open"))
            now[0] += 20 if shown[-1] else 0

    assert shown == [0, 0, 0, 0, 1, 1, 0], "a probe that fails leaves it open"
    assert counts.of("lofty.breaker.opened") == 1


async def test_each_request_is_timed_by_method_tool_and_failure(bench: Bench, counts: Counts) -> None:
    async with bench.client() as client:
        await warm(client)
        error(await client.call_tool("get_lead", {"lead_id": "1199999999999999"}))
        with pytest.raises(MCPError):
            await client.get_prompt(CANARY)

    name = "mcp.server.operation.duration"
    assert counts.of(name, gen_ai__tool__name="who_am_i", network__transport="pipe") == 1
    assert counts.of(name, gen_ai__tool__name="get_lead", error__type="tool_error") == 1
    assert counts.of(name, mcp__method__name="prompts/get", error__type="-32602") == 1
    assert {p[1]["mcp.protocol.version"] for p in counts.points() if p[0] == name} == {"2026-07-28"}


async def test_over_http_the_transport_is_tcp_and_no_header_is_shown(
    bench: Bench, counts: Counts, spans: list[ReadableSpan], tmp_path: Path
) -> None:
    settings = load(api_key=bench.world.key_of(ANA), base_url="http://127.0.0.1", state_dir=tmp_path)
    server = build_server(settings, transport=bench.network)
    app = server.streamable_http_app(stateless_http=True)
    headers = {"Authorization": f"Bearer {CANARY}", "traceparent": PARENT, "tracestate": f"v={CANARY}"}
    over = httpx2.ASGITransport(app=app)
    async with (
        server.session_manager.run(),
        httpx2.AsyncClient(transport=over, base_url="http://127.0.0.1:8000", headers=headers) as http,
        Client(streamable_http_client("http://127.0.0.1:8000/mcp", http_client=http)) as client,
    ):
        data(await client.call_tool("who_am_i", {}))

    named = {"gen_ai__tool__name": "who_am_i", "network__transport": "tcp"}
    assert counts.of("mcp.server.operation.duration", **named) == 1
    assert CANARY not in _everything(spans, counts)
    assert CANARY not in str([(entry.path, entry.body) for entry in bench.world.log])


@pytest.mark.parametrize("era", ERAS)
async def test_what_a_caller_or_a_lead_says_is_in_no_span_and_no_metric(
    bench: Bench, counts: Counts, spans: list[ReadableSpan], era: str, caplog: pytest.LogCaptureFixture
) -> None:
    lead_id = bench.visible_lead(stage="New Lead")
    bench.world.update_lead(int(lead_id), firstName=CANARY, lastName=CANARY, tags=[])
    bench.world.update_lead(int(lead_id), emails=[f"{CANARY}@leads.example"])
    calls: list[tuple[str, dict[str, Any]]] = [
        (CANARY, {CANARY: CANARY}),
        ("get_lead", {"lead_id": lead_id}),
        ("get_lead", {"lead_id": CANARY}),
        ("get_lead", {"lead_id": lead_id, CANARY: CANARY}),
        ("search_leads", {"query": CANARY}),
        ("search_leads", {"cursor": CANARY}),
        ("get_timeline", {"lead_id": lead_id}),
        ("update_stage", {"lead_ids": [lead_id], "stage": CANARY}),
        ("update_stage", {"lead_ids": [lead_id], "stage": "Qualified", "confirmation": CANARY}),
        ("add_tag", {"lead_ids": [lead_id], "tags": [CANARY]}),
        ("assign_lead", {"lead_ids": [lead_id], "assignee": f"{CANARY}@summitpeak.example"}),
        ("assign_lead", {"lead_ids": [lead_id], "assignee": MARK}),
    ]
    async with bench.client(era=era, person=Person()) as client:
        for round_ in range(2):
            if round_:
                bench.world.faults.next("PUT", LEAD, "reset_after", times=9)
            for name, arguments in calls:
                await client.call_tool(name, arguments, meta=_meta())
        for uri in (f"lofty://leads/{lead_id}", f"lofty://leads/{CANARY}", f"{CANARY}://{CANARY}"):
            try:
                await client.read_resource(uri)
            except MCPError:
                assert CANARY in uri
        with pytest.raises(MCPError):
            await client.get_prompt(CANARY, {CANARY: CANARY})

    told = _everything(spans, counts) + caplog.text
    key = bench.world.key_of(ANA)
    for secret in (CANARY, lead_id, ANA, MARK, "Reyes", key, key[:20], "11112222333344445555666677778888-"):
        assert secret not in told
    assert {s.name for s in spans} >= {"tools/call unknown", "prompts/get unknown", "resources/read"}
    assert "ticket update_stage" in told


def _meta() -> Any:
    return {"traceparent": PARENT, "tracestate": f"vendor={CANARY}", "baggage": f"user={CANARY}"}


def _everything(found: list[ReadableSpan], counted: Counts) -> str:
    states = [s.context.trace_state for s in found] + [s.parent.trace_state for s in found if s.parent]
    return " ".join([*(span.to_json() for span in found), str(states), json.dumps(counted.points())])


async def test_a_trace_that_the_caller_began_is_gone_on_with(bench: Bench, spans: list[ReadableSpan]) -> None:
    async with bench.client() as client:
        await warm(client)
        spans.clear()
        await client.call_tool("who_am_i", {})
    mine = {span.context.trace_id for span in spans}
    assert len(mine) == 1, "the client's own span, the server's and those of its requests"


def test_spans_of_others_and_attributes_not_listed_are_left_out(spans: list[ReadableSpan]) -> None:
    trace.get_tracer("somebody").start_span(CANARY).end()
    sdk = trace.get_tracer("mcp-python-sdk")
    with sdk.start_as_current_span(CANARY, attributes={"url": CANARY, "error.type": f"{CANARY} {CANARY}"}) as span:
        span.record_exception(ValueError(CANARY))
        span.set_status(StatusCode.ERROR, CANARY)

    (left,) = spans
    assert CANARY not in left.to_json()
    assert (left.name, left.attributes) == ("unknown", {"error.type": "unknown"})


def test_a_path_shows_only_words_of_lofty() -> None:
    sent = [
        requests.lead("1141834283710023"),
        requests.site_activities("1141834283710023", 0),
        requests.communications("1141834283710023", 0),
        requests.assign_lead("1141834283710023", "Agent", ANA),
        requests.member(ANA),
        requests.member("ana"),
        requests.pipelines(0),
    ]
    assert [telemetry.template(request.path) for request in sent] == [
        LEAD,
        f"{LEAD}/activities",
        f"{LEAD.replace('v1', 'v2')}/activities",
        f"{LEAD}/assignment",
        "/v1.0/members/{id}",
        "/v1.0/members/{id}",
        "/v1.0/teamFeatures/lead-pipelines",
    ]


async def test_every_path_in_use_has_its_words(bench: Bench, spans: list[ReadableSpan]) -> None:
    lead_id = bench.visible_lead(stage="New Lead")
    async with bench.client(mode="auto") as client:
        await warm(client)
        for name, arguments in (
            ("get_timeline", {"lead_id": lead_id}),
            ("search_leads", {}),
            ("assign_lead", {"lead_ids": [lead_id], "assignee": MARK}),
        ):
            data(await client.call_tool(name, arguments))

    routes = {str((s.attributes or {})["url.template"]) for s in spans if "url.template" in (s.attributes or {})}
    assert len(routes) > 8
    assert not [r for r in routes if "{id}" in r and not re.match(r"/v[12]\.0/(leads|members)/\{id\}(/[a-z]+)?$", r)]


# The program


@contextmanager
def _serving(tmp_path: Path, *arguments: str, **settings: str) -> Iterator[tuple[Host, Path]]:
    """A served call of the program, and the list of modules that it writes as it ends."""
    listed = tmp_path / "modules"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import atexit, pathlib, sys\n"
        f"atexit.register(lambda: pathlib.Path({str(listed)!r}).write_text('\\n'.join(sys.modules)))\n"
    )
    env = environment(tmp_path, **settings)
    env["PYTHONPATH"] = f"{tmp_path / 'site'}:{env['PYTHONPATH']}"
    with Host("serve", "--sandbox", *arguments, env=env, stderr=tmp_path / "stderr") as host:
        assert "Ana Reyes" in host.text("who_am_i")
        yield host, listed


def _metrics_url(host: Host) -> str:
    until(lambda: "Metrics at" in host.stderr(), "the metrics' address")
    found = re.search(r"^Metrics at (http://127\.0\.0\.1:\d+/metrics)$", host.stderr(), re.MULTILINE)
    assert found is not None
    return found[1]


def _get(url: str, **headers: str) -> tuple[int, str]:
    try:
        with closing(urllib.request.urlopen(urllib.request.Request(url, headers=headers))) as answer:  # noqa: S310 - of this test
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with closing(refusal):
            return refusal.code, refusal.read().decode()


@pytest.mark.parametrize("on", [False, True])
def test_nothing_of_it_is_imported_while_it_is_off(tmp_path: Path, on: bool) -> None:
    with _serving(tmp_path, *(["--metrics", "0"] if on else [])) as (host, listed):
        host.hang_up()
        assert host.ended() == 0
        modules = listed.read_text().split()

    loaded = [name for name in (*HEAVY[:4], "lofty_mcp.exporters") if name in modules]
    assert loaded == ([*HEAVY[:4], "lofty_mcp.exporters"] if on else [])
    assert not [name for name in modules if name.startswith(HEAVY) and not on]


def test_metrics_are_read_from_a_port_of_this_machine_under_the_usual_names(tmp_path: Path) -> None:
    with _serving(tmp_path, "--metrics", "0") as (host, _):
        url = _metrics_url(host)
        status, page = _get(url)
        elsewhere = [_get(url, Host=name) for name in ("evil.example", "127.0.0.1@evil.example", "[")]
        host.signal(signal.SIGTERM)
        assert host.ended() == 0

    assert status == 200
    assert re.search(
        r'^mcp_server_operation_duration_seconds_count\{.*gen_ai_tool_name="who_am_i".*\} 1\.0$', page, re.MULTILINE
    )
    assert 'http_client_request_duration_seconds_bucket{http_request_method="GET"' in page
    assert elsewhere == [(421, "")] * 3
    assert len(host.stderr().splitlines()) == 1
    assert "Reyes" not in page


class Collector(BaseHTTPRequestHandler):
    """Takes spans in as a collector does, and keeps the bytes."""

    taken: list[bytes]

    def do_POST(self) -> None:
        self.taken.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.mark.slow
def test_traces_go_to_the_collector_that_the_standard_variable_names(tmp_path: Path) -> None:
    kept = type("Kept", (Collector,), {"taken": []})
    collector = ThreadingHTTPServer(("127.0.0.1", 0), kept)
    thread = threading.Thread(target=collector.serve_forever)
    thread.start()
    try:
        there = f"http://127.0.0.1:{collector.server_port}"
        with town() as lofty:
            settings = {**lofty.settings(ANA), "OTEL_EXPORTER_OTLP_ENDPOINT": there}
            host = Host("serve", "--metrics", "0", env=environment(tmp_path, **settings), stderr=tmp_path / "stderr")
            with host:
                host.text("who_am_i")
                for message in _crooked():
                    assert host.process.stdin is not None
                    host.process.stdin.write(json.dumps(message) + "\n")
                    host.process.stdin.flush()
                    host.answer()
                _, page = _get(_metrics_url(host))
                host.hang_up()
                assert host.ended() == 0
            key = lofty.world.key_of(ANA)
            upstream = str([(entry.path, entry.body) for entry in lofty.world.log])
    finally:
        collector.shutdown()
        collector.server_close()
        thread.join()

    sent = b"".join(kept.taken).decode("latin-1")  # type: ignore[attr-defined]
    assert "tools/call who_am_i" in sent
    assert "GET /v1.0/me" in sent
    assert "lofty-mcp" in sent
    for secret in (CANARY, key, ANA):
        assert secret not in sent + page + host.stderr()
    assert CANARY not in upstream


def _crooked() -> list[dict[str, Any]]:
    """Requests whose every free place holds the canary."""
    params = {"_meta": _meta(), "name": CANARY, "arguments": {CANARY: CANARY}, "uri": CANARY}
    methods = ("tools/call", "prompts/get", "resources/read", f"{CANARY}/{CANARY}")
    return [{"jsonrpc": "2.0", "id": f"{CANARY}-{n}", "method": m, "params": params} for n, m in enumerate(methods)]


@pytest.mark.slow
def test_a_collector_that_is_not_there_does_not_hold_the_end(tmp_path: Path) -> None:
    nowhere = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}
    with _serving(tmp_path, "--metrics", "0", **nowhere) as (host, _):
        host.signal(signal.SIGTERM)
        assert host.ended() == 0
    assert all(line.startswith(("{", "Metrics at")) for line in host.stderr().splitlines())


def test_metrics_without_the_extra_end_with_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['prometheus_client'] = None\n")
    env = environment(tmp_path)
    env["PYTHONPATH"] = f"{tmp_path}:{env['PYTHONPATH']}"

    ended = run("serve", "--sandbox", "--metrics", "0", env=env)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("lofty-mcp: --metrics needs more than is installed: ")
    assert ended.stderr.count("\n") == 1


def test_what_is_told_is_documented() -> None:
    page = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
    provider = MeterProvider(shutdown_on_exit=False)
    names = {vars(made)["name"] for made in vars(telemetry.Instruments(provider.get_meter("test"))).values()}
    assert len(names) == 8
    assert not [name for name in names if f"`{name}`" not in page]
    provider.shutdown()
