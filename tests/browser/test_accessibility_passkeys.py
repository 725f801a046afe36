"""Every page and mail about the passkeys of staff, looked at by axe-core and measured."""

import pytest
from django.core import mail
from django.core.cache import cache
from playwright.sync_api import expect

from accounts import passkeys
from accounts.models import Role
from accounts.passkeys import Voucher, vouching
from tests.browser.conftest import sign_in
from tests.browser.eyes import assert_accessible, assert_accessible_without_script
from tests.browser.fingers import use_button
from tests.browser.staff import page_about, start
from tests.browser.support import button
from tests.plugins.authenticator import give_passkey
from tests.plugins.guestlist import make_user
from tokens import flows

pytestmark = pytest.mark.usefixtures("staff_needs_passkey")


@pytest.fixture
def novice(db):
    """Support with the longest names that an account may have, and no passkey yet."""
    email = f"{'w' * 64}@{'w' * 63}.example"
    novice = make_user("W" * 150, email=email, is_staff=True)
    novice.roles.add(Role.objects.get(name="support"))
    return novice


@pytest.mark.parametrize(
    "address",
    ["/admin/", "/account/passkeys/", "/account/passkeys/add", "/account/passkeys/recover"],
)
def test_pages_before_the_passkey_are_accessible(desk, address):
    desk.goto(address)
    assert_accessible(desk)
    assert_accessible_without_script(desk)


def test_a_page_of_the_api_leads_to_the_passkey_and_is_accessible(desk):
    desk.goto("/api/v1/users")
    assert_accessible(desk)
    desk.get_by_role("link", name="Use your passkey").click()
    expect(desk.get_by_role("heading", name="Your passkeys")).to_be_visible()


def test_pages_of_staff_without_a_passkey_are_accessible(tab, novice):
    sign_in(tab, novice)
    link = passkeys.make_link(novice, by=None)
    for address in ("/admin/", "/account/passkeys/", link, f"{link}x"):
        tab.goto(address)
        assert_accessible(tab)
    tab.goto(link)
    assert_accessible_without_script(tab)


def test_pages_after_the_passkey_are_accessible(open_desk, novice):
    tab = open_desk()
    start(tab, novice)
    assert_accessible(tab)  # the codes
    for address in ("/account/passkeys/", "/account/passkeys/codes"):
        tab.goto(address)
        assert_accessible(tab)
        assert_accessible_without_script(tab)


def test_pages_of_the_superuser_are_accessible(chief, novice, live_server):
    cache.clear()  # of the figures on the front page
    chief.goto("/admin/")
    expect(chief.get_by_role("heading", name="Staff without a passkey")).to_be_visible()
    assert_accessible(chief)
    chief.goto(page_about(novice))
    assert_accessible(chief)
    button(chief, "Make a link").click()
    use_button(chief).click()
    expect(chief.get_by_label("Link", exact=True)).to_be_focused()
    assert_accessible(chief)
    give_passkey(novice, "W" * 64, vouched=True, origin=live_server.url)
    chief.goto(page_about(novice))
    assert_accessible(chief)
    assert_accessible_without_script(chief)


def test_mails_are_accessible(tab, novice, root):
    passkeys.make_link(novice, by=root)
    [code, *_] = passkeys.make_codes(novice, device=None, origin={})
    vouching.spend(novice, Voucher(code=code), {})
    flows.reset_passkeys(novice, by=root, note="W" * 500, device=None)
    assert len(mail.outbox) == 4
    for message in mail.outbox:
        tab.set_content(message.alternatives[0].content)
        assert_accessible(tab)
