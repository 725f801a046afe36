"""The whole story in a browser: with the mouse, by keyboard alone, and without JavaScript."""

import pytest
from django.core import mail
from playwright.sync_api import expect

from accounts.models import User
from tests.browser.conftest import sign_in
from tests.browser.hands import Keyboard, Mouse
from tests.plugins.guestlist import FIREFOX, PASSWORD

HANDS = [
    pytest.param(Mouse, {}, id="mouse"),
    pytest.param(Keyboard, {}, id="keyboard"),
    pytest.param(Mouse, {"java_script_enabled": False}, id="no-javascript"),
    pytest.param(Mouse, {"viewport": {"width": 360, "height": 640}}, id="phone"),
]


@pytest.mark.parametrize(("hands", "options"), HANDS)
def test_sign_up_sign_in_rename_and_sign_out_another_device(open_tab, api, db, hands, options):
    tab = open_tab(**options)
    her = hands(tab)
    button = lambda name: tab.get_by_role("button", name=name, exact=True)  # noqa: E731
    field = lambda name: tab.get_by_label(name, exact=True)  # noqa: E731

    tab.goto("/login")
    her.press(tab.get_by_role("link", name="Sign up"))
    her.write(field("Username"), "alice")
    her.write(field("Email address"), "alice@example.org")
    her.write(field("Password"), PASSWORD)
    her.write(field("Password confirmation"), PASSWORD)
    her.press(button("Sign up"))
    expect(tab.get_by_role("status")).to_contain_text("Welcome, alice.")

    her.write(field("Username or email address"), "alice")
    her.write(field("Password"), PASSWORD)
    her.press(button("Sign in"))
    expect(tab.get_by_role("heading", level=1)).to_have_text("Your devices")
    expect(tab.get_by_text("You are signed in here and nowhere else.")).to_be_visible()

    phone = api(User.objects.get(username="alice"), headers={"user-agent": FIREFOX})
    tab.reload()
    others = tab.get_by_role("list", name="Other devices").get_by_role("listitem")
    expect(others).to_have_count(1)
    expect(others).to_contain_text("Firefox on Linux")
    expect(tab.get_by_role("list", name="This device")).to_contain_text("This device")

    her.press(others.locator("summary"))
    expect(others).to_contain_text("Ends")
    her.write(others.get_by_label("Name of Firefox on Linux"), "Phone")
    her.press(others.get_by_role("button", name="Rename"))
    expect(tab.get_by_role("status")).to_have_text("Renamed to Phone.")
    expect(others.get_by_role("heading")).to_have_text("Phone Firefox on Linux")

    her.press(others.get_by_role("link", name="Sign out Phone (Firefox on Linux)"))
    expect(tab.get_by_role("heading", level=1)).to_have_text("Sign out Phone (Firefox on Linux)?")
    assert phone.get("me").status_code == 200
    her.press(button("Sign out this device"))
    expect(tab.get_by_role("status")).to_have_text("Phone (Firefox on Linux) was signed out.")
    assert phone.get("me").json()["code"] == "device_revoked"

    her.press(tab.locator("summary", has_text="Signed out in the last"))
    expect(tab.locator("details.ended")).to_contain_text("Signed out by you")
    her.press(tab.get_by_role("banner").get_by_role("button", name="Sign out"))
    expect(tab.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_skip_link_leads_past_the_header(tab, alice):
    sign_in(tab, alice)
    expect(tab.get_by_role("heading", level=1)).to_have_text("Your devices")
    tab.keyboard.press("Tab")
    expect(tab.get_by_role("link", name="Skip to content")).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("main")).to_be_focused()


@pytest.mark.parametrize(("hands", "options"), HANDS)
def test_sign_out_those_that_are_ticked(open_tab, api, alice, hands, options):
    phones = [api().log_in(alice, device_name=name) for name in ("One", "Two", "Three")]
    tab = open_tab(**options)
    her = hands(tab)
    sign_in(tab, alice)
    her.press(tab.get_by_role("button", name="Sign out the ticked devices"))
    expect(tab.get_by_role("status")).to_have_text("Tick the devices that you want to sign out.")

    for name in ("Three", "One"):
        her.tick(tab.get_by_label(f"Choose {name} ("))
    her.press(tab.get_by_role("button", name="Sign out the ticked devices"))
    expect(tab.get_by_role("heading", level=1)).to_have_text("Sign out these devices?")
    expect(tab.get_by_role("listitem")).to_have_count(2)
    her.press(tab.get_by_role("button", name="Sign out these devices"))

    expect(tab.get_by_role("status")).to_have_text("2 devices were signed out.")
    assert [phone.get("me").status_code for phone in phones] == [401, 200, 401]


def test_password_is_asked_for_in_the_same_form(tab, alice, api, age):
    phone = api(alice)
    sign_in(tab, alice)
    age(alice.devices.get(kind="browser"), minutes=16)

    tab.get_by_role("link", name="Sign out the other device").click()
    button = tab.get_by_role("button", name="Sign out all other devices")
    tab.get_by_label("Your password").fill("not her password")
    button.click()
    expect(tab.get_by_text("This is not your password.")).to_be_visible()
    expect(tab.get_by_label("Your password")).to_have_value("")
    tab.get_by_label("Your password").fill(PASSWORD)
    button.click()

    expect(tab.get_by_role("status")).to_have_text("1 device was signed out.")
    assert phone.get("me").status_code == 401


@pytest.mark.parametrize("hands", [Mouse, Keyboard])
def test_password_can_be_seen_while_it_is_typed(tab, alice, hands):
    her = hands(tab)
    tab.goto("/login")
    field, show = tab.get_by_label("Password"), tab.get_by_role("button", name="Show Password")
    her.write(tab.get_by_label("Username or email address"), "alice")
    her.write(field, "wrong")
    expect(show).to_have_attribute("aria-pressed", "false")
    her.press(show)
    expect(field).to_have_attribute("type", "text")
    expect(show).to_have_attribute("aria-pressed", "true")
    her.write(field, PASSWORD)
    her.press(show)
    expect(field).to_have_attribute("type", "password")
    her.press(tab.get_by_role("button", name="Sign in"))
    expect(tab.get_by_role("heading", level=1)).to_have_text("Your devices")


def test_nothing_offers_to_show_the_password_without_a_script(open_tab, db):
    tab = open_tab(java_script_enabled=False)
    tab.goto("/login")
    expect(tab.get_by_label("Password")).to_be_visible()
    expect(tab.get_by_role("button")).to_have_text(["Sign in"])


def test_times_are_those_of_the_person(open_tab, alice):
    tab = open_tab(timezone_id="Pacific/Kiritimati", locale="en-GB")
    sign_in(tab, alice)
    time = tab.locator("time", has_text=",").first
    created = alice.devices.get().created_at
    expect(time).not_to_have_text(f"{created:%-d %b %Y, %H:%M} UTC")
    expect(time).not_to_contain_text("UTC")


def test_times_are_utc_without_a_script(open_tab, alice):
    tab = open_tab(java_script_enabled=False)
    sign_in(tab, alice)
    created = alice.devices.get().created_at
    expect(tab.get_by_role("list", name="This device")).to_contain_text(
        f"{created:%-d %b %Y, %H:%M} UTC"
    )


# Revoked by staff


@pytest.fixture
def revoke(open_tab, root):
    """`revoke(user)` is staff at work in the admin, with the mouse, in a browser of their own."""

    def at_work(user):
        staff = open_tab()
        sign_in(staff, root, "/admin/")
        staff.locator(".model-issuedtoken").get_by_role("link", name="Devices").click()
        staff.get_by_role("link", name=f"of {user.username}").click()
        staff.get_by_label("Note, shown to the person").fill("Call 555.")
        staff.get_by_role("button", name="Revoke").click()
        expect(staff.get_by_text("1 device was revoked.")).to_be_visible()

    return at_work


def assert_told(tab):
    expect(tab.get_by_role("heading", level=1)).to_have_text("Sign in")
    told = tab.get_by_role("status")
    expect(told).to_contain_text("Our staff signed this device out.")
    expect(told).to_contain_text("They say: “Call 555.”")


PLACES = [
    pytest.param("alice", "/devices/", "Account", id="page"),
    pytest.param("manager", "/admin/", "Users", id="admin"),
    pytest.param("alice", "/api/v1/devices", "GET", id="browsable-api"),
]


@pytest.mark.parametrize(("who", "place", "link"), PLACES)
def test_next_click_after_staffs_revocation_tells_why(request, tab, revoke, who, place, link):
    user = request.getfixturevalue(who)
    sign_in(tab, user, f"/login?next={place}")
    expect(tab).to_have_url(place)
    revoke(user)

    tab.get_by_role("link", name=link, exact=True).click()

    assert_told(tab)
    tab.reload()
    expect(tab.get_by_text("They say")).to_have_count(0)
    tab.get_by_label("Username or email address").fill(user.username)
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Sign in").click()
    expect(tab.get_by_role("heading", name="Sign in")).to_have_count(0)


def test_this_was_not_me(tab, alice, api):
    api(alice, headers={"user-agent": FIREFOX})
    stranger = api(alice, headers={"user-agent": "curl/8.16.0"})
    [message] = mail.outbox
    link = next(line for line in message.body.splitlines() if "/not-me/" in line)

    tab.goto(link.removeprefix("https://testserver"))
    expect(tab.get_by_role("listitem")).to_contain_text("curl")
    assert stranger.get("me").status_code == 200
    tab.get_by_role("button", name="Sign out this device").click()

    expect(tab.get_by_role("status")).to_have_text("curl is signed out.")
    assert stranger.get("me").status_code == 401
    tab.goto("/devices/")
    expect(tab.get_by_role("heading", level=1)).to_have_text("Sign in")
