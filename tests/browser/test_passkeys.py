"""Passkeys in Chromium, with the virtual authenticator of its developer tools."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import sign_in
from tests.browser.eyes import assert_accessible, assert_accessible_without_script
from tests.browser.hands import Keyboard, Mouse
from tests.plugins.authenticator import give_passkey


@pytest.fixture(autouse=True)
def here(settings, live_server):
    """Passkeys belong to the address that the browser shows."""
    settings.SITE_URL = live_server.url


class Finger:
    """The sensor of the computer that this tab runs on, and whose finger is on it."""

    def __init__(self, tab, **options):
        self.cdp = tab.context.new_cdp_session(tab)
        self.cdp.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
            **options,
        }
        self.id = self.send("addVirtualAuthenticator", options=options)["authenticatorId"]

    def send(self, command, **parameters):
        return self.cdp.send(f"WebAuthn.{command}", parameters)

    def verify(self, is_verified):
        self.send("setUserVerified", authenticatorId=self.id, isUserVerified=is_verified)

    def touch(self, *, by_itself):
        self.send("setAutomaticPresenceSimulation", authenticatorId=self.id, enabled=by_itself)

    def credentials(self):
        return self.send("getCredentials", authenticatorId=self.id)["credentials"]

    def forget(self):
        self.send("clearCredentials", authenticatorId=self.id)


def add_passkey(tab, person=None, name="My laptop"):
    """Add a passkey, from the account page on."""
    person = person or Mouse(tab)
    tab.goto("/account/")
    person.press(tab.get_by_role("link", name="See and add passkeys"))
    person.press(tab.get_by_role("link", name="Add a passkey"))
    person.write(tab.get_by_label("Name"), name)
    person.press(tab.get_by_role("button", name="Add a passkey"))


@pytest.mark.parametrize("hands", [Mouse, Keyboard])
def test_a_passkey_is_added_and_removed(hers, alice, hands):
    finger, person = Finger(hers), hands(hers)
    add_passkey(hers, person)
    expect(hers.get_by_role("status")).to_contain_text("The passkey was added.")
    expect(hers.get_by_role("heading", name="My laptop")).to_be_visible()
    [credential] = finger.credentials()
    assert credential["isResidentCredential"]
    person.press(hers.get_by_role("link", name="Remove My laptop"))
    person.press(hers.get_by_role("button", name="Remove this passkey"))
    expect(hers.get_by_text("You have none yet.")).to_be_visible()


def test_a_second_one_on_the_same_device_is_not_made(hers):
    Finger(hers)
    add_passkey(hers)
    expect(hers.get_by_role("status")).to_contain_text("The passkey was added.")
    add_passkey(hers)
    expect(hers.get_by_role("alert")).to_contain_text("has a passkey of your account already")


def test_a_second_authenticator(hers, alice):
    finger = Finger(hers)
    add_passkey(hers)
    expect(hers.get_by_role("status")).to_contain_text("The passkey was added.")
    finger.forget()
    add_passkey(hers, name="My key")
    expect(hers.get_by_role("heading", name="My key")).to_be_visible()
    assert alice.passkeys.count() == 2


def test_without_verification_nothing_is_added(hers, alice):
    Finger(hers).verify(False)
    add_passkey(hers)
    expect(hers.get_by_role("alert")).to_contain_text("Nothing was done")
    assert not alice.passkeys.exists()


def test_pages_are_accessible(hers, alice):
    Finger(hers)
    add_passkey(hers, name="W" * 64)
    expect(hers.get_by_role("heading", name="W" * 64)).to_be_visible()
    remove = f"/account/passkeys/{alice.passkeys.get().pk}/remove"
    for address in ("/account/passkeys/", remove, "/account/passkeys/add"):
        hers.goto(address)
        assert_accessible(hers)
    assert_accessible_without_script(hers)
    expect(hers.get_by_text("Passkeys need JavaScript")).to_be_visible()


# Signing in


@pytest.fixture
def no_offer(hers):
    """The browser offers no passkey by itself: its offer would be answered before the button is."""
    hers.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false")


@pytest.fixture
def signed_out(hers):
    """A finger of somebody who has a passkey and is signed out, and does not touch yet."""
    finger = Finger(hers)
    add_passkey(hers)
    expect(hers.get_by_role("status")).to_contain_text("The passkey was added.")
    finger.touch(by_itself=False)
    hers.get_by_role("button", name="Sign out").click()
    expect(hers.get_by_role("button", name="Use a passkey")).to_be_visible()
    return finger


@pytest.mark.parametrize("hands", [Mouse, Keyboard])
def test_the_button_signs_in(no_offer, signed_out, hers, hands):
    person = hands(hers)
    signed_out.touch(by_itself=True)
    person.press(hers.get_by_role("button", name="Use a passkey"))
    expect(hers.get_by_role("heading", name="Your devices")).to_be_visible()


def test_the_browser_offers_the_passkey_by_itself(signed_out, hers):
    hers.goto("/login?next=/account/")
    signed_out.touch(by_itself=True)
    expect(hers.get_by_role("heading", name="Account")).to_be_visible()


def test_the_box_of_a_shared_computer_holds(no_offer, signed_out, hers, alice):
    hers.get_by_label("Shared computer").check()
    signed_out.touch(by_itself=True)
    hers.get_by_role("button", name="Use a passkey").click()
    expect(hers.get_by_text("Signs out at")).to_be_visible()


def test_without_verification_nobody_is_signed_in(no_offer, signed_out, hers):
    signed_out.verify(False)
    signed_out.touch(by_itself=True)
    hers.get_by_role("button", name="Use a passkey").click()
    expect(hers.get_by_role("alert")).to_contain_text("Nothing was done")
    hers.get_by_label("Password").fill("x")


def test_a_passkey_that_was_removed_is_refused_and_the_password_works(
    no_offer, signed_out, hers, alice
):
    alice.passkeys.all().delete()
    signed_out.touch(by_itself=True)
    hers.get_by_role("button", name="Use a passkey").click()
    expect(hers.get_by_role("alert").first).to_contain_text("This passkey was not accepted")


# In place of the password


@pytest.mark.parametrize("hands", [Mouse, Keyboard])
def test_a_form_of_the_admin_takes_a_passkey_and_loses_nothing(hers, root, age, hands):
    person = hands(hers)
    hers.get_by_role("button", name="Sign out").click()
    sign_in(hers, root)
    hers.get_by_role("heading", name="Your devices").wait_for()
    Finger(hers)
    add_passkey(hers)
    expect(hers.get_by_role("status")).to_contain_text("The passkey was added.")
    hers.goto("/admin/accounts/user/add/")
    person.write(hers.get_by_label("Username"), "carol")
    person.write(hers.get_by_label("Email address"), "carol@example.org")
    age(root.devices.get(revoked_at=None), minutes=16)
    person.press(hers.get_by_role("button", name="Save", exact=True))
    expect(hers.get_by_role("heading", name="Your password, please")).to_be_visible()
    person.press(hers.get_by_role("button", name="Use a passkey"))
    expect(hers.get_by_text("was added successfully")).to_be_visible()
    assert type(root).objects.get(username="carol").email == "carol@example.org"


def test_a_page_takes_a_passkey_and_is_accessible(hers, alice, age):
    finger = Finger(hers)
    add_passkey(hers)
    expect(hers.get_by_role("status")).to_contain_text("The passkey was added.")
    age(alice.devices.get(), minutes=16)
    hers.goto("/account/delete")
    assert_accessible(hers)
    finger.verify(False)
    hers.get_by_role("button", name="Use a passkey").click()
    expect(hers.get_by_role("alert")).to_contain_text("Nothing was done")
    assert_accessible(hers)
    finger.verify(True)
    hers.get_by_role("button", name="Use a passkey").click()
    expect(hers.get_by_role("heading", name="Sign in")).to_be_visible()
    assert not type(alice).objects.exists()
    expect(hers.get_by_role("alert").first).to_contain_text("not accepted")  # which is offered once


def test_the_passkey_of_somebody_else_is_not_taken(hers, alice, bob, settings):
    """The authenticator holds a passkey, but none that the page asks for."""
    Finger(hers)
    add_passkey(hers)
    expect(hers.get_by_role("status")).to_contain_text("The passkey was added.")
    alice.passkeys.update(user=bob)
    give_passkey(alice, origin=settings.SITE_URL)
    hers.goto("/account/delete")
    hers.get_by_role("button", name="Use a passkey").click()
    expect(hers.get_by_role("alert")).to_contain_text("Nothing was done")
