"""Which clocks a state or a country goes by: the table beside the database of time zones, and names in any spelling."""

import tomllib
from datetime import UTC, datetime
from importlib.resources import files

import pytest

from lofty_mcp.guard.zones import (
    TERRITORIES,
    countries,
    country_of,
    folded,
    local_time,
    states_and_zones,
    zones_around,
    zones_of,
)

TABLE = tomllib.loads((files("lofty_mcp.guard") / "states.toml").read_text(encoding="utf-8"))
STATES = TABLE["US"] | TABLE["CA"]


def test_the_zones_of_the_table_are_all_those_of_both_countries() -> None:
    named = {zone for state in STATES.values() for zone in state["zones"]}
    assert named == {zone for zone, country in countries().items() if country in ("US", "CA", *TERRITORIES)}


def test_every_zone_has_clocks() -> None:
    now = datetime(2026, 6, 3, tzinfo=UTC)
    assert {zone for zone in countries() if local_time(now, zone).utcoffset() is None} == set()


def test_the_table_holds_the_states_the_district_the_territories_and_the_provinces() -> None:
    assert (len(TABLE["US"]), len(TABLE["CA"])) == (50 + 1 + len(TERRITORIES), 13)
    names = [folded(name) for code, state in STATES.items() for name in (code, *state["names"])]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("state", "zones"),
    [
        ("AZ", {"America/Phoenix", "America/Denver"}),
        ("FL", {"America/New_York", "America/Chicago"}),
        ("TX", {"America/Chicago", "America/Denver"}),
        ("ID", {"America/Boise", "America/Los_Angeles"}),
        ("OR", {"America/Los_Angeles", "America/Boise"}),
        ("NE", {"America/Chicago", "America/Denver"}),
        ("KS", {"America/Chicago", "America/Denver"}),
        ("SD", {"America/Chicago", "America/Denver"}),
        ("TN", {"America/New_York", "America/Chicago"}),
        ("MI", {"America/Detroit", "America/Menominee"}),
        ("HI", {"Pacific/Honolulu"}),
        ("PR", {"America/Puerto_Rico"}),
    ],
)
def test_a_state_has_the_zones_of_all_its_parts(state: str, zones: set[str]) -> None:
    assert zones_of([state], "America/New_York") == zones


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("co", "CO"),
        (" Colorado ", "CO"),
        ("NEW-YORK", "NY"),
        ("new  york", "NY"),
        ("N.Y.", "NY"),
        ("Washington, D.C.", "DC"),
        ("District of Columbia", "DC"),
        ("Hawai‘i", "HI"),
        ("Québec", "QC"),
        ("P.E.I.", "PE"),
        ("Newfoundland & Labrador", "NL"),
        ("ＴＸ", "TX"),
    ],
)
def test_a_state_is_known_by_code_or_name_in_any_spelling(written: str, code: str) -> None:
    assert states_and_zones()[folded(written)] == frozenset(STATES[code]["zones"])


@pytest.mark.parametrize(
    ("zone", "country"),
    [
        ("America/Denver", "US"),
        ("Pacific/Honolulu", "US"),
        ("America/Puerto_Rico", "US"),
        ("America/Toronto", "CA"),
        ("America/Mexico_City", "MX"),
        ("UTC", None),
        ("US/Mountain", None),
        ("EST", None),
        ("", None),
        ("../../etc/passwd", None),
    ],
)
def test_the_country_of_an_account_is_that_of_its_zone(zone: str, country: str | None) -> None:
    assert country_of(zone) == country


def test_where_the_state_is_unknown_the_whole_country_counts() -> None:
    american, canadian = zones_around("America/Denver"), zones_around("America/Toronto")
    assert {"America/New_York", "Pacific/Honolulu", "America/Adak"} <= american
    assert {"America/St_Johns", "America/Whitehorse"} <= canadian
    assert not american & canadian
    assert zones_around("UTC") == zones_around("US/Mountain") == american | canadian
    assert zones_around("America/Puerto_Rico") == american | {"America/Puerto_Rico"}
    assert zones_of([], "America/Toronto") == canadian
    assert zones_of(["CO", "Atlantis"], "America/Toronto") == canadian | {"America/Denver"}


def test_a_short_name_means_a_state_only_in_north_america() -> None:
    assert zones_of(["WA"], "Australia/Sydney") == zones_around("Australia/Sydney")
    assert zones_of(["WA"], "UTC") == {"America/Los_Angeles"}
