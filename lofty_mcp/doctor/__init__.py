"""What is wrong with this installation and how to mend it, one line per check.

It only reads: `GET /v1.0/me`, the own member record and the pipelines, through the client that the server uses.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import anyio
import httpx2

from lofty_mcp.client.client import open_pool
from lofty_mcp.client.credentials import Credential
from lofty_mcp.client.pacing import advise
from lofty_mcp.doctor.patient import Finding, Patient, crm_of, in_time, mended, patient_of
from lofty_mcp.errors import CredentialRejected, LoftyError, NoSuchOperation, PermissionDenied, RateLimited
from lofty_mcp.ledger import LedgerError
from lofty_mcp.ledger.sqlite import SqliteLedger
from lofty_mcp.server import credential_of
from lofty_mcp.settings import BadSettings, Mode, Settings, is_loopback, unknown_variables

CLOCK_SECONDS = 60.0
"""Lofty's `Date` counts whole seconds and travels; less than this is no finding."""


def run(
    settings: Settings, transport: httpx2.AsyncBaseTransport | None, sandbox: str | None, say: Callable[[str], None]
) -> int:
    """Say every finding, and answer 0 if all is well, 1 if something deserves a look, 2 if the server cannot work."""
    findings: list[Finding] = []

    async def examine() -> None:
        async for finding in examined(settings, transport, sandbox):
            findings.append(finding)
            say(str(finding))

    anyio.run(examine)
    code = verdict(findings)
    say(("All is well.", "It works; what is marked warn deserves a look.", "It cannot work like this.")[code])
    return code


def verdict(findings: list[Finding]) -> int:
    """The exit code that sums up the findings."""
    levels = {finding.level for finding in findings}
    return 2 if "FAIL" in levels else 1 if "warn" in levels else 0


async def examined(
    settings: Settings, transport: httpx2.AsyncBaseTransport | None = None, sandbox: str | None = None
) -> AsyncIterator[Finding]:
    """Every finding, in the order in which one needs the other; `transport` and `sandbox` as in `build_server`."""
    for finding in _settings(settings):
        yield finding
    ledger = await _ledger(settings)
    yield ledger
    local = is_loopback(urlsplit(settings.base_url).hostname or "")
    async with open_pool(settings.base_url, transport, proxies=not local) as http:
        if settings.accounts is not None:
            from lofty_mcp.doctor.callers import callers

            async for finding in callers(settings, http):
                yield finding
        try:
            credential = credential_of(settings, http)
        except BadSettings as error:
            if settings.accounts is None or settings.token is not None or settings.has_credential:
                yield Finding("FAIL", "key", str(error))
            return
        async with aclosing(credential):
            yield _key(credential, sandbox)
            async for finding in _lofty(patient_of(settings, http, credential)):
                yield finding


def _settings(settings: Settings) -> list[Finding]:
    found = [Finding("ok", "settings", f"mode {settings.mode}, Lofty at {settings.base_url}")]
    for name, meant in unknown_variables().items():
        hint = f"Did you mean {meant}?" if meant else "Remove it."
        found.append(Finding("warn", "settings", f"{name} means nothing here. {hint}"))
    if settings.mode is Mode.AUTO:
        found.append(
            Finding("warn", "mode", "auto: nothing is asked before a write. LOFTY_MCP_MODE=ask lets a person decide.")
        )
    return found


async def _ledger(settings: Settings) -> Finding:
    try:
        ledger = await SqliteLedger.open(settings.state_dir / "ledger.db")
    except LedgerError as error:
        return Finding("FAIL", "ledger", f"{error} It lies in {settings.state_dir} (LOFTY_MCP_STATE_DIR).")
    try:
        if await ledger.paused():
            return Finding("warn", "ledger", "writes are paused. `lofty-mcp resume` lets them go on.")
        if await ledger.writable():
            return Finding("ok", "ledger", f"can be written: {settings.state_dir}")
        return Finding("FAIL", "ledger", f"cannot be written. Check disk and permissions of {settings.state_dir}.")
    finally:
        await ledger.close()


def _key(credential: Credential, sandbox: str | None) -> Finding:
    if sandbox is not None:
        return Finding("ok", "key", "a member's of the sandbox, sent with the scheme word token")
    if credential.kind == "api_key":
        return Finding("ok", "key", "LOFTY_API_KEY is set, sent with the scheme word token")
    return Finding("ok", "key", "OAuth is set up, sent with the scheme word Bearer")


async def _lofty(patient: Patient) -> AsyncIterator[Finding]:
    reached = await _reached(patient)
    yield reached
    yield clock(patient.headers, time.time())
    yield rate(patient.headers, time.time())
    for name, check in (("identity", _identity), ("stages", _stages)):
        if reached.level == "FAIL":
            yield Finding("-", name, "not looked at, since Lofty did not answer as it should.")
        else:
            yield await _tried(name, check, patient)


async def _reached(patient: Patient) -> Finding:
    try:
        async with in_time():
            await patient.vocabulary.me()
    except CredentialRejected as error:
        return Finding("FAIL", "lofty", f"does not accept the credential. {_renewal(patient, error)}")
    except NoSuchOperation:
        return Finding("FAIL", "lofty", "this is not Lofty: /v1.0/me is not there. Check LOFTY_BASE_URL.")
    except (PermissionDenied, RateLimited) as error:
        return Finding("warn", "lofty", str(error))
    except LoftyError as error:
        return Finding("FAIL", "lofty", mended(error))
    except TimeoutError:
        return Finding("FAIL", "lofty", "did not answer in time. Check the network and LOFTY_BASE_URL.")
    return Finding("ok", "lofty", "answers, and accepts the credential")


def _renewal(patient: Patient, error: CredentialRejected) -> str:
    if patient.client.credential.kind == "oauth" and str(error) == CredentialRejected.default:
        return (
            "Authorise this server again in Lofty, set the new LOFTY_REFRESH_TOKEN (or LOFTY_ACCESS_TOKEN) and restart."
        )
    return mended(error).removeprefix("Lofty does not accept the configured credential. ")


def clock(headers: Mapping[str, str], now: float) -> Finding:
    """How far this machine's clock (`now`, epoch seconds) is from the `Date` of Lofty's answer."""
    try:
        theirs = parsedate_to_datetime(headers.get("date", "")).timestamp()
    except ValueError:
        return Finding("-", "clock", "not looked at, since no answer bore a date.")
    off = now - theirs
    if abs(off) <= CLOCK_SECONDS:
        return Finding("ok", "clock", f"agrees with Lofty's within {CLOCK_SECONDS:.0f} s")
    way = "fast" if off > 0 else "slow"
    return Finding(
        "warn", "clock", f"is {abs(off):.0f} s {way}, so codes and tokens end at the wrong time. Let the system set it."
    )


def rate(headers: Mapping[str, str], now: float) -> Finding:
    """What Lofty says it allows, from `X-RateLimit-*`; `now` in epoch seconds."""
    if not headers:
        return Finding("-", "rate", "not looked at, since no answer came.")
    seen = advise(headers, now)
    if seen.limit is None:
        return Finding(
            "-", "rate", "Lofty named no limit; LOFTY_MCP_REQUESTS_PER_MINUTE is the pace that the server keeps to."
        )
    if seen.remaining == 0:
        wait = f"{seen.reset_in:.0f} s" if seen.reset_in is not None else "a minute"
        return Finding("warn", "rate", f"{seen.limit} requests a minute, all used up. Wait {wait}.")
    left = "" if seen.remaining is None else f", {seen.remaining} left"
    return Finding("ok", "rate", f"{seen.limit} requests a minute{left}")


async def _tried(name: str, check: Callable[[Patient], Awaitable[Finding]], patient: Patient) -> Finding:
    try:
        async with in_time():
            return await check(patient)
    except LoftyError as error:
        return Finding("warn", name, f"could not be read: {mended(error)}")
    except TimeoutError:
        return Finding("warn", name, "could not be read in time. Try again in a moment.")


async def _identity(patient: Patient) -> Finding:
    viewer = await crm_of(patient).viewer()
    me = await patient.vocabulary.me()
    if viewer.known and viewer.disputed:
        return Finding(
            "warn",
            "identity",
            f"{me.name}; the key names another user id than Lofty's records, and hidden leads assigned to that id are "
            "not visible.",
        )
    if viewer.known:
        return Finding("ok", "identity", f"{me.name}; hidden leads assigned to this user are visible, others are not")
    return Finding(
        "warn",
        "identity",
        f"{me.name}; Lofty's records do not show for certain which user this is, so no hidden lead is visible. An "
        "account owner can give the user the right to read the team's members.",
    )


async def _stages(patient: Patient) -> Finding:
    names = await patient.vocabulary.stages()
    if names:
        return Finding("ok", "stages", f"{len(names)} in the pipelines")
    return Finding(
        "warn", "stages", "none in the pipelines, so a stage must be spelled as on the leads. See Lofty's settings."
    )
