"""The options that say which devices a command is about."""

from argparse import ArgumentParser
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from django.db.models import Q
from django.db.models.functions import Now

from tokens.management.arguments import duration, find_user, moment, network
from tokens.models import IssuedToken, IssuedTokenQuerySet

PREDICATES = ("user", "ip", "signed_in_after", "signed_in_before", "os", "inactive_for")


def add_predicates(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("which devices", "All that are given must hold.")
    group.add_argument("--user", metavar="USERNAME", help="of this user")
    group.add_argument(
        "--ip",
        metavar="ADDRESS_OR_CIDR",
        type=network,
        help="signed in from, or last seen at, this address or network",
    )
    group.add_argument(
        "--signed-in-after",
        metavar="TIME",
        type=moment,
        help="signed in at this ISO 8601 time (UTC) or later",
    )
    group.add_argument(
        "--signed-in-before",
        metavar="TIME",
        type=moment,
        help="signed in before this ISO 8601 time (UTC)",
    )
    group.add_argument("--os", help="on this system, as the lists name it: Android, iOS, Windows")
    group.add_argument(
        "--inactive-for",
        metavar="DURATION",
        type=duration,
        help="not seen for so long: 30d (or 30), 12h, 45m",
    )


def is_selective(options: dict[str, Any]) -> bool:
    """Whether any predicate is given."""
    return any(options[name] is not None for name in PREDICATES)


def select_devices(
    *,
    user: str | None,
    ip: IPv4Network | IPv6Network | None,
    signed_in_after: datetime | None,
    signed_in_before: datetime | None,
    os: str | None,
    inactive_for: timedelta | None,
    **options: Any,
) -> IssuedTokenQuerySet:
    """The devices for which every given predicate holds; all without any.

    Raise CommandError for an unknown user.
    """
    devices = IssuedToken.objects.all()
    if user is not None:
        devices = devices.filter(user=find_user(user))
    if ip is not None:
        devices = devices.filter(Q(ip_address__within=ip) | Q(last_ip__within=ip))
    if signed_in_after is not None:
        devices = devices.filter(created_at__gte=signed_in_after)
    if signed_in_before is not None:
        devices = devices.filter(created_at__lt=signed_in_before)
    if os is not None:
        devices = devices.filter(os__iexact=os)
    if inactive_for is not None:
        devices = devices.filter(last_seen_at__lte=Now() - inactive_for)
    return devices
