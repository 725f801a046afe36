"""The pages: Your devices, the account, the password, and what the sign-in page tells."""

import json
import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from django.conf import settings
from django.core import mail
from django.test import Client as Browser
from django.utils import timezone

from accounts.models import User
from tests.plugins.guestlist import FIREFOX, NEW_PASSWORD, PASSWORD, make_user, revoke_shown
from tokens import flows, notices
from tokens.client import Client
from tokens.models import IssuedToken

XSS = "<script>alert(1)</script><a href=//evil.example>x</a>\"'><img src=x onerror=alert(1)>"
BLOCKS = {"dd", "div", "dt", "h1", "h2", "h3", "li", "p", "summary"}
PHONE = "Guestlist/4.1 (Android 16; Pixel 9) okhttp/5.1.0"


class Page(HTMLParser):
    """An answer as a browser reads it: its elements, and its text with single spaces."""

    def __init__(self, answer, status=200):
        super().__init__()
        assert answer.status_code == status, answer
        self.elements, self.words = [], []
        self.html = answer.content.decode()
        self.feed(self.html)
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.words.append(" " if tag in BLOCKS else "")

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def links(self):
        return [link["href"] for link in self.all("a")]


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
def laptop(browser, alice):
    return browser(alice, headers={"user-agent": FIREFOX})


@pytest.fixture
def stale(laptop, alice, age):
    """Her browser, 16 minutes after she gave her password there."""
    age(alice.devices.get(), minutes=16)
    return laptop


def is_signed_in(browser):
    return browser.get("/account/").status_code == 200


def other_device(user, api, **fields):
    """An `api` device of the user, with these values in its row."""
    client = api(user)
    IssuedToken.objects.filter(pk=client.device.pk).update(**fields)
    return client


# Your devices


def test_start_leads_to_the_devices(laptop):
    assert laptop.get("/").url == "/devices/"


def test_one_device(laptop):
    page = Page(laptop.get("/devices/"))
    assert "You are signed in here and nowhere else." in page.text
    assert "Firefox on Linux This device" in page.text
    assert "Active now" in page.text
    assert "Other devices" not in page.text
    assert "Signed out in the last" not in page.text
    assert "/devices/sign-out-others/" not in page.links()


def test_two_devices(laptop, api, alice, age):
    phone = other_device(alice, api, name="Ana's phone", device_type="phone")
    age(phone.device, hours=3)

    page = Page(laptop.get("/devices/"))

    assert "You are signed in on 2 devices." in page.text
    assert "Ana's phone" in page.text
    assert "Last seen 3 hours ago" in page.text
    assert "Sign out the other device" in page.text
    assert f"/devices/{phone.device.pk}/sign-out/" in page.links()
    assert f"/devices/{alice.devices.get(kind='browser').pk}/sign-out/" not in page.links()


@pytest.mark.asvs("7.5.2")
def test_row_says_where_and_when(laptop, alice):
    laptop.get("/devices/")
    alice.devices.update(location="Bern, Switzerland", last_ip="203.0.113.9")
    device = alice.devices.get()

    page = Page(laptop.get("/devices/"))

    assert "near Bern, Switzerland · 203.0.113.9" in page.text
    times = {time["datetime"]: time["title"] for time in page.all("time")}
    for time in (device.last_seen_at, device.created_at, device.expires_at):
        assert times[time.isoformat(timespec="microseconds")] == f"{time:%-d %b %Y, %H:%M} UTC"
    assert f"Signed in {device.created_at:%-d %b %Y, %H:%M} UTC" in page.text
    assert f"ends {device.expires_at:%-d %b %Y, %H:%M} UTC" in page.text
    assert f"Reported as {FIREFOX}" in page.text


def test_row_of_a_device_that_says_nothing(browser, alice):
    page = Page(browser(alice, REMOTE_ADDR="").get("/devices/"))
    assert "Reported as nothing" in page.text
    assert "Signed in from unknown" in page.text


def test_many_devices_have_pages(laptop, alice, age, settings):
    settings.MAX_DEVICES_PER_USER = 100
    pairs = [
        flows.log_in(alice, Client(ip_address=None), name=f"number {number}.")
        for number in range(45)
    ]
    for number, pair in enumerate(pairs):
        age(pair.device, minutes=number)

    pages = [Page(laptop.get(f"/devices/?page={number}")) for number in (1, 2, 3)]

    for number in range(45):
        shown_on = [index for index, page in enumerate(pages) if f" number {number}. " in page.text]
        assert shown_on == [number // 20]
    for page in pages:
        assert "You are signed in on 46 devices." in page.text
        assert "Sign out all 45 other devices" in page.text
        assert page.text.count("This device") == 2
    assert ["Newer" in page.text for page in pages] == [False, True, True]
    assert ["Older" in page.text for page in pages] == [True, True, False]


@pytest.mark.parametrize("number", ["0", "-1", "99999999999999999999", "x", "%00", ""])
def test_odd_page_number_is_no_error(laptop, number):
    assert "This device" in Page(laptop.get(f"/devices/?page={number}")).text


def test_devices_of_others_are_not_there(laptop, api, bob):
    other_device(bob, api, name="Bobs secret")
    page = Page(laptop.get("/devices/"))
    assert "Bobs secret" not in page.html
    assert "nowhere else" in page.text


def test_list_costs_the_same_for_many_devices(laptop, alice, api, django_assert_num_queries):
    for _ in range(5):
        api(alice)
    laptop.get("/devices/")
    with django_assert_num_queries(5):  # who, this one, the count, the others, the ended
        laptop.get("/devices/")
    for _ in range(10):
        api(alice)
    with django_assert_num_queries(5):
        laptop.get("/devices/")


def test_page_costs_one_query_for_who_and_where(laptop, django_assert_num_queries):
    laptop.get("/password/change")
    with django_assert_num_queries(1):
        assert "alice" in Page(laptop.get("/password/change")).text


ENDS = [
    ("logout", "Signed out,"),
    ("user", "Signed out by its owner,"),
    ("staff", "Revoked by staff (support),"),
    ("password", "The password was changed,"),
    ("limit", "Too many devices,"),
    ("replaced", "Signed in again in the same browser,"),
    ("incident", "Revoked in an incident (support),"),
]


@pytest.mark.parametrize(("reason", "text"), ENDS)
def test_ended_device_says_who_and_why(laptop, api, alice, support, reason, text):
    device = other_device(alice, api, name="Old phone").device
    alice.devices.filter(pk=device.pk).revoke(reason=reason, by=support, note="We talked.")

    page = Page(laptop.get("/devices/"))

    ended = page.text.partition("Signed out in the last 28 days")[2]
    assert "Old phone" in ended
    assert text in ended
    assert "“We talked.”" in ended
    assert f"/devices/{device.pk}/sign-out/" not in page.links()


def test_reused_device_shows_both_sides(laptop, api, alice):
    phone = api(alice, headers={"user-agent": PHONE}, REMOTE_ADDR="203.0.113.7")
    first = phone.pair["refresh_token"]
    phone.post("refresh", {"refresh_token": first})
    IssuedToken.objects.update(rotated_at=alice.date_joined - timedelta(hours=1), confirmed=True)
    thief = api(headers={"user-agent": "curl/8.16.0"}, REMOTE_ADDR="198.51.100.9")
    assert thief.post("refresh", {"refresh_token": first}).json()["code"] == "refresh_invalid"

    text = Page(laptop.get("/devices/")).text

    assert "Its refresh token was used twice" in text
    assert "from 203.0.113.7 by Guestlist on Android, then again" in text
    assert "from 198.51.100.9 by curl." in text


@pytest.mark.parametrize(
    ("field", "text"), [("idle_at", "Not used for too long"), ("expires_at", "Reached its end")]
)
def test_device_that_ended_by_itself_is_among_the_ended(laptop, api, alice, field, text):
    phone = other_device(alice, api, name="Old phone")
    device = phone.device
    IssuedToken.objects.filter(pk=device.pk).update(**{field: device.created_at})

    page = Page(laptop.get("/devices/"))

    assert text in page.text.partition("Signed out in the last 28 days")[2]
    assert "nowhere else" in page.text


def test_device_that_ended_long_ago_is_not_shown(laptop, api, alice, age):
    for days, name in ((27, "Recent"), (29, "Ancient")):
        device = other_device(alice, api, name=name).device
        alice.devices.filter(pk=device.pk).revoke(reason="user")
        age(device, days=days)
    text = Page(laptop.get("/devices/")).text
    assert "Recent" in text
    assert "Ancient" not in text


# Renaming


def test_rename(laptop, alice):
    device = alice.devices.get()
    answer = laptop.post(f"/devices/{device.pk}/rename/", {"name": " Ana's laptop\t"}, follow=True)
    page = Page(answer)
    assert "Renamed to Ana's laptop." in page.text
    assert "Ana's laptop Firefox on Linux This device" in page.text
    assert alice.devices.get().name == "Ana's laptop"


def test_rename_after_signing_in_again_leads_to_the_devices(laptop, alice, client):
    """The device ended while she typed, so the sign-in page leads to the form's address."""
    device = alice.devices.get()
    flows.revoke_for_user(alice, alice.devices.all(), by=None, note="")
    refused = laptop.post(f"/devices/{device.pk}/rename/", {"name": "Work"})
    signed_in = laptop.post(refused.url, {"username": "alice", "password": PASSWORD}, follow=True)
    assert signed_in.redirect_chain[-1] == ("/devices/", 302)
    assert "You were signed out before the name was saved. Type it again." in Page(signed_in).text


def test_rename_to_nothing_leaves_the_client(laptop, alice):
    alice.devices.update(name="Old name")
    url = f"/devices/{alice.devices.get().pk}/rename/"
    assert "Renamed to Firefox on Linux." in Page(laptop.post(url, {"name": ""}, follow=True)).text
    assert alice.devices.get().name == ""


def test_rename_to_too_much_is_refused(laptop, alice):
    url = f"/devices/{alice.devices.get().pk}/rename/"
    page = Page(laptop.post(url, {"name": "x" * 65}, follow=True))
    assert "A name has at most 64 characters." in page.text
    assert alice.devices.get().name == ""


@pytest.mark.asvs("8.2.2")
@pytest.mark.parametrize("page", ["rename", "sign-out"])
@pytest.mark.parametrize("whose", ["bob", "nobody"])
def test_device_of_somebody_else_is_not_found(laptop, api, alice, bob, page, whose):
    phone = api(bob)
    id = phone.device.pk if whose == "bob" else "00000000-0000-0000-0000-000000000000"

    answer = laptop.post(f"/devices/{id}/{page}/", {"name": "mine now"})

    assert answer.status_code == 404
    assert phone.device.name == ""
    assert phone.get("me").status_code == 200


@pytest.mark.parametrize("page", ["rename", "sign-out"])
def test_malformed_id_is_not_found(laptop, page):
    assert laptop.post(f"/devices/not-an-id/{page}/").status_code == 404


# Signing out


def test_sign_out_asks_first(laptop, api, alice):
    phone = other_device(alice, api, name="Phone")
    page = Page(laptop.get(f"/devices/{phone.device.pk}/sign-out/"))
    assert "Sign out Phone" in page.text
    assert "password" not in [field.get("name") for field in page.all("input")]
    assert phone.get("me").status_code == 200


@pytest.mark.asvs("10.4.9")
def test_sign_out_ends_that_device_alone(laptop, api, alice):
    phone, tablet = other_device(alice, api, name="Phone"), api(alice)

    answer = laptop.post(f"/devices/{phone.device.pk}/sign-out/", follow=True)

    assert re.search(r"Phone \(.+\) was signed out\.", Page(answer).text)
    assert phone.get("me").json()["reason"] == "user"
    assert phone.device.revoked_by == alice
    assert tablet.get("me").status_code == 200


@pytest.mark.asvs("7.5.2")
def test_sign_out_asks_for_the_password_when_the_last_one_is_old(stale, api, alice):
    phone = api(alice)
    url = f"/devices/{phone.device.pk}/sign-out/"
    asked = Page(stale.get(url))
    assert (
        "You last gave it on this device more than 15 minutes ago, or somewhere else." in asked.text
    )
    [field] = [field for field in asked.all("input") if field.get("name") == "password"]
    assert (field["type"], field["autocomplete"]) == ("password", "current-password")

    for refused in ({}, {"password": ""}, {"password": "wrong"}):
        page = Page(stale.post(url, refused))
        assert "wrong" not in [field.get("value") for field in page.all("input")]
        assert phone.get("me").status_code == 200
    assert "This is not your password." in page.text

    cookie = stale.cookies[settings.SESSION_COOKIE_NAME].value
    answer = stale.post(url, {"password": PASSWORD})

    assert (answer.status_code, answer.url) == (302, "/devices/")
    assert phone.get("me").status_code == 401
    assert stale.cookies[settings.SESSION_COOKIE_NAME].value != cookie
    assert alice.devices.with_state().get(kind="browser").is_fresh() is False  # no request yet
    assert "password" not in Page(stale.get("/devices/sign-out-others/")).html


def test_password_given_on_a_page_is_given_on_the_device(stale, alice):
    device = alice.devices.get()

    stale.post("/devices/sign-out-others/", {"password": PASSWORD})

    renewed = alice.devices.with_state().get()
    assert renewed.now - renewed.authenticated_at < timedelta(minutes=1)
    assert renewed.hash != device.hash
    assert is_signed_in(stale)


def test_page_that_asks_for_no_password_leaves_the_device_as_it_is(laptop, alice):
    device = alice.devices.get()

    assert laptop.post("/devices/sign-out-others/", {"password": PASSWORD}).status_code == 302

    assert alice.devices.get().hash == device.hash
    assert alice.devices.get().authenticated_at == device.authenticated_at


def test_sign_out_of_an_ended_device_says_so(laptop, api, alice, support):
    phone = api(alice)
    url = f"/devices/{phone.device.pk}/sign-out/"
    flows.revoke_for_user(alice, alice.devices.filter(kind="api"), by=support, note="Lost.")

    assert "It is signed out already." in Page(laptop.get(url)).text
    assert laptop.post(url).url == "/devices/"

    device = phone.device
    assert (device.revoked_reason, device.revoked_note) == ("staff", "Lost.")


@pytest.mark.asvs("7.5.2")
def test_sign_out_others(laptop, browser, api, alice, bob):
    phone, tablet, bobs = api(alice), browser(alice), api(bob)
    asked = Page(laptop.get("/devices/sign-out-others/"))
    assert "Sign out all other devices?" in asked.text
    assert len([icon for icon in asked.all("svg") if icon["class"] == "ico"]) == 2

    page = Page(laptop.post("/devices/sign-out-others/", follow=True))

    assert "2 devices were signed out." in page.text
    assert "nowhere else" in page.text
    assert phone.get("me").status_code == 401
    assert not is_signed_in(tablet)
    assert bobs.get("me").status_code == 200


def test_sign_out_others_counts_one(laptop, api, alice):
    api(alice)
    page = Page(laptop.post("/devices/sign-out-others/", follow=True))
    assert "1 device was signed out." in page.text


def test_sign_out_others_asks_for_the_password(stale, api, alice):
    phone = api(alice)
    page = Page(stale.post("/devices/sign-out-others/", {"password": "wrong"}))
    assert "This is not your password." in page.text
    assert phone.get("me").status_code == 200

    page = Page(stale.post("/devices/sign-out-others/", {"password": PASSWORD}, follow=True))
    assert "1 device was signed out." in page.text


def test_sign_out_others_without_others(laptop):
    assert (
        "You are not signed in anywhere else." in Page(laptop.get("/devices/sign-out-others/")).text
    )


def test_own_device_is_signed_out_by_the_header(laptop, alice):
    page = Page(laptop.get("/devices/"))
    assert {"method": "post", "action": "/logout"} in page.all("form")

    assert laptop.post("/logout").url == "/login"

    assert alice.devices.get().revoked_reason == "logout"
    assert not is_signed_in(laptop)


def test_own_device_by_its_address_is_signed_out_too(laptop, alice):
    url = f"/devices/{alice.devices.get().pk}/sign-out/"
    assert laptop.post(url).status_code == 302
    assert alice.devices.get().revoked_reason == "logout"
    assert "Sign in" in Page(laptop.get("/devices/", follow=True)).text


def test_password_changed_elsewhere_meanwhile_does_not_renew(stale, api, alice):
    """The page asks for the password; before it comes, another device changes it."""
    phone = api(alice)
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    phone.keep(phone.post("password", body).json())

    answer = stale.post("/devices/sign-out-others/", {"password": PASSWORD})

    assert answer.url.startswith("/login?")
    assert phone.get("me").status_code == 200


WRITES = [
    "/logout",
    "/devices/{id}/rename/",
    "/devices/{id}/sign-out/",
    "/devices/sign-out-others/",
    "/account/",
    "/account/data",
    "/account/delete",
    "/password/change",
    "/password/reset",
    "/signup",
]


@pytest.mark.parametrize(
    "url",
    ["/devices/sign-out-others/", "/account/data", "/account/delete", "/password/change"],
)
def test_form_that_asks_for_a_password_names_whose_it_is(stale, alice, api, url):
    """For password managers, which would guess otherwise."""
    api(alice)
    fields = Page(stale.get(url)).all("input")
    [username] = [field for field in fields if field.get("autocomplete") == "username"]
    assert username["value"] == "alice"
    assert "name" not in username
    assert "hidden" in username


@pytest.mark.asvs("3.5.1")
@pytest.mark.parametrize("url", WRITES)
def test_writes_need_a_csrf_token(laptop, alice, url):
    laptop.handler.enforce_csrf_checks = True
    device = alice.devices.get()
    page = Page(laptop.post(url.format(id=device.pk), {"name": "x"}), status=403)
    assert "That form is too old" in page.text
    device.refresh_from_db()
    assert (device.name, device.revoked_at) == ("", None)


# The account


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
    assert set(data) == {"account", "devices", "administration"}
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"username": "ALICE"}, "That username is taken."),
        ({"username": "a@b"}, "Use letters from A to Z"),
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

    assert "Your password was changed. All other devices ended." in page.text
    assert "nowhere else" in page.text
    assert phone.get("me").json()["code"] == "password_changed"


@pytest.fixture
def verified(alice):
    alice.email_verified_at = alice.date_joined
    alice.save()
    return alice


def reset_link(messages):
    [message] = messages
    return re.search(r"https://testserver(/password/reset/\S+)", message.body)[1]


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


# What the sign-in page tells


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


# Headers and hostile words


def every_page(user, browser, api):
    """The pages that are there for this user, who may use the admin."""
    device = user.devices.filter(kind="api").first()
    not_me = notices.signing.dumps(str(device.pk), salt=notices.NOT_ME_SALT)
    admin = "/admin/tokens/issuedtoken/"
    return [
        "/devices/",
        f"/devices/{device.pk}/sign-out/",
        "/devices/sign-out-others/",
        f"/not-me/{not_me}",
        "/not-me/nonsense",
        "/account/",
        "/account/data",
        "/account/delete",
        "/password/change",
        "/password/reset",
        "/password/reset/done",
        "/password/reset/x/x-x",
        "/login",
        "/signup",
        "/email/nonsense",
        "/nothing-here",
        "/admin/",
        admin,
        f"{admin}{device.pk}/change/",
        f"{admin}{device.pk}/history/",
        f"{admin}{device.pk}/revoke/",
        f"/admin/accounts/user/{user.pk}/change/",
        f"/admin/accounts/user/{user.pk}/revoke/",
        "/api/v1/",
        "/api/v1/devices?state=all",
        f"/api/v1/devices/{device.pk}",
        "/api/v1/me",
        f"/api/v1/users/{user.username}/devices?state=all",
        "/api/v1/docs",
    ]


@pytest.mark.asvs("3.4.3")
def test_every_page_forbids_inline_script_and_has_none(browser, api, root):
    laptop, _ = browser(root), api(root)
    for url in every_page(root, browser, api):
        answer = laptop.get(url, headers={"accept": "text/html"})
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self';" in policy
        assert "script-src" not in policy
        assert "frame-ancestors 'none'" in policy
        assert (
            answer.headers["Cache-Control"] == "no-store"
            or "no-cache" in answer.headers["Cache-Control"]
        )
        assert answer.headers["Referrer-Policy"] == "same-origin"
        page = Page(answer, answer.status_code)
        assert len(page.elements) > 5, url
        for script in page.all("script"):
            assert "src" in script or script.get("type") == "application/json", url
        for _, attributes in page.elements:
            assert not [name for name in attributes if name.startswith("on")], url
            assert not (attributes.get("href") or "").lower().startswith("javascript:"), url


@pytest.mark.asvs("7.4.4")
def test_every_page_of_the_signed_in_offers_to_sign_out(browser, api, root):
    laptop, _ = browser(root), api(root)
    for url in every_page(root, browser, api):
        if url == "/api/v1/docs":  # Swagger's page, which is for whoever asks
            continue
        page = Page(laptop.get(url, headers={"accept": "text/html"}), status=_status(url))
        forms = [form.get("action") for form in page.all("form") if form.get("method") == "post"]
        assert {"/logout", "/admin/logout/"} & set(forms), url


@pytest.mark.asvs("6.2.6", "6.2.7")
def test_passwords_are_hidden_and_left_to_password_managers(browser, client, verified, mails_of):
    laptop = browser(verified)
    link = reset_link(mails_of(lambda: client.post("/password/reset", {"email": verified.email})))
    pages = {
        "/login": ["current-password"],
        "/admin/login/": ["current-password"],
        "/signup": ["new-password"] * 2,
        "/password/change": ["current-password"] + ["new-password"] * 2,
        "/account/delete": ["current-password"],
        link: ["new-password"] * 2,
    }
    for url, expected in pages.items():
        fields = Page(laptop.get(url, follow=True)).all("input")
        passwords = [field for field in fields if "password" in field.get("name", "")]
        assert {field["type"] for field in passwords} == {"password"}, url
        assert [field["autocomplete"] for field in passwords] == expected, url


def test_hostile_words_are_only_words(browser, api, root):
    laptop = browser(root, headers={"user-agent": XSS})
    phone = other_device(root, api)
    hostile = {"name": XSS[:64], "browser": XSS[:64], "os": XSS[:64], "location": XSS}
    root.devices.update(user_agent=XSS, **hostile)
    ended = api(root)
    root.devices.filter(pk=ended.device.pk).update(user_agent=XSS, **hostile)
    root.devices.filter(pk=ended.device.pk).revoke(reason="staff", by=root, note=XSS)

    for url in every_page(root, browser, api):
        page = Page(laptop.get(url, headers={"accept": "text/html"}), status=_status(url))
        assert not [tag for tag in page.all("img") if tag.get("src") == "x"], url
        assert not [tag for tag in page.all("script") if not tag], url
        assert not [link for link in page.all("a") if "evil" in (link.get("href") or "")], url
    shown = Page(laptop.get("/devices/")).text
    assert XSS in shown
    renamed = laptop.post(f"/devices/{phone.device.pk}/rename/", {"name": XSS[:64]}, follow=True)
    assert not [tag for tag in Page(renamed).all("script") if not tag]
    root.devices.filter(kind="browser").revoke(reason="staff", note=XSS)
    told = Page(laptop.get("/devices/", follow=True))
    assert f"They say: “{XSS}”" in told.text
    assert not [tag for tag in told.all("script") if not tag]


def _status(url):
    if "nonsense" in url:
        return 400
    return 404 if url == "/nothing-here" else 200
