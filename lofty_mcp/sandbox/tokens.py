"""Credentials: personal keys, OAuth tokens, and the clock-driven request budget of each credential."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from lofty_mcp.sandbox.people import Member
from lofty_mcp.sandbox.refusals import ApiError, gateway

CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-secret"  # nosec B105 # noqa: S105 - made up
WINDOW = 60.0


@dataclass
class _Window:
    started: float
    used: int = 0


@dataclass
class Budget:
    """A fixed window of one minute per credential: `limit` requests, then 429."""

    limit: int
    clock: Callable[[], float]
    _windows: dict[str, _Window] = field(default_factory=dict)

    def spend(self, credential: str) -> tuple[bool, dict[str, str]]:
        """Whether the request may pass, and the headers; Reset is milliseconds left, as in Lofty's own sample."""
        now = self.clock()
        window = self._windows.get(credential)
        if window is None or now - window.started >= WINDOW:
            window = self._windows[credential] = _Window(now)
        allowed = window.used < self.limit
        window.used += allowed
        left = max(0, round((window.started + WINDOW - now) * 1000))
        return allowed, rate_headers(self.limit, self.limit - window.used, left)


def rate_headers(limit: int, remaining: int, reset_ms: int) -> dict[str, str]:
    """The three headers every answer carries."""
    return {
        "x-ratelimit-limit": str(limit),
        "x-ratelimit-remaining": str(remaining),
        "x-ratelimit-reset": str(reset_ms),
    }


class Tokens:
    """OAuth tokens handed out, and who a credential belongs to. A refresh token works once."""

    def __init__(self, *, ttl: int, clock: Callable[[], float]) -> None:
        self._ttl = ttl
        self._clock = clock
        self._access: dict[str, tuple[str, float]] = {}
        self._refresh: dict[str, str] = {}
        self._revoked: set[str] = set()
        self._count = 0

    def issue(self, email: str) -> dict[str, Any]:
        """A fresh pair for a member, as the token endpoint answers it."""
        self._count += 1
        access, refresh = f"sandbox-access-{self._count:06d}", f"sandbox-refresh-{self._count:06d}"
        self._access[access] = (email, self._clock() + self._ttl)
        self._refresh[refresh] = email
        return {
            "access_token": access,
            "token_type": "Bearer",  # nosec B105 - a word of OAuth
            "expires_in": self._ttl,
            "refresh_token": refresh,
            "scope": "openApi",
        }

    def expire(self) -> None:
        """Every access token handed out so far is over now; refresh tokens stay good."""
        self._access = {token: (email, self._clock()) for token, (email, _) in self._access.items()}

    def revoke(self, credential: str) -> None:
        """A key or token that is refused from now on."""
        self._revoked.add(credential)

    def who(self, authorization: str | None, members: list[Member]) -> Member:
        """The member behind an Authorization header; ApiError as Lofty answers each wrong way of asking."""
        scheme, _, value = (authorization or "").partition(" ")
        if not value:
            raise gateway(401, 20004, "bad credentials")
        holder = {member.key: member for member in members}.get(value)
        if scheme == "Bearer" and holder is not None:
            raise gateway(400, 200058, "User in token does not exist.")
        if scheme == "Bearer":
            email, ends = self._access.get(value, ("", 0.0))
            holder = next((member for member in members if member.email == email and self._clock() < ends), None)
        if scheme not in {"token", "Bearer"} or holder is None or value in self._revoked:
            raise gateway(401, 20004, "bad credentials")
        return holder

    def grant(self, headers: Mapping[str, str], raw: bytes, members: list[Member]) -> dict[str, Any]:
        """Answer the token endpoint: client_credentials (with customer_key) or refresh_token."""
        form = _form(headers.get("content-type", ""), raw)
        given = _basic(headers.get("authorization", "")) or (form.get("client_id"), form.get("client_secret"))
        if given != (CLIENT_ID, CLIENT_SECRET):
            raise _oauth(401, "invalid_client")
        match form.get("grant_type"):
            case "client_credentials":
                key = form.get("customer_key", "")
                email = next((member.email for member in members if member.key == key), None)
                if key in self._revoked:
                    email = None
            case "refresh_token":
                token = form.get("refresh_token", "")
                email = None if token in self._revoked else self._refresh.pop(token, None)
            case _:
                raise _oauth(400, "unsupported_grant_type")
        if email is None:
            raise _oauth(400, "invalid_grant")
        return self.issue(email)


def _oauth(status: int, error: str) -> ApiError:
    return ApiError(status, {"error": error, "error_description": error.replace("_", " ")})


def _form(content_type: str, raw: bytes) -> dict[str, str]:
    text = raw.decode("utf-8", "replace")
    if not content_type.startswith("application/json"):
        return {name: values[0] for name, values in parse_qs(text).items()}
    try:
        parsed = json.loads(text)
    except ValueError:
        raise _oauth(400, "invalid_request") from None
    return {name: value for name, value in parsed.items() if isinstance(value, str)} if isinstance(parsed, dict) else {}


def _basic(header: str) -> tuple[str, str] | None:
    scheme, _, value = header.partition(" ")
    if scheme != "Basic":
        return None
    try:
        name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return name, secret
