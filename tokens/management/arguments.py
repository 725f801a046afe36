"""Read the values of options. A value that cannot be read is refused with a sentence.

The `find_` functions ask the database and raise CommandError. The others are types for argparse
and raise ArgumentTypeError.
"""

import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network

from django.core.management.base import CommandError

from accounts.models import Role, User
from accounts.text import UNPRINTABLE
from tokens.client import parse_network

DURATION = re.compile(r"([0-9]{1,9})([mhd]?)")
UNITS = {"m": "minutes", "h": "hours", "d": "days", "": "days"}
MAX_WORD_LENGTH = 254  # characters; an email address is the longest value
MAX_DURATION = timedelta(days=3650)


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 1.")
    return int(text)


def word(text: str) -> str:
    """A printable text of 1 to MAX_WORD_LENGTH characters.

    A blank text is refused, because an empty variable of a script must not select more devices.
    """
    if not text.strip():
        raise ArgumentTypeError("it is empty.")
    if UNPRINTABLE.search(text):
        raise ArgumentTypeError(f"{text!r} holds a character that cannot be shown.")
    if len(text) > MAX_WORD_LENGTH:
        raise ArgumentTypeError(f"it is longer than {MAX_WORD_LENGTH} characters.")
    return text


def duration(text: str) -> timedelta:
    """ "90d" or "90" (days), "12h" or "30m": more than zero, at most 3650 days."""
    match = DURATION.fullmatch(text)
    if match is None:
        raise ArgumentTypeError(f"{text!r} is not a duration. Write 90d, 12h or 30m.")
    length = timedelta(**{UNITS[match[2]]: int(match[1])})
    if not timedelta(0) < length <= MAX_DURATION:
        raise ArgumentTypeError(f"{text!r} is not between 1m and {MAX_DURATION.days}d.")
    return length


def moment(text: str) -> datetime:
    """An ISO 8601 time or date, taken as UTC if it has no time zone."""
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(
            f"{text!r} is not an ISO 8601 time. Write 2026-01-31T18:30 (UTC) or 2026-01-31."
        ) from None


def future(text: str) -> datetime:
    """A time that has not come yet, in whole seconds: "+1h" from now, or what `moment` reads."""
    if text[-1:] in UNITS and DURATION.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} is not a time. Write +{text} for so long from now.")
    now = datetime.now(UTC)
    time = now + duration(text[1:]) if text.startswith("+") else moment(text)
    if time <= now:
        raise ArgumentTypeError(f"{text!r} has passed.")
    return time.replace(microsecond=0)


def network(text: str) -> IPv4Network | IPv6Network:
    """An IP address or a CIDR block."""
    try:
        return parse_network(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is neither an IP address nor a CIDR block.") from None


def find_user(username: str) -> User:
    """The user with that username or verified email address. Raise CommandError if none has it."""
    user = User.objects.with_login(username).first()
    if user is None:
        raise CommandError(f"There is no user {username!r}.")
    return user


def find_role(name: str) -> str:
    """The name of a role that exists. Raise CommandError for any other."""
    if not Role.objects.filter(name=name).exists():
        raise CommandError(f"There is no role {name!r}.")
    return name
