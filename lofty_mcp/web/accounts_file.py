"""The accounts file: who may call over HTTP, and as whom in Lofty.

It is looked at on every request and read again when it has changed, so that whoever is taken out is out at their next
call. A file that cannot be read as a whole lets nobody in.
"""

import hashlib
import logging
import re
import shlex
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import anyio
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from lofty_mcp.accounts import Principal
from lofty_mcp.client.credentials import clean_key
from lofty_mcp.settings import TOOLSETS, BadSettings, Mode, variable

COMMAND_SECONDS = 10.0
LARGEST_FILE = 1_048_576
LARGEST_SECRET = 65_536

log = logging.getLogger(__name__)


class _Entry(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token_sha256: Annotated[str | None, Field(pattern=r"^[0-9a-fA-F]{64}$")] = None
    subject: Annotated[str | None, Field(min_length=1, max_length=255)] = None
    credential: str = Field(repr=False)
    member: Annotated[str | None, Field(pattern=r"^[^@\s]+@[^@\s]+$")] = None
    mode: Mode = Mode.ASK
    toolsets: tuple[str, ...] = ("core",)

    @field_validator("credential")
    @classmethod
    def _refers(cls, value: str) -> str:
        if not re.match(r"(env|file|command):.", value):
            raise ValueError(
                "must say where the key is kept: env:NAME, file:PATH or command:PROGRAM. A key itself does not belong "
                "into this file"
            )
        return value

    @field_validator("toolsets")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or set(value) - set(TOOLSETS):
            raise ValueError(f"valid are {', '.join(sorted(TOOLSETS))}")
        return value

    @model_validator(mode="after")
    def _recognisable(self) -> "_Entry":
        if (self.token_sha256 is None) == (self.subject is None):
            what = "neither token_sha256 nor" if self.subject is None else "both token_sha256 and"
            raise ValueError(f"it has {what} subject; give one of the two")
        return self


@dataclass(frozen=True)
class Directory:
    """Everybody in the file, by what they show."""

    by_token: Mapping[str, Principal] = field(default_factory=dict)
    """By the SHA-256 of their static token, in hexadecimal."""
    by_subject: Mapping[str, Principal] = field(default_factory=dict)
    """By the subject of their JWT."""

    def __iter__(self) -> Iterator[Principal]:
        return iter((*self.by_token.values(), *self.by_subject.values()))

    def of_token(self, token: str) -> Principal | None:
        """Who shows this static token."""
        return self.by_token.get(hashlib.sha256(token.encode()).hexdigest())


def parse(text: str) -> dict[str, _Entry]:
    """The tables of an accounts file by the principals' names.

    Raises:
        BadSettings: what is wrong, without any value of the file.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(f"accounts file: not TOML ({error})") from None
    tables = document.get("principals")
    if set(document) - {"principals"} or not isinstance(tables, dict):
        raise BadSettings("accounts file: it holds tables named [principals.NAME], and nothing else")
    entries = {}
    for name, table in tables.items():
        if not re.fullmatch(r"[\w.@-]{1,64}", name):
            raise BadSettings("accounts file: a principal's name is made of 1 to 64 letters, digits and . _ @ -")
        try:
            entries[name] = _Entry.model_validate(table)
        except ValidationError as error:
            raise BadSettings(f"accounts file: principal {name!r}: {_sentence(error)}") from None
    for what in ("token_sha256", "subject"):
        shown = [value.lower() for e in entries.values() if (value := getattr(e, what)) is not None]
        if len(shown) != len(set(shown)):
            raise BadSettings(f"accounts file: two principals have the same {what}")
    return entries


async def resolve(entries: Mapping[str, _Entry], environment_key: str | None = None) -> Directory:
    """The principals of an accounts file, each with its key; `environment_key` is the key of the environment's caller.

    Raises:
        BadSettings: a key cannot be had, or is shared by principals that do not each name their member.
    """
    principals: dict[str, Principal] = {}
    for name, entry in entries.items():
        try:
            key = SecretStr(clean_key(await _secret(entry.credential)))
        except (ValueError, OSError, UnicodeDecodeError) as error:
            reason = error if type(error) is ValueError else getattr(error, "strerror", None) or "it is no text"
            raise BadSettings(f"accounts file: principal {name!r}: credential: {reason}") from None
        if not key.get_secret_value():
            raise BadSettings(f"accounts file: principal {name!r}: credential: it is empty")
        principals[name] = Principal(name, key, entry.member, entry.mode, entry.toolsets)
    _check_shared(principals.values(), environment_key)
    return Directory(
        {e.token_sha256.lower(): principals[name] for name, e in entries.items() if e.token_sha256},
        {e.subject: principals[name] for name, e in entries.items() if e.subject},
    )


@dataclass
class AccountsFile:
    """The file at `path`, as it is now; `on_change` is told everybody who is in it, each time it was read."""

    path: Path
    environment_key: str | None = None
    has_issuer: bool = True
    """Whether anybody can come with a JWT."""
    on_change: Callable[[Directory], None] = lambda _: None
    _stamp: tuple[int, ...] | None = None
    _directory: Directory | BadSettings | None = None
    _lock: anyio.Lock = field(default_factory=anyio.Lock)

    async def directory(self, *, again: bool = False) -> Directory:
        """Everybody who may call; `again` reads the file even if it looks unchanged.

        Raises:
            BadSettings: the file cannot be used, so nobody may.
        """
        stamp = self._look()
        if again or stamp != self._stamp or self._directory is None:
            async with self._lock:
                if again or self._look() != self._stamp or self._directory is None:
                    await self._read()
        if isinstance(self._directory, Directory):
            return self._directory
        raise self._directory or BadSettings("accounts file: it has not been read")

    async def _read(self) -> None:
        self._stamp = self._look()
        try:
            entries = parse(self._text())
            if not self.has_issuer and (named := [name for name, entry in entries.items() if entry.subject]):
                raise BadSettings(
                    f"accounts file: principal {named[0]!r} has a subject, but LOFTY_MCP_ISSUER is not set, so nobody "
                    "can come with a JWT"
                )
            self._directory = await resolve(entries, self.environment_key)
        except BadSettings as error:
            log.error("the accounts file cannot be used, so nobody is let in")
            self._directory = error
            self.on_change(Directory())
            return
        log.info("the accounts file was read", extra={"count": len(list(self._directory))})
        self.on_change(self._directory)

    def _text(self) -> str:
        try:
            with self.path.open("rb") as file:
                content = file.read(LARGEST_FILE + 1)
            if len(content) > LARGEST_FILE:
                raise BadSettings("accounts file: larger than 1 MiB")
            return content.decode()
        except UnicodeDecodeError:
            raise BadSettings("accounts file: it is not UTF-8") from None
        except OSError as error:
            raise BadSettings(f"LOFTY_MCP_ACCOUNTS: {self.path} cannot be read: {error.strerror}") from None

    def _look(self) -> tuple[int, ...]:
        try:
            found = self.path.stat()
        except OSError:
            return ()
        return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


async def _secret(source: str) -> str:
    """What `source` (env:NAME, file:PATH or command:PROGRAM) gives."""
    kind, _, rest = source.partition(":")
    if kind == "env":
        if (value := variable(rest)) is None:
            raise ValueError(f"the variable {rest} is not set")
        return value
    if kind == "file":
        path = await anyio.Path(rest).expanduser()
        async with await path.open("rb") as file:
            return (await file.read(LARGEST_SECRET)).decode()
    return await _printed_by(rest)


async def _printed_by(command: str) -> str:
    """What a program prints, such as a password manager; it gets no shell and no input."""
    try:
        with anyio.fail_after(COMMAND_SECONDS):
            ended = await anyio.run_process(shlex.split(command), check=False)
    except TimeoutError:
        raise ValueError(f"the program took longer than {COMMAND_SECONDS:.0f} s") from None
    if ended.returncode != 0:
        raise ValueError(f"the program failed with exit code {ended.returncode}")
    return ended.stdout[:LARGEST_SECRET].decode()


def _check_shared(principals: Iterable[Principal], environment_key: str | None) -> None:
    everybody = list(principals)
    keys = [principal.key.get_secret_value() for principal in everybody]
    for principal, key in zip(everybody, keys, strict=True):
        if principal.member is None and (keys.count(key) > 1 or key == environment_key):
            raise BadSettings(
                f"accounts file: principal {principal.name!r} shares its Lofty key with another, so each of them must "
                'name the member it acts for: member = "name@brokerage.example"'
            )


def _sentence(error: ValidationError) -> str:
    found = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in found["loc"][:1])
    text = str(found["msg"]).removeprefix("Value error, ")
    match found["type"]:
        case "extra_forbidden":
            return f"there is no setting {where}; valid are {', '.join(_Entry.model_fields)}"
        case "missing":
            return f"{where} is missing; it is env:NAME, file:PATH or command:PROGRAM"
        case "string_pattern_mismatch" if where == "token_sha256":
            return f"{where}: must be the 64 hex digits of the token's SHA-256 and nothing else"
        case "string_pattern_mismatch":
            return f"{where}: must be an e-mail address"
    return f"{where}: {text[:1].lower()}{text[1:]}" if where else text
