"""The command line: it parses, dispatches and prints; nothing else in the project prints."""

import argparse
import io
import json
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NoReturn

from lofty_mcp import audit_log

if TYPE_CHECKING:
    import httpx2

    from lofty_mcp.sandbox import World
    from lofty_mcp.settings import Settings

FIRST_MEMBER = "ana.reyes@summitpeak.example"
SHOWN_LEADS = 200
"""A bigger sandbox begins like a smaller one, so this many are enough to describe it."""
METRICS_PORT = 9464
"""Where Prometheus looks for OpenTelemetry's exporters."""
COMMANDS = {
    "serve": "speak MCP over stdin and stdout (the default), or over HTTP",
    "demo": "a short true story: sandbox, server and client as real processes",
    "doctor": "check the settings, the key, Lofty and the ledger, and say how to mend what is wrong",
    "sandbox": "the imitation of Lofty alone, on a port",
    "audit": "show what was done to which leads and on whose word, or check that nobody changed that log",
    "pause": "stop all writes of the servers that share the state folder, at once",
    "resume": "let the writes go on",
}
HTTP_HOST, HTTP_PORT = "127.0.0.1", 8766
SWITCH_SECONDS = 0.0005
"""After so long a busy thread lets another run; with Python's 5 ms the ledger's thread waits for each of its steps."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"lofty-mcp: {message} ({self.prog} --help shows what there is)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 well, 1 not quite, 2 it cannot work as it is set up."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help", "--version")):
        given.insert(0, "serve")
    try:
        return _dispatch(_parser().parse_args(given))
    except KeyboardInterrupt:
        return 130


def _dispatch(parsed: argparse.Namespace) -> int:
    # Whatever --help does not need is imported late, here and below.
    from lofty_mcp.ledger import LedgerError
    from lofty_mcp.settings import BadSettings

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may lack the letters of a name
    run: dict[str, Callable[[argparse.Namespace], int]] = {
        "serve": _serve,
        "demo": _demo,
        "doctor": _doctor,
        "sandbox": _sandbox,
        "audit": _audit,
        "pause": _pause,
        "resume": _pause,
    }
    try:
        return run[parsed.command](parsed)
    except BadSettings as error:
        print(f"lofty-mcp: {error}", file=sys.stderr)
    except LedgerError as error:
        print(f"lofty-mcp: {error} `lofty-mcp doctor` names the folder.", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="lofty-mcp", description="An MCP server for the Lofty real-estate CRM.")
    parser.add_argument("--version", action="version", version=f"lofty-mcp {version('lofty-mcp')}")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    added = {name: commands.add_parser(name, help=text, description=text) for name, text in COMMANDS.items()}
    for name in ("serve", "doctor"):
        added[name].add_argument("--sandbox", action="store_true", help="use a sandbox of its own instead of Lofty")
        added[name].add_argument("--as", dest="email", metavar="EMAIL", help=f"the member to be ({FIRST_MEMBER})")
    added["serve"].add_argument(
        "--metrics",
        nargs="?",
        type=_port,
        const=METRICS_PORT,
        metavar="PORT",
        help=f"show metrics on a port of this machine (--metrics alone: {METRICS_PORT}; 0 picks a free one)",
    )
    serving = added["serve"]
    serving.add_argument("--http", action="store_true", help="speak MCP over HTTP, at /mcp")
    serving.add_argument("--host", help=f"with --http: an address of this machine ({HTTP_HOST})")
    serving.add_argument("--port", type=_port, help=f"with --http: 0 picks a free one ({HTTP_PORT})")
    alone = added["sandbox"]
    alone.add_argument("--host", default="127.0.0.1", help="an address of this machine (%(default)s)")
    alone.add_argument("--port", type=_port, default=8765, help="0 picks a free one (%(default)s)")
    alone.add_argument("--json", action="store_true", help="describe it as one line of JSON")
    audit_log.add_arguments(added["audit"])
    for name in ("serve", "doctor", "sandbox"):
        added[name].add_argument("--leads", type=_count, default=200, help="leads in the sandbox (%(default)s)")
        added[name].add_argument("--seed", type=int, default=42, help="the sandbox's seed (%(default)s)")
        added[name].add_argument(
            "--rate-limit", type=_count, default=600, help="requests per minute the sandbox allows (%(default)s)"
        )
    return parser


def _port(text: str) -> int:
    number = int(text) if text.isdecimal() else -1
    if not 0 <= number <= 65_535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return number


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 1 <= number <= 1_000_000:
        raise argparse.ArgumentTypeError("must be a number from 1 to 1000000")
    return number


def _serve(parsed: argparse.Namespace) -> int:
    from lofty_mcp import logs, stdio
    from lofty_mcp.settings import BadSettings

    if not parsed.http and (parsed.host is not None or parsed.port is not None):
        raise BadSettings("--host and --port go with --http")
    settings, transport, world = _target(parsed)
    logs.configure(settings.log_level)
    sys.setswitchinterval(SWITCH_SECONDS)
    with _telemetry(parsed.metrics):
        if not parsed.http:
            stdio.serve(settings, transport, world)
            return 0
        from lofty_mcp.web import serve

        say = partial(print, file=sys.stderr, flush=True)
        host, port = parsed.host or HTTP_HOST, HTTP_PORT if parsed.port is None else parsed.port
        serve.run(settings, host, port, say, transport=transport, sandbox=world)
    return 0


def _audit(parsed: argparse.Namespace) -> int:
    from lofty_mcp.ledger.reading import reading
    from lofty_mcp.settings import load

    with reading(load().state_dir / "ledger.db") as log:
        if parsed.part == "verify":
            verdict = log.verify(parsed.head)
            print(audit_log.report(verdict, parsed.head))
            return 1 if verdict.bad else 0
        for line in audit_log.asked_for(log, parsed):
            print(line, flush=parsed.follow)
    return 0


def _pause(parsed: argparse.Namespace) -> int:
    import anyio

    from lofty_mcp.ledger.sqlite import SqliteLedger
    from lofty_mcp.settings import load

    folder = load().state_dir

    async def run() -> None:
        ledger = await SqliteLedger.open(folder / "ledger.db")
        try:
            await ledger.pause(parsed.command == "pause")
        finally:
            await ledger.close()

    anyio.run(run)
    said = {"pause": "are paused; `lofty-mcp resume` lets them go on", "resume": "go on"}[parsed.command]
    print(f"Writes of the servers whose state folder is {folder} {said}.")
    return 0


@contextmanager
def _telemetry(port: int | None) -> Iterator[None]:
    """Metrics, and traces if a collector is named, while the block runs; nothing without a port."""
    if port is None:
        yield
        return
    from lofty_mcp.settings import BadSettings

    try:
        from lofty_mcp import exporters
    except ModuleNotFoundError:
        raise BadSettings(
            "--metrics needs more than is installed: pip install 'lofty-mcp[telemetry]', or in a checkout: "
            "uv sync --extra telemetry"
        ) from None
    with exporters.running(port) as url:
        print(f"Metrics at {url}", file=sys.stderr, flush=True)
        yield


def _doctor(parsed: argparse.Namespace) -> int:
    from lofty_mcp import doctor, logs

    logs.configure("error")
    settings, transport, world = _target(parsed)
    return doctor.run(settings, transport, world, print)


def _demo(_: argparse.Namespace) -> int:
    from lofty_mcp import demo, logs
    from lofty_mcp.demo.story import STEPS

    logs.configure("error")
    return demo.run(STEPS, partial(print, flush=True))


def _sandbox(parsed: argparse.Namespace) -> int:
    from lofty_mcp import sandbox
    from lofty_mcp.settings import BadSettings, is_loopback

    if not is_loopback(parsed.host):
        raise BadSettings(f"--host {parsed.host}: the sandbox answers only this machine, such as 127.0.0.1")
    world = sandbox.build_app(leads=min(parsed.leads, SHOWN_LEADS), seed=parsed.seed).state.world
    described = _described(world)
    world.store.close()

    def announce(url: str) -> None:
        print(json.dumps({"url": url} | described) if parsed.json else _announcement(url, described), flush=True)

    try:
        sandbox.serve(
            parsed.host,
            parsed.port,
            leads=parsed.leads,
            seed=parsed.seed,
            rate_limit=parsed.rate_limit,
            on_ready=announce,
        )
    except OSError as error:
        raise BadSettings(f"port {parsed.port} of {parsed.host} cannot be used: {error.strerror}") from None
    return 0


def _target(parsed: argparse.Namespace) -> "tuple[Settings, httpx2.AsyncBaseTransport | None, str | None]":
    """What a command talks to: the operator's Lofty, or a sandbox in this very process.

    Nothing of the environment that says where Lofty is or who calls reaches a sandbox; its codes and tickets are
    kept apart from every other's by a fresh word, since the next sandbox is another world.
    """
    from lofty_mcp.settings import BadSettings, load

    if not parsed.sandbox:
        if parsed.email:
            raise BadSettings("--as EMAIL goes with --sandbox; with a key you are whose key it is")
        return load(), None, None

    import httpx2

    from lofty_mcp.sandbox import build_app

    app = build_app(leads=parsed.leads, seed=parsed.seed, rate_limit=parsed.rate_limit)
    world: World = app.state.world
    email = parsed.email or FIRST_MEMBER
    try:
        key = world.key_of(email)
    except KeyError:
        valid = ", ".join(member.email for member in world.members)
        raise BadSettings(f"--as {email}: there is no such member. Members: {valid}") from None
    others = ("access_token", "refresh_token", "client_id", "client_secret", "customer_key", "token_url")
    settings = load(api_key=key, base_url="http://127.0.0.1", **dict.fromkeys(others))
    return settings, httpx2.ASGITransport(app=app), secrets.token_hex(8)


def _described(world: "World") -> dict[str, Any]:
    """The members with their keys, and the hidden leads with their agents."""
    agents = {member.user_id: member.email for member in world.members}
    return {
        "members": [{"name": m.name, "email": m.email, "role": m.role, "key": m.key} for m in world.members],
        "hidden": [
            {"lead_id": str(lead_id), "agent": agents[world.lead(lead_id)["assignedUserId"]]}
            for lead_id in world.hidden_ids()
        ],
    }


def _announcement(url: str, described: dict[str, Any]) -> str:
    members = described["members"]
    first = next(member for member in members if member["email"] == FIRST_MEMBER)
    lines = [f"{m['name']:<12} {m['role']:<10} {m['email']}\n             {m['key']}" for m in members]
    use = f"LOFTY_BASE_URL={url} LOFTY_API_KEY={first['key']} lofty-mcp"
    return "\n".join([url, "", *lines, "", "Use it in another terminal, or stop it with Ctrl-C:", use])
