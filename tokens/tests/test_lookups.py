"""Addresses of a network: SQLite finds them by how their text starts."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokens.lookups import _common_start
from tokens.models import IssuedToken


@pytest.mark.parametrize(
    ("network", "start"),
    [
        ("203.0.113.0/24", "203.0.113."),
        ("203.0.113.7/32", "203.0.113."),
        ("203.0.112.0/20", "203.0."),
        ("10.0.0.0/8", "10."),
        ("0.0.0.0/0", ""),
        ("8.0.0.0/7", ""),
        ("2001:db8::/32", "2001:db8:"),
        ("2001:db8:0:1::/64", "2001:db8:"),
        ("2001:db8::1/128", "2001:db8:"),
        ("::/0", ""),
    ],
)
def test_common_start(network, start):
    assert _common_start(ipaddress.ip_network(network)) == start


@given(st.ip_addresses(), st.integers(0, 128), st.integers(0, 2**128 - 1))
def test_every_address_of_a_network_starts_alike(address, length, host):
    network = ipaddress.ip_network((address, length % (address.max_prefixlen + 1)), strict=False)
    another = network[host % network.num_addresses]
    assert str(another).startswith(_common_start(network))


@pytest.mark.parametrize(
    ("network", "found"),
    [
        ("203.0.113.0/24", {"203.0.113.0", "203.0.113.255"}),
        ("203.0.113.255/32", {"203.0.113.255"}),
        ("203.0.112.0/22", {"203.0.112.9", "203.0.113.0", "203.0.113.255"}),
        ("203.0.11.0/24", set()),
        ("2001:db8::/32", {"2001:db8::1", "2001:db8:1::"}),
        ("2001:db8::/64", {"2001:db8::1"}),
        ("::/0", {"2001:db8::1", "2001:db8:1::", "::1"}),
        ("0.0.0.0/0", {"203.0.112.9", "203.0.113.0", "203.0.113.255"}),
    ],
)
def test_addresses_within_a_network(api, alice, network, found):
    addresses = [
        "203.0.112.9",
        "203.0.113.0",
        "203.0.113.255",
        "2001:db8::1",
        "2001:db8:1::",
        "::1",
    ]
    for address in addresses:
        api(alice, REMOTE_ADDR=address)
    within = IssuedToken.objects.filter(ip_address__within=network)
    assert set(within.values_list("ip_address", flat=True)) == found
