"""Signing in with a passkey in Chromium: by the button, and by the browser's own offer."""

import base64

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import sign_in
from tests.browser.eyes import assert_accessible
from tests.browser.fingers import hurry, use_button
from tests.browser.hands import Keyboard, Mouse
from tests.plugins.authenticator import give_passkey

MINUTES = 60_000  # milliseconds


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("hands", [Mouse, Keyboard])
def test_the_button_signs_in(no_offer, signed_out, hers, hands, width):
    hers.set_viewport_size({"width": width, "height": 800})
    signed_out.touch(by_itself=True)
    hands(hers).press(use_button(hers))
    expect(hers.get_by_role("heading", name="Your devices")).to_be_visible()


def test_the_box_of_a_shared_computer_holds(no_offer, signed_out, hers):
    hers.get_by_label("Shared computer").check()
    signed_out.touch(by_itself=True)
    use_button(hers).click()
    expect(hers.get_by_text("Signs out at")).to_be_visible()


@pytest.mark.parametrize("hands", [Mouse, Keyboard])
def test_what_was_cancelled_or_took_too_long_is_asked_again(no_offer, signed_out, hers, hands):
    person = hands(hers)
    hurry(hers)
    person.press(use_button(hers))
    expect(use_button(hers)).to_have_attribute("aria-disabled", "true")
    expect(hers.get_by_role("alert")).to_have_text(
        "Nothing was done: it was cancelled, or took too long."
    )
    assert_accessible(hers)
    signed_out.touch(by_itself=True)
    person.press(use_button(hers))
    expect(hers.get_by_role("heading", name="Your devices")).to_be_visible()


def test_without_verification_nobody_is_signed_in_and_the_password_works(
    no_offer, signed_out, hers, alice
):
    signed_out.verify(False)
    signed_out.touch(by_itself=True)
    use_button(hers).click()
    expect(hers.get_by_role("alert")).to_contain_text("Nothing was done")
    sign_in(hers, alice)
    expect(hers.get_by_role("heading", name="Your devices")).to_be_visible()


@pytest.mark.parametrize("lie", ["isBogusSignature", "isBadUV", "isBadUP"])
def test_an_authenticator_that_lies_is_refused(no_offer, signed_out, hers, lie):
    signed_out.lie(lie)
    signed_out.touch(by_itself=True)
    use_button(hers).click()
    expect(hers.get_by_role("alert").first).to_contain_text("This passkey was not accepted")
    assert_accessible(hers)


def test_a_passkey_that_was_removed_is_refused(no_offer, signed_out, hers, alice):
    alice.passkeys.all().delete()
    signed_out.touch(by_itself=True)
    use_button(hers).click()
    expect(hers.get_by_role("alert").first).to_contain_text("This passkey was not accepted")


def test_a_passkey_that_says_it_is_of_somebody_else_is_refused(
    no_offer, signed_out, hers, alice, bob, settings
):
    """The right credential and the right signature, with the user handle of another person."""
    [credential] = signed_out.credentials()
    give_passkey(bob, origin=settings.SITE_URL)
    signed_out.forget()
    signed_out.hold({**credential, "userHandle": in_base64(bob.pk)})
    signed_out.touch(by_itself=True)
    use_button(hers).click()
    expect(hers.get_by_role("alert").first).to_contain_text("This passkey was not accepted")
    assert not bob.devices.exists()


def in_base64(pk):
    return base64.b64encode(str(pk).encode()).decode()


# The browser's own offer


def load_login(tab):
    """Load the sign-in page, and go on before its script has asked for anything."""
    tab.goto("/login?next=/account/", wait_until="commit")


def test_the_browser_offers_the_passkey_by_itself(signed_out, hers):
    signed_out.touch(by_itself=True)
    load_login(hers)
    expect(hers.get_by_role("heading", name="Account")).to_be_visible()


def test_the_offer_is_renewed_before_its_challenge_is_too_old(signed_out, hers):
    hers.clock.install()
    with hers.expect_response("**/login/options"):
        load_login(hers)
    hers.clock.fast_forward(3 * MINUTES)
    signed_out.touch(by_itself=True)  # which what was asked before does not see
    with hers.expect_response("**/login/options"):
        hers.clock.fast_forward(1 * MINUTES)
    expect(hers.get_by_role("heading", name="Account")).to_be_visible()


def test_the_offer_waits_again_after_the_button_failed(signed_out, hers):
    hurry(hers)
    with hers.expect_response("**/login/options"):
        load_login(hers)
    with hers.expect_response("**/login/options"):
        use_button(hers).click()
    signed_out.touch(by_itself=True)
    expect(hers.get_by_role("heading", name="Account")).to_be_visible()


def test_the_password_works_while_the_offer_waits(signed_out, hers, alice):
    with hers.expect_response("**/login/options"):
        load_login(hers)
    sign_in(hers, alice)
    expect(hers.get_by_role("heading", name="Your devices")).to_be_visible()
