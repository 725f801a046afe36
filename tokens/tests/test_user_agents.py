import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from accounts.text import UNPRINTABLE, clean_text
from tokens.user_agents import DeviceType, device_label, parse_user_agent

DATA = Path(__file__).with_name("data")
USER_AGENTS = json.loads((DATA / "user_agents.json").read_text(encoding="utf-8"))
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0"

# Text that includes lone surrogates and control characters, and pieces that a parser reacts to.
any_text = st.text(st.characters(exclude_categories=()))
pieces = st.sampled_from(
    ["Mozilla/5.0 (", "Linux; Android 14; ", "iPhone; ", "CFNetwork/1 ", "Darwin/22 ", "%0a", ")"]
)
agent_like = st.lists(pieces | any_text).map("".join)


@pytest.mark.parametrize("case", USER_AGENTS, ids=lambda case: case["user_agent"][:60])
def test_user_agent_is_named(case):
    parsed = parse_user_agent(case["user_agent"])

    assert parsed.browser == case["browser"]
    assert parsed.os == case["os"]
    assert parsed.device_type == case["device_type"]


@pytest.mark.parametrize("case", USER_AGENTS, ids=lambda case: case["user_agent"][:60])
def test_label_needs_the_stored_fields_only(case):
    fields = {name: case[name] for name in ("browser", "os", "device_type")}

    assert device_label(**fields) == case["label"]


@pytest.mark.parametrize(
    ("browser", "os", "device_type", "label"),
    [
        ("Firefox", "Linux", "desktop", "Firefox on Linux"),
        ("Firefox", "Linux", DeviceType.DESKTOP, "Firefox on Linux"),
        ("Safari", "iOS", DeviceType.PHONE, "Safari on iPhone"),
        ("Safari", "iOS", "tablet", "Safari on iPad"),
        ("MyApp", "iOS", "app", "MyApp on iPhone or iPad"),
        ("", "iOS", "phone", "Browser on iPhone"),
        ("", "Windows", "desktop", "Browser on Windows"),
        ("", "Android", "app", "App on Android"),
        ("", "Android", "unknown", "App on Android"),
        ("curl", "", "script", "curl"),
        ("", "", "app", "Unknown device"),
        ("", "", "", "Unknown device"),
    ],
)
def test_label(browser, os, device_type, label):
    assert device_label(browser=browser, os=os, device_type=device_type) == label


def test_every_kind_of_device_is_in_the_table():
    assert {case["device_type"] for case in USER_AGENTS} == set(DeviceType.values)


def test_name_of_an_app_is_cut():
    parsed = parse_user_agent(f"{'A' * 200}/1.0 (Android 14)")

    assert parsed.browser == "A" * 64
    assert parsed.os == "Android"


def test_what_follows_512_characters_is_not_read():
    assert parse_user_agent("x" * 512 + CHROME) == parse_user_agent("x" * 512)


@given(agent_like | any_text)
@example("Mozilla/5.0 \ud800\x00")
@example("%00%1b/1")
def test_any_user_agent_is_parsed_within_bounds(user_agent):
    parsed = parse_user_agent(user_agent)

    for value in (parsed.browser, parsed.os, parsed.device_type):
        assert len(value) <= 64
        assert not UNPRINTABLE.search(value)
    assert parsed.device_type in DeviceType.values
    assert device_label(browser=parsed.browser, os=parsed.os, device_type=parsed.device_type)


@pytest.mark.parametrize(
    "hostile",
    [
        "Mozilla/5.0 (Linux; Android 1; " + "a " * 50_000,
        "Mozilla/5.0 (" + "; " * 50_000,
        "Mozilla/5.0 (Linux; U; Android " + "1." * 50_000,
        "a b" * 50_000,
        "bot" * 50_000,
        "%25" * 50_000,
        "\u202e" * 100_000,
    ],
    ids=lambda text: text[:40],
)
def test_hostile_user_agent_is_parsed_no_further_than_it_is_stored(hostile):
    assert parse_user_agent(hostile) == parse_user_agent(clean_text(hostile, 512))
