"""What a check sees, and what it finds."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Literal

import anyio
import httpx2

from lofty_mcp.client.client import LoftyClient
from lofty_mcp.client.credentials import Credential
from lofty_mcp.client.pacing import Pacer
from lofty_mcp.client.vocabulary import Seen, Vocabulary
from lofty_mcp.errors import LoftyError
from lofty_mcp.guard.gate import Timing, VisibleCrm
from lofty_mcp.settings import Settings

CHECK_SECONDS = 15.0

Level = Literal["ok", "warn", "FAIL", "-"]


@dataclass(frozen=True)
class Finding:
    """One line: how it stands, what was looked at, what was seen and what to do; `-` could not be looked at."""

    level: Level
    check: str
    text: str

    def __str__(self) -> str:
        return f"{self.level:<5}{self.check:<10}{self.text}"


@dataclass
class Patient:
    """What the checks look at: the way to Lofty, and the headers that came back on it."""

    settings: Settings
    client: LoftyClient
    vocabulary: Vocabulary
    headers: dict[str, str] = field(default_factory=dict)


def patient_of(settings: Settings, http: httpx2.AsyncClient, credential: Credential) -> Patient:
    """The way to Lofty of `credential`, with a budget of its own."""
    pacer = Pacer(credential.principal, None, per_minute=settings.requests_per_minute)
    client = LoftyClient(http, credential, pacer, user_agent=f"lofty-mcp/{version('lofty-mcp')} doctor")
    patient = Patient(settings, client, Vocabulary(client, time.monotonic))

    async def note(answer: httpx2.Response) -> None:
        patient.headers |= dict(answer.headers)

    http.event_hooks = {"response": [note]}
    return patient


def crm_of(patient: Patient, member: str | None = None) -> VisibleCrm:
    """What the credential's user, or `member`, sees."""
    timing = Timing(time.monotonic, anyio.sleep)
    return VisibleCrm(patient.client, patient.vocabulary, Seen(), patient.settings.visibility, timing, member)


def mended(error: LoftyError) -> str:
    """What the error says, for somebody who is here already."""
    # The advice to run this very command helps nobody here.
    text = str(error)
    for advice in ("; `lofty-mcp doctor` checks it", "; `lofty-mcp doctor` shows what is wrong"):
        text = text.replace(advice, "")
    return text


@asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    """No check takes the time of the others."""
    with anyio.fail_after(CHECK_SECONDS):
        yield
