"""A second imitation of Lofty, written without a look at the sandbox: it differs wherever Lofty leaves room.

Plain Starlette over dicts. What may differ between accounts and years (reference §§4-6, quirks 5-28) is a field of
`Manner`, so that a test can pick; every request is recorded.
"""

import base64
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.other_papers import BIG, NOW, Row, edit
from tests.support.other_writes import Desk

MISSING = str(BIG + 777_777)
STAGES = ("Fresh", "Talking", "Under Offer", "Sold", "Archive", "Sphere", "Cold")
TAGS = ("lakeside", "investor", "first home")
CODES = {
    20003: "USER_NOT_EXIST",
    20005: "INTERNAL",
    20006: "LEAD_NOT_EXIST",
    20007: "RESOURCE_NOT_EXIST",
    20012: "INVALID_PARAMETER",
    20017: "PERMISSION_DENIED",
    20043: "PARAMETER_TOO_LONG",
}


class AnswerLost(Exception):
    """The request was carried out and its answer never arrives."""


@dataclass(frozen=True)
class Manner:
    """How this Lofty behaves where the real one may behave either way."""

    bare_lead: bool = False
    total: bool = True
    past_end: Literal["empty", "repeat", "restart", "clamp"] = "empty"
    lead_page: int | None = None
    """Its own page size for leads, whatever `limit` says."""
    team_page: int = 5
    ordered: bool = True
    ignored: frozenset[str] = frozenset()
    """Filters that it silently ignores."""
    errors: Literal["object", "message", "string"] = "object"
    foreign: Literal["shown", "refused", "missing"] = "shown"
    """What a hidden lead of somebody else is: left to us, 400 with 20017, or 404."""
    reply: Literal["string", "number", "empty", "none", "wrapped"] = "string"
    times: Literal["gmt", "epoch", "fraction", "digits"] = "gmt"
    text_ids: bool = False
    definition: Any = None
    """The `leadId` of a tag definition."""
    wrapped_tags: bool = True
    serial: bool = False
    """Rows carry a number that differs from answer to answer."""
    zone: str | None = None
    newest_first: bool = True
    """The order of site visits."""
    late: int = 0
    """How many reads are not told yet of what was written beside a lead."""
    arrays: Literal["replace", "merge"] = "replace"
    """What e-mails, phones, segments and an inquiry do to those that are there."""
    escaped: frozenset[str] = frozenset({"note"})
    """Whose text comes back HTML-escaped: `note`, `log`, `task`, `text`."""
    finish: Literal["flag", "flag and time"] = "flag and time"
    """How a task tells that it is finished."""
    sends_told: bool = True
    """Whether what was sent is among a lead's communications."""
    honours_flags: bool = False
    """Whether it refuses to write to a lead that must not be written to."""


@dataclass(frozen=True)
class Recorded:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Person:
    """A member: the short number that /me knows, and the long one that records bear (quirk 19)."""

    first: str
    last: str
    short: int
    long: int

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.first} {self.last}"

    @property
    def email(self) -> str:
        """The account."""
        return f"{self.first.lower()}@harbourline.example"

    @property
    def key(self) -> str:
        """An API key whose payload names the long id."""
        payload = base64.urlsafe_b64encode(json.dumps({"sub": self.email, "userId": str(self.long)}).encode())
        return f"eyJhbGciOiJIUzI1NiJ9.{payload.decode().rstrip('=')}.c2ln"


FIRST_NAMES = ("Kofi", "Ines", "Bram", "Yuki", "Lena", "Omar", "Tess", "Ravi", "Nora", "Juan", "Elif", "Sven")
PEOPLE = [Person(name, "Quay" + "abcdefghijkl"[n], 113_200 + n, BIG + 2 * n) for n, name in enumerate(FIRST_NAMES)]
KOFI, INES = PEOPLE[0], PEOPLE[1]


@dataclass
class OtherLofty:
    """The account: leads, their histories, what goes wrong, and what was asked."""

    manner: Manner = field(default_factory=Manner)
    count: int = 53
    write: Literal["apply", "nothing", "no change", "lost"] = "apply"
    broken: set[str] = field(default_factory=set)
    """Paths that answer 500."""
    forbidden: set[str] = field(default_factory=set)
    """Paths that answer 403."""
    requests: list[Recorded] = field(default_factory=list)
    leads: dict[str, Row] = field(default_factory=dict)
    trash: dict[str, tuple[Row, str]] = field(default_factory=dict)
    """Deleted leads, each with the reason given."""
    serials: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(7)  # noqa: S311 - makes an account, guards nothing
        self.desk = Desk(self)
        for number in range(self.count):
            record = self._lead(number)
            self.leads[str(record["leadId"])] = record
        first, *rest = self.plain
        self.busy = first
        self.own_hidden, self.own_unsaid, self.hidden, self.unsaid, self.private = rest[:5]
        for lead_id, agent in (
            (self.own_hidden, KOFI),
            (self.own_unsaid, KOFI),
            (self.hidden, INES),
            (self.unsaid, INES),
            (self.private, INES),
        ):
            self._give(lead_id, agent)
            self.leads[lead_id] |= {"hiddenFlag": True, "lastName": "Underwhistle"}
        del self.leads[self.own_unsaid]["hiddenFlag"], self.leads[self.unsaid]["hiddenFlag"]
        self.leads[self.private] |= {"hiddenFlag": False, "privateFlag": True}

    @property
    def plain(self) -> list[str]:
        """Ids of the leads that everybody sees."""
        return [i for i, row in self.leads.items() if row.get("hiddenFlag") is False and not row.get("privateFlag")]

    def visible_to(self, person: Person) -> set[str]:
        """Ids of the leads that exist for `person`."""
        own = {i for i, row in self.leads.items() if str(row["assignedUserId"]) == str(person.long)}
        return {*self.plain, *own}

    def asked(self, *methods: str) -> list[Recorded]:
        """The requests of these methods, in order."""
        return [request for request in self.requests if request.method in methods]

    @property
    def writes(self) -> list[Recorded]:
        """The requests that meant to change something."""
        return self.asked("PUT", "POST", "DELETE", "PATCH")

    def app(self) -> Starlette:
        """The ASGI application."""
        lead = "/v1.0/leads/{id}"
        table: tuple[tuple[str, str, Callable[[Request, Any], Any]], ...] = (
            ("GET", "/v1.0/me", self._me),
            ("GET", "/v1.0/members", self._members),
            ("GET", "/v1.0/members/{account}", self._member),
            ("GET", "/v1.0/teamFeatures/listTag", self._tags),
            ("GET", "/v1.0/teamFeatures/lead-pipelines", self._pipelines),
            ("GET", "/v1.0/leads", self._list),
            ("GET", lead, self._get),
            ("PUT", lead, self._put),
            ("DELETE", lead, self._delete),
            ("POST", f"{lead}/assignment", self._assign),
            ("GET", f"{lead}/activities", self._site),
            ("GET", "/v2.0/leads/{id}/activities", self._talk),
            ("GET", "/v1.0/notes", self._notes),
            ("GET", "/v2.0/tasks", self._tasks),
            ("GET", "/v1.0/systemLogs", self._logs),
            *self.desk.routes(),
        )
        return Starlette(routes=[Route(path, self._serve(fn), methods=[method]) for method, path, fn in table])

    def _serve(self, fn: Callable[[Request, Any], Any]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            raw = await request.body()
            body = json.loads(raw) if raw else None
            path = request.url.path
            self.requests.append(
                Recorded(request.method, path, dict(request.query_params), dict(request.headers), body)
            )
            if request.headers.get("content-type") != "application/json":
                return JSONResponse({"code": 20001, "message": "Content-Type"}, 400)
            if self.caller(request) is None:
                return JSONResponse({"code": 200058, "message": "User in token does not exist."}, 400)
            if path in self.broken:
                return self.error(500, 20005)
            if path in self.forbidden:
                return self.error(403, 20017)
            answer = fn(request, body)
            return answer if isinstance(answer, Response) else JSONResponse(answer)

        return endpoint

    def caller(self, request: Request) -> Person | None:
        """Whose key a request bears."""
        shown = request.headers.get("authorization", "")
        return next((person for person in PEOPLE if shown == f"token {person.key}"), None)

    def error(self, status: int, code: int) -> Response:
        """A refusal in this account's manner."""
        name = CODES[code]
        body: Any = {"code": code, "message": name, "requestId": "r-1"}
        if self.manner.errors == "message":
            body = {"message": f"BaseApplicationException:errorCode={code},errorMsg={name}"}
        elif self.manner.errors == "string":
            body = name
        return JSONResponse(body, status)

    def _user(self, person: Person, *, long: bool) -> Row:
        number = person.long if long else person.short
        user: Row = {"firstLetter": person.first[0], "lastName": person.last, "email": person.email}
        user |= {"memberUserId": self.number(number), "badge": {"shade": None}, "id": person.short, "role": 3}
        return user | {"firstName": person.first, "virtualNumber": "", "invitorUserId": -1}

    def _me(self, request: Request, _: Any) -> Row:
        caller = self.caller(request)
        assert caller is not None
        zone = {"timeZoneId": self.manner.zone} if self.manner.zone else {}
        return self._user(caller, long=False) | zone | {"assignedLeadCount": 99}

    def _member(self, request: Request, _: Any) -> Any:
        found = [p for p in PEOPLE if p.email == request.path_params["account"]]
        return self._user(found[0], long=True) if found else self.error(404, 20003)

    def _members(self, request: Request, _: Any) -> Row:
        offset = int(request.query_params.get("offset", 0))
        page = PEOPLE[offset : offset + self.manner.team_page]
        rows = [self._user(person, long=True) for person in page]
        return {"members": rows, **self._metadata(len(PEOPLE), offset)}

    def _pipelines(self, request: Request, _: Any) -> Row:
        start = int(request.query_params.get("currPage", 0)) * self.manner.team_page
        page = STAGES[start : start + self.manner.team_page]
        rows = [{"hue": "#fff", "name": name, "id": str(BIG + STAGES.index(name))} for name in page]
        return {"pipelines": rows, **self._metadata(len(STAGES), start)}

    def _tags(self, *_: Any) -> Any:
        rows: list[Row] = [{"visibleType": 1, "tagName": name, "leadId": self.manner.definition} for name in TAGS]
        rows.append({"tagName": "whispered", "leadId": self.number(int(self.hidden)), "tagId": 12})
        return {"tags": rows} if self.manner.wrapped_tags else rows

    def _metadata(self, total: int, offset: int) -> Row:
        known = {"total": total} if self.manner.total else {}
        return {"_metadata": {"collection": "c", "offset": offset, **known}}

    def _lead(self, number: int) -> Row:
        # Ids and creation times rise together only by chance, and several leads share a moment.
        lead_id = BIG + 1_000 + 37 * number if number % 2 else 1_141_834_283_710_000 + 11 * number
        created = NOW - timedelta(hours=self.random.randrange(1, 90), minutes=30)
        tags: list[Any] = [tag for tag in TAGS if self.random.random() < 0.4]
        if number % 3 == 0:
            tags = [{"tagId": str(BIG + n), "creatorUserId": -1, "tagName": tag} for n, tag in enumerate(tags)]
        record: Row = {"leadId": lead_id, "firstName": f"Lead{number}", "lastName": f"Of{number % 7}", "tags": tags}
        record |= {"emails": [f"lead{number}@mail.example"], "phones": [f"+1 (206) 555-{1000 + number}"]}
        record |= {"stage": STAGES[number % 4], "hiddenFlag": False, "createTime": self._time(created)}
        record |= {"source": None if number % 4 else "Open House", "leadSource": -1, "score": -1, "birthday": ""}
        record |= {"ownershipId": -1, "lenderUserId": "-1", "pondId": 0, "leadTypes": [2], "sparkles": {"a": [None]}}
        record |= {"leadInquiry": {"bedroomsMin": "-1", "bathroomsMin": "-1", "priceMin": -1, "priceMax": None}}
        record |= {"customRoleList": [{"roleName": "?", "role": "Lender", "assigneeId": -1, "assignee": ""}]}
        if number % 2:
            record["score"] = 40 + number
        if number % 5:
            record["lastTouch"] = self._time(created + timedelta(hours=1))
        agent = PEOPLE[number % 4]
        record |= {"assignedUserId": self.number(agent.long), "assignedUser": agent.name}
        items = list(record.items())
        self.random.shuffle(items)
        return dict(items)

    def _give(self, lead_id: str, person: Person) -> None:
        self.leads[lead_id] |= {"assignedUserId": self.number(person.long), "assignedUser": person.name}

    def _shown(self, record: Row) -> Row:
        row = record | {"leadId": self.number(record["leadId"])}
        return row | self._serial()

    def _serial(self) -> Row:
        self.serials += 1
        return {"servedAs": self.serials} if self.manner.serial else {}

    def number(self, number: int) -> int | str:
        """An id in this account's manner."""
        return str(number) if self.manner.text_ids else number

    def _time(self, when: datetime) -> int | str:
        milliseconds = int(when.timestamp() * 1000)
        match self.manner.times:
            case "epoch":
                return milliseconds
            case "digits":
                return str(milliseconds)
            case "fraction":
                return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.123+0000")
        return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SGMT")

    def _list(self, request: Request, _: Any) -> Any:
        query = {name: value for name, value in request.query_params.items() if name not in self.manner.ignored}
        if query.get("stage", STAGES[0]) not in STAGES:
            return self.error(404, 20006)
        found = [row for row in self.leads.values() if _fits(row, query)]
        if self.manner.ordered:
            backwards = query.get("desc") == "true"
            found.sort(key=lambda row: _order(row, query.get("sort", "")), reverse=backwards)
        offset, limit = int(query.get("offset", 0)), self.manner.lead_page or int(query.get("limit", 25))
        page = _page(found, offset, limit, self.manner.past_end)
        return {"leads": [self._shown(row) for row in page], **self._metadata(len(found), offset)}

    def _get(self, request: Request, _: Any) -> Any:
        lead_id = request.path_params["id"]
        if lead_id in self.trash and request.query_params.get("withTrash") == "true":
            return {"lead": self._shown(self.trash[lead_id][0])}
        if (refusal := self.refusal(request, lead_id)) is not None:
            return refusal
        shown = self._shown(self.leads[lead_id])
        return shown if self.manner.bare_lead else {"took": 3, "lead": shown}

    def refusal(self, request: Request, lead_id: str) -> Response | None:
        """Why the caller does not get this lead or what hangs on it; None when it does."""
        record, caller = self.leads.get(lead_id), self.caller(request)
        if record is None or caller is None:
            return self.error(404, 20006)
        hers = str(record["assignedUserId"]) == str(caller.long)
        if not hers and record["lastName"] == "Underwhistle" and self.manner.foreign != "shown":
            return self.error(400, 20017) if self.manner.foreign == "refused" else self.error(404, 20006)
        return None

    def _put(self, request: Request, body: Any) -> Any:
        lead_id = request.path_params["id"]
        return self.refusal(request, lead_id) or self.carried_out(
            lambda: edit(self.leads[lead_id], body, self.manner.arrays), "leadId", int(lead_id)
        )

    def _assign(self, request: Request, body: Any) -> Any:
        lead_id = request.path_params["id"]
        given = next(p for p in PEOPLE if p.email == body[0]["assignee"])
        return self.refusal(request, lead_id) or self.carried_out(
            lambda: self._give(lead_id, given), "leadId", int(lead_id)
        )

    def _delete(self, request: Request, _: Any) -> Any:
        lead_id, reason = request.path_params["id"], request.query_params.get("reason", "")

        def bin_it() -> None:
            self.trash[lead_id] = (self.leads.pop(lead_id), reason)

        if not reason:
            return self.error(400, 20012)
        return self.refusal(request, lead_id) or self.carried_out(bin_it, "leadId", int(lead_id))

    def carried_out(self, change: Callable[[], object], name: str, number: int) -> Response:
        """Do it or not, as `write` says, and answer `number` under this name in the account's manner."""
        if self.write == "no change":
            return JSONResponse({"data": "no change"})
        if self.write != "nothing":
            change()
        if self.write == "lost":
            raise AnswerLost

        def named(value: object) -> Row:
            return {name: {"id": value} if name == "logType" else value}

        answers: dict[str, Response] = {
            "string": JSONResponse(named(str(number))),
            "number": JSONResponse(number),
            "empty": Response(b"", 200),
            "none": Response(status_code=204),
            "wrapped": JSONResponse({"code": 0, "message": "ok", "data": named(number)}),
        }
        return answers[self.manner.reply]

    def _busy(self, lead_id: str, count: int) -> range:
        return range(count if lead_id == self.busy else 0)

    def _site(self, request: Request, _: Any) -> list[Row]:
        rows: list[Row] = []
        for n in self._busy(request.path_params["id"], 47):
            at = int((NOW - timedelta(minutes=10 * (n // 3))).timestamp() * 1000)
            rows.append({"text": f"site-{n}.", "created": at, "type": "Browse", "listing": None, "link": ""})
        rows = rows if self.manner.newest_first else rows[::-1]
        pages = [rows[i : i + 20] for i in range(0, len(rows), 20)] or [[]]
        page = pages[min(int(request.query_params.get("curPage", 0)), len(pages) - 1)]
        return [row | self._serial() for row in page]

    def _talk(self, request: Request, _: Any) -> Row:
        rows: list[Row] = []
        for n in self._busy(request.path_params["id"], 34):
            at = (NOW - timedelta(minutes=7 * (34 - n))).strftime("%Y-%m-%dT%H:%M:%S.500-00:00")
            row: Row = {"note": f"talk-{n}.", "activityTime": at, "channel": ("Call", "Text", "Email")[n % 3]}
            rows.append(row | {"id": str(BIG + n), "leadId": request.path_params["id"], "mood": None})
        rows += self.desk.talk(request.path_params["id"])
        start = int(request.query_params.get("offset", 0))
        # At most ten, whatever is asked for; past the end the last ten come again.
        page = rows[start : start + 10] or rows[-10:]
        return {"activities": [row | self._serial() for row in page], "cursor": None}

    def _notes(self, request: Request, _: Any) -> Row:
        rows = []
        for n in self._busy(request.query_params["leadId"], 9):
            at = (NOW - timedelta(minutes=10 * n)).strftime("%Y-%m-%d %H:%M:%S")
            rows.append({"content": f"note-{n}. Tom &amp; Jo", "noteId": str(500 + n), "id": BIG + n, "createTime": at})
        rows += self.desk.notes(request.query_params["leadId"])
        return {"notes": rows[::2] + rows[1::2], "next": None}

    def _tasks(self, request: Request, _: Any) -> Row:
        rows = []
        for n in self._busy(request.query_params["leadId"], 5):
            at = (NOW - timedelta(hours=n)).isoformat()
            rows.append({"id": n + 1, "content": f"task-{n}.", "createTime": at, "endAt": "", "type": "Call"})
        return {"tasks": self.desk.tasks(request.query_params["leadId"]) + rows}

    def _logs(self, request: Request, _: Any) -> Row:
        rows: list[Row] = []
        for n in self._busy(request.query_params["leadId"], 23):
            at = int((NOW - timedelta(minutes=5 * n)).timestamp() * 1000)
            row: Row = {
                "timelineTime": str(at),
                "timelineTypeDesc": f"log-{n}.",
                "content": None,
                "id": str(BIG + 900 + n),
            }
            rows.append(row)
        start = int(request.query_params.get("pageNumber", 0)) * 10
        page = rows[start : start + 10] or rows[-10:]
        return {"timeLines": [row | self._serial() for row in page], "took": 1}


HISTORY = frozenset(
    [f"site-{n}." for n in range(47)]
    + [f"talk-{n}." for n in range(34)]
    + [f"note-{n}." for n in range(9)]
    + [f"task-{n}." for n in range(5)]
    + [f"log-{n}." for n in range(23)]
)
"""A word of every event of the busy lead."""


class Wire(httpx2.AsyncBaseTransport):
    """The network: carries requests to the application, and loses the answers that it loses."""

    def __init__(self, lofty: OtherLofty) -> None:
        self._inner = httpx2.ASGITransport(app=lofty.app())

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Carry one request."""
        try:
            return await self._inner.handle_async_request(request)
        except AnswerLost as lost:
            raise httpx2.ReadError("connection reset", request=request) from lost


def _names(row: Row) -> set[str]:
    return {tag["tagName"] if isinstance(tag, dict) else tag for tag in row["tags"]}


def _fits(row: Row, query: dict[str, str]) -> bool:
    name = f"{row['firstName']} {row['lastName']} {row['emails'][0]}".lower()
    digits = "".join(c for c in row["phones"][0] if c.isdigit())[1:]
    any_tags, all_tags = query.get("anyTags"), query.get("allTags")
    return (
        query.get("key", "").lower() in name
        and query.get("email", row["emails"][0]) == row["emails"][0]
        and query.get("phone", digits) == digits
        and query.get("stage", row.get("stage")) == row.get("stage")
        and query.get("source", row.get("source")) == row.get("source")
        and query.get("assignedUserId", str(row["assignedUserId"])) == str(row["assignedUserId"])
        and (any_tags is None or bool(_names(row) & set(any_tags.split(","))))
        and (all_tags is None or _names(row) >= set(all_tags.split(",")))
    )


def _order(row: Row, sort: str) -> tuple[Any, ...]:
    return (row.get("score", -1) if sort == "Score" else str(row["createTime"]), row["leadId"])


def _page(rows: list[Row], offset: int, limit: int, past_end: str) -> list[Row]:
    if past_end == "clamp":
        offset = max(0, min(offset, len(rows) - limit))
    elif offset >= len(rows) and past_end == "restart":
        offset = 0
    elif offset >= len(rows) and past_end == "repeat":
        offset = max(0, (len(rows) - 1) // limit * limit)
    return rows[offset : offset + limit]
