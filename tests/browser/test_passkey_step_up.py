"""A passkey in place of the password in Chromium: on pages, and in the admin within a form."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import sign_in
from tests.browser.eyes import assert_accessible, assert_accessible_without_script
from tests.browser.fingers import Finger, add_passkey, hurry, use_button
from tests.browser.hands import Keyboard, Mouse
from tests.browser.test_accessibility_admin import STOCK
from tests.plugins.authenticator import give_passkey
from tests.plugins.guestlist import PASSWORD

CANCELLED = "Nothing was done: it was cancelled, or took too long."


@pytest.fixture
def staffs(here, tab, root):
    """A tab in which a superuser is signed in, and has a passkey."""
    sign_in(tab, root)
    tab.get_by_role("heading", name="Your devices").wait_for()
    tab.finger = Finger(tab)
    add_passkey(tab)
    return tab


def be_asked(tab, person, root, age):
    """Fill in a new user. The device is stale by the time that it is sent."""
    tab.goto("/admin/accounts/user/add/")
    person.write(tab.get_by_label("Username"), "carol")
    person.write(tab.get_by_label("Email address"), "carol@example.org")
    age(root.devices.get(), minutes=16)
    person.press(tab.get_by_role("button", name="Save", exact=True))
    expect(tab.get_by_role("heading", name="Your password, please")).to_be_visible()


def assert_added(tab, root):
    expect(tab.get_by_text("was added successfully")).to_be_visible()
    assert type(root).objects.get(username="carol").email == "carol@example.org"


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("hands", [Mouse, Keyboard])
def test_a_form_of_the_admin_takes_a_passkey_and_loses_nothing(staffs, root, age, hands, width):
    staffs.set_viewport_size({"width": width, "height": 800})
    person = hands(staffs)
    be_asked(staffs, person, root, age)
    person.press(use_button(staffs))
    assert_added(staffs, root)


@pytest.mark.parametrize("then", ["passkey", "password"])
def test_what_was_cancelled_or_took_too_long_loses_nothing(staffs, root, age, then):
    hurry(staffs)
    staffs.finger.touch(by_itself=False)
    be_asked(staffs, Mouse(staffs), root, age)
    use_button(staffs).click()
    expect(staffs.get_by_role("alert")).to_have_text(CANCELLED)
    assert_accessible(staffs)
    if then == "passkey":
        staffs.finger.touch(by_itself=True)
        use_button(staffs).click()
    else:
        staffs.get_by_label("Password").fill(PASSWORD)
        staffs.get_by_role("button", name="Go on").click()
    assert_added(staffs, root)


@pytest.mark.parametrize(
    "address",
    [
        "/admin/accounts/user/{root}/change/",
        "/admin/tokens/issuedtoken/incident/?everybody=on",
    ],
)
def test_pages_of_the_admin_that_take_a_passkey_are_accessible(staffs, root, address):
    staffs.goto(address.format(root=root.pk))
    assert_accessible(staffs, exclude=STOCK)
    staffs.finger.verify(False)
    use_button(staffs).click()
    expect(staffs.get_by_role("alert")).to_have_text(CANCELLED)
    assert_accessible(staffs, exclude=STOCK)


def test_a_page_takes_a_passkey_and_is_accessible(finger, hers, alice, age):
    age(alice.devices.get(), minutes=16)
    hers.goto("/account/delete")
    assert_accessible(hers)
    finger.verify(False)
    use_button(hers).click()
    expect(hers.get_by_role("alert")).to_have_text(CANCELLED)
    assert_accessible(hers)
    finger.verify(True)
    use_button(hers).click()
    expect(hers.get_by_role("heading", name="Sign in")).to_be_visible()
    assert not type(alice).objects.exists()
    expect(hers.get_by_role("alert").first).to_contain_text("not accepted")  # which is offered once


@pytest.mark.parametrize("address", ["/account/names", "/account/data", "/account/delete"])
def test_pages_that_take_a_passkey_are_accessible(finger, hers, alice, age, address):
    age(alice.devices.get(), minutes=16)
    hers.goto(address)
    expect(use_button(hers)).to_be_visible()
    assert_accessible(hers)
    assert_accessible_without_script(hers)
    expect(use_button(hers)).to_be_hidden()


def test_the_passkey_of_somebody_else_is_not_taken(finger, hers, alice, bob, settings):
    """The authenticator holds a passkey, but none that the page asks for."""
    alice.passkeys.update(user=bob)
    give_passkey(alice, origin=settings.SITE_URL)
    hers.goto("/account/delete")
    use_button(hers).click()
    expect(hers.get_by_role("alert")).to_have_text(CANCELLED)
    assert type(alice).objects.filter(pk=alice.pk).exists()


def test_without_script_the_password_works_within_a_form(open_tab, here, root, age, settings):
    give_passkey(root, origin=settings.SITE_URL)
    tab = open_tab(java_script_enabled=False)
    sign_in(tab, root)
    be_asked(tab, Mouse(tab), root, age)
    expect(tab.get_by_text("Passkeys need JavaScript")).to_be_visible()
    expect(use_button(tab)).to_be_hidden()
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Go on").click()
    assert_added(tab, root)
