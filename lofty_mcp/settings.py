"""What the operator decides: read from the environment once, into one frozen object.

The only reader of the environment. `LOFTY_*` names follow Lofty's own command-line tool; `LOFTY_MCP_*` are ours.
"""

import difflib
import os
import re
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import platformdirs
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

LOFTY = "https://api.lofty.com"
TOOLSETS = {"core", "edits", "messages", "all"}
SHORTEST_TOKEN = 16
"""Characters of a bearer token: less can be guessed."""


class Mode(StrEnum):
    """How far the server may act, from the tightest."""

    READ = "read"
    ASK = "ask"
    CODE = "code"
    AUTO = "auto"

    @staticmethod
    def tightest(*modes: "Mode") -> "Mode":
        """The one of `modes` that allows the least."""
        return min(modes, key=list(Mode).index)


class BadSettings(Exception):
    """The settings cannot be used; the message is one line for the operator and holds no value of a secret."""


def _env(name: str) -> AliasChoices:
    return AliasChoices(name)


class Settings(BaseSettings):
    """Every setting, with the environment variable that sets it."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True)

    api_key: SecretStr | None = Field(None, validation_alias=_env("LOFTY_API_KEY"), description="Personal API key.")
    access_token: SecretStr | None = Field(
        None, validation_alias=_env("LOFTY_ACCESS_TOKEN"), description="OAuth access token."
    )
    refresh_token: SecretStr | None = Field(
        None, validation_alias=_env("LOFTY_REFRESH_TOKEN"), description="OAuth refresh token; kept fresh in a file."
    )
    client_id: str | None = Field(None, validation_alias=_env("LOFTY_CLIENT_ID"), description="OAuth client id.")
    client_secret: SecretStr | None = Field(
        None, validation_alias=_env("LOFTY_CLIENT_SECRET"), description="OAuth client secret."
    )
    customer_key: SecretStr | None = Field(
        None,
        validation_alias=_env("LOFTY_CUSTOMER_KEY"),
        description="With a client id and secret: the API key of the user to act as (client credentials).",
    )
    token_url: str | None = Field(
        None, validation_alias=_env("LOFTY_TOKEN_URL"), description="OAuth token endpoint, if not Lofty's own."
    )
    base_url: str = Field(
        LOFTY,
        validation_alias=_env("LOFTY_BASE_URL"),
        description="Lofty's address. Plain http only to this machine.",
    )

    mode: Mode = Field(
        Mode.ASK,
        validation_alias=_env("LOFTY_MCP_MODE"),
        description="`read` lists no writes; `ask` asks a person; `code` lets clients that cannot ask use the two "
        "steps for everything; `auto` asks nothing.",
    )
    questions: Literal["on", "off"] = Field(
        "on",
        validation_alias=_env("LOFTY_MCP_QUESTIONS"),
        description="`off` for an app that says it can ask but never shows a question: it is treated as one that "
        "cannot be asked.",
    )
    ask_from: Literal["add", "change", "remove", "send"] = Field(
        "change", validation_alias=_env("LOFTY_MCP_ASK_FROM"), description="The mildest effect that is asked about."
    )
    automation_tags: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias=_env("LOFTY_MCP_AUTOMATION_TAGS"),
        description="Tags that start automations, separated by commas; adding one is asked about.",
    )
    visibility: Literal["assigned_agent", "any_assignee"] = Field(
        "assigned_agent",
        validation_alias=_env("LOFTY_MCP_VISIBILITY"),
        description="Who sees a hidden lead: its assigned agent, or also the people in its other roles.",
    )
    pii: Literal["full", "masked"] = Field(
        "full",
        validation_alias=_env("LOFTY_MCP_PII"),
        description="How clients see leads' personal data: `full`, or `masked` to initials and last digits.",
    )
    toolsets: Annotated[tuple[str, ...], NoDecode] = Field(
        ("core",),
        validation_alias=_env("LOFTY_MCP_TOOLSETS"),
        description="Toolsets to list, separated by commas: `core`, `edits` (notes, deleting), `messages` (texts, "
        "e-mails), as in `core,messages`, or `all`.",
    )
    sends: Literal["off", "draft", "on"] = Field(
        "draft",
        validation_alias=_env("LOFTY_MCP_SENDS"),
        description="Texts and e-mails: `off` lists no such tool; `draft` checks and returns the message, and nothing "
        "leaves; `on` sends it.",
    )
    consent: Literal["not_opted_out", "tagged"] = Field(
        "not_opted_out",
        validation_alias=_env("LOFTY_MCP_CONSENT"),
        description="Who may be written to: everybody who has not opted out, or only leads with one of "
        "`LOFTY_MCP_CONSENT_TAGS`.",
    )
    consent_tags: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias=_env("LOFTY_MCP_CONSENT_TAGS"),
        description="Tags or segments that record consent, separated by commas.",
    )
    do_not_contact: Annotated[tuple[str, ...], NoDecode] = Field(
        ("Do Not Contact",),
        validation_alias=_env("LOFTY_MCP_DO_NOT_CONTACT"),
        description="Stages, tags or segments of leads that are never written to, separated by commas; replaces the "
        "default.",
    )
    sends_per_day: int = Field(
        50,
        ge=0,
        le=10_000,
        validation_alias=_env("LOFTY_MCP_SENDS_PER_DAY"),
        description="The most messages that one account may send in any 24 hours.",
    )
    mark: str = Field(
        "(written by an AI assistant)",
        max_length=100,
        validation_alias=_env("LOFTY_MCP_MARK"),
        description="What notes and logs made here end with; `off` for nothing.",
    )
    confirmation_ttl: float = Field(
        900.0,
        ge=1,
        le=86_400,
        validation_alias=_env("LOFTY_MCP_CONFIRMATION_TTL"),
        description="How long a confirmation code or question stays good, in seconds.",
    )
    requests_per_minute: int = Field(
        60,
        ge=1,
        le=10_000,
        validation_alias=_env("LOFTY_MCP_REQUESTS_PER_MINUTE"),
        description="The rate to start with, until Lofty's own rate headers say otherwise.",
    )
    result_tokens: int = Field(
        8_000,
        ge=500,
        le=24_000,
        validation_alias=_env("LOFTY_MCP_RESULT_TOKENS"),
        description="The size a result is cut at, in tokens (estimated); the rest comes with its cursor.",
    )
    call_seconds: float = Field(
        50.0,
        ge=1,
        le=50,
        validation_alias=_env("LOFTY_MCP_CALL_SECONDS"),
        description="How long a reading call may work, in seconds, before it answers that Lofty is too slow.",
    )
    page_rows: int = Field(
        100,
        ge=1,
        le=100,
        validation_alias=_env("LOFTY_MCP_PAGE_ROWS"),
        description="The most rows in a page of a list; the rest comes with its cursor.",
    )
    bulk_leads: int = Field(
        50,
        ge=1,
        le=50,
        validation_alias=_env("LOFTY_MCP_BULK_LEADS"),
        description="The most leads that one call may write to.",
    )
    state_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_state_dir("lofty-mcp", appauthor=False)),
        validation_alias=_env("LOFTY_MCP_STATE_DIR"),
        description="Where the ledger and rotated tokens are kept.",
    )
    audit_days: int = Field(
        400,
        ge=0,
        validation_alias=_env("LOFTY_MCP_AUDIT_DAYS"),
        description="How long lines of the audit log are kept, in days; 0 is for ever.",
    )
    audit_leads: Literal["hashed", "clear"] = Field(
        "hashed",
        validation_alias=_env("LOFTY_MCP_AUDIT_LEADS"),
        description="How the audit log names leads: as keyed hashes, or by `clear` ids.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", validation_alias=_env("LOFTY_MCP_LOG_LEVEL"), description="What is logged to stderr."
    )

    token: SecretStr | None = Field(
        None,
        validation_alias=_env("LOFTY_MCP_TOKEN"),
        description="HTTP: the bearer token of the one caller that uses the credential set above.",
    )
    accounts: Path | None = Field(
        None,
        validation_alias=_env("LOFTY_MCP_ACCOUNTS"),
        description="HTTP: the accounts file, TOML, with a table per principal.",
    )
    issuer: str | None = Field(
        None, validation_alias=_env("LOFTY_MCP_ISSUER"), description="HTTP: who issues the JWTs that are accepted."
    )
    audience: str | None = Field(
        None,
        validation_alias=_env("LOFTY_MCP_AUDIENCE"),
        description="HTTP: the audience a JWT must name; best this server's public address, ending in /mcp.",
    )
    jwks: str | None = Field(
        None,
        validation_alias=_env("LOFTY_MCP_JWKS"),
        description="HTTP: the issuer's keys, an address (https) or the path of a file.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias=_env("LOFTY_MCP_ALLOWED_HOSTS"),
        description="HTTP: the host names this server is reached by, separated by commas; needed behind a proxy.",
    )
    calls_per_minute: int = Field(
        1_200,
        ge=0,
        validation_alias=_env("LOFTY_MCP_CALLS_PER_MINUTE"),
        description="HTTP: requests of one principal in any minute; 0 is no limit.",
    )
    open_calls: int = Field(
        1_200,
        ge=0,
        validation_alias=_env("LOFTY_MCP_OPEN_CALLS"),
        description="HTTP: requests of one principal that may be open at once; 0 is no limit.",
    )
    open_streams: int = Field(
        32,
        ge=0,
        validation_alias=_env("LOFTY_MCP_OPEN_STREAMS"),
        description="HTTP: `subscriptions/listen` streams of one principal that may be open at once; 0 is no limit.",
    )
    not_found_per_minute: int = Field(
        120,
        ge=0,
        validation_alias=_env("LOFTY_MCP_NOT_FOUND_PER_MINUTE"),
        description="HTTP: leads answered as not found to one principal in any minute; 0 is no limit.",
    )
    writes_per_day: int = Field(
        2_000,
        ge=0,
        validation_alias=_env("LOFTY_MCP_WRITES_PER_DAY"),
        description="HTTP: leads that one principal may write to in any 24 hours; 0 is no limit.",
    )
    body_bytes: int = Field(
        131_072,
        ge=1_024,
        le=16_777_216,
        validation_alias=_env("LOFTY_MCP_BODY_BYTES"),
        description="HTTP: the largest request body.",
    )
    connections: int = Field(
        2_000,
        ge=1,
        validation_alias=_env("LOFTY_MCP_CONNECTIONS"),
        description="HTTP: connections served at once; more are answered 503.",
    )

    @field_validator("automation_tags", "toolsets", "consent_tags", "do_not_contact", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("toolsets")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := set(value) - TOOLSETS:
            raise ValueError(
                f"there is no toolset {', '.join(sorted(unknown))}; valid are {', '.join(sorted(TOOLSETS))}"
            )
        return value

    @field_validator("do_not_contact")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("name at least one stage, tag or segment, such as Do Not Contact")
        return value

    @field_validator("mark")
    @classmethod
    def _or_none(cls, value: str) -> str:
        return "" if value.strip().lower() == "off" else value.strip()

    @model_validator(mode="after")
    def _recorded_consent(self) -> Self:
        if self.consent == "tagged" and not self.consent_tags:
            raise ValueError("LOFTY_MCP_CONSENT=tagged needs LOFTY_MCP_CONSENT_TAGS, the tags that record consent")
        return self

    @field_validator("allowed_hosts")
    @classmethod
    def _host_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [name for name in value if not re.fullmatch(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d+)?", name)]:
            raise ValueError(f"{wrong[0]!r} is not a host name such as mcp.brokerage.example, with or without :port")
        return tuple(name.lower() for name in value)

    @field_validator("state_dir", "accounts", mode="after")
    @classmethod
    def _whole_path(cls, value: Path | None) -> Path | None:
        whole = value.expanduser() if value is not None else None
        if whole is not None and not whole.is_absolute():
            raise ValueError("must be a whole path, from the root or from ~")
        return whole

    @field_validator("token")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < SHORTEST_TOKEN:
            raise ValueError(f"must have at least {SHORTEST_TOKEN} characters; a long random one")
        return value

    @model_validator(mode="after")
    def _whole_sign_in(self) -> Self:
        given = [name for name in ("issuer", "audience", "jwks") if getattr(self, name)]
        if given and len(given) < 3:
            raise ValueError("LOFTY_MCP_ISSUER, LOFTY_MCP_AUDIENCE and LOFTY_MCP_JWKS go together")
        if given and self.accounts is None:
            raise ValueError("LOFTY_MCP_ISSUER needs LOFTY_MCP_ACCOUNTS, which says what each subject may do")
        return self

    @field_validator(
        *("mode", "questions", "ask_from", "visibility", "pii", "audit_leads", "sends", "consent", "log_level"),
        mode="before",
    )
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("base_url", "token_url")
    @classmethod
    def _safe_url(cls, value: str | None) -> str | None:
        return None if value is None else safe_url(value)

    @property
    def has_credential(self) -> bool:
        """Whether there is anything to show to Lofty."""
        grant = self.client_id and self.client_secret and self.customer_key
        return bool(self.api_key or self.access_token or self.refresh_token or grant)


def safe_url(value: str) -> str:
    """`value` without a trailing slash, if it is https, or http to this machine; else ValueError."""
    parts = urlsplit(value.strip())
    if not parts.hostname or parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must be a plain address such as https://api.lofty.com")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError("must be https; plain http is allowed only to this machine")
    return value.strip().rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def load(**overrides: object) -> Settings:
    """The settings of this process, `overrides` (by field name) before the environment.

    Raises:
        BadSettings: naming each wrong variable and what is valid.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        raise BadSettings("; ".join(_sentence(dict(e)) for e in error.errors(include_input=False))) from None


def variable(name: str) -> str | None:
    """The environment variable of this name, which an accounts file refers to; None if it is unset or empty."""
    return os.environ.get(name) or None


def variables() -> dict[str, str]:
    """Each environment variable with its description."""
    return {
        str(f.validation_alias.choices[0]): f.description or ""
        for f in Settings.model_fields.values()
        if isinstance(f.validation_alias, AliasChoices)
    }


def unknown_variables() -> dict[str, str | None]:
    """Variables that are set and mean nothing here, each with the one probably meant.

    All of `LOFTY_MCP_*`, which is ours alone; of other `LOFTY_*` only what looks like a slip.
    """
    known = variables()
    strange = sorted(name for name in os.environ if name.startswith("LOFTY_") and name not in known)
    meant = {name: next(iter(difflib.get_close_matches(name, known, 1, 0.8)), None) for name in strange}
    return {name: guess for name, guess in meant.items() if guess or name.startswith("LOFTY_MCP_")}


def _sentence(error: dict[str, object]) -> str:
    location, limits = error["loc"], dict(error.get("ctx") or ())  # type: ignore[call-overload]
    match error["type"]:
        case "int_parsing" | "int_from_float":
            text = "must be a whole number"
        case "float_parsing":
            text = "must be a number"
        case "greater_than_equal":
            text = f"must be {limits['ge']:.0f} or more"
        case "less_than_equal":
            text = f"must be {limits['le']:.0f} or less"
        case _:
            text = str(error["msg"]).removeprefix("Value error, ")
    if not (isinstance(location, tuple) and location):
        return text  # about several variables, which it names
    name = str(location[0])
    field = Settings.model_fields.get(name)
    if field is not None and isinstance(field.validation_alias, AliasChoices):
        name = str(field.validation_alias.choices[0])
    return f"{name}: {text[:1].lower()}{text[1:]}"
