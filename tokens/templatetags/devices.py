from datetime import timedelta

from django import template
from django.utils.timesince import timesince

from tokens.models import IssuedToken
from tokens.stories import ended_note, ended_text, refused_text

register = template.Library()
for word in (ended_note, ended_text, refused_text):
    register.filter(word)

ACTIVE = timedelta(minutes=5)


@register.filter
def seen(device: IssuedToken) -> str:
    """ "Active now" or "Last seen 3 hours ago", for a device from `with_state()`."""
    if device.now - device.last_seen_at < ACTIVE:
        return "Active now"
    return f"Last seen {timesince(device.last_seen_at, device.now, depth=1)} ago"
