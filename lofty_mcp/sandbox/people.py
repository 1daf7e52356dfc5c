"""The team of the sandbox: members, offices, stages, roles, and the key each member signs with.

Every member has a short member-record id and a long user id; records bear the long one. `/v1.0/me` of the member with
`short_me` gives the short id twice (seen on a real account), so her records cannot be joined to it.
"""

import base64
import hashlib
import json
from dataclasses import dataclass

TEAM_ID = 310244
TEAM_NAME = "Summit Peak Realty"
OFFICES = {9101: "Front Range Office", 9102: "Western Slope Office"}

# (id, name, told by lead-pipelines); the last one is a real stage that no list names.
STAGES = (
    (101, "New Lead", True),
    (102, "Contacted", True),
    (103, "Qualified", True),
    (104, "Under Contract", True),
    (105, "Closed", True),
    (217, "Open House Follow-Up", True),
    (218, "Do Not Contact", True),
    (231, "Past Client", False),
)

# (roleId, role, the lead column that holds its assignee)
ROLES = (
    (2, "Lender", "lenderUserId"),
    (4, "Assistant", "assistantUserId"),
    (11, "Transaction Coordinator", "coordinatorUserId"),
)

PONDS = {5501: "Zillow Pond", 5502: "Long-Term Nurture"}


@dataclass(frozen=True)
class Member:
    """One person of the team; `id` is the short record id, `user_id` the long one that records bear."""

    first: str
    last: str
    email: str
    role: str
    id: int
    user_id: int
    office: int
    key: str = ""
    time_zone: str = "America/Denver"
    short_me: bool = False

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first} {self.last}"

    @property
    def is_admin(self) -> bool:
        """True for the owner of the account."""
        return self.role == "Owner"


_TEAM = (
    Member("Olivia", "Hart", "olivia.hart@summitpeak.example", "Owner", 48101, 550118203344701, 9101),
    Member("Ana", "Reyes", "ana.reyes@summitpeak.example", "Agent", 48112, 550118203344812, 9101),
    Member("Mark", "Silva", "mark.silva@summitpeak.example", "Agent", 48113, 550118203344913, 9102),
    Member("Chris", "Lee", "chris.lee@summitpeak.example", "Agent", 48120, 550118203345020, 9101),
    Member("Chris", "Lee", "christina.lee@summitpeak.example", "Agent", 48127, 550118203345127, 9102, short_me=True),
    Member("Priya", "Nair", "priya.nair@summitpeak.example", "Assistant", 48133, 550118203345233, 9101),
    Member("Leo", "Grant", "leo.grant@firstharbor.example", "Lender", 48140, 550118203345340, 9102),
)


def team(seed: int) -> list[Member]:
    """The seven members with their keys; only the keys' last part depends on the seed."""
    return [Member(**{**vars(member), "key": api_key(member, seed)}) for member in _TEAM]


def api_key(member: Member, seed: int) -> str:
    """A key in the form of Lofty's: three base64url parts, the payload bearing the long user id and the scope."""
    payload = {"userId": member.user_id, "scope": "THIRD_PARTY_OPERATION", "iat": 1767225600}
    signature = hashlib.sha256(f"{seed}:{member.email}".encode()).digest()
    parts = (json.dumps({"alg": "HS256", "typ": "JWT"}).encode(), json.dumps(payload).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def stage_id(name: str) -> int | None:
    """The id of a stage by its exact name."""
    return next((number for number, stage, _ in STAGES if stage == name), None)
