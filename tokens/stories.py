"""Every word that a person reads about a device: what became of it, how it ended, since when."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.utils.timesince import timesince

from tokens.models import IssuedToken, State
from tokens.user_agents import client_name


def ended_note(device: IssuedToken) -> str:
    """What the person is told of the end: staff's note, or both sides of a reuse."""
    if device.revoked_reason != IssuedToken.Reason.REUSE:
        return device.revoked_note
    first = _side(device.rotated_at, device.rotated_ip, device.rotated_user_agent)
    second = _side(device.reuse_at, device.reuse_ip, device.reuse_user_agent)
    return f"Used first {first}, then again {second}."


def ended_text(device: IssuedToken) -> str:
    """How the device ended, for the person: "revoked by staff"."""
    if device.state == State.REVOKED:
        return IssuedToken.Reason(device.ended_reason).label
    return "not used for too long" if device.state == State.IDLE else "reached its end"


def refused_text(device: IssuedToken) -> str:
    """What came after the end: "refused 14 times since, last 3 minutes ago from ..."."""
    if not device.refused_at:
        return ""
    times = "once" if device.refused_count == 1 else f"{device.refused_count} times"
    ago = f"{timesince(device.refused_at, device.now, depth=1)} ago"
    last = "just now" if device.now - device.refused_at < timedelta(minutes=1) else ago
    return f"refused {times} since, last {last} from {device.refused_ip or 'somewhere'}"


def events(device: IssuedToken) -> Iterator[tuple[Any, ...]]:
    """Each event as its time and words about it, "" and None being none."""
    yield device.created_at, "signed in", _from(device.ip_address)
    if device.authenticated_at != device.created_at:
        yield device.authenticated_at, "gave the password again"
    if device.generation > 1:
        times = "once" if device.generation == 2 else f"{device.generation - 1} times, the last"
        client = client_name(device.rotated_user_agent)
        yield device.rotated_at, f"refreshed {times}", _from(device.rotated_ip), f"by {client}"
    yield device.last_seen_at, "last seen", _from(device.last_ip)
    if device.reuse_at:
        client = client_name(device.reuse_user_agent)
        yield (
            device.reuse_at,
            "its refresh token came again",
            _from(device.reuse_ip),
            f"by {client}",
        )
    yield from _ends(device)
    if device.refused_at:
        yield device.refused_at, refused_text(device)


def _ends(device: IssuedToken) -> Iterator[tuple[Any, ...]]:
    if device.revoked_at:
        by = f"({device.revoked_by_name})" if device.revoked_by_name else ""
        note = f'with the note "{device.revoked_note}"' if device.revoked_note else ""
        yield device.revoked_at, f"ended: {ended_text(device)}", by, note
    elif device.state == State.REVOKED:
        yield device.now, f"ended: {ended_text(device)}"
    elif device.state == State.EXPIRED:
        yield device.expires_at, "ended: it reached its end"
    elif device.state == State.IDLE:
        yield device.idle_at, "ended: it was not used for too long"


def _from(address: str | None) -> str:
    return f"from {address}" if address else ""


def _side(time: datetime | None, ip_address: str | None, user_agent: str) -> str:
    at = f"on {time:%Y-%m-%d at %H:%M} UTC" if time else "at an unknown time"
    return f"{at} from {ip_address or 'an unknown address'} by {client_name(user_agent)}"
