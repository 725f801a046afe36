"""The sign-in page: what it takes, and what it tells of the end of a device."""

from datetime import timedelta

import pytest
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
    (lambda user: user.devices.update(expires_at=user.date_joined), "last sign-in here is long"),
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
