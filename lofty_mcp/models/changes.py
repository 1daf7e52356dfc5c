"""What may be changed of a lead, under our names and under Lofty's. Pure."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

from lofty_mcp.errors import InvalidInput
from lofty_mcp.models.clean import line
from lofty_mcp.models.leads import LEAD_TYPES, QUALIFICATION, LeadRecord, plain

How = Literal["replace", "add", "only_if_empty"]
LeadType = Literal["Seller", "Buyer", "Renter", "Investor", "Agent", "Homeowner", "Landlord", "Other"]
Qualification = Literal[
    "buying_time_frame",
    "selling_time_frame",
    "pre_qual",
    "house_to_sell",
    "fthb",
    "with_buyer_agent",
    "mortgage",
    "buy_house",
    "with_listing_agent",
]
Channel = Literal["call", "text", "email", "newsletters"]
LISTS = ("emails", "phones", "lead_types")
"""The fields that can be added to."""
FLAGS: Mapping[Channel, str] = {
    "call": "cannot_call",
    "text": "cannot_text",
    "email": "cannot_email",
    "newsletters": "unsubscription",
}
"""What a lead's record has for each way of contact that is no longer allowed."""
TIME_FRAMES = ("1-3", "3-6", "6-12", "12+", "Just Looking", "Refinancing")
"""Lofty's words for how many months away (reference §8.4)."""
LONGEST_WORDS = 100
EMPTY: tuple[Any, ...] = (None, "", [])
BATHROOMS = ("bathrooms_min", "bathrooms_max")
_NUMBERS = {word: number for number, word in LEAD_TYPES.items()}
assert set(get_args(Qualification)) == set(QUALIFICATION)  # nosec B101 # noqa: S101 - one list in two forms


def _one_line(text: str) -> str:
    if not text or line(text) != text or len(text) > LONGEST_WORDS:
        raise ValueError(f"give plain text on one line, up to {LONGEST_WORDS} characters")
    return text


def _up_to(most: int) -> AfterValidator:
    def check(number: float) -> float:
        if not 0 <= number <= most:
            raise ValueError(f"give a number from 0 to {most}")
        return number

    return AfterValidator(check)


Words = Annotated[str, AfterValidator(_one_line)]
Price = Annotated[int, _up_to(10**9)]
Rooms = Annotated[int, _up_to(100)]


class Location(BaseModel):
    """A place that a lead looks at."""

    model_config = ConfigDict(extra="forbid")

    city: Words | None = None
    state_code: Words | None = None
    zip_code: Words | None = None

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise ValueError("name a city, a state_code or a zip_code")
        return self


class InquiryChange(BaseModel):
    """What of an inquiry changes; what is not given stays."""

    model_config = ConfigDict(extra="forbid")

    price_min: Price | None = None
    price_max: Price | None = None
    bedrooms_min: Rooms | None = None
    bedrooms_max: Rooms | None = None
    bathrooms_min: Annotated[float, _up_to(100)] | None = None
    bathrooms_max: Annotated[float, _up_to(100)] | None = None
    property_type: list[Words] | None = None
    locations: list[Location] | None = None


def current(lead: LeadRecord, field: str) -> Any:
    """The value of a field as it stands, under our name."""
    group, _, name = field.partition(".")
    match group:
        case "inquiry":
            return inquiry_of(lead).get(name)
        case "lead_types":
            return lead.types
        case _:
            return getattr(lead, name or group)


def wanted(lead: LeadRecord, field: str, value: Any, how: How) -> Any:
    """The value that a field is to have in the end."""
    held = current(lead, field)
    if how == "only_if_empty" and held not in EMPTY:
        return held
    if field not in LISTS:
        return value
    given: dict[Any, Any] = {}
    for one in value:
        given.setdefault(_key(field, one), one)
    if how == "add":
        known = {_key(field, one) for one in held}
        return [*held, *(one for key, one in given.items() if key not in known)]
    # What stays keeps Lofty's spelling, since what Lofty knows of a number hangs on it.
    return [kept for key, one in given.items() for kept in [own for own in held if _key(field, own) == key] or [one]]


def same(field: str, value: Any, held: Any) -> bool:
    """Whether `held` already is `value`, as far as Lofty tells values of this field apart."""
    if field in LISTS:
        return [_key(field, item) for item in value] == [_key(field, item) for item in held]
    if field == "inquiry.locations":
        pairs = zip(value, held or (), strict=False)
        return len(value) == len(held or ()) and all(place.items() <= known.items() for place, known in pairs)
    return bool(value == held)


def body(lead: LeadRecord, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What is sent for these changes: the changed fields whole, and an inquiry with all that is known of it.

    Whether Lofty merges an inquiry or replaces it is not known (reference §8.5); what is sent whole survives both.
    """
    sent: dict[str, Any] = {}
    for field, value in changes.items():
        group, _, name = field.partition(".")
        if group == "inquiry":
            sent.setdefault("inquiry", _camel(inquiry_of(lead)))[to_camel(name)] = _camel(value)
        elif group == "lead_types":
            kept = {word: number for number, word in zip(lead.lead_types, lead.types, strict=True)}
            sent["leadTypes"] = [kept.get(word, _NUMBERS.get(word, -1)) for word in value]
        else:
            sent[to_camel(name or group)] = value
    return sent


def checked_answers(answers: Mapping[Qualification, str]) -> dict[str, str]:
    """Answers to the qualifying questions, in Lofty's words.

    Raises:
        InvalidInput: one is none of those words.
    """
    told = {}
    for name, answer in answers.items():
        words = TIME_FRAMES if name.endswith("time_frame") else ("Yes", "No")
        word = next((word for word in words if word.casefold() == line(answer).casefold()), None)
        if word is None:
            raise InvalidInput(f"qualification.{name}: one of {', '.join(words)}. Nothing was changed.")
        told[f"qualification.{name}"] = word
    return told


def inquiry_of(lead: LeadRecord) -> dict[str, Any]:
    """What is known of the lead's inquiry; Lofty has bathrooms as text."""
    known = plain(lead.lead_inquiry)
    return {name: _bathrooms(value) if name in BATHROOMS else value for name, value in known.items()}


def checked_types(words: Sequence[str]) -> list[str]:
    """Lead types, each once.

    Raises:
        InvalidInput: one is none of those that Lofty has.
    """
    if unknown := [word for word in words if word not in _NUMBERS]:
        raise InvalidInput(f"lead_types: {unknown[0]!r} is none of {', '.join(_NUMBERS)}. Nothing was changed.")
    return list(dict.fromkeys(words))


def inquiry_changes(change: InquiryChange | Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of an inquiry that are given, under their full names.

    Raises:
        ValidationError: one cannot be written as it is.
    """
    given = InquiryChange.model_validate(change).model_dump(exclude_none=True) if change else {}
    return {f"inquiry.{name}": _bathrooms(value) if name in BATHROOMS else value for name, value in given.items()}


def putting_back(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that restore all that changed; none if it cannot all be: what was empty, a contact permission."""
    changed = {field: value for field, value in before.items() if value != after.get(field)}
    if any(value in EMPTY or field in FLAGS.values() for field, value in changed.items()):
        return {}
    restored: dict[str, Any] = {}
    for field, value in changed.items():
        group, _, name = field.partition(".")
        if name:
            restored.setdefault(group, {})[name] = _number(value) if name in BATHROOMS else value
        else:
            restored[group] = value
    return restored


def _bathrooms(value: Any) -> str:
    number = _number(value)
    return f"{number:g}" if isinstance(number, float) else str(value)


def _number(value: Any) -> Any:
    try:
        return float(value)
    except ValueError:
        return value


def _camel(value: Any) -> Any:
    if isinstance(value, list):
        return [_camel(item) for item in value]
    return {to_camel(name): _camel(item) for name, item in value.items()} if isinstance(value, dict) else value


def _key(field: str, value: Any) -> Any:
    text = str(value)
    if field == "phones":
        digits = "".join(c for c in text if c.isdigit())
        return digits[1:] if len(digits) == 11 and digits[0] == "1" else digits
    return text.casefold()
