"""Filters for the words about a device. Each takes a device from `with_state()`."""

from django import template

from tokens import stories
from tokens.models import IssuedToken
from tokens.user_agents import DESKTOPS, DeviceType

register = template.Library()
register.filter(stories.alarm_text)
register.filter(stories.ended_note)
register.filter(stories.ends_soon)
register.filter(stories.is_by_staff)
register.filter(stories.owner_text)
register.filter(stories.refused_text)
register.filter("seen", stories.seen_text)


@register.filter
def icon(device: IssuedToken) -> str:
    """The device type whose icon is shown. A native app is on a phone unless its OS says a desk."""
    if device.device_type != DeviceType.APP:
        return device.device_type
    return DeviceType.DESKTOP if device.os in DESKTOPS else DeviceType.PHONE
