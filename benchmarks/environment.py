"""The configuration of a benchmark: as in production, with keys of this run alone."""

import json
import os
import secrets
import sys

import django
from django.conf import settings


def configure(settings_module: str) -> None:
    """The environment of this process and of all that it starts."""
    from tokens.keys import generate_signing_key

    os.environ |= {
        "DJANGO_SETTINGS_MODULE": settings_module,
        "DEBUG": "false",
        "SECRET_KEY": secrets.token_urlsafe(64),
        "JWT_SIGNING_KEYS": json.dumps({"keys": [generate_signing_key()]}),
        "SITE_URL": "https://testserver",
        "DEFAULT_FROM_EMAIL": "Guestlist <guestlist@testserver.example>",
        "ALLOWED_HOSTS": "testserver,127.0.0.1",
        "SECURE_SSL_REDIRECT": "false",  # the test client speaks plain HTTP
        "STAFF_NEEDS_PASSKEY": "false",  # staff sign in by password, as they do in the peers
        "PGOPTIONS": "-c jit=off",  # as for requests, without their time limits
        "PYTHONWARNINGS": "ignore:No directory at",  # no static files were collected
    }


def set_up() -> None:
    """Configure Django for the database of DATABASE_URL. There is no default, because a benchmark
    writes."""
    if not os.environ.get("DATABASE_URL"):
        sys.exit("Set DATABASE_URL to the database to work on.")
    configure("config.settings")
    django.setup()
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    # Static files come from the apps, not from what `collectstatic` writes.
    settings.STORAGES["staticfiles"]["BACKEND"] = (
        "django.contrib.staticfiles.storage.StaticFilesStorage"
    )
