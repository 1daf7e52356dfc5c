"""The callers of HTTP mode: the accounts file, each principal's key and member, and the issuer's keys."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2

from lofty_mcp.doctor.patient import Finding, crm_of, in_time, mended, patient_of
from lofty_mcp.errors import CredentialRejected, LoftyError
from lofty_mcp.server import credential_of
from lofty_mcp.settings import BadSettings, Settings


async def callers(settings: Settings, http: httpx2.AsyncClient) -> AsyncIterator[Finding]:
    """Whether the accounts file can be used, and whether Lofty knows each principal's key and member."""
    from lofty_mcp.web.accounts_file import AccountsFile

    try:
        file = AccountsFile(settings.accounts or Path(), has_issuer=bool(settings.issuer))
        principals = list(await file.directory())
    except BadSettings as error:
        yield Finding("FAIL", "accounts", f"{error}. Nobody in it is let in.")
        return
    yield Finding("ok", "accounts", f"{len(principals)} in {settings.accounts}")
    if settings.issuer:
        yield await _sign_in(settings)
    for principal in principals:
        patient = patient_of(settings, http, credential_of(settings, http, principal))
        crm = crm_of(patient, principal.member)
        try:
            async with in_time():
                person, viewer = await crm.person(), await crm.viewer()
        except CredentialRejected:
            yield Finding(
                "FAIL", "accounts", f"{principal.name}: Lofty does not accept this key. Make a new one there."
            )
            continue
        except LoftyError as error:
            yield Finding("FAIL", "accounts", f"{principal.name}: {mended(error)}")
            continue
        except TimeoutError:
            yield Finding("FAIL", "accounts", f"{principal.name}: Lofty did not answer in time.")
            continue
        who = person.name if person else f"Lofty shows no member {principal.member}"
        sees = "own hidden leads are visible" if viewer.known else "no hidden lead is visible"
        text = f"{principal.name}: {who}, mode {principal.mode}; {sees}"
        yield Finding("ok" if person and viewer.known else "warn", "accounts", text)


async def _sign_in(settings: Settings) -> Finding:
    from lofty_mcp.web.app import keys_http, verifier_of

    async with keys_http(settings) as http:
        verifier = verifier_of(settings, http)
        if verifier is not None and await verifier.has_keys():
            return Finding("ok", "sign-in", f"JWTs of {settings.issuer}; its keys can be had")
    return Finding("FAIL", "sign-in", "the keys of LOFTY_MCP_JWKS cannot be had, so nobody with a JWT is let in.")
