"""The pages of an account: its data, its end, signing up, and the password."""

import json
import re

import pytest
from django.core import mail
from django.test import Client as Browser

from accounts.models import User
from tests.plugins.guestlist import FIREFOX, NEW_PASSWORD, PASSWORD, make_user, revoke_shown
from tokens import flows
from tokens.models import IssuedToken
from tokens.tests.pages import Page, is_signed_in, other_device, reset_link


def test_account(laptop, alice, support):
    User.objects.update(email_verified_at=None)
    page = Page(laptop.get("/account/"))
    assert "alice@example.org (not confirmed yet)" in page.text
    assert "Roles" not in page.text
    assert "/admin/" not in page.links()


def test_account_of_staff(browser, support):
    page = Page(browser(support).get("/account/"))
    assert "Roles support" in page.text
    assert "/admin/" in page.links()


def test_account_sends_the_confirmation_again(laptop, alice, mails_of):
    User.objects.update(email_verified_at=None)
    [message] = mails_of(lambda: laptop.post("/account/"))
    link = re.search(r"https://testserver(/email/\S+)", message.body)[1]
    laptop.post(link)
    assert "confirmed" in Page(laptop.get("/account/")).text
    assert "(not confirmed yet)" not in Page(laptop.get("/account/")).text


def test_data_holds_everything_and_no_secret(laptop, api, alice, support, read_segment):
    phone = other_device(alice, api, name="Ana's phone")
    handle = read_segment(phone.pair["access_token"])["sid"]
    flows.revoke_for_user(alice, alice.devices.filter(kind="api"), by=support, note="Lost.")

    answer = laptop.post("/account/data")

    assert answer.headers["Content-Disposition"] == 'attachment; filename="guestlist-data.json"'
    assert answer.headers["Cache-Control"] == "no-store"
    data = answer.json()
    assert set(data) == {"account", "devices", "passkeys", "administration"}
    assert (data["account"]["username"], data["account"]["email"]) == ("alice", alice.email)
    ended, current = sorted(data["devices"], key=lambda device: device["kind"])
    assert (ended["name"], ended["revoked_note"]) == ("Ana's phone", "Lost.")
    assert current["user_agent"] == FIREFOX
    kept_back = {"user", "hash", "attempt_hash", "password_epoch", "revoked_by"}
    fields = {field.name for field in IssuedToken._meta.concrete_fields}
    assert set(ended) == fields - kept_back
    fields = {field.name for field in User._meta.concrete_fields}
    withheld = {"password", "is_superuser", "first_name", "last_name"}
    assert fields - withheld <= set(data["account"])
    alice.refresh_from_db()
    secrets = [alice.password, handle]
    secrets += [bytes(device.hash).hex() for device in alice.devices.all()]
    for secret in secrets:
        assert secret not in answer.content.decode()


def test_data_of_staff_holds_what_they_did(browser, support, api, alice):
    page, phone = browser(support), api(alice)
    url = f"/admin/tokens/issuedtoken/{phone.device.pk}/revoke/"
    revoke_shown(page, url, {"note": "Lost."})

    [action] = page.post("/account/data").json()["administration"]

    assert action["change_message"] == "Revoked: Lost."


def test_data_asks_for_the_password(stale):
    assert "Your password" in Page(stale.get("/account/data")).text
    assert (
        "This is not your password."
        in Page(stale.post("/account/data", {"password": "wrong"})).text
    )
    answer = stale.post("/account/data", {"password": PASSWORD})
    assert json.loads(answer.content)["account"]["username"] == "alice"
    assert is_signed_in(stale)


def test_delete_takes_all_of_it(laptop, api, alice, bob):
    phone, bobs = api(alice), api(bob)

    page = Page(laptop.post("/account/delete", {"password": PASSWORD}, follow=True))

    assert "Your account and everything in it is gone." in page.text
    assert not User.objects.filter(username="alice").exists()
    assert IssuedToken.objects.get().user == bob
    assert phone.get("me").json()["code"] == "token_invalid"
    answer = api().post("refresh", {"refresh_token": phone.pair["refresh_token"]})
    assert answer.json()["code"] == "token_invalid"
    assert not is_signed_in(laptop)
    assert bobs.get("me").status_code == 200


@pytest.mark.parametrize("body", [{}, {"password": ""}, {"password": "wrong"}])
def test_delete_always_asks_for_the_password(laptop, alice, body):
    assert "Your password" in Page(laptop.get("/account/delete")).text
    Page(laptop.post("/account/delete", body))
    assert is_signed_in(laptop)


def test_last_superuser_is_not_deleted(browser, root):
    laptop = browser(root)
    page = Page(laptop.post("/account/delete", {"password": PASSWORD}))
    assert "You are the last superuser, who cannot be removed." in page.text
    assert is_signed_in(laptop)

    make_user("another", is_staff=True, is_superuser=True)
    laptop.post("/account/delete", {"password": PASSWORD})
    assert not User.objects.filter(username="root").exists()


# Signing up


SIGNUP = {
    "username": "carol",
    "email": "carol@example.org",
    "password1": PASSWORD,
    "password2": PASSWORD,
}


@pytest.mark.asvs("7.6.2")
def test_signup_makes_an_account_and_signs_nobody_in(client, db, mails_of):
    [message] = mails_of(lambda: client.post("/signup", SIGNUP))

    assert message.to == ["carol@example.org"]
    assert "https://testserver/email/" in message.body
    page = Page(client.get("/login"))
    assert "Welcome, carol." in page.text
    assert not IssuedToken.objects.exists()
    assert client.post("/login", {"username": "carol", "password": PASSWORD}).url == "/"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"username": "ALICE"}, "That username is taken."),
        ({"username": "a@b"}, "Use only A to Z"),
        ({"email": ""}, "This field is required."),
        ({"password1": "short", "password2": "short"}, "at least 15 characters"),
        ({"password2": "something else entirely"}, "The two password fields"),
    ],
)
def test_refused_signup_says_why(client, alice, changes, message):
    page = Page(client.post("/signup", SIGNUP | changes))
    assert message in page.text
    assert User.objects.count() == 1
    assert all(not field.get("value") for field in page.all("input") if field["type"] == "password")


@pytest.mark.parametrize("method", ["get", "post"])
def test_closed_signup(client, db, settings, method):
    settings.SIGNUP_OPEN = False
    assert getattr(client, method)("/signup", SIGNUP).status_code == 403
    assert not User.objects.exists()
    assert "/signup" not in Page(client.get("/login")).links()


def test_open_signup_is_linked(client, db):
    assert "/signup" in Page(client.get("/login")).links()


@pytest.mark.parametrize("url", ["/signup", "/password/change"])
def test_bad_new_password_is_told_at_its_first_field_once(laptop, url):
    names = {"/signup": ["password1", "password2"]}
    first, second = names.get(url, ["new_password1", "new_password2"])
    body = {**SIGNUP, "old_password": PASSWORD, first: "short", second: "short"}
    page = Page(laptop.post(url, body))
    fields = {field.get("name"): field for field in page.all("input")}
    assert "aria-invalid" not in fields[second]
    assert fields[first]["aria-describedby"].split()[-1] == f"id_{first}_error"
    assert page.text.count("This password is too short.") == 1


# The password


@pytest.mark.asvs("6.2.2")
def test_password_change_keeps_this_browser_and_ends_the_others(laptop, api, alice):
    phone = api(alice)
    body = {
        "old_password": PASSWORD,
        "new_password1": NEW_PASSWORD,
        "new_password2": NEW_PASSWORD,
    }

    page = Page(laptop.post("/password/change", body, follow=True))

    assert "Your password was changed. All other devices were signed out." in page.text
    assert "nowhere else" in page.text
    assert phone.get("me").json()["code"] == "password_changed"


@pytest.mark.asvs("6.3.6", "6.4.3", "7.4.3", "7.6.2")
def test_reset_by_mail_ends_all_devices_and_signs_nobody_in(
    client, laptop, api, verified, mails_of
):
    phone = api(verified)
    link = reset_link(mails_of(lambda: client.post("/password/reset", {"email": verified.email})))
    form = client.get(link, follow=True)
    url = form.redirect_chain[-1][0]
    body = {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    username = next(each for each in Page(form).all("input") if "autocomplete" in each)
    assert (username["autocomplete"], username["value"]) == ("username", "alice")

    mails_of(lambda: client.post(url, body))

    page = Page(client.get("/login"))
    assert "Your password was set. Sign in with it." in page.text
    assert not is_signed_in(client)
    assert not is_signed_in(laptop)
    assert phone.get("me").json()["code"] == "password_changed"
    assert not verified.devices.live().exists()
    answer = client.post("/login", {"username": "alice", "password": NEW_PASSWORD})
    assert answer.status_code == 302
    [told] = mail.outbox
    assert told.subject == "Guestlist: Your password was changed"
    assert "This link was used already" in Page(Browser().get(link)).text


@pytest.mark.asvs("6.3.8")
def test_reset_answers_the_same_whatever_the_address(client, verified, bob, mails_of):
    User.objects.filter(pk=bob.pk).update(email_verified_at=None)
    gone = make_user("gone", is_active=False)
    answers = []
    sent = {}
    for address in (verified.email, bob.email, gone.email, "nobody@example.org"):
        sent[address] = mails_of(
            lambda address=address: answers.append(
                client.post("/password/reset", {"email": address}, follow=True)
            )
        )
    assert {address: len(messages) for address, messages in sent.items()} == {
        "alice@example.org": 1,
        "bob@example.org": 0,
        "gone@example.org": 0,
        "nobody@example.org": 0,
    }
    assert len({answer.content for answer in answers}) == 1
    assert "Look at your mail" in Page(answers[0]).text


@pytest.mark.asvs("6.4.3")
@pytest.mark.parametrize("link", ["/password/reset/MQ/nonsense", "/password/reset/x/x-x"])
def test_reset_link_that_is_none(client, db, link):
    assert "This link was used already, or is older than an hour." in Page(client.get(link)).text


@pytest.mark.asvs("6.4.3")
def test_reset_refuses_a_bad_password(client, verified, mails_of):
    link = reset_link(mails_of(lambda: client.post("/password/reset", {"email": verified.email})))
    url = client.get(link).url
    page = Page(client.post(url, {"new_password1": "short", "new_password2": "short"}))
    assert "at least 15 characters" in page.text
    assert verified.check_password(PASSWORD)
