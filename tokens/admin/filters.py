"""Finding devices: the filters and the search of the list."""

import uuid

from django.contrib import admin
from django.db.models import Q

from accounts.admin import find_users
from tokens.client import parse_network
from tokens.models import State


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


def search(request, term: str) -> Q:
    """What support types: an id, an address, a network, or the start of a name or e-mail."""
    term = term.strip()
    try:
        return Q(pk=uuid.UUID(term))
    except ValueError:
        pass
    try:
        network = parse_network(term)
    except ValueError:
        return Q(user__in=find_users(request, term))
    if network.num_addresses == 1:
        address = str(network.network_address)
        return Q(ip_address=address) | Q(last_ip=address)
    return Q(ip_address__within=network) | Q(last_ip__within=network)
