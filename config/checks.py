"""A system check of the site, and the run of the project's checks when a server starts."""

import logging

from django.conf import settings
from django.core import checks
from django.core.checks import Error, register
from django.core.exceptions import ImproperlyConfigured

logger = logging.getLogger(__name__)
OURS = ("accounts.", "config.", "tokens.")  # prefixes of the ids of the project's checks


@register()
def check_transactions(app_configs, **kwargs):
    """Refuse ATOMIC_REQUESTS. With it a refusal would roll back what it recorded, such as a count.

    It would also hold locks while a password is being hashed.
    """
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
    """Run the project's checks. Raise ImproperlyConfigured on an error, and log each warning.

    Called when the WSGI or ASGI application is made, because servers run no checks by themselves.
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
