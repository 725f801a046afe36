"""Checks of the settings that attempts to sign in depend on."""

from django.conf import settings
from django.core.checks import Error, register


@register()
def check_delays(app_configs, **kwargs):
    if settings.LOGIN_DELAY <= settings.LOGIN_MAX_DELAY:
        return []
    return [
        Error(
            "LOGIN_DELAY is longer than LOGIN_MAX_DELAY.",
            hint="The delay doubles up to the longest one. 30 and 3600 are the defaults.",
            id="accounts.E001",
        )
    ]
