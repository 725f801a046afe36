"""A configuration as in production, with keys of this run alone.

It is set before Django reads it, so `DJANGO_SETTINGS_MODULE` stands here and not in pytest.ini.
"""

import json
import os
import secrets

import django
import hypothesis
import pytest

from tokens.keys import generate_signing_key

pytest_plugins = [
    "tests.plugins.asvs",
    "tests.plugins.chromium",
    "tests.plugins.guestlist",
    "tests.plugins.smtp",
]

# No test asserts a time. `--hypothesis-profile=thorough` tries forty times as many examples.
hypothesis.settings.register_profile(
    "patient",
    hypothesis.settings(),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "thorough", hypothesis.settings.get_profile("patient"), max_examples=4000
)


def pytest_configure(config):
    """Once a run, unlike the import of this file, which pytest repeats for a test that imports it
    beside another conftest. The workers of a run in parallel inherit what is set here."""
    hypothesis.settings.load_profile("patient")
    if not hasattr(config, "workerinput"):
        set_environment()
    django.setup()


def set_environment():
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DEBUG": "false",
        "SECRET_KEY": secrets.token_urlsafe(64),
        "JWT_SIGNING_KEYS": json.dumps({"keys": [generate_signing_key()]}),
        "ALLOWED_HOSTS": "testserver,127.0.0.1,localhost",
        "SITE_URL": "https://testserver",
        "DEFAULT_FROM_EMAIL": "Guestlist <guestlist@testserver.example>",
        "SECURE_SSL_REDIRECT": "false",  # the test client speaks plain HTTP
        # Staff sign in by password in most tests. Those about staff's passkeys turn it on.
        "STAFF_NEEDS_PASSKEY": "false",
    }


@pytest.fixture(scope="session", autouse=True)
def cheap_argon2():
    """Argon2 as ever, with little memory: the tests hash thousands of passwords."""
    from accounts.hashers import Argon2PasswordHasher

    Argon2PasswordHasher.memory_cost = 64
    Argon2PasswordHasher.time_cost = 1


@pytest.fixture(scope="session", autouse=True)
def plain_static_files():
    """Static files come from the apps, not from what `collectstatic` writes."""
    from django.conf import settings
    from django.test import override_settings

    backend = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    with override_settings(
        STORAGES={**settings.STORAGES, "staticfiles": backend},
        WHITENOISE_AUTOREFRESH=True,
        WHITENOISE_USE_FINDERS=True,
    ):
        yield
