"""Checks of the settings that devices and tokens depend on."""

from django.conf import settings
from django.core.checks import Error, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.encoding import force_bytes
from rest_framework.settings import api_settings

from accounts.checks import is_subclass
from tokens import authentication, signing
from tokens.keys import key_material
from tokens.middleware import DeviceMiddleware

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


@register()
def check_signing_keys(app_configs, **kwargs):
    """Refuse keys that cannot be used, or that somebody without them could know."""
    hint = "Make a key with: python manage.py generate_signing_key"
    try:
        signing.key_ring()
    except ImproperlyConfigured as error:
        return [Error(str(error), hint=hint, id="tokens.E005")]
    used = {force_bytes(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)}
    for jwk in settings.JWT_SIGNING_KEYS:
        if used & (key_material(jwk) | {force_bytes(jwk.get("k"))}):
            message = "JWT_SIGNING_KEYS: a key is the same as SECRET_KEY."
            return [Error(message, hint=hint, id="tokens.E006")]
    return []


@register()
def check_wiring(app_configs, **kwargs):
    """Refuse a wiring in which somebody could be signed in without a live device."""
    found = []
    if sum(is_subclass(path, DeviceMiddleware) for path in settings.MIDDLEWARE) != 1 or (
        "django.contrib.auth.middleware.AuthenticationMiddleware" in settings.MIDDLEWARE
    ):
        message = "MIDDLEWARE must hold DeviceMiddleware once, in place of Django's."
        hint = "Use tokens.middleware.DeviceMiddleware. Django's asks no device."
        found.append(Error(message, hint=hint, id="tokens.E007"))
    ours = (
        authentication.IssuedTokenAuthentication,
        authentication.BrowserDeviceAuthentication,
    )
    classes: list[type] = api_settings.DEFAULT_AUTHENTICATION_CLASSES  # type: ignore[assignment]
    others = [one for one in classes if not issubclass(one, ours)]
    if others:
        names = ", ".join(sorted(one.__name__ for one in others))
        message = f"DEFAULT_AUTHENTICATION_CLASSES lets in without a device: {names}."
        hint = "Keep the two classes of tokens.authentication. Others belong to single views."
        found.append(Error(message, hint=hint, id="tokens.E008"))
    return found
