import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.text import UNPRINTABLE
from tokens import places
from tokens.places import locate

DATA = Path(__file__).with_name("data")

# Text that includes lone surrogates and control characters, and pieces that a parser reacts to.
any_text = st.text(st.characters(exclude_categories=()))
address_like = st.from_regex(r"\[?[0-9a-f:.%\]/]{0,60}(:[0-9]+)?") | st.ip_addresses().map(str)


@pytest.fixture(autouse=True)
def fresh_files():
    """Forget which files were opened and complained about, so that tests pass in any order."""
    places._open_database.cache_clear()
    places._warn_once.cache_clear()


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

    assert places._open_database.cache_info().misses == 1


@given(address_like | any_text)
def test_any_address_gives_a_short_place(ip_address):
    place = locate(ip_address)

    assert len(place) <= 128
    assert not UNPRINTABLE.search(place)
