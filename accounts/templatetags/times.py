"""Times on the pages of the admin: in one style and in UTC.

A script shows them in the reader's own time zone. The title keeps UTC.
"""

from datetime import datetime

from django import template
from django.forms.utils import flatatt
from django.utils.dateformat import format as format_time
from django.utils.html import format_html

register = template.Library()


@register.filter
def exact(time: datetime | None) -> str:
    """ "29 Nov 2026, 19:56"; "-" without a time."""
    return time_tag(time, format_time(time, "j M Y, H:i")) if time else "-"


def clock(time: datetime) -> str:
    """ "19:56"."""
    return time_tag(time, format_time(time, "H:i"), **{"class": "clock"})


def time_tag(time: datetime, text: str, **attributes: str) -> str:
    """The text about a time, with the time itself as its title."""
    title = f"{format_time(time, 'j M Y, H:i:s')} UTC"
    attributes = {"datetime": time.isoformat(), "title": title, **attributes}
    return format_html("<time{}>{}</time>", flatatt(attributes), text)
