"""`ip_address__within="203.0.113.0/24"`: addresses of a network, a range of the column's index."""

import ipaddress
from ipaddress import IPv4Network, IPv6Network
from itertools import takewhile

from django.db.backends.signals import connection_created
from django.db.models import GenericIPAddressField, Lookup
from django.dispatch import receiver


@GenericIPAddressField.register_lookup
class Within(Lookup):
    """The address lies in the CIDR block on the right, a str as `ipaddress.ip_network` reads."""

    lookup_name = "within"
    prepare_rhs = False

    def as_sql(self, compiler, connection):
        """As a range, and not with PostgreSQL's `<<=`: of a prepared query whose network it does
        not know yet, that uses no index."""
        column, params = self.process_lhs(compiler, connection)
        network = ipaddress.ip_network(self.rhs)
        ends = [str(network.network_address), str(network.broadcast_address)]
        sql = f"({column} >= %s::inet AND {column} <= %s::inet)"
        return sql, [*params, ends[0], *params, ends[1]]

    def as_sqlite(self, compiler, connection):
        """SQLite holds addresses as text: those that start like the network, and of these those
        that are within."""
        column, params = self.process_lhs(compiler, connection)
        network = ipaddress.ip_network(self.rhs)
        start = _common_start(network)
        # The character after "." and ":", and after every digit and letter, ends the range.
        ends = [start, start[:-1] + chr(ord(start[-1]) + 1)] if start else ["", "g"]
        sql = f"({column} >= %s AND {column} < %s AND ip_within({column}, %s))"
        return sql, [*params, ends[0], *params, ends[1], *params, str(network)]


def _common_start(network: IPv4Network | IPv6Network) -> str:
    """How every address of the network starts as text: with the parts that its prefix fixes whole,
    but for the last, and in IPv6 only up to a zero, which "::" may stand for."""
    address = network.network_address.exploded
    if network.version == 4:
        fixed = address.split(".")[: min(network.prefixlen // 8, 3)]
        return "".join(f"{part}." for part in fixed)
    groups = [part.lstrip("0") for part in address.split(":")]
    fixed = groups[: min(network.prefixlen // 16, 7)]
    return "".join(f"{group}:" for group in takewhile(bool, fixed))


@receiver(connection_created)
def add_ip_within(connection, **kwargs):
    if connection.vendor == "sqlite":
        connection.connection.create_function("ip_within", 2, _ip_within, deterministic=True)


def _ip_within(address: str | None, network: str) -> bool:
    return address is not None and ipaddress.ip_address(address) in ipaddress.ip_network(network)
