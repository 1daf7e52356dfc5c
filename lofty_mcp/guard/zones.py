"""Which clocks a person may live by, as far as a state's name tells. Pure; the data come with the package.

States and provinces are in states.toml, countries in the zone.tab of the `tzdata` package. Clocks are read from that
package too: the tables and the rules for daylight saving are then of one release on every machine.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

NORTH_AMERICA = ("US", "CA")
TERRITORIES = ("AS", "GU", "MP", "PR", "VI")
"""Countries of zone.tab that are states to Lofty."""


def zones_of(states: Iterable[str], account_zone: str) -> frozenset[str]:
    """Every zone of these states; if there is none, or one that nobody can read, those of the account's country too.

    States are read for accounts in the United States and Canada; elsewhere their short names mean other places.
    """
    known = states_and_zones() if country_of(account_zone) in (*NORTH_AMERICA, None) else {}
    found = [known.get(folded(state)) for state in states]
    zones = frozenset[str]().union(*(one for one in found if one))
    return zones if found and all(found) else zones | zones_around(account_zone)


def zones_around(account_zone: str) -> frozenset[str]:
    """The zones of the account's country: of both the United States and Canada where its zone tells none."""
    country = country_of(account_zone)
    wanted = (country,) if country else NORTH_AMERICA
    own = {account_zone} if account_zone in countries() else set()
    return frozenset(zone for zone, named in countries().items() if named in wanted) | own


def country_of(zone: str) -> str | None:
    """The country (ISO 3166) that a zone of zone.tab lies in; None for old names, UTC and what is no zone."""
    country = countries().get(zone)
    return "US" if country in TERRITORIES else country


def local_time(now: datetime, zone: str) -> datetime:
    """The moment `now` on the clocks of `zone`."""
    return now.astimezone(_clock(zone))


def folded(name: str) -> str:
    """A name without what people vary: case, accents, full stops and commas, hyphens and spaces."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name).casefold() if not unicodedata.combining(c))
    return " ".join(re.sub(r"[\s_‐-―-]+", " ", re.sub(r"[.,'‘’ʻ]", "", plain)).split())


@cache
def states_and_zones() -> dict[str, frozenset[str]]:
    """The zones of each state and province, by every folded name it goes by."""
    read = tomllib.loads((files(__package__) / "states.toml").read_text(encoding="utf-8"))
    return {
        folded(name): frozenset(state["zones"])
        for country in NORTH_AMERICA
        for code, state in read[country].items()
        for name in (code, *state["names"])
    }


@cache
def countries() -> dict[str, str]:
    """The country of each zone that zone.tab lists."""
    table = (files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in table.splitlines() if line and not line.startswith("#")]
    return {row[2]: row[0] for row in rows}


@cache
def _clock(zone: str) -> ZoneInfo:
    with files("tzdata").joinpath("zoneinfo", *zone.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=zone)
