"""The page of a device tells its whole story, in the order of time."""

import re

import pytest
from django.db.models.functions import Now

from accounts.tests.admin import url_of
from tests.plugins.guestlist import FIREFOX, IPHONE
from tokens.models import IssuedToken
from tokens.tests.admin import revoke_by_page

LONDON, SWEDEN = "81.2.69.142", "89.160.20.112"
TIME = re.compile(r"\d{1,2} [A-Z][a-z]{2} \d{4}, \d\d:\d\d")


def story(page, device):
    """The lines of the story, without their times."""
    html = page.get(url_of(device)).content.decode()
    lines = re.findall(r"<li>(<time datetime.*?)</li>", html)
    return [re.sub(r"<time[^>]*>" + TIME.pattern + "</time>: ", "", line) for line in lines]


@pytest.fixture
def phone(api, alice):
    return api(alice, HTTP_USER_AGENT=IPHONE, REMOTE_ADDR=LONDON)


def refresh(client, token, **defaults):
    client.http.defaults.update(defaults)
    return client.post("refresh", {"refresh_token": token}, authorization="")


def test_of_a_device_that_was_only_signed_in(browser, support, phone):
    assert story(browser(support), phone.device) == [
        f"signed in from {LONDON}",
        f"last seen from {LONDON}",
    ]


def test_of_a_device_that_refreshed_and_was_revoked_and_still_tries(browser, support, phone):
    pair = refresh(phone, phone.pair["refresh_token"]).json()
    refresh(phone.keep(pair), pair["refresh_token"], REMOTE_ADDR=SWEDEN, HTTP_USER_AGENT=FIREFOX)
    page = browser(support)
    revoke_by_page(page, phone.device, note="Reported as lost.")
    phone.get("me")

    assert story(page, phone.device) == [
        f"signed in from {LONDON}",
        f"refreshed 2 times, the last from {SWEDEN} by Firefox on Linux",
        f"last seen from {SWEDEN}",
        "ended: revoked by staff (support) with the note &quot;Reported as lost.&quot;",
        f"refused once since, last just now from {SWEDEN}",
    ]


def test_of_a_reuse_with_both_sides(browser, support, phone, age):
    stolen = phone.pair["refresh_token"]
    phone.keep(refresh(phone, stolen).json()).get("me")
    age(phone.device, minutes=5)
    refresh(phone, stolen, REMOTE_ADDR=SWEDEN, HTTP_USER_AGENT=FIREFOX)

    lines = story(browser(support), phone.device)

    assert f"refreshed once from {LONDON} by Safari on iPhone" in lines
    assert f"its refresh token came again from {SWEDEN} by Firefox on Linux" in lines
    assert lines[-1] == "ended: its refresh token was used twice"


@pytest.mark.parametrize(
    ("delta", "end"),
    [
        ({"days": 15}, "ended: it was not used for too long"),
        ({"days": 31}, "ended: it reached its end"),
    ],
)
def test_of_a_device_that_ended_by_itself(browser, support, phone, age, delta, end):
    age(phone.device, **delta)
    assert end in story(browser(support), phone.device)


def test_of_a_device_that_a_new_password_ended(browser, support, phone, alice):
    IssuedToken.objects.update(password_epoch="2026-01-01T00:00Z")
    IssuedToken.objects.exclude(user=alice).delete()
    assert "ended: the password was changed" in story(browser(support), phone.device)


def test_of_a_password_given_again(browser, support, phone, age):
    age(phone.device, hours=1)
    IssuedToken.objects.filter(pk=phone.device.pk).update(authenticated_at=Now())
    assert "gave the password again" in story(browser(support), phone.device)


def test_what_a_person_wrote_stays_text(browser, support, phone):
    page = browser(support)
    revoke_by_page(page, phone.device, note="<b>bold</b>")
    assert "&lt;b&gt;bold" in story(page, phone.device)[-1]
    assert "<b>bold" not in page.get(url_of(phone.device)).content.decode()
