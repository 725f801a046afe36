"""A form whose button is pressed twice is sent once."""

from playwright.sync_api import expect

from tests.browser.conftest import sign_in
from tests.plugins.guestlist import FIREFOX, PASSWORD

TWICE = "button => { button.click(); setTimeout(() => button.click(), 5); }"
AGAIN = 10_000  # milliseconds, as in send-once.js


def count_posts(tab):
    posts = []

    def note(request):
        if request.method == "POST" and not request.url.endswith("/options"):  # of a passkey
            posts.append(request.url)

    tab.on("request", note)
    return posts


def test_pressing_twice_signs_in_once(tab, alice):
    posts = count_posts(tab)
    tab.goto("/login")
    tab.get_by_label("Username or email address").fill("alice")
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Sign in").evaluate(TWICE)
    expect(tab.get_by_role("heading", level=1)).to_have_text("Your devices")
    assert (len(posts), alice.devices.count()) == (1, 1)

    tab.get_by_role("button", name="Sign out").click()
    expect(tab.get_by_role("heading", level=1)).to_have_text("Sign in")
    tab.go_back()
    tab.go_forward()
    sign_in(tab, alice)
    expect(tab.get_by_role("heading", level=1)).to_have_text("Your devices")


def test_pressing_twice_in_the_admin_revokes_once(tab, root, alice, api):
    phone = api(alice, headers={"user-agent": FIREFOX})
    sign_in(tab, root, "/admin/")
    tab.goto(f"/admin/tokens/issuedtoken/{phone.device.pk}/revoke/")
    posts = count_posts(tab)
    tab.get_by_label("Reported lost.").check()
    tab.get_by_role("button", name="Revoke").dblclick()
    messages = tab.locator(".messagelist li")
    expect(messages).to_have_text(["1 device was revoked."])
    assert len(posts) == 1


def test_download_can_be_repeated_after_a_while(tab, alice):
    tab.clock.install()
    sign_in(tab, alice)
    expect(tab.get_by_role("heading", level=1)).to_have_text("Your devices")
    tab.goto("/account/data")
    posts = count_posts(tab)
    button = tab.get_by_role("button", name="Download")
    for count in (1, 2):
        with tab.expect_download():
            button.dblclick()
        assert len(posts) == count
        assert button.get_attribute("aria-disabled") == "true"
        tab.clock.fast_forward(AGAIN)
        assert button.get_attribute("aria-disabled") is None
