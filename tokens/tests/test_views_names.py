"""The page on which people change their own username and email address."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.core import mail

from accounts.models import User
from tests.plugins.guestlist import PASSWORD
from tokens.tests.pages import Page, is_signed_in

URL = "/account/names"


@pytest.fixture
def change(laptop, mails_of):
    """`change(username=...)` is her sending of the form, with her password and its mails sent."""

    def send(**changes):
        user = User.objects.get(username__startswith="ali")
        names = {"username": user.username, "email": user.email, "current_password": PASSWORD}
        answers = []
        mails_of(lambda: answers.append(laptop.post(URL, names | changes)))
        return answers[0]

    return send


@pytest.fixture
def mistyped(alice):
    """Alice, whose address at sign-up was wrong."""
    User.objects.update(email="alcie@example.org", email_verified_at=None)
    return alice


def follow(laptop, answer):
    assert (answer.status_code, answer.url) == (302, "/account/")
    return Page(laptop.get(answer.url)).text


def open_link(browser, message):
    link = re.search(r"https://testserver(/email/\S+)", message.body)[1]
    return browser.post(link)


@pytest.mark.asvs("6.3.7")
def test_username_is_changed_at_once_and_told(change, laptop, alice):
    text = follow(laptop, change(username="alicia"))

    assert "Your username is alicia from now on." in text
    assert "Username alicia" in text
    assert [message.subject for message in mail.outbox] == ["Guestlist: Your username was changed"]
    assert is_signed_in(laptop)


def test_wrong_address_of_a_sign_up_is_mended(change, laptop, mistyped):
    assert "Is the address wrong? Change it." in Page(laptop.get("/account/")).text

    text = follow(laptop, change(email="alice@example.org"))

    assert "A link is on its way to alice@example.org." in text
    assert "alcie@example.org (not confirmed yet)" in text
    [message] = mail.outbox
    assert message.to == ["alice@example.org"]
    open_link(laptop, message)
    assert "alice@example.org confirmed" in Page(laptop.get("/account/")).text


def test_account_whose_address_was_taken_away_gives_another(change, laptop, alice):
    User.objects.update(email="", email_verified_at=None)
    assert "Give another address." in Page(laptop.get("/account/")).text

    follow(laptop, change(email="new@example.org"))

    open_link(laptop, mail.outbox[0])
    assert "new@example.org confirmed" in Page(laptop.get("/account/")).text


@pytest.mark.asvs("6.3.7")
def test_address_that_was_confirmed_stays_until_the_new_one_is(change, laptop, alice):
    text = follow(laptop, change(email="new@example.org"))

    assert "alice@example.org confirmed" in text
    assert [message.to for message in mail.outbox] == [["new@example.org"], ["alice@example.org"]]


def test_form_that_changes_nothing_does_nothing(change, laptop, mistyped):
    assert "Nothing was changed." in follow(laptop, change())
    assert mail.outbox == []
    assert not LogEntry.objects.exists()


@pytest.mark.asvs("7.5.1")
@pytest.mark.parametrize("password", ["", "wrong", f" {PASSWORD}"])
def test_change_of_names_needs_the_password(change, laptop, alice, password):
    page = Page(change(username="alicia", email="new@example.org", current_password=password))

    fields = {field.get("name"): field for field in page.all("input")}
    assert fields["current_password"]["aria-invalid"] == "true"
    assert fields["username"]["value"] == "alicia"
    assert "value" not in fields["current_password"]
    assert User.objects.get().username == "alice"
    assert mail.outbox == []


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"username": "BOB"}, "username", "That username is taken."),
        ({"username": "a@b"}, "username", "Use only A to Z"),
        ({"username": "x" * 151}, "username", "at most 150 characters"),
        ({"username": "ali\0ce"}, "username", "Null characters are not allowed."),
        ({"email": "Bob@example.org"}, "email", "That email address is taken."),
        ({"email": ""}, "email", "This field is required."),
        ({"email": "nonsense"}, "email", "Enter a valid email address."),
        ({"email": f"{'a' * 250}@example.org"}, "email", "at most 254 characters"),
    ],
)
def test_refused_name_is_told_at_its_field_once(change, alice, bob, changes, field, message):
    page = Page(change(**changes))

    wrong = [each["name"] for each in page.all("input") if each.get("aria-invalid")]
    assert wrong == [field]
    assert page.text.count(message) == 1
    assert "alice Sign out" in page.text
    assert User.objects.filter(username="alice", email="alice@example.org").exists()
    assert mail.outbox == []


def test_nothing_changes_when_one_of_two_names_is_taken(change, alice, bob):
    assert "That email address is taken." in Page(change(username="x", email=bob.email)).text
    assert User.objects.filter(username="alice").exists()
    assert mail.outbox == []


@pytest.mark.asvs("6.3.1")
def test_wrong_passwords_and_new_names_are_counted_as_over_the_api(change, api, alice, settings):
    settings.SIGNUPS_PER_HOUR = 2
    assert change(username="alicia").status_code == 302
    alice.refresh_from_db()
    taken = api(alice).patch("me", {"username": "alixa", "current_password": PASSWORD})
    assert taken.status_code == 200
    assert "sign-ups and new names" in Page(change(username="alice"), status=429).text

    for _ in range(5):
        assert change(current_password="wrong").status_code == 200
    page = Page(change(), status=429)
    assert "Too many wrong passwords. Try again in 30 seconds. That is at" in page.text


# The history


def test_history_says_who_changed_a_name_from_which_device(change, browser, root, laptop, alice):
    change(username="alicia")
    change(email="new@example.org")
    device = alice.devices.get()

    entries = LogEntry.objects.order_by("pk")

    assert [(entry.user, entry.object_repr) for entry in entries] == [(alice, "alicia")] * 2
    assert [entry.change_message for entry in entries] == [
        f"Changed the username from alice to alicia, from device {device.pk}.",
        f"Changed the email address, once its link is opened, from device {device.pk}.",
    ]
    history = browser(root).get(f"/admin/accounts/user/{alice.pk}/history/")
    assert "Changed the username from alice to alicia" in Page(history).text


def test_change_over_the_api_is_in_the_history_too(api, alice):
    phone = api(alice)
    phone.patch("me", {"username": "alicia", "current_password": PASSWORD})
    message = LogEntry.objects.get().change_message
    assert message == f"Changed the username from alice to alicia, from device {phone.device.pk}."


def test_own_new_name_keeps_no_account_from_its_deletion(change, laptop, browser, root, bob):
    change(username="alicia")
    data = {
        "action": "delete_selected",
        "_selected_action": [User.objects.get(username="alicia").pk],
    }
    listed = Page(browser(root).post("/admin/accounts/user/", data)).text
    assert "Are you sure" in listed

    assert laptop.post("/account/delete", {"password": PASSWORD}).url == "/login"

    assert not User.objects.filter(username="alicia").exists()


def test_what_staff_did_to_themselves_keeps_the_account(browser, support):
    LogEntry.objects.log_actions(
        support.pk, [support], 2, change_message=[{"changed": {"fields": ["Roles"]}}]
    )
    page = Page(browser(support).post("/account/delete", {"password": PASSWORD}))
    assert "What you did as staff stays on record" in page.text
