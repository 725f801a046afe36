"""The browsable API: its fields are sent as JSON, once, and it asks before it signs out."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import sign_in
from tests.browser.eyes import assert_accessible
from tests.plugins.guestlist import FIREFOX, PASSWORD


@pytest.fixture
def go_to(tab, alice):
    """`go_to(address)` opens a page as alice, and waits for the scripts that send its forms."""

    def go(address):
        tab.goto(address)
        tab.wait_for_load_state()
        return tab

    sign_in(tab, alice, "/login?next=/api/v1/me")
    expect(tab.get_by_role("link", name="alice on")).to_have_attribute("href", "/devices/")
    return go


def answer(tab):
    return tab.get_by_label("response info")


def test_changes_the_username(go_to):
    tab = go_to("/api/v1/me")
    tab.get_by_label("Username").fill("alicia")
    tab.get_by_label("Current password").fill(PASSWORD)
    tab.get_by_role("button", name="PATCH").click()
    expect(answer(tab)).to_contain_text('"username": "alicia"')
    expect(tab.get_by_label("Username")).to_have_value("alicia")


def test_signs_another_device_out_once(go_to, alice, api):
    api(alice, headers={"user-agent": FIREFOX})
    tab = go_to("/api/v1/devices")
    tab.get_by_role("link", name="Firefox on Linux").click()
    tab.wait_for_load_state()
    tab.get_by_role("button", name="DELETE").click()
    question = tab.get_by_role("dialog")
    expect(question.get_by_role("heading")).to_have_text("Sign this device out?")
    sent = []
    tab.on("request", lambda request: sent.append(request.method))
    question.get_by_role("button", name="Sign out").dblclick()
    expect(answer(tab)).to_contain_text("HTTP 204 No Content")
    assert sent.count("DELETE") == 1
    assert alice.devices.get(kind="api").revoked_reason == "user"


def test_renames_and_removes_a_passkey(go_to, alice):
    alice.passkeys.create(credential=b"x", public_key=b"", name="Phone")
    tab = go_to("/api/v1/me/passkeys")
    tab.get_by_role("link", name="Phone").click()
    tab.wait_for_load_state()
    tab.get_by_label("Name").fill("Old phone")
    tab.get_by_role("button", name="PATCH").click()
    expect(answer(tab)).to_contain_text('"name": "Old phone"')
    tab.get_by_role("button", name="DELETE").click()
    question = tab.get_by_role("dialog")
    expect(question.get_by_role("heading")).to_have_text("Remove this passkey?")
    question.get_by_role("button", name="Remove").click()
    expect(answer(tab)).to_contain_text("HTTP 204 No Content")
    assert not alice.passkeys.exists()


def test_asks_before_it_signs_this_device_out(go_to, alice):
    tab, asked = go_to("/api/v1/logout"), []
    tab.once("dialog", lambda dialog: asked.append(dialog.message) or dialog.dismiss())
    tab.get_by_role("button", name="POST").click()
    assert asked == ["Sign this device out?"]
    assert alice.devices.get().revoked_at is None

    tab.once("dialog", lambda dialog: dialog.accept())
    tab.get_by_role("button", name="POST").click()
    expect(answer(tab)).to_contain_text("HTTP 204 No Content")
    expect(tab.get_by_role("link", name="Sign in")).to_be_visible()
    assert alice.devices.get().revoked_reason == "logout"


def test_bar_signs_out(go_to, alice):
    tab = go_to("/api/v1/")
    tab.get_by_role("button", name="Sign out").click()
    expect(tab.get_by_role("heading", level=1)).to_have_text("Sign in")
    assert alice.devices.get().revoked_reason == "logout"


@pytest.mark.parametrize("address", ["/api/v1/", "/api/v1/devices?state=all", "/api/v1/me"])
def test_browsable_api(hers, phone, address):
    hers.goto(address)
    assert_accessible(hers)


def test_browsable_api_without_signing_in(tab, db):
    tab.goto("/api/v1/devices")
    assert_accessible(tab)
