"""Who is asking: the address, the place and the program of a request, as text for people.

Nothing here decides whether somebody is let in: a user agent and a place are hearsay. The
address alone is trustworthy, because `client_address` believes only the configured proxies.
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
    """Who is asking: the trusted address and the user agent.

    The address is canonical text without port, zone or IPv4 mapping, or None when the connection
    has none. The user agent is as sent, but printable and at most 512 characters.
    """

    ip_address: str | None
    user_agent: str = ""

    @classmethod
    def from_request(cls, request: HttpRequest) -> Client:
        """Read REMOTE_ADDR, which the middleware has made trustworthy, and the User-Agent."""
        address = _parse_address(request.META.get("REMOTE_ADDR", ""))
        return cls(
            ip_address=str(address) if address else None,
            user_agent=clean_text(request.META.get("HTTP_USER_AGENT", ""), USER_AGENT_LENGTH),
        )


def client_address(
    remote_addr: str,
    forwarded_for: str,
    trusted_proxies: Sequence[IPv4Network | IPv6Network],
) -> str | None:
    """Return the nearest address that is not a trusted proxy, or None without a peer address.

    X-Forwarded-For is read from the right and only as far as trusted hops vouch for it, at most
    32 of them; at garbage the last good address stands.
    """
    address = _parse_address(remote_addr)
    for hop in reversed(forwarded_for.rsplit(",", MAX_FORWARDED_HOPS - 1)):
        if not _is_within(address, trusted_proxies):
            break
        forwarded = _parse_address(hop)
        if forwarded is None:
            break
        address = forwarded
    return str(address) if address else None


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """An address or a CIDR block; IPv4 inside IPv6 as the IPv4 that devices are stored with.

    Raise ValueError, also for a zone (`%eth0`): it means nothing outside its own host.
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
    return _is_within(_parse_address(remote_addr), trusted_proxies)


def _is_within(
    address: IPv4Address | IPv6Address | None,
    networks: Sequence[IPv4Network | IPv6Network],
) -> bool:
    return address is not None and any(address in network for network in networks)


@lru_cache(maxsize=256)  # asked by the middleware and then again in the same request
def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip()
    match = HOST_WITH_PORT.fullmatch(text)
    try:
        address = parse_ip(match[1] or match[2] if match else text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))
