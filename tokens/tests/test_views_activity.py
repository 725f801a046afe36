"""The page of what happened to one's account."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import CHANGE, LogEntry

from accounts.models import Throttle, User
from tests.plugins.guestlist import NEW_PASSWORD, PASSWORD
from tokens import flows
from tokens.client import Client
from tokens.tests.pages import Page, other_device

URL = "/account/activity/"


def told(laptop):
    """The lines of the page, the newest first."""
    page = Page(laptop.get(URL))
    start = page.text.index("for 28 days after they were signed out.")
    return page.text[start : page.text.index("Was something here not you?")]


def test_account_page_and_list_of_devices_lead_there(laptop):
    for url in ("/account/", "/devices/"):
        assert URL in Page(laptop.get(url)).links()


def test_sign_in_says_what_where_and_when(laptop, alice):
    alice.devices.update(location="Bern, Switzerland", ip_address="203.0.113.9")
    device = alice.devices.get()
    assert (
        f"Signed in · Firefox on Linux This device {device.created_at:%-d %b %Y, %H:%M} UTC"
        " · near Bern, Switzerland · from 203.0.113.9"
    ) in told(laptop)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("logout", "Signed out · Phone"),
        ("user", "Signed out by you · Phone"),
        ("staff", "Signed out by our staff (support) · Phone"),
        ("incident", "Signed out by our staff (support) · Phone"),
        ("limit", "Signed out: too many devices · Phone"),
        ("password", "Signed out: the password was changed · Phone"),
        ("rights", "Signed out: your account may do more since then · Phone"),
        ("replaced", "Signed out: replaced by a new sign-in in the same browser · Phone"),
    ],
)
def test_end_of_a_device_says_why(laptop, api, alice, support, reason, text):
    device = other_device(alice, api, name="Phone").device
    alice.devices.filter(pk=device.pk).revoke(reason=reason, by=support, note="We talked.")
    assert text in told(laptop)
    assert "“We talked.”" in told(laptop)


def test_device_that_ended_by_itself_and_what_it_still_tried(laptop, api, alice, age):
    idle, refused = other_device(alice, api, name="Idle"), other_device(alice, api, name="Lost")
    age(idle.device, days=15)
    alice.devices.filter(pk=refused.device.pk).revoke(reason="user")
    refused.get("me")
    text = told(laptop)
    assert "Signed out: not used for too long · Idle" in text
    assert "Refused once since, last just now from 127.0.0.1 · Lost" in text


def test_new_password_and_password_given_again(stale, alice):
    stale.post("/devices/sign-out-others/", {"password": PASSWORD})
    assert "Password given again · Firefox on Linux" in told(stale)
    assert "Password changed" not in told(stale)
    User.objects.update(date_joined=alice.date_joined - timedelta(days=9))
    body = {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    stale.post("/password/change", body)
    assert "Password changed" in told(stale)


def test_new_names_say_who_changed_them_and_no_name_of_staff(laptop, alice, support):
    names = {"username": "alicia", "email": "new@example.org", "current_password": PASSWORD}
    laptop.post("/account/names", names)
    message = [{"changed": {"fields": ["Username", "Email address", "Active"]}}]
    LogEntry.objects.log_actions(support.pk, [alice], CHANGE, change_message=message)
    for other in ("Gave the role username.", "Lifted the locks on signing in."):
        LogEntry.objects.log_actions(support.pk, [alice], CHANGE, change_message=other)

    text = told(laptop)

    for once in (
        "You changed your username",
        "You asked for another email address",
        "Our staff changed your username",
        "Our staff changed your email address",
        "Email address alice@example.org confirmed",
        "Account made",
    ):
        assert text.count(once) == 1
    assert "support" not in text
    assert "role" not in text
    assert "Lifted" not in text


def test_wrong_passwords_say_how_many_and_where(laptop, client, alice):
    for address in ("127.0.0.1", "203.0.113.9", "203.0.113.9"):
        client.post("/login", {"username": "alice", "password": "wrong"}, REMOTE_ADDR=address)
    laptop.post("/password/change", {"old_password": "wrong"})

    text = told(laptop)

    assert "1 wrong password at sign-in from a network that you use" in text
    assert "2 wrong passwords at sign-in from a network that you do not use" in text
    assert "1 wrong password on a device that is signed in · Firefox on Linux" in text
    assert "203.0.113.9" not in text
    Throttle.objects.update(expires_at=alice.date_joined)
    assert "wrong" not in told(laptop)


def test_activity_of_others_is_not_there(laptop, client, api, bob):
    api(bob, headers={"user-agent": "curl/8"})
    client.post("/login", {"username": "bob", "password": "wrong"})
    LogEntry.objects.log_actions(bob.pk, [bob], CHANGE, change_message="Changed the username.")
    text = told(laptop)
    assert "curl" not in text
    assert "wrong" not in text
    assert "username" not in text


def test_only_the_newest_are_shown_at_the_same_cost(
    laptop, alice, settings, age, django_assert_num_queries
):
    settings.MAX_DEVICES_PER_USER = 100
    laptop.get(URL)
    with django_assert_num_queries(5):  # who, the newest, the ended, the history, the counts
        laptop.get(URL)
    for number in range(55):
        device = flows.log_in(alice, Client(ip_address=None), name=f"n{number}.").device
        age(device, minutes=number + 1)
    with django_assert_num_queries(5):
        page = Page(laptop.get(URL))
    assert len(page.all("li")) == 50  # her browser, her sign-up, her address, and 47 more
    assert "n46." in page.text
    assert "n47." not in page.text


def test_hostile_words_are_only_words(laptop, alice):
    hostile = "<b>x</b>\u202e"
    alice.devices.update(name=hostile, location=hostile, browser=hostile)
    alice.devices.update(alarm="client", alarm_at=alice.date_joined, alarm_client=hostile)
    assert "<b>x" not in Page(laptop.get(URL)).html


def test_page_says_whom_to_ask(laptop, settings):
    assert "Questions?" not in Page(laptop.get(URL)).text
    settings.SUPPORT_CONTACT = "+49 30 1234"
    assert "Questions? Ask +49 30 1234." in Page(laptop.get(URL)).text
