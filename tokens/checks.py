from django.conf import settings
from django.core.checks import Error, Warning, register


@register()
def check_lifetimes(app_configs, **kwargs):
    errors = []
    if settings.ACCESS_TOKEN_LIFETIME.total_seconds() > 900:
        errors.append(
            Error(
                "ACCESS_TOKEN_LIFETIME is longer than 15 minutes.",
                hint="The refresh token keeps a device signed in. 300 is the default.",
                id="tokens.E001",
            )
        )
    if settings.DEVICE_IDLE_TIMEOUT > settings.DEVICE_LIFETIME:
        errors.append(
            Error(
                "DEVICE_IDLE_TIMEOUT is longer than DEVICE_LIFETIME.",
                hint="A device ends at its lifetime at the latest. Lower the timeout.",
                id="tokens.E002",
            )
        )
    if settings.STAFF_BROWSER_IDLE_TIMEOUT > settings.STAFF_BROWSER_LIFETIME:
        errors.append(
            Error(
                "STAFF_BROWSER_IDLE_TIMEOUT is longer than STAFF_BROWSER_LIFETIME.",
                hint="A device ends at its lifetime at the latest. Lower the timeout.",
                id="tokens.E003",
            )
        )
    if settings.REFRESH_GRACE.total_seconds() > 60:
        errors.append(
            Error(
                "REFRESH_GRACE is longer than 60 seconds.",
                hint="A stolen refresh token goes unnoticed for as long. 30 is the default.",
                id="tokens.E004",
            )
        )
    if settings.LOGIN_DELAY > settings.LOGIN_MAX_DELAY:
        errors.append(
            Error(
                "LOGIN_DELAY is longer than LOGIN_MAX_DELAY.",
                hint="The delay doubles up to the longest one. 30 and 3600 are the defaults.",
                id="tokens.E005",
            )
        )
    return errors


@register()
def check_session_engine(app_configs, **kwargs):
    if settings.SESSION_ENGINE.endswith(".signed_cookies"):
        return []
    return [
        Warning(
            f"SESSION_ENGINE {settings.SESSION_ENGINE!r} stores usable session keys.",
            hint="Use django.contrib.sessions.backends.signed_cookies: the device row ends it.",
            id="tokens.W001",
        )
    ]
