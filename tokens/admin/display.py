"""HTML that several pages of the admin show about a device."""

from datetime import datetime

from django.urls import reverse
from django.utils.html import format_html, format_html_join

from tokens import stories
from tokens.models import IssuedToken


def ago(time: datetime, now: datetime) -> str:
    """ "3 hours ago", with the exact time (UTC) as its title."""
    exact = f"{time:%Y-%m-%d %H:%M:%S} UTC"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', time.isoformat(), exact, stories.ago(time, now)
    )


def revoke_link(device: IssuedToken, filters: str = "") -> str:
    """The link to revoke the device. It holds the filters of the list that it is in."""
    url = reverse("admin:tokens_issuedtoken_revoke", args=[device.pk])
    return format_html(
        '<a class="revoke" href="{}" aria-label="Revoke {} of {}">Revoke</a>',
        f"{url}?{filters}" if filters else url,
        device,
        device.user,
    )


def story(device: IssuedToken) -> str:
    """The events of the device as a list, the earliest first. Those without a time are left out."""
    told = sorted(
        (event for event in stories.events(device) if event[0]), key=lambda event: event[0]
    )
    lines = [(_exact(time), " ".join(filter(None, words))) for time, *words in told]
    return format_html("<ol>{}</ol>", format_html_join("", "<li>{}: {}</li>", lines))


def _exact(time: datetime) -> str:
    text = f"{time:%Y-%m-%d %H:%M:%S} UTC"
    return format_html('<time datetime="{}">{}</time>', time.isoformat(), text)
