"""A new superuser is mailed to all other superusers, however the account became one."""

import io

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.management import call_command
from django.utils import timezone

from accounts.tests.admin import save
from tests.plugins.guestlist import PASSWORD, make_user


@pytest.fixture
def told(django_capture_on_commit_callbacks):
    """`told(act)` is the addresses that are mailed about a new superuser."""

    def run(act):
        get_user_model().objects.update(email_verified_at=timezone.now())
        mail.outbox.clear()
        with django_capture_on_commit_callbacks(execute=True):
            act()
        mails = [sent for sent in mail.outbox if "new superuser" in sent.subject]
        return sorted(address for sent in mails for address in sent.to)

    return run


@pytest.fixture
def boss(root):
    return make_user("boss", is_staff=True, is_superuser=True)


SUPERUSERS = ["boss@example.org", "root@example.org"]


def test_admin(browser, told, root, boss, manager, alice):
    page = browser(root)
    change = {"is_superuser": "on", "is_staff": "on", "current_password": PASSWORD}

    assert told(lambda: save(page, alice, **change)) == SUPERUSERS

    body = mail.outbox[0].body
    assert "is a superuser at https://testserver from now on" in body
    assert "Account: alice\n" in body
    assert f"https://testserver/admin/accounts/user/{alice.pk}/change/" in body
    assert told(lambda: save(page, alice, username="alicia", **change)) == []
    assert told(lambda: save(page, alice, without=["is_superuser"])) == []


def test_command(told, boss, monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(f"{PASSWORD}\n".encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    new = ("create_admin", "chief", "chief@example.org", "--password-stdin")
    assert told(lambda: call_command(*new, stdout=io.StringIO())) == SUPERUSERS


def test_code(told, boss, alice):
    alice.is_superuser = True
    assert told(lambda: alice.save(update_fields=["username"])) == []
    assert told(alice.save) == SUPERUSERS
    assert told(lambda: make_user("second", is_superuser=True)) == SUPERUSERS


def test_the_first_one_is_told_to_nobody(told, db):
    assert told(lambda: make_user("root", is_staff=True, is_superuser=True)) == []
