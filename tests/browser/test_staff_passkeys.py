"""Staff need a passkey, in Chromium: the pages that wait for it, the first one, and a loss."""

import pytest
from playwright.sync_api import expect

from accounts import passkeys
from tests.browser.conftest import sign_in
from tests.browser.eyes import assert_accessible, assert_accessible_without_script
from tests.browser.fingers import Finger, add_button, hurry
from tests.browser.hands import Keyboard, Mouse

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture(autouse=True)
def required(settings):
    settings.STAFF_NEEDS_PASSKEY = True


@pytest.fixture
def staffs(tab, root, settings):
    """A tab in which a superuser is signed in by password, and has no passkey."""
    sign_in(tab, root)
    tab.get_by_role("heading", name="Your devices").wait_for()
    tab.finger = Finger(tab)
    return tab


def path_of(link):
    return link.split("/", 3)[3]


def add_first(tab, root, person=None):
    """Follow the link of a superuser to the first passkey, and keep the recovery codes."""
    person = person or Mouse(tab)
    tab.goto("/" + path_of(passkeys.make_link(root, by=None)))
    person.write(tab.get_by_label("Name"), "My key")
    person.press(add_button(tab))
    person.press(tab.get_by_role("button", name="Show me 10 codes"))
    expect(tab.locator("code")).to_have_count(10)
    codes = tab.locator("code").all_inner_texts()
    person.press(tab.get_by_role("link", name="I have kept them"))
    return codes


def lose_proof(root):
    """As if the passkey had been used on this device long ago."""
    root.devices.update(passkey_at=None)


def use_key(tab):
    return tab.get_by_role("button", name="Use your passkey")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("hands", [Mouse, Keyboard])
def test_the_first_passkey_opens_the_admin(staffs, root, hands, width):
    staffs.set_viewport_size({"width": width, "height": 800})
    person = hands(staffs)
    staffs.goto("/admin/")
    expect(staffs.get_by_text("Ask a superuser for a link")).to_be_visible()
    add_first(staffs, root, person)
    staffs.goto("/admin/")
    expect(staffs.get_by_role("heading", name="Administration")).to_be_visible()


@pytest.mark.parametrize("hands", [Mouse, Keyboard])
def test_a_form_of_the_admin_waits_for_the_passkey_and_loses_nothing(staffs, root, hands):
    add_first(staffs, root)
    person = hands(staffs)
    staffs.goto("/admin/accounts/user/add/")
    person.write(staffs.get_by_label("Username"), "carol")
    person.write(staffs.get_by_label("Email address"), "carol@example.org")
    lose_proof(root)
    person.press(staffs.get_by_role("button", name="Save", exact=True))
    expect(staffs.get_by_role("heading", name="Your passkey, please")).to_be_visible()
    assert_accessible(staffs)
    person.press(use_key(staffs))
    expect(staffs.get_by_text("was added successfully")).to_be_visible()
    assert type(root).objects.filter(username="carol").exists()


def test_what_was_cancelled_or_took_too_long_is_asked_again(staffs, root):
    add_first(staffs, root)
    lose_proof(root)
    hurry(staffs)
    staffs.finger.touch(by_itself=False)
    for address in ("/admin/", "/account/passkeys/"):
        staffs.goto(address)
        use_key(staffs).click()
        expect(staffs.get_by_role("alert")).to_contain_text("Nothing was done")
        assert_accessible(staffs)
    staffs.finger.touch(by_itself=True)
    use_key(staffs).click()
    expect(staffs.get_by_role("status")).to_contain_text("Thank you.")


def test_a_lost_passkey_is_replaced_with_a_code(staffs, root):
    code, *_ = add_first(staffs, root)
    lose_proof(root)
    staffs.finger.forget()
    staffs.goto("/account/passkeys/recover")
    assert_accessible(staffs)
    staffs.get_by_label("Recovery code").fill(code)
    staffs.get_by_label("Name").fill("My new key")
    add_button(staffs).click()
    expect(staffs.get_by_role("heading", name="My new key")).to_be_visible()


def test_pages_of_staff_are_accessible(staffs, root, support):
    staffs.goto("/admin/")
    expect(staffs.get_by_text("Ask a superuser for a link")).to_be_visible()
    assert_accessible(staffs)
    staffs.goto("/account/passkeys/")
    assert_accessible(staffs)
    staffs.goto("/account/passkeys/first/nonsense")
    assert_accessible(staffs)
    staffs.goto("/" + path_of(passkeys.make_link(root, by=None)))
    assert_accessible(staffs)
    add_first(staffs, root)
    assert_accessible(staffs)
    staffs.goto("/account/passkeys/codes")
    assert_accessible(staffs)
    staffs.get_by_role("button", name="Show me 10 codes").click()
    expect(staffs.locator("code")).to_have_count(10)
    assert_accessible(staffs)
    staffs.goto(f"/admin/accounts/user/{support.pk}/passkeys/")
    assert_accessible(staffs)
    staffs.get_by_role("button", name="Make a link").click()
    staffs.get_by_role("button", name="Use a passkey").click()
    expect(staffs.get_by_text("It is shown this once.")).to_be_visible()
    assert_accessible(staffs)


def test_without_script_the_page_says_what_it_cannot_do(staffs, root):
    add_first(staffs, root)
    lose_proof(root)
    for address in ("/admin/", "/account/passkeys/"):
        staffs.goto(address)
        assert_accessible_without_script(staffs)
        expect(staffs.get_by_text("Passkeys need JavaScript")).to_be_visible()
        expect(use_key(staffs)).to_be_hidden()
