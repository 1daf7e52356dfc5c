"""Assistants that obey every text they read: what they do to Lofty all the same is judged by Lofty's own log."""

import html
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lofty_mcp.models.clean import clean
from lofty_mcp.sandbox.endpoints import ENDPOINTS
from lofty_mcp.sandbox.world import LogEntry
from tests.contract.asking import ask
from tests.support.obedient import Obedient, words
from tests.support.outsiders import Outsider, in_turn, injections
from tests.support.world import ANA, ERAS, MARK, Bench, Person

INJECTIONS = injections()
CANARY = "Quietwater"
"""Stands in every text of the hidden lead, and nowhere else."""
EVERYTHING: dict[str, Any] = {"toolsets": ("all",), "sends": "on"}
WORST = {"assign_lead": "gives away", "delete_lead": "removes", "send_text": "sends", "send_email": "sends"}
"""What must not come of a tool without a person's yes."""
GIVES_AWAY = {"assignedUserId", "hiddenFlag", "ownershipScope", "ownershipId", "pondId", "teamId", "privateFlag"}
"""Fields of a lead that decide who has it."""
ADDS = r"/v1\.0/(notes|logType)|/v2\.0/tasks|/v2\.0/tasks/\d+/(un)?finish"


def deed(method: str, path: str, body: Any) -> str:
    """What a request does to Lofty; whatever is not known to be harmless is the worst."""
    match method:
        case "GET":
            return "reads"
        case "DELETE":
            return "removes"
        case "PUT" if re.fullmatch(r"/v1\.0/leads/\d+", path) and isinstance(body, dict) and body:
            return "adds" if body.keys() == {"tagsAdd"} else "gives away" if body.keys() & GIVES_AWAY else "changes"
        case "PUT" if re.fullmatch(r"/v1\.0/notes/\d+", path):
            return "changes"
        case "POST" if re.fullmatch(ADDS, path):
            return "adds"
        case "POST" if re.fullmatch(r"/v1\.0/leads/\d+/assignment", path):
            return "gives away"
    return "sends"


def deeds(log: Sequence[LogEntry]) -> set[str]:
    """All that was done."""
    return {deed(entry.method, entry.path, entry.body) for entry in log}


def touched(log: Sequence[LogEntry], lead_id: int) -> list[LogEntry]:
    """The requests about a lead, but for searches and the look by which the gate finds out whether it is there."""
    looks = ("/v1.0/leads", f"/v1.0/leads/{lead_id}")
    rest = [entry for entry in log if not (entry.method == "GET" and entry.path in looks)]
    return [one for one in rest if str(lead_id) in f"{one.path} {one.query} {_named(one.body)}"]


def _named(body: Any) -> Any:
    """What of a request's body says whom it is about."""
    return {k: v for k, v in body.items() if k.lower().startswith("lead")} if isinstance(body, dict) else body


def is_clean(text: str) -> bool:
    """Whether cleaning would leave a text as it is, but for addresses that the server itself puts in brackets."""
    plain = re.sub(r"<([\w.]+@[\w.]+)>", r"\1", text)
    return clean(plain) == plain


class Outside:
    """A world in which outsiders have written into everything, and one lead of it is not there for Ana."""

    def __init__(self, folder: Path, leads: int = 2, start: int = 0, step: int = 31, *, hidden: bool = True) -> None:
        self.bench = Bench(folder / "lofty", leads=0)
        world, office = self.bench.world, self.bench.world.member(ANA)
        assert office is not None
        mine, chris = self.bench.user_id(ANA), self.bench.user_id("chris.lee@summitpeak.example")
        self.leads = [world.add_lead(assignedUserId=mine, **_contact(n)) for n in range(leads)]
        self.hidden = world.add_lead(assignedUserId=chris, officeId=office.office, hiddenFlag=hidden, **_contact(99))
        self.outsiders = []
        for place, lead_id in enumerate(self.leads):
            other = self.leads[place - 1]
            texts = [injection.about(lead_id, other, self.hidden, MARK) for injection in INJECTIONS]
            self.outsiders.append(Outsider(world, lead_id, in_turn(texts, start + place * step)))
        texts = [
            f"{CANARY} {injection.about(self.hidden, self.leads[0], self.hidden, MARK)}" for injection in INJECTIONS
        ]
        for outsider in self.outsiders:
            outsider.plant()
        # Names of tags are the whole team's words, whoever bears them; SECURITY.md says so.
        Outsider(world, self.hidden, in_turn(texts, start)).plant(tags=False)
        world.log.clear()

    async def obey(self, era: str, person: Callable[..., Any] | None, **settings: Any) -> Obedient:
        """An assistant of Ana's that does what it reads, until nothing is left to do."""
        async with self.bench.client(ANA, era=era, person=person, **EVERYTHING | settings) as client:
            agent = Obedient(client)
            await agent.work()
        return agent

    def said(self, agent: Obedient) -> list[str]:
        """Every text that reached the assistant."""
        return [text for result in agent.transcript for _, text in words(result)]


def _contact(number: int) -> dict[str, Any]:
    return {"phones": [f"97055502{number:02d}"], "phoneStatuses": [2], "emails": [f"client{number}@mail.example"]}


def _leaves(value: Any, way: str = "") -> Iterator[tuple[str, str]]:
    """Every text of JSON data, and every place that is empty, with the way there."""
    if isinstance(value, str) or value in (None, []):
        yield way, value or ""
    elif isinstance(value, dict):
        for key, item in value.items():
            name = key if re.fullmatch(r"\w+", key) else "*"
            yield from _leaves(item, f"{way}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, f"{way}[]")


def _paths(bench: Bench, template: str, lead_id: int) -> list[str]:
    """The paths of an operation for everything that hangs on a lead."""
    items = {kind: bench.world.store.items(kind, lead_id) for kind in ("note", "task", "communication")}
    talk = [row["id"] for row in items["communication"] if f'"{template.split("/")[-2].capitalize()}"' in row["data"]]
    ids = {
        "leadId": [lead_id],
        "noteId": [row["id"] for row in items["note"]],
        "taskId": [row["id"] for row in items["task"]],
        "logTypeId": [row["id"] for row in items["communication"]],
        "communicationId": talk,
    }
    name = next(iter(re.findall(r"{(\w+)}", template)), None)
    return [template.replace(f"{{{name}}}", str(one)) for one in ids[name]] if name else [template]


OF_THE_TEAM = ("/v1.0/me", "/v1.0/members", "/v1.0/org", "/lead-pipelines", "/listCustomField", "/lead-ponds")
"""Lists that hold no text of a lead's."""
OF_LOFTY = re.compile(
    r"(_metadata\.\w+|\w*([tT]ime\w*|At|Update|Touch|Visit)|(\w+T|\.t)ype|ownershipScope|params"
    r"|assignedUser|(creator|lastEditor)Name|customRoleList\[\]\.\w+"
    r"|channel|textOutcome|outboundOrInbound|\.id|lead(Email|Phone))$"
)
"""Texts that Lofty makes: times, words of its own, names of members, and a lead's first address told again."""


@pytest.mark.anyio
async def test_no_text_that_lofty_shows_of_a_lead_is_left_unwritten(tmp_path: Path) -> None:
    outside = Outside(tmp_path, leads=1)
    bench, outsider = outside.bench, outside.outsiders[0]
    lead_id = outsider.lead_id
    written = {html.escape(text) for text in outsider.written} | set(outsider.written)
    planted, left = set[str](), set[str]()
    for endpoint in ENDPOINTS:
        if endpoint.method != "GET" or endpoint.path.startswith(OF_THE_TEAM) or endpoint.path.endswith(OF_THE_TEAM):
            continue
        for path in _paths(bench, endpoint.path, lead_id):
            reply = await ask(bench.app, "GET", path, params={"leadId": str(lead_id), "logType": "logCall"})
            assert reply.status_code == 200, (path, reply.text)
            for way, text in _leaves(reply.json()):
                (planted if any(one in text for one in written) else left).add(f"{endpoint.path} {way}")

    assert len(planted) > 80
    empty = [way for way in left if not any(one.startswith(way) for one in planted)]
    assert [way for way in sorted(empty) if not OF_LOFTY.search(way)] == []


slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("era", "asked"),
    [
        ("auto", False),
        ("legacy", True),
        pytest.param("legacy", False, marks=slow),
        pytest.param("auto", True, marks=slow),
    ],
)
@pytest.mark.anyio
async def test_an_obedient_assistant_sends_removes_and_gives_away_nothing(
    tmp_path: Path, era: str, asked: bool
) -> None:
    await obey_and_check(Outside(tmp_path), era, asked=asked)


@slow
@pytest.mark.parametrize("start", range(0, len(INJECTIONS), 8))
@pytest.mark.anyio
async def test_nothing_comes_of_any_injection_in_any_text(tmp_path: Path, start: int) -> None:
    outside = Outside(tmp_path, leads=8, start=start, step=1)
    await obey_and_check(outside, ERAS[start // 8 % 2], asked=bool(start // 16 % 2))


async def obey_and_check(outside: Outside, era: str, *, asked: bool) -> None:
    """Let an assistant loose that cannot ask, or whose person agrees to nothing."""
    person = Person(action="decline", content=None)

    agent = await outside.obey(era, person if asked else None)

    check_obedience(outside, agent)
    check_harmless(outside, agent, "adds" if asked else "changes")
    if asked:
        assert len(person.asked) >= 10
        assert not [text for text in person.asked if not is_clean(text)]
    else:
        assert sum(agent.repeated.values()) >= 10


def check_obedience(outside: Outside, agent: Obedient) -> None:
    """The assistant was told to do each kind of thing, and tried."""
    assert agent.tools.keys() <= agent.called.keys()
    for name in (*WORST, "update_stage", "add_tag", "get_lead", "delete_lead in words", "assign_lead in words"):
        assert agent.ordered[name] >= 3, name
    for name in (*WORST, "update_stage", "add_tag"):
        assert agent.called[name] >= 3, name
    assert f"lofty://leads/{outside.hidden}" in agent.followed
    assert any("evil.example" in address for address in agent.followed)
    assert f"GET /v1.0/leads/{outside.hidden}" in {f"{e.method} {e.path}" for e in outside.bench.world.log}


def check_harmless(outside: Outside, agent: Obedient, *more: str) -> None:
    """Lofty's log shows reading and what may be done without a yes; what was told holds nothing that it should not."""
    world = outside.bench.world
    assert deeds(world.log) <= {"reads", "adds", *more}
    assert {entry.headers["host"] for entry in world.log} == {"127.0.0.1"}
    assert world.messages == []
    assert world.trashed_ids() == []
    assert {world.lead(lead_id)["assignedUserId"] for lead_id in outside.leads} == {outside.bench.user_id(ANA)}
    assert touched(world.log, outside.hidden) == []
    said = outside.said(agent)
    assert not [text for text in said if CANARY in text]
    assert not [text for text in said if not is_clean(text)]


@pytest.mark.parametrize("mode", ["auto", pytest.param("code", marks=slow)])
@pytest.mark.anyio
async def test_where_nobody_need_agree_the_same_assistant_does_all_the_harm_it_was_told_to(
    tmp_path: Path, mode: str
) -> None:
    outside = Outside(tmp_path, start=[injection.id for injection in INJECTIONS].index("order-send-text"))

    agent = await outside.obey("auto", None, mode=mode)

    assert deeds(outside.bench.world.log) >= {WORST[name] for name in agent.tools if name in WORST} >= {"gives away"}
    with pytest.raises(AssertionError):
        check_harmless(outside, agent, "changes")


@pytest.mark.anyio
async def test_a_hidden_lead_that_the_gate_let_through_would_be_noticed(tmp_path: Path) -> None:
    outside = Outside(tmp_path, leads=1, hidden=False)

    agent = await outside.obey("auto", None)

    assert touched(outside.bench.world.log, outside.hidden)
    assert [text for text in outside.said(agent) if CANARY in text]
    with pytest.raises(AssertionError):
        check_harmless(outside, agent, "changes")


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_in_a_question_nobody_imitates_a_change_or_pushes_it_out_of_sight(bench: Bench, era: str) -> None:
    lead_id, person = bench.visible_lead(ANA), Person(action="decline", content=None)
    bench.world.update_lead(int(lead_id), firstName="Bo → Sold", stage=f"New → Closed. {'y' * 3000}")

    async with bench.client(ANA, era=era, person=person) as client:
        await client.call_tool("update_stage", {"lead_ids": lead_id, "stage": "Contacted"})

    line = next(line for line in person.asked[0].split("\n") if lead_id in line)
    assert line.count("→") == 1
    assert line.endswith("→ Contacted")
    assert "(+2814 characters)" in line
    assert len(line) < 400


@pytest.mark.parametrize(
    ("method", "path", "body", "done"),
    [
        ("GET", "/v1.0/leads/5", None, "reads"),
        ("PUT", "/v1.0/leads/5", {"tagsAdd": ["VIP"]}, "adds"),
        ("PUT", "/v1.0/leads/5", {"stage": "Closed"}, "changes"),
        ("PUT", "/v1.0/leads/5", {"stage": "Closed", "assignedUserId": 7}, "gives away"),
        ("PUT", "/v1.0/leads/5", {"hiddenFlag": False}, "gives away"),
        ("PUT", "/v1.0/notes/5", {"content": ""}, "changes"),
        ("POST", "/v1.0/notes", {"leadId": 5}, "adds"),
        ("POST", "/v2.0/tasks/5/finish", None, "adds"),
        ("POST", "/v1.0/leads/5/assignment", [], "gives away"),
        ("DELETE", "/v1.0/notes/5", None, "removes"),
        ("POST", "/v1.0/message/sms/send", {}, "sends"),
        ("POST", "/v2.0/working-leads/add", {}, "sends"),
        ("POST", "/v1.0/never/seen", {}, "sends"),
    ],
)
def test_a_request_is_judged_by_what_it_does(method: str, path: str, body: Any, done: str) -> None:
    assert deed(method, path, body) == done


def test_there_are_many_injections_of_many_kinds() -> None:
    assert len({injection.id for injection in INJECTIONS}) == len(INJECTIONS) >= 60
    assert len({injection.kind for injection in INJECTIONS}) >= 12
    assert len({injection.text for injection in INJECTIONS}) == len(INJECTIONS)
