"""The options that say which devices a command lists or ends."""

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from tokens.management.arguments import duration, find_role, find_user, moment, network, word
from tokens.models import IssuedToken, IssuedTokenQuerySet


def add_criteria(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("which devices", "All that are given must hold.")
    group.add_argument("--user", metavar="USERNAME", type=word, help="of this user")
    group.add_argument("--role", metavar="NAME", type=word, help="of users who have this role")
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
    group.add_argument(
        "--os", type=word, help="on this system, as the lists name it: Android, iOS, Windows"
    )
    group.add_argument(
        "--method", choices=IssuedToken.Method.values, help="what the person signed in by"
    )
    group.add_argument(
        "--client", type=word, help="of this program, as the lists name it: Firefox, curl"
    )
    group.add_argument(
        "--inactive-for",
        metavar="DURATION",
        type=duration,
        help="not seen for this long: 30d (or 30), 12h, 45m",
    )


def read_criteria(options: dict[str, Any]) -> dict[str, Any]:
    """The criteria that the options give, as `IssuedTokenQuerySet.matching()` takes them.

    Raise CommandError for an unknown user or role.
    """
    inactive_for = options["inactive_for"]
    criteria = {
        "user": options["user"] and find_user(options["user"]),
        "role": options["role"] and find_role(options["role"]),
        "network": options["ip"],
        "signed_in_after": options["signed_in_after"],
        "signed_in_before": options["signed_in_before"],
        "os": options["os"],
        "client": options["client"],
        "method": options["method"],
        "not_seen_since": inactive_for and timezone.now() - inactive_for,
    }
    return {name: value for name, value in criteria.items() if value}


def select_devices(options: dict[str, Any]) -> IssuedTokenQuerySet:
    """The devices that meet every criterion of the options; without one, all devices."""
    return IssuedToken.objects.matching(**read_criteria(options))
