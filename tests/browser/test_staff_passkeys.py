"""Staff and their passkeys in Chromium: the first one, each device, and what a loss leads to."""

from datetime import timedelta

import pytest
from django.contrib.auth.decorators import permission_required
from django.http import HttpResponse
from django.urls import path
from django.utils import timezone
from playwright.sync_api import expect

from accounts import passkeys
from accounts.models import User
from accounts.passkeys import vouching
from config.urls import handler400, handler403, handler404, handler500  # noqa: F401
from config.urls import urlpatterns as site_urls
from tests.browser.conftest import sign_in
from tests.browser.eyes import assert_accessible
from tests.browser.fingers import add_button, hurry, use_button
from tests.browser.hands import Keyboard, Mouse
from tests.browser.staff import page_about, start
from tests.browser.support import button
from tests.plugins.authenticator import give_passkey
from tests.plugins.guestlist import PASSWORD

pytestmark = pytest.mark.usefixtures("staff_needs_passkey")

DEVICES = "/admin/tokens/issuedtoken/?state=live"
RECOVER = "/account/passkeys/recover"
NOTE = "Lost their phone, known by voice."
PHONE = {"viewport": {"width": 390, "height": 800}, "java_script_enabled": False}
EITHER = pytest.mark.parametrize("hands", [Mouse, Keyboard])


@permission_required("tokens.view_issuedtoken", raise_exception=True)
def page_of_staff(request):
    return HttpResponse("For staff.")


urlpatterns = [path("for-staff", page_of_staff), *site_urls]


def expect_admin(tab):
    tab.goto("/admin/")
    expect(tab.get_by_role("heading", name="Administration")).to_be_visible()


# The first passkey


@EITHER
def test_a_superuser_makes_a_link_and_the_new_member_of_staff_works(
    chief, open_desk, support, hands
):
    chief.context.grant_permissions(["clipboard-read", "clipboard-write"])
    person = hands(chief)
    chief.goto(f"/admin/accounts/user/{support.pk}/change/")
    person.press(chief.get_by_role("link", name="Reset, or make a link"))
    person.press(button(chief, "Make a link"))
    expect(chief.get_by_role("heading", name="Your password, please")).to_be_visible()
    person.press(use_button(chief))
    expect(chief.get_by_label("Link", exact=True)).to_be_focused()
    person.press(button(chief, "Copy the link"))
    expect(chief.get_by_role("status")).to_have_text("Copied.")
    link = chief.evaluate("navigator.clipboard.readText()")
    assert link == chief.get_by_label("Link", exact=True).input_value()

    tab = open_desk()
    tab.set_viewport_size(PHONE["viewport"])
    person = hands(tab)
    tab.goto(link)
    person.write(tab.get_by_label("Username or email address"), "support")
    person.write(tab.get_by_label("Password"), PASSWORD)
    person.press(button(tab, "Sign in"))
    person.write(tab.get_by_label("Name"), "My laptop")
    person.press(add_button(tab))
    expect(tab.get_by_role("status")).to_contain_text("The passkey was added.")
    person.press(button(tab, "Show me 10 codes"))
    expect(tab.get_by_role("listitem")).to_have_count(10)
    person.press(tab.get_by_role("link", name="I have kept them"))
    expect(tab.get_by_text("You have 10 recovery codes left")).to_be_visible()
    person.press(tab.get_by_role("link", name="Admin"))
    expect(tab.get_by_role("heading", name="Administration")).to_be_visible()


def test_enter_in_the_name_is_as_good_as_the_button(open_desk, support):
    tab = open_desk()
    sign_in(tab, support, passkeys.make_link(support, by=None))
    tab.get_by_label("Name").fill("My laptop")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="Recovery codes")).to_be_visible()
    assert support.passkeys.get().name == "My laptop"


def test_the_selected_link_is_copied_by_the_keys_everybody_knows(chief, support):
    chief.context.grant_permissions(["clipboard-read"])
    chief.goto(page_about(support))
    button(chief, "Make a link").click()
    use_button(chief).click()
    expect(chief.get_by_label("Link", exact=True)).to_be_focused()
    chief.keyboard.press("Control+c")
    copied = chief.evaluate("navigator.clipboard.readText()")
    assert passkeys.is_good_link(support, copied.rpartition("/")[2])


def test_codes_are_copied_and_printed_without_the_buttons(desk):
    desk.context.grant_permissions(["clipboard-read", "clipboard-write"])
    prove(desk)
    desk.goto("/account/passkeys/codes")
    button(desk, "Show me 10 codes").click()
    button(desk, "Copy all").click()
    expect(desk.get_by_role("status")).to_have_text("Copied.")
    codes = desk.get_by_role("listitem").all_inner_texts()
    assert desk.evaluate("navigator.clipboard.readText()").split() == codes
    desk.emulate_media(media="print")
    expect(desk.get_by_text(codes[9])).to_be_visible()
    expect(desk.get_by_text("account support")).to_be_visible()
    for words in ("Copy all", "I have kept them", "Your devices"):
        expect(desk.get_by_text(words)).to_be_hidden()


def prove(tab):
    tab.goto("/account/passkeys/")
    button(tab, "Use your passkey").click()
    expect(tab.get_by_role("status")).to_contain_text("You can work as staff")


# Each device


@EITHER
def test_staff_who_signed_in_by_password_are_stopped_and_go_on(desk, hands):
    person = hands(desk)
    desk.goto(DEVICES)
    expect(desk.get_by_role("heading", name="Your passkey, please")).to_be_visible()
    expect(button(desk, "Use your passkey")).to_be_focused()
    desk.finger.verify(False)
    desk.keyboard.press("Enter")
    expect(desk.get_by_role("alert")).to_contain_text("Nothing was done")
    desk.finger.verify(True)
    person.press(button(desk, "Use your passkey"))
    expect(desk.get_by_role("heading", name="Select device to view")).to_be_visible()
    assert desk.url.endswith(DEVICES)


def test_what_was_cancelled_or_took_too_long_is_asked_again(desk):
    hurry(desk)
    desk.finger.touch(by_itself=False)
    for address in ("/admin/", "/account/passkeys/"):
        desk.goto(address)
        button(desk, "Use your passkey").click()
        expect(desk.get_by_role("alert")).to_contain_text("Nothing was done")
        assert_accessible(desk)
    desk.finger.touch(by_itself=True)
    button(desk, "Use your passkey").click()
    expect(desk.get_by_role("status")).to_contain_text("You can work as staff")


@EITHER
def test_a_form_of_the_admin_waits_for_the_passkey_and_loses_nothing(open_desk, manager, hands):
    tab = open_desk()
    start(tab, manager)
    person = hands(tab)
    tab.goto("/admin/accounts/user/add/")
    person.write(tab.get_by_label("Username"), "carol")
    person.write(tab.get_by_label("Email address"), "carol@example.org")
    manager.devices.update(passkey_at=timezone.now() - timedelta(hours=13))
    person.press(button(tab, "Save"))
    expect(tab.get_by_text("Nothing you typed is lost.")).to_be_visible()
    assert_accessible(tab)
    person.press(button(tab, "Use your passkey"))
    expect(tab.get_by_text("was added successfully")).to_be_visible()
    assert User.objects.get(username="carol").email == "carol@example.org"


@pytest.mark.urls(__name__)
def test_a_page_outside_the_admin_leads_to_the_passkey_and_back(desk):
    desk.goto("/for-staff")
    expect(desk.get_by_role("heading", name="Your passkey first")).to_be_visible()
    assert_accessible(desk)
    desk.get_by_role("link", name="Use your passkey").click()
    button(desk, "Use your passkey").click()
    expect(desk.get_by_text("For staff.")).to_be_visible()


def test_without_javascript_the_password_opens_ones_own_pages(open_tab, support, live_server):
    link = passkeys.make_link(support, by=None)
    tab = open_tab(**PHONE)
    sign_in(tab, support)
    expect(tab.get_by_role("heading", name="Your devices")).to_be_visible()
    tab.goto(link)
    expect(tab.get_by_text("Passkeys need JavaScript")).to_be_visible()
    give_passkey(support, vouched=True, origin=live_server.url)
    for address in ("/admin/", "/account/passkeys/", RECOVER):
        tab.goto(address)
        expect(tab.get_by_text("Passkeys need JavaScript")).to_be_visible()
        expect(tab.get_by_role("button", name="passkey")).to_be_hidden()
    tab.goto("/account/")
    expect(tab.get_by_role("heading", name="Account")).to_be_visible()


# After a loss


@EITHER
def test_a_recovery_code_adds_a_passkey_once_the_others_are_lost(
    desk, open_tab, support, live_server, hands
):
    desk.finger.forget()
    person, field = hands(desk), desk.get_by_label("Recovery code", exact=True)
    desk.goto("/admin/")
    person.press(desk.get_by_role("link", name="Add another one with a recovery code"))
    person.press(add_button(desk))
    expect(field).to_be_focused()  # the browser says that it is empty
    person.write(field, "ABCD")
    person.press(add_button(desk))
    expect(desk.get_by_role("alert")).to_have_text(vouching.BAD_CODE)
    open_tab.findings.remove(f"400: {live_server.url}/account/passkeys/options")
    person.write(field, desk.codes[2].lower())
    person.write(desk.get_by_label("Name"), "New phone")
    person.press(add_button(desk))
    expect(desk.get_by_role("heading", name="New phone")).to_be_visible()
    expect(desk.get_by_text("You have 9 recovery codes left")).to_be_visible()
    expect_admin(desk)
    assert support.passkeys.count() == 2


@EITHER
def test_a_superuser_removes_lost_passkeys(chief, desk, support, hands):
    person = hands(chief)
    chief.goto(page_about(support))
    person.write(chief.get_by_label("Note"), NOTE)
    person.press(button(chief, "Remove all passkeys"))
    expect(chief.get_by_role("heading", name="Your password, please")).to_be_visible()
    person.press(use_button(chief))
    expect(chief.get_by_text("Removed 1 passkey of support")).to_be_visible()
    link = chief.get_by_label("Link", exact=True).input_value()
    desk.reload()
    expect(desk.get_by_text(NOTE)).to_be_visible()
    sign_in(desk, support, link)
    add_button(desk).click()
    expect(desk.get_by_role("heading", name="Recovery codes")).to_be_visible()
    expect_admin(desk)
