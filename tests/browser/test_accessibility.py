"""Every page, looked at by axe-core and measured, in each width and colour, scripts or none."""

import re

import pytest
from django.core import mail
from django.core.exceptions import SuspiciousOperation
from django.urls import path
from playwright.sync_api import expect

from accounts.models import User
from config.urls import handler400, handler403, handler404, handler500  # noqa: F401
from config.urls import urlpatterns as site_urls
from tests.browser.eyes import assert_accessible, assert_accessible_without_script
from tests.plugins.guestlist import FIREFOX, PASSWORD, make_user
from tokens import flows


def refuse(request):
    raise SuspiciousOperation("A request that cannot be read.")


def fail(request):
    raise RuntimeError("A fault of ours.")


urlpatterns = [path("refuse", refuse), path("fail", fail), *site_urls]


@pytest.fixture
def alice(db):
    """Somebody with the longest names that an account may have."""
    return make_user("W" * 150, email=f"{'w' * 64}@{'w' * 63}.example")


@pytest.fixture
def phone(api, alice):
    return api(alice, headers={"user-agent": FIREFOX})


@pytest.fixture
def stale(hers, alice, age):
    age(alice.devices.get(kind="browser"), minutes=16)
    return hers


# Without signing in


@pytest.mark.parametrize(
    "address",
    [
        "/login",
        "/signup",
        "/password/reset",
        "/password/reset/done",
        "/password/reset/x/x-x",
        "/email/nonsense",
        "/not-me/nonsense",
        "/nothing-here",
        "/logout",
        "/admin/login/",
    ],
)
def test_open_page(tab, db, address):
    tab.goto(address)
    assert_accessible(tab)
    assert_accessible_without_script(tab)


@pytest.mark.parametrize(("attempts", "text"), [(1, "does not belong"), (6, "That is at")])
def test_refused_sign_in(tab, alice, attempts, text):
    tab.goto("/login")
    for _ in range(attempts):
        tab.get_by_label("Username or email address").fill(alice.username)
        tab.get_by_label("Password").fill("wrong")
        tab.get_by_role("button", name="Sign in").click()
    expect(tab.get_by_role("alert")).to_contain_text(text)
    assert_accessible(tab)


def test_refused_new_names(hers):
    hers.goto("/account/names")
    hers.get_by_label("Username").fill("a@b")
    hers.get_by_label("Your password").fill("wrong")
    hers.get_by_role("button", name="Save").click()
    expect(hers.get_by_text("This is not your password.")).to_be_visible()
    assert_accessible(hers)


def test_refused_signup(tab, alice):
    tab.goto("/signup")
    for label, text in [
        ("Username", "a@b"),
        ("Email address", "alice@example.org"),
        ("Password", "short"),
        ("Password confirmation", "short"),
    ]:
        tab.get_by_label(label, exact=True).fill(text)
    tab.get_by_role("button", name="Sign up").click()
    expect(tab.get_by_text("This password is too short.")).to_be_visible()
    assert_accessible(tab)


def test_signed_out_by_staff(hers, alice, root):
    flows.revoke_for_user(alice, alice.devices.all(), by=root, note="Call 555.")
    hers.reload()
    expect(hers.get_by_text("Call 555.")).to_be_visible()
    assert_accessible(hers)


def link_in_mail():
    return re.search(r"https://testserver(/\S+)$", mail.outbox[-1].body.strip())[1]


def test_new_password_by_mail(tab, alice):
    type(alice).objects.update(email_verified_at=alice.date_joined)
    tab.goto("/password/reset")
    tab.get_by_label("Email").fill(alice.email)
    tab.get_by_role("button", name="Send me a link").click()
    expect(tab.get_by_role("heading", level=1)).to_have_text("Look at your mail")
    tab.goto(link_in_mail())
    expect(tab.get_by_label("New password", exact=True)).to_be_visible()
    assert_accessible(tab)
    assert_accessible_without_script(tab)


def test_email_is_verified(hers):
    User.objects.update(email_verified_at=None)
    hers.goto("/account/")
    hers.get_by_role("button", name="Send me the confirmation link again").click()
    hers.goto(link_in_mail())
    assert_accessible(hers)
    hers.get_by_role("button", name="Yes, confirm it").click()
    expect(hers.get_by_role("status")).to_contain_text("is confirmed")
    assert_accessible(hers)


def test_this_was_not_me(tab, phone, alice, api):
    api(alice, headers={"user-agent": "curl/8.16.0"})
    tab.goto(link_in_mail())
    assert_accessible(tab)
    assert_accessible_without_script(tab)
    tab.get_by_role("button", name="Sign out this device").click()
    expect(tab.get_by_role("status")).to_contain_text("is signed out")
    assert_accessible(tab)


# Errors


@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("address", "heading"), [("/refuse", "That did not work"), ("/fail", "Something went wrong")]
)
def test_error_page(tab, db, address, heading):
    tab.goto(address)
    expect(tab.get_by_role("heading", level=1)).to_have_text(heading)
    assert_accessible(tab)


def test_page_for_nobody(tab, db, settings):
    settings.SIGNUP_OPEN = False
    tab.goto("/signup")
    expect(tab.get_by_role("heading", level=1)).to_have_text("Not for you")
    assert_accessible(tab)


def test_form_that_is_too_old(tab, alice):
    with tab.expect_response("**/login/options"):  # the script asks for passkeys first
        tab.goto("/login")
    tab.context.clear_cookies()
    tab.get_by_label("Username or email address").fill(alice.username)
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Sign in").click()
    expect(tab.get_by_role("heading", level=1)).to_have_text("That form is too old")
    assert_accessible(tab)


# Her own pages


def test_one_device(hers):
    assert_accessible(hers)
    assert_accessible_without_script(hers)


def test_many_devices_with_all_unfolded(hers, alice, api, age, ended, settings):
    settings.MAX_DEVICES_PER_USER = 100
    for _ in range(23):
        api(alice, headers={"user-agent": FIREFOX})
    long = alice.devices.filter(kind="api", revoked_at=None).last()
    long.name, long.user_agent, long.location = "W" * 64, "x" * 512, "y" * 128
    long.last_ip = "2001:db8:1111:2222:3333:4444:5555:6666"
    long.save()
    hers.goto("/devices/")
    expect(hers.get_by_text("Page 1 of 2")).to_be_visible()
    for summary in hers.locator("summary").all():
        summary.click()
    assert_accessible(hers)


def test_message_after_a_rename(hers):
    hers.locator("summary").first.click()
    hers.get_by_label("Name of").fill("My own")
    hers.get_by_role("button", name="Rename").click()
    expect(hers.get_by_role("status")).to_have_text("Renamed to My own.")
    assert_accessible(hers)


SIGN_OUT = ["/devices/{}/sign-out/", "/devices/sign-out/?id={}", "/devices/sign-out-others/"]


@pytest.mark.parametrize("which", SIGN_OUT)
def test_sign_out(hers, phone, which):
    hers.goto(which.format(phone.device.pk))
    assert_accessible(hers)
    assert_accessible_without_script(hers)


@pytest.mark.parametrize("which", SIGN_OUT)
def test_sign_out_with_a_wrong_password(stale, phone, which):
    stale.goto(which.format(phone.device.pk))
    stale.get_by_label("Your password").fill("wrong")
    stale.locator("main .btn.bad").click()
    expect(stale.get_by_text("This is not your password.")).to_be_visible()
    assert_accessible(stale)


def test_sign_out_of_an_ended_device(hers, phone, alice):
    alice.devices.filter(kind="api").revoke(reason="logout")
    hers.goto(f"/devices/{phone.device.pk}/sign-out/")
    assert_accessible(hers)


@pytest.mark.parametrize(
    "address",
    ["/account/", "/account/activity/", "/account/names", "/account/data", "/account/delete"],
)
def test_account(hers, address):
    hers.goto(address)
    assert_accessible(hers)
    assert_accessible_without_script(hers)


def test_data_asks_for_the_password(stale):
    stale.goto("/account/data")
    expect(stale.get_by_label("Your password")).to_be_visible()
    assert_accessible(stale)
    assert_accessible_without_script(stale)


def test_password_change(hers):
    hers.goto("/password/change")
    assert_accessible(hers)


# Mails


def test_mails(tab, api, alice, root, settings, phone):
    """Each look of a mail: one device, several, a button or none, and long words."""
    settings.SUPPORT_CONTACT = "help@example.org, +49 30 1234567"
    api(alice, headers={"user-agent": f"{'W' * 60}/1"}, REMOTE_ADDR=f"2001:db8:{'ffff:' * 5}ffff")
    phone.patch("me", {"username": "w" * 150, "current_password": PASSWORD})
    flows.revoke_for_user(alice, alice.devices.all(), by=root, note="W" * 500)
    alice.delete()
    assert len(mail.outbox) == 4
    for message in mail.outbox:
        tab.set_content(message.alternatives[0].content)
        assert_accessible(tab)
