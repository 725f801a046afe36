"""Staff and their passkeys: what the tests of them do in a browser."""

from playwright.sync_api import expect

from accounts import passkeys
from tests.browser.conftest import sign_in
from tests.browser.fingers import add_button
from tests.browser.support import button


def start(tab, user):
    """Add the first passkey with a link of the server. Return the recovery codes."""
    sign_in(tab, user, passkeys.make_link(user, by=None))
    add_button(tab).click()
    button(tab, "Show me 10 codes").click()
    codes = tab.get_by_role("listitem")
    expect(codes).to_have_count(10)
    return codes.all_inner_texts()


def sign_in_again(tab, user):
    button(tab, "Sign out").click()
    sign_in(tab, user)
    expect(tab.get_by_role("heading", name="Your devices")).to_be_visible()


def page_about(user):
    return f"/admin/accounts/user/{user.pk}/passkeys/"
