"""HTML that several pages of the admin show about a device."""

from datetime import datetime, timedelta
from functools import cache

from django.urls import get_script_prefix, reverse
from django.utils.html import format_html, format_html_join

from accounts.models import User
from accounts.templatetags.times import clock, exact, time_tag
from tokens import stories
from tokens.models import IssuedToken, State

OWN = "This is the device you use now."
HALF_A_DAY = timedelta(hours=12)  # since then a time of day is the latest one


def ago(time: datetime, now: datetime) -> str:
    """ "3 hours ago", with the exact time as its title."""
    return time_tag(time, stories.ago(time, now))


def state(device: IssuedToken, *, is_own: bool) -> str:
    """The state in words and as a class for its colour, and whether staff use this device now."""
    own = f" · {OWN}" if is_own else ""
    colour = "alarm" if device.alarm and device.state == State.LIVE else device.state
    return format_html('<span class="state {}">{}</span>{}', colour, _state_text(device), own)


def person(user: User) -> str:
    """Username and email address. The username is a link to the person's page."""
    url = _url("admin:accounts_user_change", user.pk)
    return format_html('<a href="{}">{}</a><br>{}', url, user, user.email)


def revoke_link(device: IssuedToken, query: str = "") -> str:
    """The link to revoke the device. Its query says where to go afterwards."""
    url = _url("admin:tokens_issuedtoken_revoke", device.pk)
    return format_html(
        '<a class="revoke" href="{}" aria-label="Revoke {} of {}">Revoke</a>',
        f"{url}?{query}" if query else url,
        device,
        device.user,
    )


def already(device: IssuedToken, staff: User) -> str:
    """ "Already revoked by admin at 19:56: Reported lost." The device must not be live."""
    if device.revoked_reason not in stories.BY_STAFF:
        return format_html("Already ended: {}{}.", stories.ended_text(device), _when(device))
    by = "you" if device.revoked_by_id == staff.pk else device.revoked_by_name or "staff"
    note = f": {device.revoked_note}" if device.revoked_note else "."
    return format_html("Already revoked by {}{}{}", by, _when(device), note)


def story(device: IssuedToken) -> str:
    """The events of the device as a list, the earliest first. Those without a time are left out."""
    told = sorted(
        (event for event in stories.events(device) if event[0]), key=lambda event: event[0]
    )
    lines = [(exact(time), " ".join(filter(None, words))) for time, *words in told]
    return format_html("<ol>{}</ol>", format_html_join("", "<li>{}: {}</li>", lines))


def _url(name: str, key: object) -> str:
    """As `reverse(name, args=[key])`, which takes ten times the calls. A list has many links."""
    head, tail = _around_key(name, get_script_prefix())
    return f"{head}/{key}/{tail}"


@cache
def _around_key(name: str, script_prefix: str) -> tuple[str, str]:
    head, _, tail = reverse(name, args=["0"]).rpartition("/0/")
    return head, tail


def _state_text(device: IssuedToken) -> str:
    if device.state != State.REVOKED:
        return f"{device.state}, another client" if device.alarm else device.state
    text = stories.ended_text(device)
    return text if text.startswith("revoked") else f"revoked: {text}"


def _when(device: IssuedToken) -> str:
    """ " at 19:56", or " on 29 Nov 2026, 19:56" if that is longer ago. "" if the row has no end."""
    time = device.revoked_at
    if time is None:
        return ""
    if device.now - time > HALF_A_DAY:
        return format_html(" on {}", exact(time))
    return format_html(" at {}", clock(time))
