"""The operator's settings: read once, and refused in a clear line that holds no secret."""

from pathlib import Path

import pytest

from lofty_mcp.settings import BadSettings, Mode, load, safe_url, unknown_variables, variables

SECRET = "sk-very-secret-0123456789"


def test_without_any_variable_the_defaults_hold() -> None:
    settings = load()

    assert settings.mode is Mode.ASK
    assert settings.ask_from == "change"
    assert settings.visibility == "assigned_agent"
    assert settings.confirmation_ttl == 900
    assert settings.result_tokens == 8_000
    assert settings.base_url == "https://api.lofty.com"
    assert settings.state_dir.name == "lofty-mcp"
    assert not settings.has_credential


def test_each_variable_sets_its_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {
        "LOFTY_API_KEY": SECRET,
        "LOFTY_BASE_URL": "https://lofty.example/",
        "LOFTY_MCP_MODE": " Code ",
        "LOFTY_MCP_ASK_FROM": "ADD",
        "LOFTY_MCP_AUTOMATION_TAGS": "Hot lead, ,Drip ",
        "LOFTY_MCP_VISIBILITY": "any_assignee",
        "LOFTY_MCP_CONFIRMATION_TTL": "60",
        "LOFTY_MCP_REQUESTS_PER_MINUTE": "120",
        "LOFTY_MCP_RESULT_TOKENS": "900",
        "LOFTY_MCP_STATE_DIR": str(tmp_path),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load()

    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == SECRET
    assert settings.base_url == "https://lofty.example"
    assert settings.mode is Mode.CODE
    assert settings.ask_from == "add"
    assert settings.automation_tags == ("Hot lead", "Drip")
    assert settings.visibility == "any_assignee"
    assert (settings.confirmation_ttl, settings.requests_per_minute, settings.result_tokens) == (60, 120, 900)
    assert settings.state_dir == tmp_path


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOFTY_MCP_MODE", "")
    monkeypatch.setenv("LOFTY_API_KEY", "")

    assert load().mode is Mode.ASK
    assert not load().has_credential


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("LOFTY_MCP_MODE", "yolo", "'read', 'ask', 'code' or 'auto'"),
        ("LOFTY_MCP_ASK_FROM", "never", "'add', 'change', 'remove' or 'send'"),
        ("LOFTY_MCP_VISIBILITY", "all", "'assigned_agent' or 'any_assignee'"),
        ("LOFTY_MCP_TOOLSETS", "core,everything", "no toolset everything; valid are all, core, edits, messages"),
        ("LOFTY_MCP_CONFIRMATION_TTL", "0", "must be 1 or more"),
        ("LOFTY_MCP_CONFIRMATION_TTL", "soon", "number"),
        ("LOFTY_MCP_RESULT_TOKENS", "25000", "must be 24000 or less"),
        ("LOFTY_MCP_RESULT_TOKENS", "499", "must be 500 or more"),
        ("LOFTY_MCP_REQUESTS_PER_MINUTE", "1.5", "must be a whole number"),
        ("LOFTY_MCP_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("LOFTY_BASE_URL", "http://api.lofty.com", "must be https"),
        ("LOFTY_BASE_URL", "api.lofty.com", "must be a plain address"),
        ("LOFTY_BASE_URL", f"https://me:{SECRET}@api.lofty.com", "must be a plain address"),
        ("LOFTY_TOKEN_URL", f"https://crm.lofty.com/oauth?secret={SECRET}", "must be a plain address"),
    ],
)
def test_a_bad_value_is_named_with_what_is_valid_in_one_line_without_secrets(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv("LOFTY_API_KEY", SECRET)
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings) as bad:
        load()

    line = str(bad.value)
    assert line.startswith(f"{name}: ")
    assert says in line
    assert "\n" not in line
    assert SECRET not in line
    assert bad.value.__cause__ is None
    assert bad.value.__suppress_context__, "a traceback would print the values that pydantic quotes"


def test_several_bad_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOFTY_MCP_MODE", "yolo")
    monkeypatch.setenv("LOFTY_MCP_RESULT_TOKENS", "1")
    with pytest.raises(BadSettings, match=r"LOFTY_MCP_MODE: .*; LOFTY_MCP_RESULT_TOKENS: "):
        load()


@pytest.mark.parametrize(
    "address", ["https://api.lofty.com", "http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:8080"]
)
def test_https_and_this_machine_are_good_addresses(address: str) -> None:
    assert safe_url(f" {address}/ ") == address


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://10.0.0.1",
        "https://user@api.lofty.com",
        "https://api.lofty.com?x=1",
        "https://api.lofty.com#x",
        "ftp://127.0.0.1",
        "https://",
        "",
    ],
)
def test_no_other_address_is(address: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        safe_url(address)


def test_secrets_do_not_show_in_the_settings_printed() -> None:
    shown = repr(load(api_key=SECRET, refresh_token=SECRET, client_secret=SECRET, customer_key=SECRET))

    assert SECRET not in shown


def test_the_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().mode = Mode.AUTO  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "enough"),
    [
        ({"api_key": SECRET}, True),
        ({"access_token": SECRET}, True),
        ({"refresh_token": SECRET}, True),
        ({"client_id": "a", "client_secret": SECRET}, False),
        ({"client_id": "a", "client_secret": SECRET, "customer_key": SECRET}, True),
    ],
)
def test_a_credential_is_there_when_something_can_be_shown(given: dict[str, str], enough: bool) -> None:
    assert load(**given).has_credential is enough


def test_a_mistyped_variable_is_found_with_the_one_probably_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOFTY_MCP_MOD", "auto")
    monkeypatch.setenv("LOFTY_MCP_MODE", "read")

    assert unknown_variables() == {"LOFTY_MCP_MOD": "LOFTY_MCP_MODE"}


def test_every_variable_is_described() -> None:
    assert all(name.startswith("LOFTY_") and text.endswith(".") for name, text in variables().items())
