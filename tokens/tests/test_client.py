from dataclasses import FrozenInstanceError
from ipaddress import ip_network

import pytest
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from tokens.client import Client, client_address, is_near, is_trusted

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]

# Text that includes lone surrogates and control characters, and pieces that a parser reacts to.
any_text = st.text(st.characters(exclude_categories=()))
address_like = st.from_regex(r"\[?[0-9a-f:.%\]/]{0,60}(:[0-9]+)?") | st.ip_addresses().map(str)


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


@given(st.ip_addresses(), st.ip_addresses(), st.sampled_from([0, 1, 255, 256, 2**32, 2**64]))
def test_addresses_of_one_network_are_near(first, other, distance):
    """A /24 of IPv4, a /64 of IPv6, told from addresses that differ in any part."""
    bits = 64 if first.version == 6 else 24
    network = ip_network(f"{first}/{bits}", strict=False)
    far = type(first)((int(first) ^ distance) % 2 ** (128 if first.version == 6 else 32))
    for second in (first, other, far):
        assert is_near(str(first), str(second)) == (second in network)


@pytest.mark.parametrize("other", ["203.0.113.1", "2001:db8::1", "", None])
def test_nothing_is_near_an_address_that_is_not_known(other):
    assert not is_near(None, other)
    assert not is_near("2001:db8::1" if other != "2001:db8::1" else "203.0.113.1", other)
