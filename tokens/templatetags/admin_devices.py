"""Tags for the admin's pages about devices. Each takes a device from `with_state()`."""

from django import template

from tokens import stories
from tokens.admin import display, rows
from tokens.models import IssuedToken

register = template.Library()
register.filter(display.person)
register.filter(stories.ended_note)
register.filter(stories.ended_text)
register.simple_tag(display.already)
register.simple_tag(display.revoke_link)
register.simple_tag(display.state, name="device_state")
register.inclusion_tag("admin/change_list_results.html", name="device_rows")(rows.result_list)


@register.filter
def ago(device: IssuedToken, field: str) -> str:
    return display.ago(getattr(device, field), device.now)
