"""The demo's steps, which say what they did only after looking where it took effect.

What a step says is compared with the sandbox's own record, read past our server, so that the story cannot come out
right by a mistake that both share.
"""

from datetime import datetime

from lofty_mcp.demo import AGENT, Result, Scene, Step, StepFailed, call, demand, text_of
from lofty_mcp.ledger.sqlite import SqliteLedger

TAG = "VIP"
FROM, TO, FURTHER = "Contacted", "Qualified", "Under Contract"


async def who(scene: Scene) -> list[str]:
    """The server knows whose eyes it uses."""
    me = await call(scene.ana, "who_am_i")
    account = me["account"]
    demand(account["email"] == AGENT and me["viewer_known"], "the server does not know whose eyes it uses")
    asked = ", ".join(me["asks_before"])
    return [f"{account['name']}, {account['role']} at {account['company']}; a person is asked before: {asked}"]


async def search(scene: Scene) -> list[str]:
    """A search gives what it was asked for."""
    found = await call(scene.ana, "search_leads", assigned_to="me", stage=FROM, sort="last_contact", limit=3)
    rows = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    demand(bool(rows), "the search found nobody")
    for row in rows:
        _, record = await scene.record(row["lead_id"])
        fits = record["stage"] == FROM and record["assignedUser"] == scene.members[AGENT]["name"]
        demand(fits, "the search found a lead that does not fit it")
    scene.lead_id, scene.name = rows[0]["lead_id"], rows[0]["name"]
    return [f"{row['name']}, last touched {row['last_touch']}" for row in rows]


async def lead(scene: Scene) -> list[str]:
    """A lead reads as in Lofty."""
    shown = await call(scene.ana, "get_lead", lead_id=scene.lead_id)
    _, record = await scene.record(scene.lead_id)
    same = shown["first_name"] == record["firstName"] and shown["stage"] == record["stage"]
    demand(same, "the lead reads differently from the record")
    wanted = shown.get("inquiry", {})
    price = f", looks for {wanted['property_type'][0]} up to ${wanted['price_max']:,}" if "price_max" in wanted else ""
    return [f"{shown['name']}: {shown['stage']}, from {shown['source']}{price}"]


async def timeline(scene: Scene) -> list[str]:
    """What happened, newest first."""
    told = await call(scene.ana, "get_timeline", lead_id=scene.lead_id, limit=3)
    rows = [dict(zip(told["columns"], row, strict=True)) for row in told["rows"]]
    demand(bool(rows), "the timeline is empty")
    times = [datetime.fromisoformat(row["at"]) for row in rows]
    demand(times == sorted(times, reverse=True), "the timeline is not newest first")
    return [f"{row['at'][:16]}  {row['kind']:<6}  {row['text']}" for row in rows]


async def tag(scene: Scene) -> list[str]:
    """A tag that the account has is added without a question, and the others stay."""
    before = _tags((await scene.record(scene.lead_id))[1])
    result = await call(scene.ana, "add_tag", lead_ids=[scene.lead_id], tags=[TAG])
    after = _tags((await scene.record(scene.lead_id))[1])
    demand(result["status"] == "done" and after == before | {TAG}, "the tag was not added, or another one was lost")
    demand(not scene.person.questions, "somebody was asked about a tag that the account has")
    return [f"{scene.name} now has the tag {TAG}; nobody needed to be asked"]


async def stage_move(scene: Scene) -> list[str]:
    """A stage move is asked about: a no leaves everything as it was, a yes does it."""
    move = {"lead_ids": [scene.lead_id], "stage": TO}
    declined = await call(scene.ana, "update_stage", **move)
    demand(len(scene.person.questions) == 1, "nobody was asked about the stage move")
    demand(declined["status"] == "declined" and await scene.stage() == FROM, "a no did not stop the stage move")
    scene.person.answers.append(True)
    done = await call(scene.ana, "update_stage", **move)
    demand(len(scene.person.questions) == 2, "an earlier answer was taken for a new one")
    demand(done["status"] == "done" and await scene.stage() == TO, "a confirmed stage move was not carried out")
    return [
        *(f"asked    {line}" for line in scene.person.questions[0].splitlines()),
        f"no       {declined['note'].split('.')[0]}; read again, the stage is still {FROM}",
        f"yes      confirmed; read again, the stage is now {TO}",
    ]


async def two_steps(scene: Scene) -> list[str]:
    """A client that cannot be asked gets a preview and a code; the code works once."""
    move: Result = {"lead_ids": [scene.lead_id], "stage": FURTHER}
    async with scene.server(AGENT) as client:
        shown = await call(client, "update_stage", **move)
        demand(shown["status"] == "confirmation_required" and await scene.stage() == TO, "a preview changed the stage")
        move["confirmation"] = shown["confirmation"]
        done = await call(client, "update_stage", **move)
        demand(done["status"] == "done" and await scene.stage() == FURTHER, "the code did not carry out the stage move")
        updated = (await scene.record(scene.lead_id))[1]["lastUpdateTime"]
        again = await call(client, "update_stage", **move)
    once = again.get("replayed") is True and (await scene.record(scene.lead_id))[1]["lastUpdateTime"] == updated
    demand(once, "the same code moved the stage a second time")
    return [
        *(f"preview  {line}" for line in shown["preview"].splitlines()),
        f"code     {shown['confirmation']}: confirmed, the stage is now {FURTHER}",
        "again    the same code tells what was done; nothing is done twice",
    ]


async def hidden_lead(scene: Scene) -> list[str]:
    """A hidden lead is there for its agent, and for a colleague it is what never existed is: not there."""
    lead_id, colleague = await _secret(scene)
    never = str(int(lead_id) + 1)
    demand((await scene.record(never))[0] == 404, "the id that should never have existed does")
    async with scene.server(colleague["email"]) as client:
        refused = await client.call_tool("get_lead", {"lead_id": lead_id})
        unknown = await client.call_tool("get_lead", {"lead_id": never})
    demand(refused.is_error is True, "a colleague was shown the hidden lead")
    demand(text_of(refused) == text_of(unknown), "a hidden lead is refused in other words than one that never existed")
    shown = await call(scene.ana, "get_lead", lead_id=lead_id)
    demand(shown["lead_id"] == lead_id, "its own agent is not shown the hidden lead")
    return [
        f"colleague  {colleague['name']}, {colleague['role']}: {text_of(refused).split('.')[0]}",
        "           (the words for an id that never existed; the sandbox itself would have shown the lead)",
        f"agent      {scene.members[AGENT]['name']}: {shown['name']}, {shown['stage']}",
    ]


async def _secret(scene: Scene) -> tuple[str, dict[str, str]]:
    """A hidden lead of the agent's, and a colleague to whom the sandbox itself gives it away."""
    for row in scene.hidden:
        for email, member in scene.members.items():
            if row["agent"] == AGENT != email and (await scene.record(row["lead_id"], email))[0] == 200:
                return row["lead_id"], member
    raise StepFailed("the sandbox gives no hidden lead away, so nothing would be shown by this step")


async def audit(scene: Scene) -> list[str]:
    """Each round has left one line, without names and ids."""
    ledger = await SqliteLedger.open(scene.state_dir / "ledger.db")
    try:
        lines = await ledger.audited()
    finally:
        await ledger.close()
    line = next((line for line in lines if (line.decision, line.outcome) == ("accepted", "applied")), None)
    if line is None or line.tool != "update_stage":
        raise StepFailed("the confirmed stage move has no line in the audit log")
    demand(scene.lead_id not in repr(lines) and scene.name not in repr(lines), "the audit log names a lead")
    when = datetime.fromtimestamp(line.at).astimezone().isoformat(timespec="seconds")
    words = f"{line.tool} effect={line.effect} decision={line.decision} outcome={line.outcome}"
    return [f"{when} {words} lead={line.leads[0]} {line.duration_ms:.0f} ms"]


def _tags(record: Result) -> set[str]:
    return {tag["tagName"] for tag in record["tags"]}


STEPS: tuple[Step, ...] = (
    ("who am I", who),
    ("search: my leads in one stage, the last contact first", search),
    ("lead: the first of them", lead),
    ("timeline: what happened to that lead", timeline),
    ("tag: an addition, not asked about", tag),
    ("stage: a move, and how it is confirmed", stage_move),
    ("stage: the same for a client that cannot be asked", two_steps),
    ("hidden lead: not there for a colleague, there for its agent", hidden_lead),
    ("audit: what the log keeps of the confirmed move", audit),
)
