"""who_am_i through a real client: whose eyes these are, what may be done, and nothing about the machine."""

import json
import re
from typing import Any

import pytest

from tests.support.world import ANA, ERAS, MARK, OWNER, Bench, data

CHRISTINA = "christina.lee@summitpeak.example"
PRIYA = "priya.nair@summitpeak.example"
WRITES = ["update_stage", "assign_lead", "add_tag", "remove_tag", "update_lead", "add_note", "log_communication"]
WRITES += ["create_task", "complete_task"]


async def _who(bench: Bench, email: str = ANA, era: str = "auto", **settings: Any) -> dict[str, Any]:
    async with bench.client(email, era=era, **settings) as client:
        return data(await client.call_tool("who_am_i", {}))


@pytest.mark.parametrize("era", ERAS)
async def test_who_am_i_tells_the_account_the_viewer_and_the_rules(bench: Bench, era: str) -> None:
    who = await _who(bench, era=era)

    assert who["account"] == {
        "name": "Ana Reyes",
        "email": ANA,
        "user_id": str(bench.user_id(ANA)),
        "role": "Agent",
        "admin": False,
        "office": "Front Range Office",
        "company": "Front Range Office",
        "team_id": "310244",
        "time_zone": "America/Denver",
    }
    assert who["viewer_known"] is True
    assert "viewer_note" not in who
    assert who["mode"] == "ask"
    assert who["toolsets"] == ["core"]
    assert who["may"] == ["search_leads", "get_lead", "get_timeline", *WRITES, "who_am_i"]
    assert who["asks_before"] == ["change"], "of the effects that the tools listed here have"
    assert who["sandbox"] is False
    assert re.fullmatch(r"\d+\.\d+\.\d+", who["version"])


@pytest.mark.parametrize("email", [OWNER, ANA, MARK, CHRISTINA, PRIYA])
async def test_every_member_is_known_as_themselves(bench: Bench, email: str) -> None:
    who = await _who(bench, email)

    assert who["account"]["email"] == email
    assert who["account"]["admin"] is (email == OWNER)
    assert who["viewer_known"] is True


@pytest.mark.parametrize(
    ("settings", "asks_before"),
    [
        ({"mode": "ask"}, ["change"]),
        ({"mode": "code", "ask_from": "add"}, ["add", "change"]),
        ({"ask_from": "send"}, []),
        ({"mode": "auto", "ask_from": "add"}, []),
        ({"mode": "read"}, []),
    ],
    ids=str,
)
async def test_what_is_asked_about_follows_from_the_settings(
    bench: Bench, settings: dict[str, str], asks_before: list[str]
) -> None:
    who = await _who(bench, **settings)

    assert who["asks_before"] == asks_before
    assert who["mode"] == settings.get("mode", "ask")
    assert (set(WRITES) <= set(who["may"])) is (who["mode"] != "read")


async def test_neither_tool_nor_resource_names_an_address_a_path_a_port_or_a_process(bench: Bench) -> None:
    async with bench.client() as client:
        told = [json.dumps(data(await client.call_tool("who_am_i", {})))]
        told.append((await client.read_resource("lofty://me")).contents[0].model_dump_json(exclude={"uri"}))

    for text in told:
        assert "http" not in text
        assert "127.0.0.1" not in text
        assert str(bench.state) not in text
        assert "/lofty" not in text.replace("lofty/untrusted", "")
        assert not re.search(r"(?i)\b(pid|port|process|host)\b", text)
        assert bench.world.key_of(ANA) not in text


async def test_who_am_i_counts_no_leads_and_tells_no_rate(bench: Bench) -> None:
    before = await _who(bench, OWNER)
    for _ in range(3):
        bench.world.add_lead(firstName="Hidden", hiddenFlag=True, assignedUserId=bench.user_id(OWNER))

    assert await _who(bench, OWNER) == before
    assert not re.search(r"(?i)\b(\w*_?count|limit|remaining|budget)\b", json.dumps(before).replace("account", ""))


async def test_who_am_i_asks_lofty_again_only_after_five_minutes(bench: Bench) -> None:
    async with bench.client() as client:
        first = data(await client.call_tool("who_am_i", {}))
        asked = len(bench.world.log)
        assert data(await client.call_tool("who_am_i", {})) == first
        assert len(bench.world.log) == asked
        bench.tick += 301
        assert data(await client.call_tool("who_am_i", {})) == first
        assert len(bench.world.log) > asked


async def test_an_organisation_that_is_not_ones_to_see_is_left_out(bench: Bench) -> None:
    bench.world.faults.next("GET", "/v1.0/org", "status=403", times=5)

    assert "company" not in (await _who(bench))["account"]
