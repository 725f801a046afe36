"""How the admin shows a device in a word or two."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.timesince import timesince

from tokens.client import client_name
from tokens.models import IssuedToken, State


def ago(time: datetime, now: datetime) -> str:
    """ "3 hours ago", with the exact time on hover."""
    recent = now - time < timedelta(minutes=1)
    text = "just now" if recent else f"{timesince(time, now, depth=1)} ago"
    exact = f"{time:%Y-%m-%d %H:%M:%S} UTC"
    return format_html('<time datetime="{}" title="{}">{}</time>', time.isoformat(), exact, text)


def revoke_link(device: IssuedToken) -> str:
    return format_html(
        '<a class="revoke" href="{}" aria-label="Revoke {} of {}">Revoke</a>',
        reverse("admin:tokens_issuedtoken_revoke", args=[device.pk]),
        device,
        device.user,
    )


def story(device: IssuedToken) -> str:
    """What became of the device, line by line, in the order of time."""
    events = sorted((event for event in _events(device) if event[0]), key=lambda event: event[0])
    lines = [(_exact(time), " ".join(filter(None, words))) for time, *words in events]
    return format_html("<ol>{}</ol>", format_html_join("", "<li>{}: {}</li>", lines))


def _events(device: IssuedToken) -> Iterator[tuple[Any, ...]]:
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
        yield device.refused_at, device.refused_text


def _ends(device: IssuedToken) -> Iterator[tuple[Any, ...]]:
    if device.revoked_at:
        by = f"({device.revoked_by_name})" if device.revoked_by_name else ""
        note = f'with the note "{device.revoked_note}"' if device.revoked_note else ""
        yield device.revoked_at, f"ended: {device.ended_text}", by, note
    elif device.state == State.REVOKED:
        yield device.now, f"ended: {device.ended_text}"
    elif device.state == State.EXPIRED:
        yield device.expires_at, "ended: it reached its end"
    elif device.state == State.IDLE:
        yield device.idle_at, "ended: it was not used for too long"


def _from(address: str | None) -> str:
    return f"from {address}" if address else ""


def _exact(time: datetime) -> str:
    text = f"{time:%Y-%m-%d %H:%M:%S} UTC"
    return format_html('<time datetime="{}">{}</time>', time.isoformat(), text)
