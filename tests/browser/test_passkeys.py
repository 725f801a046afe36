"""Passkeys in Chromium, with the virtual authenticator of its developer tools: one's own page."""

import pytest
from playwright.sync_api import expect

from tests.browser.eyes import assert_accessible, assert_accessible_without_script
from tests.browser.fingers import (
    Finger,
    add_button,
    add_passkey,
    ask_for_passkey,
    hurry,
    use_button,
)
from tests.browser.hands import Keyboard, Mouse
from tests.plugins.authenticator import give_passkey
from tests.plugins.guestlist import PASSWORD

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("hands", [Mouse, Keyboard])
def test_a_passkey_is_added_renamed_and_removed(hers, hands, width):
    hers.set_viewport_size({"width": width, "height": 800})
    finger, person = Finger(hers), hands(hers)
    add_passkey(hers, person)
    expect(hers.get_by_role("heading", name="My laptop")).to_be_visible()
    [credential] = finger.credentials()
    assert credential["isResidentCredential"]
    person.press(hers.locator("summary", has_text="Rename My laptop"))
    person.write(hers.get_by_label("Name of My laptop"), "At work")
    person.press(hers.get_by_role("button", name="Rename"))
    expect(hers.get_by_role("status")).to_have_text("Renamed to At work.")
    person.press(hers.get_by_role("link", name="Remove At work"))
    person.press(hers.get_by_role("button", name="Remove this passkey"))
    expect(hers.get_by_text("You have none yet.")).to_be_visible()


def test_a_second_one_on_the_same_device_is_not_made(hers):
    Finger(hers)
    add_passkey(hers)
    ask_for_passkey(hers, Mouse(hers))
    expect(hers.get_by_role("alert")).to_contain_text("has a passkey of your account already")


def test_each_of_two_authenticators_signs_in(no_offer, hers, alice):
    laptop = Finger(hers)
    add_passkey(hers)
    held = laptop.credentials()
    laptop.leave()
    key = Finger(hers, transport="usb")
    add_passkey(hers, name="My security key")
    sign_in_again(hers)
    assert alice.passkeys.get(used_at=None).name == "My laptop"
    key.leave()
    Finger(hers).hold(held[0])
    sign_in_again(hers)
    assert not alice.passkeys.filter(used_at=None).exists()


def sign_in_again(tab):
    tab.get_by_role("button", name="Sign out").click()
    use_button(tab).click()
    expect(tab.get_by_role("heading", name="Your devices")).to_be_visible()


def test_without_verification_nothing_is_added(hers, alice):
    Finger(hers).verify(False)
    ask_for_passkey(hers, Mouse(hers))
    expect(hers.get_by_role("alert")).to_contain_text("Nothing was done")
    assert not alice.passkeys.exists()


@pytest.mark.parametrize("hands", [Mouse, Keyboard])
def test_what_was_cancelled_or_took_too_long_is_asked_again(hers, alice, hands):
    finger, person = Finger(hers, automaticPresenceSimulation=False), hands(hers)
    hurry(hers)
    ask_for_passkey(hers, person)
    expect(add_button(hers)).to_have_attribute("aria-disabled", "true")
    expect(hers.get_by_role("alert")).to_have_text(
        "Nothing was done: it was cancelled, or took too long."
    )
    assert not alice.passkeys.exists()
    assert_accessible(hers)
    finger.touch(by_itself=True)
    person.press(add_button(hers))
    expect(hers.get_by_role("heading", name="My laptop")).to_be_visible()


def test_a_device_that_ended_meanwhile_is_told_so(hers, alice):
    Finger(hers)
    hers.goto("/account/passkeys/add")
    alice.devices.revoke(reason="staff")
    add_button(hers).click()
    expect(hers.get_by_role("alert")).to_have_text("You were signed out. Load this page again.")


def test_a_site_that_cannot_be_reached_is_asked_again(hers):
    Finger(hers)
    hers.route("**/options", lambda route: route.abort("aborted"))
    ask_for_passkey(hers, Mouse(hers))
    expect(hers.get_by_role("alert")).to_have_text("The site cannot be reached. Try it once more.")
    hers.unroute("**/options")
    add_button(hers).click()
    expect(hers.get_by_role("heading", name="My laptop")).to_be_visible()


def test_another_address_of_the_site_is_told_so(hers, settings):
    Finger(hers)
    settings.SITE_URL = "https://guestlist.example"
    ask_for_passkey(hers, Mouse(hers))
    expect(hers.get_by_role("alert")).to_have_text(
        "Passkeys belong to another address of this site. Open it there."
    )


def test_a_browser_that_is_too_old_is_told_so(hers):
    hers.add_init_script("delete PublicKeyCredential.parseRequestOptionsFromJSON")
    hers.goto("/account/passkeys/add")
    expect(hers.get_by_text("This browser is too old for passkeys.")).to_be_visible()
    expect(add_button(hers)).to_be_hidden()
    assert_accessible(hers)


# Each page, with scripts and without


@pytest.fixture
def passkey(here, alice, settings):
    give_passkey(alice, name="W" * 64, origin=settings.SITE_URL)
    return alice.passkeys.get()


def test_the_list_is_accessible(hers, passkey):
    hers.goto("/account/passkeys/")
    hers.locator("summary").click()
    assert_accessible(hers)
    assert_accessible_without_script(hers)


def test_a_list_of_none_is_accessible(hers):
    hers.goto("/account/passkeys/")
    expect(hers.get_by_text("You have none yet.")).to_be_visible()
    assert_accessible(hers)


@pytest.mark.parametrize("why", ["Confirm your email address first", "only a number"])
def test_a_list_to_which_none_can_be_added_is_accessible(hers, alice, settings, why):
    if why == "only a number":
        settings.SITE_URL = "https://192.0.2.1"
    else:
        type(alice).objects.update(email_verified_at=None)
    hers.goto("/account/passkeys/")
    expect(hers.get_by_role("note")).to_contain_text(why)
    assert_accessible(hers)


@pytest.mark.parametrize("is_stale", [False, True])
def test_adding_and_removing_are_accessible(hers, alice, passkey, age, is_stale):
    if is_stale:
        age(alice.devices.get(), minutes=16)
    for address in ("/account/passkeys/add", f"/account/passkeys/{passkey.pk}/remove"):
        hers.goto(address)
        expect(hers.get_by_label("Your password")).to_be_visible(visible=is_stale)
        assert_accessible(hers)
        assert_accessible_without_script(hers)


# Without JavaScript


def test_without_script_a_passkey_is_renamed_and_removed_but_not_added(
    open_tab, alice, passkey, age
):
    tab = open_tab(java_script_enabled=False)
    tab.goto("/login?next=/account/passkeys/")
    said = "Passkeys need JavaScript, which is off in this browser. Your password works without it."
    expect(tab.get_by_text(said)).to_be_visible()
    expect(use_button(tab)).to_be_hidden()
    tab.get_by_label("Username or email address").fill("alice")
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Sign in").click()
    tab.get_by_role("link", name="Add a passkey").click()
    expect(
        tab.get_by_text("Passkeys need JavaScript, which is off in this browser.")
    ).to_be_visible()
    expect(add_button(tab)).to_be_hidden()
    tab.get_by_role("link", name="Cancel").click()
    tab.locator("summary").click()
    tab.get_by_label("Name of").fill("Old phone")
    tab.get_by_role("button", name="Rename").click()
    expect(tab.get_by_role("status")).to_have_text("Renamed to Old phone.")
    age(alice.devices.get(), minutes=16)
    tab.get_by_role("link", name="Remove Old phone").click()
    expect(tab.get_by_text("Passkeys need JavaScript")).to_be_visible()
    expect(use_button(tab)).to_be_hidden()
    tab.get_by_label("Your password").fill(PASSWORD)
    tab.get_by_role("button", name="Remove this passkey").click()
    expect(tab.get_by_text("You have none yet.")).to_be_visible()
