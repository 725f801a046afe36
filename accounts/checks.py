"""System checks of the settings for attempts to sign in."""

from django.conf import settings
from django.core.checks import Error, register


@register()
def check_delays(app_configs, **kwargs):
    if settings.LOGIN_DELAY <= settings.LOGIN_MAX_DELAY:
        return []
    return [
        Error(
            "LOGIN_DELAY is longer than LOGIN_MAX_DELAY.",
            hint="The delay doubles from the first to the second. The defaults are 30 and 3600.",
            id="accounts.E001",
        )
    ]
