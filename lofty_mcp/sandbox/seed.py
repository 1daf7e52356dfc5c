"""The seeded world: the same leads for the same number of leads, seed and time.

What is special about a lead follows from its position, so that a bigger world begins like a smaller one:

    0           the busy lead: 250 site activities, 40 communications, 12 notes
    n % 10      0-4 TEAM, 5-7 OFFICE, 8-9 PERSONAL
    n % 20 = 9  hidden; by turns shared with nobody, the assistant, the lender
    n % 50 = 18 privateFlag
    n % 40 = 33 in the trash
    n % 25 = 7  in a pond, of nobody
    n % 15 = 4  on do-not-contact, seven ways by turns
    n % 30 = 12 a hostile name; 22 hostile notes; 2 hostile text in the inquiry
    n % 40 = 11 in the stage that no list names
    n % 6 = 1   agreed to be texted, by a tag; n % 18 = 3 to be e-mailed, by a segment
    n % 9 = 2   a task of a smart plan
    n % 8       the state, from Hawaii to New York, and at 7 none

Only the first 2,000 leads have notes, activities, tasks and logs.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

from lofty_mcp.sandbox import texts
from lofty_mcp.sandbox.people import PONDS, STAGES, TEAM_ID, Member, stage_id
from lofty_mcp.sandbox.records import item_data, lead_row
from lofty_mcp.sandbox.store import Item
from lofty_mcp.sandbox.world import World

DAY = 86400
WITH_HISTORY = 2000
# Beyond 2**53 a JavaScript host loses the last digit.
BIG_IDS = {3: 2**53 + 1, 14: 2**53 + 3, 49: 2**53 + 5, 96: 2**53 + 7}
_STAGES = [name for _, name, listed in STAGES if listed and name != texts.DNC_TAG]


def fill(world: World, leads: int, seed: int) -> None:
    """Fill an empty world."""
    # One source of chance per layer: a bigger world then begins like a smaller one.
    rng, tag_rng, history_rng = (random.Random(seed + layer) for layer in range(3))  # noqa: S311 - the same for the same seed
    now = int(world.now.timestamp())
    owner = world.members[0].user_id
    tags = (*texts.TAGS, texts.DNC_TAG, texts.TEXT_CONSENT)
    tag_ids = [world.store.tag_id(name, owner, now - 500 * DAY) for name in tags]
    rows = [_lead(world, rng, now, place) for place in range(leads)]
    world.store.insert_leads(lead_row(row) for row in rows)
    world.store.insert_lead_tags(_tags(rows, tag_ids, tag_rng))
    world.store.insert_items(_history(world, history_rng, rows[:WITH_HISTORY]))
    world.busy_lead_id = rows[0]["leadId"] if rows else 0


def _agent(world: World, place: int) -> Member:
    agents = [member for member in world.members if member.role == "Agent"]
    return agents[(place + place // 20) % len(agents)]


def _lead(world: World, rng: random.Random, now: int, place: int) -> dict[str, Any]:
    agent = _agent(world, place)
    created = now - rng.randrange(3600, 400 * DAY)
    touched = None if place % 6 == 5 else rng.randrange(created, now)
    first, last = _name(rng, place)
    lead = {
        "leadId": BIG_IDS.get(place, 1_100_000_000_000_000 + place * 1_000_003 + rng.randrange(1000)),
        "firstName": first[:30],
        "lastName": last[:30],
        "stage": rng.choice(_STAGES) if place % 40 != 11 else "Past Client",
        "source": rng.choice(texts.SOURCES),
        "leadSource": -1 if place % 4 == 0 else rng.randrange(1, 30),
        "assignedUserId": agent.user_id,
        "officeId": agent.office,
        "createTime": created,
        "assignTime": created + 60,
        "lastUpdateTime": touched or created + 60,
        "lastTouch": touched,
        "lastVisit": None if place % 8 == 6 else rng.randrange(created, now),
        "score": rng.randrange(0, 100),
        "leadTypes": [rng.choice((1, 2, 2, 5, 6))],
        "segments": _segments(rng, place),
        "opportunity": rng.choice(("High Interest", "Sell", "Back to Site")) if place % 7 == 0 else None,
        "buyingTimeFrame": rng.choice(("0-3", "3-6", "12+", "N/A", "")),
        "state": texts.STATES[place % 8],
        **_ownership(world, agent, place),
        **_contact(rng, place),
        **_interest(rng, place),
    }
    return {**lead, **_special(lead, place)}


def _name(rng: random.Random, place: int) -> tuple[str, str]:
    usual = rng.choice(texts.FIRST), rng.choice(texts.LAST)
    if place % 20 == 9:
        turn = place // 20
        return texts.HIDDEN_FIRST[turn % len(texts.HIDDEN_FIRST)], texts.HIDDEN_LAST[turn % len(texts.HIDDEN_LAST)]
    return texts.HOSTILE_NAMES[place // 30 % len(texts.HOSTILE_NAMES)] if place % 30 == 12 else usual


def _segments(rng: random.Random, place: int) -> list[str]:
    if place % 9 == 0:
        return [rng.choice(texts.SEGMENTS)]
    return [texts.EMAIL_CONSENT] if place % 18 == 3 else []


def _ownership(world: World, agent: Member, place: int) -> dict[str, Any]:
    helpers = {member.role: member.user_id for member in world.members}
    if place % 25 == 7:
        pond = list(PONDS)[place // 25 % len(PONDS)]
        return {"assignedUserId": 0, "officeId": 0, "assignTime": None, "pondId": pond, "pondName": PONDS[pond]}
    if place % 20 == 9:
        shared: dict[str, Any] = ({}, {"assistantUserId": helpers["Assistant"]}, {"lenderUserId": helpers["Lender"]})[
            place // 20 % 3
        ]
        return {"hiddenFlag": 1, "ownershipScope": "PERSONAL", "ownershipId": agent.user_id, **shared}
    lender = {"lenderUserId": helpers["Lender"]} if place % 5 == 3 else {}
    if place % 10 < 5:
        return {"ownershipScope": "TEAM", "ownershipId": TEAM_ID, **lender}
    if place % 10 < 8:
        return {"ownershipScope": "OFFICE", "ownershipId": agent.office, **lender}
    return {
        "ownershipScope": "PERSONAL",
        "ownershipId": agent.user_id,
        "privateFlag": place % 50 == 18,
        "coordinatorUserId": helpers["Assistant"] if place % 3 == 0 else 0,
        **lender,
    }


def _contact(rng: random.Random, place: int) -> dict[str, Any]:
    phones = [f"970555{place % 10000:04d}"] if place < 10000 else [f"{3030000000 + place}"]
    if place % 11 == 0:
        phones.append(f"7205{place:06d}")
    provider = rng.choice(("mail.example", "post.example", "inbox.example"))
    emails = [] if place % 17 == 16 else [f"lead{place}@{provider}"]
    return {"phones": phones, "phoneStatuses": [2] * len(phones), "emails": emails}


def _interest(rng: random.Random, place: int) -> dict[str, Any]:
    city, code = rng.choice(texts.CITIES)
    low = rng.randrange(20, 60) * 10000
    where = {"stateCode": "CO", "city": city, "zipCode": code, "county": "", "streetAddress": "", "description": ""}
    if place % 30 == 2:
        where["description"] = texts.HOSTILE_NOTES[place // 30 % len(texts.HOSTILE_NOTES)]
    wanted = {
        "priceMin": -1 if place % 3 == 0 else low,
        "priceMax": -1 if place % 5 == 0 else low + 150000,
        "propertyType": ["Condo"] if place % 4 == 0 else ["Single Family Home"],
        "bedroomsMin": rng.randrange(1, 5),
        "bedroomsMax": -1,
        "bathroomsMin": "2",
        "bathroomsMax": "",
        "locations": [where],
    }
    if place % 3:
        return {"leadInquiry": wanted}
    house = {
        "id": 7_000_000 + place,
        "price": -1,
        "state": "CO",
        "city": city,
        "zipCode": code,
        "streetAddress": f"{place + 10} Oak Street",
        "propertyType": "Single Family Home",
        "bedrooms": 3,
        "bathrooms": 2.5,
        "squareFeet": 1850,
        "lotSize": -1,
        "floors": -1,
        "parkingSpace": -1,
        "mailAddress": False,
    }
    return {"leadInquiry": wanted, "leadPropertyList": [house]}


def _special(lead: dict[str, Any], place: int) -> dict[str, Any]:
    changes: dict[str, Any] = {"trashed": 1} if place % 40 == 33 else {}
    if place % 15 == 4:
        phones = len(lead["phones"])
        ways: tuple[dict[str, Any], ...] = (
            {"cannotText": True},
            {"cannotEmail": True},
            {"cannotCall": True},
            {"unsubscription": True},
            {"phoneStatuses": [4] * phones},
            {"phoneStatuses": [5] * phones},
            {"stage": texts.DNC_TAG},
        )
        changes |= ways[place // 15 % len(ways)]
    return changes


def _tags(rows: list[dict[str, Any]], tag_ids: list[int], rng: random.Random) -> Iterator[tuple[int, int, int]]:
    *usual, do_not_contact, text_consent = tag_ids
    for place, row in enumerate(rows):
        for tag_id in rng.sample(usual, place % 4):
            yield row["leadId"], tag_id, row["createTime"] + 120
        if place % 45 == 4:
            yield row["leadId"], do_not_contact, row["createTime"] + 240
        if place % 6 == 1:
            yield row["leadId"], text_consent, row["createTime"] + 360


def _history(world: World, rng: random.Random, rows: list[dict[str, Any]]) -> Iterator[Item]:
    for place, row in enumerate(rows):
        busy = place == 0
        for number in range(12 if busy else place % 4):
            yield _item(world, "note", row, rng, _note(world, rng, row, place, number))
        for _ in range(0 if row.get("pondId") else 250 if busy else place % 8):
            kind, text = rng.choice(texts.SITE)
            fields = {"type": kind, "text": text, "link": "https://homes.example/1", "pageName": "listing"}
            yield _item(world, "activity", row, rng, fields)
        for _ in range(40 if busy else place % 6):
            yield _item(world, "communication", row, rng, _communication(rng, row))
        for number in range(place % 3):
            kind = "Appointment" if number else "Call"
            fields = {"type": kind, "content": rng.choice(texts.TASKS), "creatorId": row["assignedUserId"]}
            finished = {"finishTime": "2026-01-05 17:00:00"} if place % 6 == 5 else {}
            planned = {"smartPlan": place % 9 == 2 and not number}
            yield _item(world, "task", row, rng, {**fields, **finished, **planned}, ahead=30 * DAY)
        yield from _logs(world, rng, row, place)


def _note(world: World, rng: random.Random, row: dict[str, Any], place: int, number: int) -> dict[str, Any]:
    hostile = place % 30 == 22 and number == 0
    content = texts.HOSTILE_NOTES[place // 30 % len(texts.HOSTILE_NOTES)] if hostile else rng.choice(texts.NOTES)
    author = row["assignedUserId"] or world.members[0].user_id
    return {"content": content, "creatorId": author, "isPin": number == 1, "systemNote": number == 2 and place % 2 == 1}


def _communication(rng: random.Random, row: dict[str, Any]) -> dict[str, Any]:
    channel = rng.choice(("Call", "Text", "Email"))
    common = {
        "agentId": row["assignedUserId"],
        "channel": channel,
        "communicationType": rng.choice(("Auto", "Manual", "Logged")),
        "direction": rng.choice(("Outbound", "Outbound", "Inbound")),
    }
    if channel == "Email":
        return {**common, "emailEventType": "Sent", "emailSubject": rng.choice(texts.EMAIL_SUBJECTS)}
    number = {"leadPhoneNumber": row["phones"][0]}
    if channel == "Call":
        return {**common, **number, "callingOutcome": rng.choice(texts.CALL_OUTCOMES)}
    return {**common, **number, "note": "Is the house on Oak Street still available?"}


def _logs(world: World, rng: random.Random, row: dict[str, Any], place: int) -> Iterator[Item]:
    agent = row["assignedUserId"]
    created = {"agentId": agent, "fromId": agent, "toId": row["leadId"]}
    yield "log", world.next_id("log"), row["leadId"], row["createTime"] * 1000, json.dumps(item_data("log", created))
    if place % 3 == 0:
        moved = {
            "timelineType": 3,
            "timelineTypeDesc": "Stage Changed",
            "agentId": agent,
            "fromId": stage_id("New Lead"),
            "fromType": 3,
            "toId": stage_id(row["stage"]),
            "toType": 3,
            "content": {"from": "New Lead", "to": row["stage"]},
        }
        yield _item(world, "log", row, rng, moved)


def _item(
    world: World, kind: str, row: dict[str, Any], rng: random.Random, fields: dict[str, Any], *, ahead: int = 0
) -> Item:
    """An item of a lead, up to 60 days old but not older than the lead, or due up to `ahead` seconds from now."""
    now = int(world.now.timestamp())
    first = min(max(now - 60 * DAY, row["createTime"]), now - 120)
    at = rng.randrange(first, now + max(ahead, -60)) * 1000
    return kind, world.next_id(kind), row["leadId"], at, json.dumps(item_data(kind, fields))
