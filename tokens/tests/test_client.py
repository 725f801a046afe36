import json
import logging
from dataclasses import FrozenInstanceError
from ipaddress import ip_network
from pathlib import Path

import pytest
from django.test import RequestFactory
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts.validators import UNPRINTABLE
from tokens import client
from tokens.client import (
    Client,
    DeviceType,
    clean_text,
    client_address,
    device_label,
    is_trusted,
    locate,
    parse_user_agent,
)

DATA = Path(__file__).with_name("data")
USER_AGENTS = json.loads((DATA / "user_agents.json").read_text(encoding="utf-8"))
PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0"

# Text that includes lone surrogates and control characters, and pieces that a parser reacts to.
any_text = st.text(st.characters(exclude_categories=()))
pieces = st.sampled_from(
    ["Mozilla/5.0 (", "Linux; Android 14; ", "iPhone; ", "CFNetwork/1 ", "Darwin/22 ", "%0a", ")"]
)
agent_like = st.lists(pieces | any_text).map("".join)
address_like = st.from_regex(r"\[?[0-9a-f:.%\]/]{0,60}(:[0-9]+)?") | st.ip_addresses().map(str)


@pytest.fixture(autouse=True)
def fresh_files():
    """Forget which files were opened and complained about, so that tests pass in any order."""
    client._open_database.cache_clear()
    client._warn_once.cache_clear()


# User agents


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


@hypothesis_settings(deadline=None)
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


# The text of a header


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        ("Ana's phone", "Ana's phone"),
        ("  Ana's  phone  ", "Ana's  phone"),
        ("a\x00b\tc\r\nd\x7fe\x9bf", "abcdef"),
        ("gnp.\u202ecod\u202c", "gnp.cod"),
        ("\u2066a\u2069\u200eb\u200f\u061cc", "abc"),
        ("a\u2028b\u2029c", "abc"),
        ("a\ud800b\udfffc", "abc"),
        ("\x1b[31mred", "[31mred"),
        ("日本 📱 élan", "日本 📱 élan"),
        ("\x00 \x00", ""),
        ("abcdefghijkl", "abcdefghij"),
        ("abcdefghi jkl", "abcdefghi"),
        ("", ""),
    ],
)
def test_text_is_cleaned(value, cleaned):
    assert clean_text(value, 12 if "Ana" in value else 10) == cleaned


@given(any_text, st.integers(min_value=0, max_value=80))
def test_clean_text_is_short_printable_and_stays_so(value, max_length):
    cleaned = clean_text(value, max_length)

    assert len(cleaned) <= max_length
    assert cleaned == cleaned.strip()
    assert not UNPRINTABLE.search(cleaned)
    assert cleaned.encode().decode() == cleaned
    assert clean_text(cleaned, max_length) == cleaned


# The address


@pytest.mark.asvs("4.1.3")
@pytest.mark.parametrize(
    ("remote_addr", "forwarded_for", "expected"),
    [
        # Nobody in between.
        ("203.0.113.9", "", "203.0.113.9"),
        ("2001:DB8:0::1", "", "2001:db8::1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("", "", None),
        ("unix:", "", None),
        # A stranger's header is not believed, whatever it names.
        ("203.0.113.9", "1.2.3.4", "203.0.113.9"),
        ("203.0.113.9", "1.2.3.4, 10.0.0.1", "203.0.113.9"),
        ("203.0.113.9", "10.0.0.1", "203.0.113.9"),
        ("", "1.2.3.4", None),
        ("nonsense", "1.2.3.4", None),
        # A trusted proxy vouches for what it added, on the right.
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4,10.0.0.9,203.0.113.9 ,\t10.0.0.2", "203.0.113.9"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        # Garbage ends the walk.
        ("10.0.0.1", "1.2.3.4, unknown", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "1.2.3.4,, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "1.2.3.4, 10.0.0.2,", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4, _hidden", "10.0.0.1"),
        ("10.0.0.1", "999.1.1.1", "10.0.0.1"),
        ("10.0.0.1", "010.1.1.1", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.0/24", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9\x00", "10.0.0.1"),
        ("10.0.0.1", "[203.0.113.9", "10.0.0.1"),
        ("10.0.0.1", "٢٠٣.0.113.9", "10.0.0.1"),
        # Ports, brackets, zones and mapped addresses.
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.1", "[2001:db8::7]", "2001:db8::7"),
        ("10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "[::ffff:203.0.113.9]:80", "203.0.113.9"),
        ("10.0.0.1:5000", "203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "", "fe80::1"),
        ("10.0.0.1", "203.0.113.9, ::ffff:10.0.0.7", "203.0.113.9"),
    ],
)
def test_client_address(remote_addr, forwarded_for, expected):
    assert client_address(remote_addr, forwarded_for, PROXIES) == expected


@pytest.mark.asvs("15.3.4")
@pytest.mark.parametrize(
    ("remote_addr", "trusted"),
    [
        ("10.0.0.1", True),
        ("::ffff:10.0.0.1", True),
        ("fd00::1", True),
        ("203.0.113.9", False),
        ("2001:db8::1", False),
        ("unix:", False),
        ("", False),
    ],
)
def test_trusted_peer_is_one_of_the_proxies(remote_addr, trusted):
    assert is_trusted(remote_addr, PROXIES) is trusted
    assert is_trusted(remote_addr, []) is False


@pytest.mark.parametrize("forwarded_for", ["1.2.3.4", "1.2.3.4, 10.0.0.1", "127.0.0.1", ""])
def test_without_trusted_proxies_the_connection_counts(forwarded_for):
    assert client_address("10.0.0.1", forwarded_for, []) == "10.0.0.1"


def test_long_chain_of_trusted_hops_is_not_walked_to_its_end():
    chain = ", ".join(["1.2.3.4", *["10.0.0.2"] * 31])

    assert client_address("10.0.0.1", chain, PROXIES) == "1.2.3.4"
    assert client_address("10.0.0.1", f"{chain}, 10.0.0.2", PROXIES) == "10.0.0.2"


@pytest.mark.parametrize("header", ["," * 1_000_000, "10.0.0.2," * 100_000, "1" * 1_000_000])
def test_huge_header_names_a_trusted_hop_at_most(header):
    assert client_address("10.0.0.1", header, PROXIES) in ("10.0.0.1", "10.0.0.2")


@given(address_like | any_text, st.lists(address_like | any_text).map(",".join))
def test_any_header_gives_a_canonical_address_or_none(remote_addr, forwarded_for):
    address = client_address(remote_addr, forwarded_for, PROXIES)

    assert address is None or client_address(address, "", []) == address
    assert address is None or "%" not in address


@pytest.mark.asvs("4.1.3")
@given(st.ip_addresses(), any_text | st.lists(address_like).map(",".join))
def test_untrusted_peer_cannot_choose_its_address(peer, forwarded_for):
    assert client_address(str(peer), forwarded_for, []) == client_address(str(peer), "", [])


def test_client_is_read_from_the_request():
    request = RequestFactory().get(
        "/",
        REMOTE_ADDR="::ffff:203.0.113.9",
        HTTP_X_FORWARDED_FOR="1.2.3.4",
        HTTP_USER_AGENT="curl/8.7.1\x00\x1b" + "x" * 600,
    )

    asking = Client.from_request(request)

    assert asking.ip_address == "203.0.113.9"
    assert asking.user_agent == "curl/8.7.1" + "x" * 502


def test_client_without_address_and_user_agent():
    request = RequestFactory().get("/")
    request.META = {}

    assert Client.from_request(request) == Client(ip_address=None, user_agent="")


def test_client_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Client(ip_address=None).user_agent = "curl"


# The place


@pytest.mark.parametrize(
    ("ip_address", "place"),
    [
        ("8.8.8.8", "United States"),
        ("193.99.144.80", "Germany"),
        ("2001:4860:4860::8888", "United States"),
        ("2a02:2e0:3fe:1001:302::", "Germany"),
        ("::ffff:193.99.144.80", "Germany"),
        ("192.168.1.1", ""),
        ("10.0.0.1", ""),
        ("100.64.0.1", ""),
        ("127.0.0.1", ""),
        ("169.254.1.1", ""),
        ("0.0.0.0", ""),
        ("203.0.113.9", ""),
        ("::1", ""),
        ("fe80::1%eth0", ""),
        ("fd00::1", ""),
        ("nonsense", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_shipped_file_knows_the_country(settings, ip_address, place):
    settings.GEOIP_PATH = ""

    assert locate(ip_address) == place


@pytest.mark.parametrize(
    ("ip_address", "place"),
    [
        ("5.1.66.255", "Berlin, Germany"),
        ("2a02:2e0::1", "Hanover, Germany"),
        ("5.1.67.1", "France"),
        ("5.1.68.1", "Berlin"),
        ("5.1.69.1", ""),
        ("5.1.70.1", "C" * 128),
        ("5.1.71.1", "Germany"),
        ("8.8.8.8", ""),
    ],
)
def test_city_file_names_the_city(settings, ip_address, place):
    settings.GEOIP_PATH = str(DATA / "city.mmdb")

    assert locate(ip_address) == place


def cut_in_half(good: bytes) -> bytes:
    return good[: len(good) // 2]


def corrupt_tree(good: bytes) -> bytes:
    """Keep the metadata at the end and turn everything before it into pointers to nowhere."""
    metadata = good.rindex(b"\xab\xcd\xefMaxMind.com")
    return b"\xff" * metadata + good[metadata:]


def corrupt_root(good: bytes) -> bytes:
    """Change the one byte that makes the reader in C read beyond its memory."""
    return good[:1] + b"\xea" + good[2:]


@pytest.mark.parametrize(
    "damage",
    [None, lambda _: b"", lambda _: b"not a database", cut_in_half, corrupt_tree, corrupt_root],
    ids=["missing", "empty", "text", "half", "tree", "root"],
)
def test_unusable_file_is_one_warning_and_no_place(settings, tmp_path, caplog, damage):
    path = tmp_path / "city.mmdb"
    if damage:
        path.write_bytes(damage((DATA / "city.mmdb").read_bytes()))
    settings.GEOIP_PATH = str(path)

    with caplog.at_level(logging.WARNING, logger="tokens.client"):
        assert [locate("5.1.66.1"), locate("5.1.66.1"), locate("8.8.8.8")] == ["", "", ""]

    assert len(caplog.records) == 1
    assert str(path) in caplog.text


def test_directory_is_not_a_file(settings, tmp_path):
    settings.GEOIP_PATH = str(tmp_path)

    assert locate("8.8.8.8") == ""


def test_file_that_appears_later_is_used(settings, tmp_path):
    settings.GEOIP_PATH = str(tmp_path / "city.mmdb")
    assert locate("5.1.66.1") == ""

    (tmp_path / "city.mmdb").write_bytes((DATA / "city.mmdb").read_bytes())

    assert locate("5.1.66.1") == "Berlin, Germany"


def test_file_is_opened_once(settings):
    settings.GEOIP_PATH = ""
    for _ in range(3):
        locate("8.8.8.8")

    assert client._open_database.cache_info().misses == 1


@hypothesis_settings(deadline=None)
@given(address_like | any_text)
def test_any_address_gives_a_short_place(ip_address):
    place = locate(ip_address)

    assert len(place) <= 128
    assert not UNPRINTABLE.search(place)
