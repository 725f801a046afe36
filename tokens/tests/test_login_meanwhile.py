"""An account that is deleted, or changes, while its password is hashed."""

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.test import Client as Browser

from accounts.models import User
from tests.plugins.guestlist import NEW_PASSWORD, PASSWORD


@pytest.fixture
def while_hashing(monkeypatch):
    """`while_hashing(act)`: the next computation of a hash lasts until `act()` is done."""

    def arrange(act):
        acts = [act]
        for name in ("encode", "verify"):
            original = getattr(Argon2PasswordHasher, name)

            def compute(self, *args, original=original):
                result = original(self, *args)
                if acts:
                    acts.pop()()
                return result

            monkeypatch.setattr(Argon2PasswordHasher, name, compute)

    return arrange


def delete_all():
    User.objects.all().delete()


@pytest.fixture(params=["hash of today", "hash of an older method"])
def any_hash(request, alice, monkeypatch):
    """Whether the hash is upgraded at the next sign-in."""
    if request.param != "hash of today":
        from accounts.hashers import Argon2PasswordHasher as Ours

        monkeypatch.setattr(Ours, "time_cost", Ours.time_cost + 1)


@pytest.mark.parametrize("url", ["/login", "/admin/login/"])
@pytest.mark.usefixtures("any_hash")
def test_account_deleted_during_its_sign_in_is_not_signed_in(alice, while_hashing, url):
    while_hashing(delete_all)
    tab = Browser()
    answer = tab.post(url, {"username": "alice", "password": PASSWORD})
    assert answer.status_code == 200
    assert "This password does not belong to" in answer.content.decode()
    assert tab.get("/devices/").status_code == 302
    assert not User.objects.exists()


@pytest.mark.usefixtures("any_hash")
def test_account_deactivated_during_its_sign_in_is_not_signed_in(alice, while_hashing):
    while_hashing(lambda: User.objects.update(is_active=False))
    answer = Browser().post("/login", {"username": "alice", "password": PASSWORD})
    assert "This password does not belong to" in answer.content.decode()
    assert User.objects.get().last_login is None


@pytest.mark.usefixtures("any_hash")
def test_account_deleted_during_its_api_sign_in_is_not_signed_in(api, alice, while_hashing):
    while_hashing(delete_all)
    answer = api().post("login", {"username": "alice", "password": PASSWORD})
    assert (answer.status_code, answer.json()["code"]) == (401, "login_failed")


def test_rights_that_grow_during_a_sign_in_are_those_of_the_new_device(api, alice, while_hashing):
    while_hashing(lambda: User.objects.update(is_staff=True))
    device = api(alice).device
    assert (device.was_staff, device.was_superuser) == (True, False)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("post", "reauthenticate", {"password": PASSWORD}),
        ("post", "password", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}),
        ("patch", "me", {"current_password": PASSWORD, "username": "alicia"}),
    ],
)
@pytest.mark.usefixtures("any_hash")
def test_account_deleted_during_a_request_with_its_password(
    api, alice, while_hashing, method, path, body
):
    phone = api(alice)
    while_hashing(delete_all)
    assert getattr(phone, method)(path, body).status_code == 401
    assert not User.objects.exists()


@pytest.mark.parametrize("path", ["/account/delete", "/password/change"])
@pytest.mark.usefixtures("any_hash")
def test_account_deleted_during_a_page_with_its_password(browser, alice, while_hashing, path):
    laptop = browser(alice)
    while_hashing(delete_all)
    passwords = {
        "old_password": PASSWORD,
        "new_password1": NEW_PASSWORD,
        "new_password2": NEW_PASSWORD,
    }
    answer = laptop.post(path, {"password": PASSWORD, **passwords})
    assert (answer.status_code, answer.url) == (302, f"/login?next={path}")
    assert not User.objects.exists()


def test_upgrade_of_a_hash_does_not_undo_a_new_password(alice, while_hashing, monkeypatch):
    from accounts.hashers import Argon2PasswordHasher as Ours

    monkeypatch.setattr(Ours, "time_cost", Ours.time_cost + 1)

    def change():
        user = User.objects.get()
        user.set_password(NEW_PASSWORD)
        user.save()

    while_hashing(change)
    alice.check_password(PASSWORD)
    assert User.objects.get().check_password(NEW_PASSWORD)


# A reset link


def reset_link(mails):
    import re

    [mail] = mails
    return re.search(r"https://testserver(/password/reset/\S+)", mail.body)[1]


@pytest.fixture
def link(client, alice, mailoutbox, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/password/reset", {"email": alice.email})
    return reset_link(mailoutbox)


def set_password(tab, url, password=NEW_PASSWORD):
    return tab.post(url, {"new_password1": password, "new_password2": password})


@pytest.mark.usefixtures("any_hash")
def test_reset_link_outlives_a_sign_in(api, alice, client, link):
    """Otherwise who knows the password could keep the owner from setting another one."""
    api(alice)
    url = client.get(link).url
    api(alice)
    assert set_password(client, url).status_code == 302
    assert User.objects.get().check_password(NEW_PASSWORD)
    assert "This link was used already" in client.get(link).content.decode()


@pytest.mark.parametrize("changes", [{"email": "new@example.org"}, {"password": "!"}])
def test_reset_link_ends_with_a_change_of_password_or_address(alice, client, link, changes):
    User.objects.update(**changes)
    assert "This link was used already" in client.get(link).content.decode()


@pytest.mark.parametrize("when", ["before the link", "before the page", "before the password"])
def test_device_that_ended_does_not_end_the_reset_in_its_browser(alice, browser, link, when):
    def end():
        alice.devices.revoke(reason="staff")

    laptop = browser(alice)
    if when == "before the link":
        end()
    url = laptop.get(link).url
    if when == "before the page":
        end()
    laptop.get(url)
    if when == "before the password":
        end()
    assert set_password(laptop, url).status_code == 302
    assert User.objects.get().check_password(NEW_PASSWORD)


@pytest.mark.parametrize("act", [delete_all, lambda: User.objects.update(is_active=False)])
def test_reset_does_not_revive_an_account(alice, client, link, while_hashing, act):
    url = client.get(link).url
    while_hashing(act)
    answer = set_password(client, url)
    assert "This link was used already" in answer.content.decode()
    assert not User.objects.filter(is_active=True).exists()
