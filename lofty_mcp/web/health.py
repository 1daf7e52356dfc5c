"""Whether the process is alive, and whether it can do its work."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import httpx2
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lofty_mcp.app import App
from lofty_mcp.settings import BadSettings
from lofty_mcp.web.accounts_file import AccountsFile

if TYPE_CHECKING:
    from lofty_mcp.web.bearer_jwt import JwtVerifier

PROBE_SECONDS = 3.0
FRESH_SECONDS = 5.0
"""How long a finding is told again, so that whoever may ask cannot make us knock at Lofty without end."""


async def alive(_: Request) -> Response:
    """Answers as long as the process does."""
    return JSONResponse({"alive": True})


@dataclass
class Readiness:
    """Whether Lofty answers at all, whether the ledger takes writes, and whether callers can be recognised.

    No credential is shown for it.
    """

    app: Callable[[], App | None]
    accounts: AccountsFile | None = None
    verifier: "JwtVerifier | None" = None
    clock: Callable[[], float] = anyio.current_time
    _found: dict[str, bool] = field(default_factory=dict)
    _until: float = float("-inf")
    _lock: anyio.Lock = field(default_factory=anyio.Lock)

    async def answer(self, _: Request) -> Response:
        """200 if all is well, else 503; the body names each part."""
        async with self._lock:
            if self.clock() >= self._until:
                self._found = await self._look()
                self._until = self.clock() + FRESH_SECONDS
        app = self.app()
        found = self._found | {"running": app is not None and not app.stopping}
        ready = all(found.values())
        return JSONResponse({"ready": ready} | found, 200 if ready else 503)

    async def _look(self) -> dict[str, bool]:
        app = self.app()
        if app is None:
            return {"lofty": False, "ledger": False}
        found = {"lofty": await _answers(app.accounts.http), "ledger": await app.ledger.writable()}
        if self.accounts is not None:
            found["accounts"] = await _is_usable(self.accounts)
        if self.verifier is not None:
            found["keys"] = await self.verifier.has_keys()
        return found


async def _is_usable(accounts: AccountsFile) -> bool:
    try:
        await accounts.directory()
    except BadSettings:
        return False
    return True


async def _answers(http: httpx2.AsyncClient) -> bool:
    try:
        with anyio.fail_after(PROBE_SECONDS):
            async with http.stream("GET", "/"):
                return True
    except (httpx2.HTTPError, TimeoutError):
        return False
