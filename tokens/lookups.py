"""`ip_address__within="203.0.113.0/24"`: addresses of a network, on both databases."""

import ipaddress

from django.db.backends.signals import connection_created
from django.db.models import GenericIPAddressField, Lookup
from django.dispatch import receiver


@GenericIPAddressField.register_lookup
class Within(Lookup):
    """The address lies in the CIDR block on the right, a str as `ipaddress.ip_network` reads."""

    lookup_name = "within"
    prepare_rhs = False

    def as_sql(self, compiler, connection):
        column, params = self.process_lhs(compiler, connection)
        return f"{column} <<= %s::inet", [*params, str(self.rhs)]

    def as_sqlite(self, compiler, connection):
        column, params = self.process_lhs(compiler, connection)
        return f"ip_within({column}, %s)", [*params, str(self.rhs)]


@receiver(connection_created)
def add_ip_within(connection, **kwargs):
    if connection.vendor == "sqlite":
        connection.connection.create_function("ip_within", 2, _ip_within, deterministic=True)


def _ip_within(address: str | None, network: str) -> bool:
    return address is not None and ipaddress.ip_address(address) in ipaddress.ip_network(network)
