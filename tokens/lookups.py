"""The lookup `ip_address__within="203.0.113.0/24"`: the addresses of a network, from an index."""

import ipaddress
from ipaddress import IPv4Network, IPv6Network
from itertools import takewhile

from django.db.backends.signals import connection_created
from django.db.models import GenericIPAddressField, Lookup
from django.dispatch import receiver


@GenericIPAddressField.register_lookup
class Within(Lookup):
    """Whether the address lies in the CIDR block on the right, which is a text."""

    lookup_name = "within"
    prepare_rhs = False

    def as_sql(self, compiler, connection):
        """A range. PostgreSQL's `<<=` cannot use the index in a prepared statement, because its
        plan is made before the network is known."""
        column, params = self.process_lhs(compiler, connection)
        network = ipaddress.ip_network(self.rhs)
        ends = [str(network.network_address), str(network.broadcast_address)]
        sql = f"({column} >= %s::inet AND {column} <= %s::inet)"
        return sql, [*params, ends[0], *params, ends[1]]

    def as_sqlite(self, compiler, connection):
        """A range as well, but SQLite stores addresses as text. The index finds those that start
        like the network, and `ip_within` checks each of them."""
        column, params = self.process_lhs(compiler, connection)
        network = ipaddress.ip_network(self.rhs)
        start = _common_start(network)
        # At the end of the range, the last character is one higher: "/" for ".", ";" for ":".
        # Without a start the range holds all addresses, because "g" sorts after each of them.
        ends = [start, start[:-1] + chr(ord(start[-1]) + 1)] if start else ["", "g"]
        sql = f"({column} >= %s AND {column} < %s AND ip_within({column}, %s))"
        return sql, [*params, ends[0], *params, ends[1], *params, str(network)]


def _common_start(network: IPv4Network | IPv6Network) -> str:
    """The text that every address of the network starts with.

    These are the whole groups that its prefix fixes, never the last group of an address. In IPv6
    they end before the first zero group, because "::" may replace it.
    """
    address = network.network_address.exploded
    if network.version == 4:
        fixed = address.split(".")[: min(network.prefixlen // 8, 3)]
        return "".join(f"{part}." for part in fixed)
    groups = [part.lstrip("0") for part in address.split(":")]
    fixed = groups[: min(network.prefixlen // 16, 7)]
    return "".join(f"{group}:" for group in takewhile(bool, fixed))


@receiver(connection_created)
def add_ip_within(connection, **kwargs):
    """Add the SQL function `ip_within(address, network)` to SQLite."""
    if connection.vendor == "sqlite":
        connection.connection.create_function("ip_within", 2, _ip_within, deterministic=True)


def _ip_within(address: str | None, network: str) -> bool:
    return address is not None and ipaddress.ip_address(address) in ipaddress.ip_network(network)
