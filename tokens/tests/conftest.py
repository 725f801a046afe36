"""Fixtures that several files of these tests use."""

import time
from unittest import mock

import pytest
from django.core import mail
from django.db.models.functions import Now
from django.utils import timezone

from tests.plugins.guestlist import FIREFOX
from tokens.tests.clock import Clock, forget_statements


@pytest.fixture
def reader(db):
    """Staff who see users and devices and revoke nothing."""
    from accounts.tests.admin import make_staff

    return make_staff("reader", "accounts.view_user", "tokens.view_issuedtoken")


@pytest.fixture
def mails_of(django_capture_on_commit_callbacks):
    """`mails_of(act)` are the mails that `act()` sends once its transaction commits."""

    def run(act):
        mail.outbox.clear()
        with django_capture_on_commit_callbacks(execute=True):
            act()
        return list(mail.outbox)

    return run


@pytest.fixture
def clock(db):
    """Statements are compiled again before and after, because they hold the clock that they ask."""
    clock = Clock()
    forget_statements()
    with (
        mock.patch.multiple(Now, as_sqlite=clock.as_sql, as_postgresql=clock.as_sql),
        mock.patch.object(time, "time", clock.host_time),
        mock.patch.object(timezone, "now", clock.host_now),
    ):
        yield clock
    forget_statements()


@pytest.fixture
def laptop(browser, alice):
    return browser(alice, headers={"user-agent": FIREFOX})


@pytest.fixture
def verified(alice):
    alice.email_verified_at = alice.date_joined
    alice.save()
    return alice


@pytest.fixture
def stale(laptop, alice, age):
    """Her browser, 16 minutes after she gave her password there."""
    age(alice.devices.get(), minutes=16)
    return laptop


@pytest.fixture
def stale_browser(browser, age):
    """`stale_browser(user)` is a browser in which the user's last password is 16 minutes old."""

    def browser_of(user):
        page = browser(user)
        age(user.devices.get(kind="browser"), minutes=16)
        return page

    return browser_of
