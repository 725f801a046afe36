"""Who sends a request: its address and its user agent, as text.

A user agent is only what a program says about itself, so it decides nothing. The address can be
trusted, because `client_address` believes only the configured proxies.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from ipaddress import ip_address as parse_ip

from django.http import HttpRequest

from accounts.text import clean_text
from tokens.user_agents import USER_AGENT_LENGTH

MAX_FORWARDED_HOPS = 32
HOST_WITH_PORT = re.compile(r"\[([^\[\]]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")


@dataclass(frozen=True, kw_only=True)
class Client:
    """Who sends a request: the trusted address and the user agent.

    The address is canonical text without port, zone or IPv4 mapping. It is None if the connection
    has no address. The user agent is printable text, cut to 512 characters.
    """

    ip_address: str | None
    user_agent: str = ""

    @classmethod
    def from_request(cls, request: HttpRequest) -> Client:
        """Read the User-Agent, and REMOTE_ADDR, which a middleware has made trustworthy."""
        return cls(
            ip_address=clean_address(request.META.get("REMOTE_ADDR", "")),
            user_agent=clean_text(request.META.get("HTTP_USER_AGENT", ""), USER_AGENT_LENGTH),
        )


def client_address(
    remote_addr: str,
    forwarded_for: str,
    trusted_proxies: Sequence[IPv4Network | IPv6Network],
) -> str | None:
    """The nearest address that is not a trusted proxy. None if `remote_addr` holds no address.

    X-Forwarded-For is read from the right, at most 32 hops. Each further hop is read only if the
    hop before it is a trusted proxy. If a hop is not an address, the last good address counts.
    """
    found = remote_addr
    for hop in reversed(forwarded_for.rsplit(",", MAX_FORWARDED_HOPS - 1)):
        if not is_trusted(found, trusted_proxies) or parse_address(hop) is None:
            break
        found = hop
    return clean_address(found)


def is_near(first: str | None, second: str | None) -> bool:
    """Whether both are addresses of one network: a /24 of IPv4, a /64 of IPv6."""
    if first is None or second is None:
        return False
    if first == second:
        return True
    if ":" in first and ":" in second:
        return parse_ip(second) in ip_network(f"{first}/64", strict=False)
    # A /24 ends at the last dot of the canonical text. IPv6 has no dot.
    return "." in first and first.rpartition(".")[0] == second.rpartition(".")[0]


def network_of(address: str) -> IPv4Network | IPv6Network:
    """The network that is kept of the address of a device that ended: its /24, of IPv6 its /48."""
    return ip_network(f"{address}/{48 if ':' in address else 24}", strict=False)


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """The network of an address or a CIDR block. IPv4 inside IPv6 becomes plain IPv4.

    Devices store plain IPv4 as well. Raise ValueError for any other text, and for a zone (`%eth0`),
    because a zone means something only on its own host.
    """
    if "%" in text:
        raise ValueError(f"{text!r} has a zone")
    network = ip_network(text.strip(), strict=False)
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < 96:
        return network
    return IPv4Network((mapped, network.prefixlen - 96))


def is_trusted(remote_addr: str, trusted_proxies: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether the peer is one of the proxies whose forwarding headers count."""
    address = parse_address(remote_addr)
    return address is not None and any(address in network for network in trusted_proxies)


@lru_cache(maxsize=256)  # each request parses the same address several times
def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address without port, zone or IPv4 mapping. None if the text holds no address."""
    text = text.strip()
    match = HOST_WITH_PORT.fullmatch(text)
    try:
        address = parse_ip(match[1] or match[2] if match else text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))


@lru_cache(maxsize=256)  # each request writes the same address twice
def clean_address(text: str) -> str | None:
    """The address of `parse_address()` as text."""
    address = parse_address(text)
    return str(address) if address else None
