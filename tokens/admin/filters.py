"""Finding devices: the filters and the search of the list."""

import uuid
from ipaddress import IPv4Network, IPv6Network

from django.contrib import admin
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from accounts.admin.users import find_users
from tokens.client import parse_network
from tokens.models import IssuedToken, IssuedTokenQuerySet, State

CROWD_SIZE = 20_000  # devices; counting so many in an index and sorting so few both take no time


class StateFilter(admin.SimpleListFilter):
    title = parameter_name = "state"

    def lookups(self, request, model_admin):
        return State.choices

    def queryset(self, request, queryset):
        if self.value() in State.values:
            return queryset.in_state(self.value())
        return queryset


class OSFilter(admin.SimpleListFilter):
    title = "OS"
    parameter_name = "os"
    names = ["Windows", "macOS", "Linux", "ChromeOS", "Android", "iOS"]

    def lookups(self, request, model_admin):
        return [(name, name) for name in self.names] + [("other", "Other")]

    def queryset(self, request, queryset):
        if self.value() in self.names:
            return queryset.filter(os=self.value())
        return queryset.exclude(os__in=self.names) if self.value() else queryset


class ReasonFilter(admin.ChoicesFieldListFilter):
    """By `revoked_reason`, saying what only a person knows: that whoever has one is revoked."""

    def queryset(self, request, queryset):
        chosen = super().queryset(request, queryset)
        return chosen.filter(revoked_at__isnull=False) if self.lookup_val else chosen


def search(request, devices: IssuedTokenQuerySet, term: str) -> IssuedTokenQuerySet:
    """Those that support means: by an id, an address, a network, or the start of a name or
    e-mail."""
    term = term.strip()
    try:
        return devices.filter(pk=uuid.UUID(term))
    except ValueError:
        pass
    try:
        network = parse_network(term)
    except ValueError:
        return devices.filter(user__in=find_users(request, term))
    found = devices.filter(Q(ip_address__within=network) | Q(last_ip__within=network))
    return found if _is_crowded(network) else _sort_when_found(found)


def _is_crowded(network: IPv4Network | IPv6Network) -> bool:
    """Whether so many devices are of the network that the newest are soon found among all."""
    for address in ("ip_address", "last_ip"):
        found = IssuedToken.objects.filter(**{f"{address}__within": network})
        if found.order_by(address).values(address)[:CROWD_SIZE].count() == CROWD_SIZE:
            return True
    return False


def _sort_when_found(devices: IssuedTokenQuerySet) -> IssuedTokenQuerySet:
    """The same in the same order, but by an expression that no index holds. With one that does,
    a planner that does not know how few they are may look for them among all devices."""
    first, *others = devices.query.order_by
    time = F(first.removeprefix("-"))
    key = Coalesce(time, time)
    return devices.order_by(key.desc() if first.startswith("-") else key.asc(), *others)
