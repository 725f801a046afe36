"""Checks of the site's wiring, and the run of all the project's checks when a server starts."""

import logging

from django.conf import settings
from django.core import checks
from django.core.checks import Error, register
from django.core.exceptions import ImproperlyConfigured

logger = logging.getLogger(__name__)
OURS = ("accounts.", "config.", "tokens.")  # how the ids of the project's checks begin


@register()
def check_transactions(app_configs, **kwargs):
    """A refusal must not roll back what it recorded, and no lock may wait for a password hash."""
    return [
        Error(
            f"ATOMIC_REQUESTS is on for the database {alias!r}.",
            hint="Take it out of DATABASES. The flows open the transactions that they need.",
            id="config.E001",
        )
        for alias, database in settings.DATABASES.items()
        if database.get("ATOMIC_REQUESTS")
    ]


def check_at_start() -> None:
    """Run the project's checks. Raise ImproperlyConfigured on an error; log each warning once.

    Called when the WSGI or ASGI application is made, since servers run no checks by themselves.
    """
    found = [
        message
        for message in checks.run_checks()
        if str(message.id).startswith(OURS) and not message.is_silenced()
    ]
    if errors := [str(message) for message in found if message.is_serious()]:
        raise ImproperlyConfigured("\n".join(errors))
    for message in found:
        logger.warning("unsafe configuration", extra={"check": message.id, "what": message.msg})
