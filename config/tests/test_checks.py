import importlib
import sys
from copy import deepcopy
from datetime import timedelta

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import override_settings

from config.checks import check_at_start


@pytest.fixture(autouse=True)
def logging_as_it_is(settings):
    """Making an application configures the logging again, which takes pytest's handlers away."""
    settings.LOGGING_CONFIG = None


@pytest.fixture(autouse=True)
def databases_as_they_are(monkeypatch):
    """Making an ASGI application changes how connections are kept, which is not for these tests."""
    monkeypatch.setattr(settings, "DATABASES", deepcopy(settings.DATABASES))


def start(server):
    """Make the application as a server does, for the first time in its process."""
    sys.modules.pop(f"config.{server}", None)
    return importlib.import_module(f"config.{server}").application


@pytest.mark.asvs("15.4.2")
@pytest.mark.parametrize("server", ["wsgi", "asgi"])
def test_atomic_requests_do_not_start(server, monkeypatch):
    """No refusal rolls back what it recorded, and no lock waits for a password hash."""
    monkeypatch.setitem(settings.DATABASES["default"], "ATOMIC_REQUESTS", True)

    with pytest.raises(SystemCheckError, match=r"config\.E001"):
        call_command("check")
    with pytest.raises(ImproperlyConfigured, match="ATOMIC_REQUESTS is on for the database"):
        start(server)


@pytest.mark.parametrize("server", ["wsgi", "asgi"])
@pytest.mark.parametrize(
    ("name", "value", "id"),
    [
        (
            "AUTHENTICATION_BACKENDS",
            [*settings.AUTHENTICATION_BACKENDS, "django.contrib.auth.backends.ModelBackend"],
            "accounts.E002",
        ),
        (
            "PASSWORD_HASHERS",
            ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS],
            "accounts.E003",
        ),
        ("MIDDLEWARE", settings.MIDDLEWARE[1:], "config.E002"),
        ("ACCESS_TOKEN_LIFETIME", timedelta(days=1), "tokens.E001"),
    ],
)
def test_unsafe_wiring_does_not_start(server, pytestconfig, name, value, id):
    setattr(pytestconfig, name, value)
    with override_settings(**{name: value}), pytest.raises(ImproperlyConfigured, match=id):
        start(server)


def test_warning_is_logged_once_at_start(settings, caplog):
    settings.SECURE_SSL_REDIRECT = settings.STAFF_NEEDS_PASSKEY = True
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"

    check_at_start()

    [record] = [record for record in caplog.records if record.message == "unsafe configuration"]
    assert record.check == "tokens.W001"


def test_silenced_check_starts_and_is_logged(settings, monkeypatch, caplog):
    monkeypatch.setitem(settings.DATABASES["default"], "ATOMIC_REQUESTS", True)
    settings.SILENCED_SYSTEM_CHECKS = ["config.E001"]

    assert start("wsgi")
    assert "config.E001" in [
        record.check for record in caplog.records if record.message == "check silenced"
    ]
