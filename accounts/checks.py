"""System checks of how people sign in, and of the settings for attempts to sign in."""

from django.conf import settings
from django.core.checks import Error, Warning, register
from django.utils.module_loading import import_string

from accounts.backends import RoleBackend
from accounts.hashers import Argon2PasswordHasher
from accounts.passkeys import rp_id


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


@register()
def check_password_length(app_configs, **kwargs):
    """Warn of short passwords: NIST SP 800-63B-4 asks for 15 characters where nothing else does."""
    if settings.PASSWORD_MIN_LENGTH >= 15:
        return []
    return [
        Warning(
            "PASSWORD_MIN_LENGTH is below 15.",
            hint="Few accounts have more than a password. 15 is the default.",
            id="accounts.W001",
        )
    ]


@register()
def check_backends(app_configs, **kwargs):
    """Refuse another backend: a password tried there would not be counted."""
    paths = settings.AUTHENTICATION_BACKENDS
    others = [path for path in paths if not is_subclass(path, RoleBackend)]
    if paths and not others:
        return []
    return [
        Error(
            f"AUTHENTICATION_BACKENDS must hold RoleBackend alone, not {others}.",
            hint="It limits the attempts and asks for roles. Use accounts.backends.RoleBackend.",
            id="accounts.E002",
        )
    ]


@register()
def check_hashers(app_configs, **kwargs):
    """Refuse another hasher as the first: new passwords are hashed with it."""
    if is_subclass(next(iter(settings.PASSWORD_HASHERS), ""), Argon2PasswordHasher):
        return []
    return [
        Error(
            "PASSWORD_HASHERS must begin with Guestlist's Argon2PasswordHasher.",
            hint="Put accounts.hashers.Argon2PasswordHasher first, and others after it.",
            id="accounts.E003",
        )
    ]


@register()
def check_site_can_have_passkeys(app_configs, **kwargs):
    """Warn of an IP address: browsers make passkeys for the name of a host alone."""
    if rp_id():
        return []
    return [
        Warning(
            "SITE_URL is an IP address, so nobody can have a passkey.",
            hint="Name the host in SITE_URL. In development it is http://localhost:8000.",
            id="accounts.W002",
        )
    ]


@register()
def check_staff_passkeys(app_configs, **kwargs):
    """Refuse a requirement that nobody could meet, and warn of a site without one."""
    if settings.STAFF_NEEDS_PASSKEY and not rp_id():
        return [
            Error(
                "STAFF_NEEDS_PASSKEY is on, but SITE_URL is an IP address: staff could do nothing.",
                hint="Name the host in SITE_URL. Browsers make no passkey for an IP address.",
                id="accounts.E004",
            )
        ]
    if settings.STAFF_NEEDS_PASSKEY or settings.DEBUG:
        return []
    return [
        Warning(
            "STAFF_NEEDS_PASSKEY is off: whoever learns the password of staff is staff.",
            hint="Take the variable away once staff have passkeys.",
            id="accounts.W003",
        )
    ]


def is_subclass(path: str, parent: type) -> bool:
    """Whether `path` can be imported and is `parent`, or a class that is derived from it."""
    try:
        found = import_string(path)
    except ImportError:
        return False
    return isinstance(found, type) and issubclass(found, parent)
