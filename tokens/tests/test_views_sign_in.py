"""The sign-in page: what it takes, and what it tells of the end of a device."""

from datetime import datetime, timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from accounts.models import User
from tests.plugins.guestlist import PASSWORD, make_user
from tokens import flows
from tokens.tests.pages import Page


def test_sign_in_page_takes_the_longest_address(client, db):
    address = f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 57}.org"
    make_user("carol", email=address, email_verified_at=timezone.now())

    [field] = [
        attributes
        for tag, attributes in Page(client.get("/login")).elements
        if tag == "input" and attributes.get("name") == "username"
    ]

    assert int(field["maxlength"]) == len(address) == 254
    assert client.post("/login", {"username": address, "password": PASSWORD}).url == "/"


def test_refused_sign_in_says_what_may_be_typed_once(client, alice):
    page = Page(client.post("/login", {"username": "alice", "password": PASSWORD.upper()}))
    assert (
        page.text.count("Passwords are case-sensitive; usernames and email addresses are not") == 1
    )
    assert "does not belong to this username or email address" in page.text


def test_field_without_a_value_says_so_once_and_there(client, db):
    page = Page(client.post("/login", {"username": "", "password": "x"}))
    [field] = [field for field in page.all("input") if field.get("name") == "username"]
    assert (field["aria-invalid"], field["aria-describedby"]) == ("true", "id_username_error")
    assert page.html.count('id="id_username_error"') == 1
    assert page.text.count("This field is required.") == 1


def test_locked_sign_in_says_until_when_and_how_to_get_in(client, alice, settings):
    settings.SUPPORT_CONTACT = "+49 30 1234"
    body = {"username": "alice", "password": "wrong"}
    for _ in range(5):
        client.post("/login", body)
    before = timezone.now()
    page = Page(client.post("/login", body), status=429)

    [time] = page.all("time")
    until = datetime.fromisoformat(time["datetime"])
    assert timedelta(minutes=14) < until - before < timedelta(minutes=16)
    assert f"Try again in 15 minutes. That is at {until:%H:%M} UTC." in page.text
    assert "use a device that is still signed in, or reset your password by mail" in page.text
    assert "Or ask +49 30 1234." in page.text


# A shared computer


def sign_in_shared(browser, user, url="/login", **body):
    body = {"username": user.username, "password": PASSWORD, "is_shared": "on", **body}
    answer = browser.post(url, body)
    assert answer.status_code == 302
    return answer.cookies[settings.SESSION_COOKIE_NAME]


def length(user):
    device = user.devices.live().get()
    return device.expires_at - device.created_at


@pytest.mark.parametrize(("who", "url"), [("alice", "/login"), ("support", "/admin/login/")])
def test_shared_computer_is_signed_out_after_an_hour(request, client, age, who, url):
    user = request.getfixturevalue(who)
    cookie = sign_in_shared(client, user, url)

    assert length(user) == timedelta(hours=1)
    assert 3590 <= cookie["max-age"] <= 3600
    device = user.devices.get()
    page = Page(client.get("/devices/"))
    assert f"Signs out at {device.expires_at:%H:%M} UTC" in page.text
    age(device, minutes=61)
    assert "the time of this sign-in is over" in Page(client.get("/devices/", follow=True)).text


def test_other_computer_is_not_said_to_sign_out_soon(laptop):
    assert "Signs out at" not in Page(laptop.get("/devices/")).text


def test_shared_computer_is_never_signed_in_for_longer_than_usual(client, support, settings):
    settings.STAFF_BROWSER_LIFETIME = timedelta(minutes=10)
    sign_in_shared(client, support)
    assert length(support) == timedelta(minutes=10)


def test_password_given_again_leaves_the_end_of_a_shared_computer(client, alice, age):
    sign_in_shared(client, alice)
    age(alice.devices.get(), minutes=16)
    end = alice.devices.get().expires_at

    answer = client.post("/devices/sign-out-others/", {"password": PASSWORD})

    assert answer.status_code == 302
    assert alice.devices.get().expires_at == end
    assert answer.cookies[settings.SESSION_COOKIE_NAME]["max-age"] <= 3600


def test_signing_in_again_on_a_shared_computer_keeps_the_tick(client, alice):
    """A choice is made anew with each sign-in, and the box stays ticked until it is."""
    ticked = lambda: 'name="is_shared" id="id_is_shared" checked' in client.get("/login").text  # noqa: E731
    assert not ticked()
    sign_in_shared(client, alice)
    assert ticked()
    former = alice.devices.get()

    answer = client.post("/login", {"username": "alice", "password": PASSWORD})

    former.refresh_from_db()
    assert former.revoked_reason == "replaced"
    assert length(alice) == settings.DEVICE_LIFETIME
    assert answer.cookies[settings.SESSION_COOKIE_NAME]["max-age"] == settings.SESSION_COOKIE_AGE


def revoke(reason):
    note = "Call 555." if reason in ("staff", "incident") else ""
    return lambda user: user.devices.revoke(reason=reason, note=note)


TOLD = [
    (revoke("staff"), "Our staff signed this device out."),
    (revoke("incident"), "Our staff signed this device out."),
    (revoke("password"), "The password was changed on another device, so this one was"),
    (revoke("limit"), "You signed in on many devices, so this one was signed out."),
    (revoke("deactivated"), "This account was deactivated."),
    (revoke("user"), "You signed this device out from another one."),
    (revoke("replaced"), "This device was signed out."),
    (lambda user: user.devices.update(idle_at=user.date_joined), "not used for a while."),
    (
        lambda user: user.devices.update(expires_at=user.date_joined),
        "the time of this sign-in is over",
    ),
    (lambda user: User.objects.update(is_active=False), "This account was deactivated."),
    (
        lambda user: User.objects.update(password_changed_at=user.date_joined - timedelta(days=1)),
        "The password was changed on another device, so this one was",
    ),
]


@pytest.mark.parametrize(("end", "text"), TOLD)
@pytest.mark.parametrize("url", ["/devices/", "/account/", "/password/change"])
def test_sign_in_page_tells_why_once(laptop, alice, end, text, url):
    end(alice)

    answer = laptop.get(url, follow=True)

    assert answer.redirect_chain == [(f"/login?next={url}", 302)]
    told = Page(answer)
    assert text in told.text
    assert ("They say: “Call 555.”" in told.text) == (alice.devices.get().revoked_note != "")
    again = Page(laptop.get("/login"))
    assert text not in again.text
    assert "Call 555." not in again.text


def test_sign_in_page_tells_why_where_it_is_the_first_page(laptop, alice):
    revoke("staff")(alice)
    assert "Our staff signed this device out." in Page(laptop.get("/login")).text


@pytest.mark.parametrize("reason", ["staff", "incident", "user"])
def test_sign_in_page_says_whom_to_ask_about_what_staff_did(laptop, alice, settings, reason):
    settings.SUPPORT_CONTACT = "<help@example.org>"
    revoke(reason)(alice)
    told = Page(laptop.get("/devices/", follow=True)).text
    assert ("Questions? Ask <help@example.org>." in told) == (reason != "user")


def test_device_is_not_told_of_the_end_of_the_former_one(laptop, alice):
    revoke("staff")(alice)
    laptop.get("/devices/")  # does not follow to where it is told why
    laptop.post("/login", {"username": "alice", "password": PASSWORD})
    assert "signed this device out" not in Page(laptop.get("/admin/", follow=True)).text


@pytest.mark.parametrize("url", ["/admin/", "/admin/tokens/issuedtoken/"])
def test_sign_in_page_of_the_admin_tells_why(browser, support, root, url):
    page = browser(support)
    flows.revoke_for_user(support, support.devices.all(), by=root, note="New laptop?")
    told = Page(page.get(url, follow=True))
    assert "Our staff signed this device out. They say: “New laptop?”" in told.text


def test_browsable_api_leads_to_the_sign_in_page_that_tells_why(laptop, alice, support):
    flows.revoke_for_user(alice, alice.devices.all(), by=support, note="Call 555.")

    answer = laptop.get("/api/v1/devices?page=2", headers={"accept": "text/html"}, follow=True)

    assert answer.redirect_chain == [("/login?next=/api/v1/devices%3Fpage%3D2", 302)]
    assert "They say: “Call 555.”" in Page(answer).text
    refused = laptop.get("/api/v1/devices", headers={"accept": "text/html"})
    assert "/login?next=/api/v1/devices" in Page(refused, status=401).links()


def test_page_that_staff_alone_may_open_says_who_is_signed_in(laptop):
    page = Page(laptop.get("/admin/", follow=True))
    assert "You are signed in as alice, who may not open that page." in page.text
