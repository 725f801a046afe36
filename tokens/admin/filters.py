"""The filters and the search of the admin's list of devices."""

import uuid
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network

from django.contrib import admin
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from accounts.admin.users import find_users
from tokens.client import parse_network
from tokens.models import IssuedToken, IssuedTokenQuerySet, State

CROWD_SIZE = 20_000  # devices; counting this many in an index is quick, and so is sorting them


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
    """Filters by `revoked_reason`, and adds `revoked_at IS NOT NULL`.

    Every device with a reason is revoked, but the planner does not know this. The addition lets
    it use the partial index on the reason.
    """

    def queryset(self, request, queryset):
        chosen = super().queryset(request, queryset)
        return chosen.filter(revoked_at__isnull=False) if self.lookup_val else chosen


def search(request, devices: IssuedTokenQuerySet, term: str) -> IssuedTokenQuerySet:
    """The devices that support looks for.

    The term is a device's id, an IP address or a network. Otherwise it is the start of a username
    or an email address.
    """
    parsed = parse_term(term)
    if isinstance(parsed, uuid.UUID):
        return devices.filter(pk=parsed)
    if isinstance(parsed, str):
        return devices.filter(user__in=find_users(request, parsed))
    found = devices.filter(Q(ip_address__within=parsed) | Q(last_ip__within=parsed))
    return found if _is_crowded(parsed) else _sort_when_found(found)


def parse_term(term: str) -> uuid.UUID | IPv4Network | IPv6Network | str:
    """The id of a device, an IP address or network; a text that is none of them is a name."""
    term = term.strip()
    for parse in (uuid.UUID, parse_network):
        with suppress(ValueError):
            return parse(term)
    return term


def _is_crowded(network: IPv4Network | IPv6Network) -> bool:
    """Whether at least CROWD_SIZE devices signed in from the network, or were last seen there.

    If so, the database soon finds enough of them when it reads all devices from the newest on.
    """
    for address in ("ip_address", "last_ip"):
        found = IssuedToken.objects.filter(**{f"{address}__within": network})
        if found.order_by(address).values(address)[:CROWD_SIZE].count() == CROWD_SIZE:
            return True
    return False


def _sort_when_found(devices: IssuedTokenQuerySet) -> IssuedTokenQuerySet:
    """The same devices in the same order, sorted by an expression that has no index.

    The planner does not know how few devices match. With an index on the order, it may read all
    devices in that order to find them.
    """
    first, *others = devices.query.order_by
    time = F(first.removeprefix("-"))
    key = Coalesce(time, time)
    return devices.order_by(key.desc() if first.startswith("-") else key.asc(), *others)
