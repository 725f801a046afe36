"""Whose address it is: what a mailed link proves, and what an unverified address gets."""

import re

import pytest

from accounts.models import User
from tests.plugins.guestlist import NEW_PASSWORD, PASSWORD, make_user

STRANGER = {
    "username": "www.evil-site.example",
    "email": "victim@example.org",
    "password": PASSWORD,
}


@pytest.fixture
def stranger(api, db, django_capture_on_commit_callbacks, mailoutbox):
    """An account of somebody who signed up with the address of somebody else."""
    with django_capture_on_commit_callbacks(execute=True):
        assert api().post("signup", STRANGER).status_code == 201
    return User.objects.get(username=STRANGER["username"])


def link_in(mail):
    return re.search(r"https://testserver(/email/\S+)", mail.body)[1]


def parts_of(mail):
    [(html, _)] = mail.alternatives
    return [mail.subject, mail.body, html]


def test_mail_to_an_unverified_address_says_nothing_that_a_stranger_chose(stranger, mailoutbox):
    [mail] = mailoutbox
    for part in parts_of(mail):
        assert "evil" not in part


def test_mail_to_a_new_address_says_nothing_that_a_stranger_chose(
    api, db, mailoutbox, django_capture_on_commit_callbacks
):
    phone = api(make_user("www.evil-site.example"))
    with django_capture_on_commit_callbacks(execute=True):
        phone.patch("me", {"email": STRANGER["email"], "current_password": PASSWORD})
    [mail] = [mail for mail in mailoutbox if mail.to == [STRANGER["email"]]]
    for part in parts_of(mail):
        assert "evil" not in part


def test_unverified_address_gets_no_mail_but_the_one_to_confirm_it(
    stranger, api, browser, mailoutbox, django_capture_on_commit_callbacks
):
    mailoutbox.clear()
    with django_capture_on_commit_callbacks(execute=True):
        for agent in ("Phone/1", "Laptop/1"):
            phone = api(stranger, headers={"user-agent": agent})
        phone.patch("me", {"username": "carol", "current_password": PASSWORD})
        phone.patch("me", {"email": "other@example.org", "current_password": PASSWORD})
    with django_capture_on_commit_callbacks(execute=True):
        body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        assert phone.post("password", body).status_code == 200
    assert [mail.to for mail in mailoutbox] == [["other@example.org"]]


def test_link_counts_with_the_password_of_the_account_alone(stranger, client, bob, mailoutbox):
    """Who opens the mail about a stranger's account does not confirm it by one click."""
    link = link_in(mailoutbox[0])
    assert 'type="password"' in client.get(link).content.decode()
    for body in ({}, {"password": ""}, {"password": "wrong"}):
        answer = client.post(link, body)
        assert (answer.status_code, stranger_is_verified()) == (200, False)
    assert "This is not the password of that account." in answer.content.decode()

    assert client.post(link, {"password": PASSWORD}).status_code == 200
    assert stranger_is_verified()


def stranger_is_verified():
    return User.objects.get(username=STRANGER["username"]).email_verified_at is not None


def test_link_counts_in_a_browser_that_is_signed_in_to_the_account(stranger, browser, mailoutbox):
    laptop = browser(stranger)
    link = link_in(mailoutbox[0])
    assert 'type="password"' not in laptop.get(link).content.decode()
    laptop.post(link)
    assert stranger_is_verified()


def test_link_does_not_count_in_a_browser_of_somebody_else(stranger, browser, bob, mailoutbox):
    laptop = browser(bob)
    laptop.post(link_in(mailoutbox[0]))
    assert not stranger_is_verified()


def test_passwords_at_a_link_are_counted_like_those_at_sign_in(stranger, client, api, mailoutbox):
    link = link_in(mailoutbox[0])
    answers = [client.post(link, {"password": "wrong"}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert "Retry-After" in answers[5].headers
    body = {"username": stranger.username, "password": PASSWORD}
    assert api().post("login", body).status_code == 429


def test_account_that_staff_made_confirms_by_its_link_alone(
    browser, root, client, mailoutbox, django_capture_on_commit_callbacks
):
    """It has no password before a reset link, and none is sent to an unverified address."""
    with django_capture_on_commit_callbacks(execute=True):
        body = {"username": "carol", "email": "carol@example.org"}
        assert browser(root).post("/admin/accounts/user/add/", body).status_code == 302
    client.post(link_in(mailoutbox[-1]))
    assert User.objects.get(username="carol").email_verified_at


def test_unverified_address_reserves_nothing(
    stranger, api, client, browser, mailoutbox, django_capture_on_commit_callbacks
):
    """The owner signs up and confirms it. The stranger keeps no claim, and is told."""
    former = link_in(mailoutbox[0])
    with django_capture_on_commit_callbacks(execute=True):
        body = {"username": "victim", "email": "Victim@example.org", "password": PASSWORD}
        assert api().post("signup", body).status_code == 201
    client.post(link_in(mailoutbox[1]), {"password": PASSWORD})

    victim = User.objects.get(username="victim")
    assert victim.email_verified_at
    tab = browser(stranger)
    page = tab.get("/account/").content.decode()
    assert "belongs to another account, which has confirmed it" in page
    assert "@example.org" not in page
    tab.post(former)
    stranger.refresh_from_db()
    assert (stranger.email, stranger.email_verified_at) == ("", None)
    User.objects.filter(pk=victim.pk).update(email="moved@example.org")
    assert tab.post(former).status_code == 400


@pytest.mark.parametrize("path", ["/signup", "/admin/accounts/user/add/"])
def test_verified_address_of_somebody_else_is_refused_on_pages(browser, root, alice, path):
    body = {
        "username": "carol",
        "email": "ALICE@example.org",
        "password1": PASSWORD,
        "password2": PASSWORD,
    }
    page = browser(root).post(path, body)
    assert "That email address is taken." in page.content.decode()
    assert not User.objects.filter(username="carol").exists()


def test_mail_says_that_no_person_wrote_it(stranger, mailoutbox, settings):
    """RFC 3834: so no out-of-office answer comes back."""
    message = mailoutbox[0].message()
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@testserver.example>")
