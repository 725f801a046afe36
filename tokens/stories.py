"""Every text that people read about a device: its end, when it was seen, why it was refused."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.utils.dateformat import format as format_time
from django.utils.timesince import timesince

from accounts.models import Throttle
from tokens.client import is_near, network_of
from tokens.models import IssuedToken, State
from tokens.user_agents import client_name

ACTIVE = timedelta(minutes=5)  # since it was last seen
MOMENT = timedelta(minutes=1)  # a shorter time ago is "just now"
SOON = timedelta(hours=1)  # the list says when a device ends that ends within this time

# The API's messages about a refused credential, by refusal code.
REFUSALS = {
    "token_invalid": "This token is not valid.",
    "token_expired": "This token has expired.",
    "device_revoked": "This device was signed out.",
    "device_expired": "The time of this sign-in is over. Sign in again.",
    "device_idle": "This device was not used for too long. Sign in again.",
    "user_inactive": "This account is deactivated.",
    "password_changed": "The password was changed. Sign in again.",
    "refresh_invalid": "This refresh token is no longer valid. Sign in again.",
}
# What the sign-in page says to a browser whose device ended, by refusal code. The second table has
# the texts for a revoked device, by the reason.
SIGNED_OUT = {
    "device_expired": "You were signed out because the time of this sign-in is over.",
    "device_idle": "You were signed out because this device was not used for a while.",
    "user_inactive": "This account was deactivated.",
    "password_changed": "The password was changed on another device, so this one was signed out.",
}
BY_STAFF = {IssuedToken.Reason.STAFF, IssuedToken.Reason.INCIDENT}
# How a device ended, where its owner reads other words than staff.
OWNER_ENDED: dict[str, str] = {
    IssuedToken.Reason.USER: "signed out by you",
    IssuedToken.Reason.RIGHTS: "your account may do more since then",
}
# Where wrong passwords were given, by the kind of the count.
WRONG_AT: dict[str, str] = {
    Throttle.Kind.ACCOUNT: "at sign-in from a network that you do not use",
    Throttle.Kind.KNOWN: "at sign-in from a network that you use",
    Throttle.Kind.PASSWORD: "on a device that is signed in",
}
SIGNED_OUT_BECAUSE = {
    "staff": "Our staff signed this device out.",
    "incident": "Our staff signed this device out.",
    "limit": "You signed in on many devices, so this one was signed out.",
    "deactivated": "This account was deactivated.",
    "user": "You signed this device out from another one.",
    "rights": "Your account may do more since you signed in here. Please sign in again.",
}


def signed_out_text(code: str, reason: str) -> str:
    """Why this browser is not signed in any more, by refusal code and reason of a revocation."""
    if code == "device_revoked":
        return SIGNED_OUT_BECAUSE.get(reason, "This device was signed out.")
    return SIGNED_OUT[code]


def ended_text(device: IssuedToken) -> str:
    """How the device ended, such as "revoked by staff". The device must not be live."""
    if device.state == State.REVOKED:
        return IssuedToken.Reason(device.ended_reason).label
    return "not used for too long" if device.state == State.IDLE else "reached its end"


def owner_text(device: IssuedToken) -> str:
    """How the device ended, as its owner reads it: "signed out by our staff (ana)"."""
    if is_by_staff(device):
        name = f" ({device.revoked_by_name})" if device.revoked_by_name else ""
        return f"signed out by our staff{name}"
    return OWNER_ENDED.get(device.ended_reason) or ended_text(device)


def is_by_staff(device: IssuedToken) -> bool:
    """Whether staff ended the device, so that its owner may want to ask them why."""
    return device.revoked_reason in BY_STAFF


def ends_soon(device: IssuedToken) -> bool:
    """Whether the live device reaches its end within an hour, as on a shared computer."""
    return device.expires_at - device.now <= SOON


def ended_note(device: IssuedToken) -> str:
    """The note about the end: what staff wrote or, after a reuse, who used the token when."""
    if device.revoked_reason != IssuedToken.Reason.REUSE or device.revoked_note:
        return device.revoked_note
    return reuse_note(device, device.alarm_at, device.alarm_ip, device.alarm_client)


def reuse_note(
    device: IssuedToken, time: datetime | None, ip_address: str | None, user_agent: str
) -> str:
    """Who used the refresh token of this device first, and that it came again at this time.

    It is slow, because it parses both user agents.
    """
    first, second = client_name(device.rotated_user_agent), client_name(user_agent)
    note = (
        f"Used first {_side(device.rotated_at, device.rotated_ip, first)}, "
        f"then again {_side(time, ip_address, second)}."
    )
    if first == second and is_near(device.rotated_ip, ip_address):
        note += " Both are the same client in the same network: probably an answer was lost."
    return note


def alarm_text(device: IssuedToken) -> str:
    """That the cookie came from another client, and from where. "" without such an alarm."""
    if device.alarm != IssuedToken.Alarm.CLIENT:
        return ""
    side = _side(device.alarm_at, address_text(device, device.alarm_ip), device.alarm_client)
    return f"Its cookie came from another program, {side}."


def refused_text(device: IssuedToken) -> str:
    """The requests after the end: "refused 14 times since, last 3 minutes ago from 192.0.2.7".

    "" if there were none.
    """
    if not device.refused_at:
        return ""
    times = "once" if device.refused_count == 1 else f"{device.refused_count} times"
    last = ago(device.refused_at, device.now)
    where = address_text(device, device.refused_ip) or "somewhere"
    return f"refused {times} since, last {last} from {where}"


def seen_text(device: IssuedToken) -> str:
    """When the device was last seen: "Active now" or "Last seen 3 hours ago"."""
    if device.now - device.last_seen_at < ACTIVE:
        return "Active now"
    return f"Last seen {ago(device.last_seen_at, device.now)}"


def address_text(device: IssuedToken, address: str | None) -> str:
    """An address in the row of the device: its network, if the device is forgotten. "" for none."""
    if address and device.forgotten_at:
        return str(network_of(address))
    return address or ""


def ago(time: datetime, now: datetime) -> str:
    """How long ago a time is: "just now" or "3 hours ago"."""
    return "just now" if now - time < MOMENT else f"{timesince(time, now, depth=1)} ago"


def in_words(length: timedelta) -> str:
    """A length of time: "28 days", or "36 hours" if it is not a whole number of days."""
    days, rest = divmod(length, timedelta(days=1))
    number, unit = (length // timedelta(hours=1), "hour") if rest else (days, "day")
    return f"{number} {unit}{'' if number == 1 else 's'}"


_GAVE = {False: "gave the password", True: "used a passkey"}


def signed_in_text(device: IssuedToken) -> str:
    """ "signed in with a passkey". Without more words for a password, and for what is unknown."""
    by_passkey = device.method == IssuedToken.Method.PASSKEY
    return "signed in with a passkey" if by_passkey else "signed in"


def events(device: IssuedToken) -> Iterator[tuple[Any, ...]]:
    """The events of the device, not sorted. Each is its time, followed by texts about it.

    A text may be "". A time of None means that the event never happened.
    """
    yield device.created_at, signed_in_text(device), _from(device, device.ip_address)
    if device.authenticated_at != device.created_at:
        by_passkey = device.authenticated_at == device.passkey_at
        yield device.authenticated_at, f"{_GAVE[by_passkey]} again"
    if device.passkey_at not in (None, device.created_at, device.authenticated_at):
        yield device.passkey_at, "used a passkey"
    if device.generation > 1:
        times = "once" if device.generation == 2 else f"{device.generation - 1} times, the last"
        where, client = _from(device, device.rotated_ip), _label(device, device.rotated_user_agent)
        yield device.rotated_at, f"refreshed {times}", where, f"by {client}"
    yield device.last_seen_at, "last seen", _from(device, device.last_ip)
    yield from _alarms(device)
    yield from _ends(device)
    if device.refused_at:
        yield device.refused_at, refused_text(device)
    yield device.forgotten_at, "exact addresses and clients forgotten"


def owner_events(device: IssuedToken) -> Iterator[tuple[Any, ...]]:
    """What the owner reads of `events()`: that which bears on the safety of the account."""
    near = f"near {device.location}" if device.location else ""
    yield device.created_at, signed_in_text(device), near, _from(device, device.ip_address)
    if device.authenticated_at != device.created_at:
        by_passkey = device.authenticated_at == device.passkey_at
        yield (
            device.authenticated_at,
            "passkey used again" if by_passkey else "password given again",
            _from(device, device.authenticated_ip),
        )
    yield from _alarms(device)
    for time, *_ in _ends(device):
        end, note = owner_text(device), ended_note(device)
        what = end if end.startswith("signed out") else f"signed out: {end}"
        yield time, what, f"“{note}”" if note else ""
    if device.refused_at:
        yield device.refused_at, refused_text(device)


def wrong_text(kind: str, count: int) -> str:
    """How many wrong passwords were given, and where, by the kind of the count."""
    what = "1 wrong password" if count == 1 else f"{count} wrong passwords"
    return f"{what} {WRONG_AT[kind]}"


def _alarms(device: IssuedToken) -> Iterator[tuple[Any, ...]]:
    if device.alarm_at:
        if device.alarm == IssuedToken.Alarm.CLIENT:
            what, client = "its cookie came from another client", device.alarm_client
        else:
            what, client = "its refresh token came again", _label(device, device.alarm_client)
        yield device.alarm_at, what, _from(device, device.alarm_ip), f"by {client}"


def _ends(device: IssuedToken) -> Iterator[tuple[Any, ...]]:
    if device.revoked_at:
        by = f"({device.revoked_by_name})" if device.revoked_by_name else ""
        told = device.revoked_reason != IssuedToken.Reason.REUSE and device.revoked_note
        note = f'with the note "{device.revoked_note}"' if told else ""
        yield device.revoked_at, f"ended: {ended_text(device)}", by, note
    elif device.state == State.REVOKED:
        # Ended by a new password or a deactivation. The row does not hold when, so "now" stands in.
        yield device.now, f"ended: {ended_text(device)}"
    elif device.state == State.EXPIRED:
        yield device.expires_at, "ended: it reached its end"
    elif device.state == State.IDLE:
        yield device.idle_at, "ended: it was not used for too long"


def _from(device: IssuedToken, address: str | None) -> str:
    return f"from {address_text(device, address)}" if address else ""


def _label(device: IssuedToken, user_agent: str) -> str:
    """The label of the client. A device that is forgotten has only the label."""
    return user_agent if device.forgotten_at and user_agent else client_name(user_agent)


def _side(time: datetime | None, ip_address: str | None, client: str) -> str:
    at = f"on {format_time(time, 'j M Y, H:i')} UTC" if time else "at an unknown time"
    return f"{at} from {ip_address or 'an unknown address'} by {client}"
