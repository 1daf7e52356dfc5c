"""Members of the team and what `GET /v1.0/me` says of the caller."""

from pydantic import Field, field_validator

from lofty_mcp.models.base import Id, Json, Line, Upstream, View


class Member(Upstream):
    """A person of the team (`UserResponse`); lead counters are left out on purpose."""

    id: Id | None = None
    member_user_id: Id | None = None
    email: Line | None = None
    first_name: Line | None = None
    last_name: Line | None = None
    role_name: Line | None = None
    is_admin: bool | None = None
    team_id: Id | None = None
    group_name: Line | None = None
    time_zone_id: Line | None = None

    @property
    def name(self) -> str:
        """First and last name, or the e-mail address where Lofty gives no name."""
        return " ".join(part for part in (self.first_name, self.last_name) if part) or self.email or "(no name)"


class Org(Upstream):
    """The account's organisation (`GET /v1.0/org`)."""

    enterprise_info: Json | None = None

    @property
    def company(self) -> str | None:
        """The company's name as this member sees it."""
        name = (self.enterprise_info or {}).get("groupName")
        return name if isinstance(name, str) and name else None


class Person(View):
    """A member as shown to a viewer."""

    user_id: str | None = None
    name: str | None = None
    email: str | None = None
    role: str | None = None
    office: str | None = None

    @field_validator("name")
    @classmethod
    def _short(cls, value: str | None) -> str | None:
        return value[:80] if value else value

    @classmethod
    def of(cls, member: Member) -> "Person":
        """The public part of `member`."""
        return cls(
            user_id=member.member_user_id or member.id,
            name=member.name,
            email=member.email,
            role=member.role_name,
            office=member.group_name,
        )


class Account(View):
    """Who the server acts as."""

    name: str | None = None
    email: str | None = None
    user_id: str | None = None
    role: str | None = None
    admin: bool | None = None
    office: str | None = None
    company: str | None = None
    team_id: str | None = None
    time_zone: str | None = None


class Whoami(View):
    """The account, the viewer and what this server may do."""

    account: Account
    viewer_known: bool
    viewer_note: str | None = None
    mode: str
    toolsets: list[str]
    may: list[str] = Field(description="Tools listed here.")
    asks_before: list[str]
    sends: str | None = None
    """Whether messages are sent or only drafted, where there is a tool for them."""
    personal_data: str
    writes_paused: bool
    sandbox: bool
    version: str
