"""Checks of the settings that devices and tokens depend on."""

from django.conf import settings
from django.core.checks import Error, Warning, register

ENDS_ANYWAY = "A device ends at its lifetime at the latest. Lower the timeout."


@register()
def check_lifetimes(app_configs, **kwargs):
    """Refuse a lifetime above its limit, and an idle timeout that is longer than the lifetime."""
    wrong = {
        "tokens.E001": (
            settings.ACCESS_TOKEN_LIFETIME.total_seconds() > 900,
            "ACCESS_TOKEN_LIFETIME is longer than 15 minutes.",
            "The refresh token keeps a device signed in. 300 is the default.",
        ),
        "tokens.E002": (
            settings.DEVICE_IDLE_TIMEOUT > settings.DEVICE_LIFETIME,
            "DEVICE_IDLE_TIMEOUT is longer than DEVICE_LIFETIME.",
            ENDS_ANYWAY,
        ),
        "tokens.E003": (
            settings.STAFF_BROWSER_IDLE_TIMEOUT > settings.STAFF_BROWSER_LIFETIME,
            "STAFF_BROWSER_IDLE_TIMEOUT is longer than STAFF_BROWSER_LIFETIME.",
            ENDS_ANYWAY,
        ),
        "tokens.E004": (
            settings.REFRESH_GRACE.total_seconds() > 60,
            "REFRESH_GRACE is longer than 60 seconds.",
            "A stolen refresh token goes unnoticed for as long. 30 is the default.",
        ),
    }
    return [
        Error(message, hint=hint, id=id)
        for id, (is_wrong, message, hint) in wrong.items()
        if is_wrong
    ]


@register()
def check_session_engine(app_configs, **kwargs):
    """Warn of an engine that stores sessions: a copy of its store would sign people in."""
    if settings.SESSION_ENGINE.endswith(".signed_cookies"):
        return []
    return [
        Warning(
            f"SESSION_ENGINE {settings.SESSION_ENGINE!r} stores usable session keys.",
            hint="Use django.contrib.sessions.backends.signed_cookies: the device row ends it.",
            id="tokens.W001",
        )
    ]
