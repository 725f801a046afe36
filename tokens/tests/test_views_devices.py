"""The page of one's devices: what it shows, renaming, and signing others out."""

import re
from datetime import timedelta

import pytest
from django.conf import settings

from tests.plugins.guestlist import FIREFOX, NEW_PASSWORD, PASSWORD
from tokens import flows
from tokens.client import Client
from tokens.models import IssuedToken
from tokens.tests.pages import Page, is_signed_in, other_device

PHONE = "Guestlist/4.1 (Android 16; Pixel 9) okhttp/5.1.0"


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

    assert "Active now" in page.text
    assert "near Bern, Switzerland" in page.text
    assert "Last address 203.0.113.9" in page.text
    times = {time["datetime"]: time["title"] for time in page.all("time")}
    for time in (device.last_seen_at, device.created_at, device.expires_at):
        assert times[time.isoformat(timespec="microseconds")] == f"{time:%-d %b %Y, %H:%M} UTC"
    assert f"Signed in {device.created_at:%-d %b %Y, %H:%M} UTC" in page.text
    assert f"Ends {device.expires_at:%-d %b %Y, %H:%M} UTC" in page.text
    assert f"Reported as {FIREFOX}" in page.text


def test_row_of_a_device_that_says_nothing(browser, alice):
    page = Page(browser(alice, REMOTE_ADDR="").get("/devices/"))
    assert "Reported as nothing" in page.text
    assert "Last address unknown" in page.text


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
    ("user", "Signed out by you,"),
    ("staff", "Signed out by our staff (support),"),
    ("password", "The password was changed,"),
    ("limit", "Too many devices,"),
    ("replaced", "Replaced by a new sign-in in the same browser,"),
    ("incident", "Signed out by our staff (support),"),
]


@pytest.mark.parametrize(("reason", "text"), ENDS)
def test_ended_device_says_who_and_why(laptop, api, alice, support, settings, reason, text):
    settings.SUPPORT_CONTACT = "+49 30 1234"
    device = other_device(alice, api, name="Old phone").device
    alice.devices.filter(pk=device.pk).revoke(reason=reason, by=support, note="We talked.")

    page = Page(laptop.get("/devices/"))

    ended = page.text.partition("Signed out in the last 28 days")[2]
    assert "Old phone" in ended
    assert text in ended
    assert "“We talked.”" in ended
    assert ("Questions? Ask +49 30 1234." in ended) == (reason in ("staff", "incident"))
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
    assert "Your password" not in Page(stale.get("/devices/sign-out-others/")).text


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


# Signing out those that are ticked


@pytest.fixture
def three(alice, api):
    """Three API clients of alice."""
    return [api(alice) for _ in range(3)]


def chosen(*clients):
    return "/devices/sign-out/?" + "&".join(f"id={client.device.pk}" for client in clients)


def statuses(clients):
    return [client.get("me").status_code for client in clients]


def test_each_other_device_can_be_ticked_where_there_are_several(laptop, alice, api, three):
    page = Page(laptop.get("/devices/"))

    boxes = [field for field in page.all("input") if field.get("type") == "checkbox"]

    assert {box["value"] for box in boxes} == {str(client.device.pk) for client in three}
    assert {(box["name"], box["form"]) for box in boxes} == {("id", "chosen")}
    assert {"id": "chosen", "action": "/devices/sign-out/"} in page.all("form")
    alice.devices.exclude(pk=three[0].device.pk).filter(kind="api").revoke(reason="user")
    assert 'type="checkbox"' not in Page(laptop.get("/devices/")).html


@pytest.mark.asvs("7.5.2")
def test_ticked_devices_are_shown_first_and_then_signed_out(laptop, three):
    url = chosen(*three[:2])
    asked = Page(laptop.get(url))
    assert "Sign out these devices?" in asked.text
    assert len([icon for icon in asked.all("svg") if icon["class"] == "ico"]) == 2
    assert statuses(three) == [200] * 3

    page = Page(laptop.post(url, follow=True))

    assert "2 devices were signed out." in page.text
    assert statuses(three) == [401, 401, 200]
    again = Page(laptop.post(url, follow=True))
    assert "Those devices are signed out already." in again.text
    assert "Those devices are signed out already." in Page(laptop.get(url)).text


def test_ticked_devices_ask_for_the_password_when_the_last_one_is_old(stale, three):
    url = chosen(*three[:2])
    for body in ({}, {"password": "wrong"}):
        assert "Your password" in Page(stale.post(url, body)).text
        assert statuses(three) == [200] * 3

    assert stale.post(url, {"password": PASSWORD}).url == "/devices/"

    assert statuses(three) == [401, 401, 200]


@pytest.mark.parametrize("query", ["", "?id=", "?id=x", "?id=%00&id='", "?device=1", "?id[]=1"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_nothing_ticked_says_what_to_do(laptop, three, method, query):
    page = Page(getattr(laptop, method)(f"/devices/sign-out/{query}", follow=True))
    assert "Tick the devices that you want to sign out." in page.text
    assert statuses(three) == [200] * 3


@pytest.mark.asvs("8.2.2")
def test_ticked_device_of_somebody_else_is_as_one_that_is_not_there(laptop, alice, bob, api):
    bobs, phone = api(bob), api(alice)
    answers = []
    for id in (bobs.device.pk, "00000000-0000-0000-0000-000000000000"):
        shown = Page(laptop.get(f"/devices/sign-out/?id={id}"))
        done = Page(laptop.post(f"/devices/sign-out/?id={id}", follow=True))
        answers.append((shown.text, done.text))
    assert answers[0] == answers[1]
    assert "Those devices are signed out already." in answers[0][0]

    assert "1 device was signed out." in Page(laptop.post(chosen(bobs, phone), follow=True)).text
    assert statuses([bobs, phone]) == [200, 401]


def test_device_that_one_is_using_cannot_be_ticked(laptop, alice, three):
    here = alice.devices.get(kind="browser")
    url = f"{chosen(three[0])}&id={here.pk}"
    assert "Firefox" not in Page(laptop.get(url)).text
    assert "1 device was signed out." in Page(laptop.post(url, follow=True)).text
    assert is_signed_in(laptop)


def test_choice_survives_a_sign_in(laptop, alice, three):
    """The browser's device ended meanwhile; the address holds what was ticked."""
    url = chosen(*three[:2])
    alice.devices.filter(kind="browser").revoke(reason="user")
    refused = laptop.post(url)
    signed_in = laptop.post(refused.url, {"username": "alice", "password": PASSWORD})
    assert signed_in.url == url
    assert statuses(three) == [200] * 3


ICONS = {"phone": 'width="10"', "desktop": 'width="16" height="10"', "script": "m7 9 3 3"}


@pytest.mark.parametrize(
    ("agent", "shown"),
    [
        (PHONE, "phone"),
        ("okhttp/5.1.0", "phone"),
        ("Guestlist/41 CFNetwork/3826.600.41 Darwin/24.6.0", "phone"),
        ("Dart/3.9 (dart:io)", "phone"),
        ("Guestlist/41 CFNetwork/3826.600.41 Darwin/24.6.0 (x86_64)", "desktop"),
        ("curl/8.16.0", "script"),
    ],
)
def test_native_app_has_the_icon_of_what_it_runs_on(laptop, api, alice, agent, shown):
    api(alice, headers={"user-agent": agent})
    _, others = Page(laptop.get("/devices/")).html.split('id="others"')
    assert [name for name, part in ICONS.items() if part in others] == [shown]


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
