"""axe-core on every page: WCAG 2.2 AA, light and dark, as wide as a phone and as a desk."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.admin.models import CHANGE, LogEntry
from django.core import mail
from django.core.cache import cache
from django.core.exceptions import SuspiciousOperation
from django.urls import path
from django.utils import timezone
from playwright.sync_api import expect

from accounts.models import User
from config.urls import handler400, handler403, handler404, handler500  # noqa: F401
from config.urls import urlpatterns as site_urls
from tests.browser.conftest import sign_in
from tests.plugins.guestlist import FIREFOX, PASSWORD
from tokens import flows
from tokens.models import IssuedToken
from tokens.tests.admin import make_devices

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SIZES = [{"width": 1280, "height": 800}, {"width": 360, "height": 640}]

# The admin fades from one colour into the other.
COLOURS_CHANGED = "Promise.all(document.getAnimations().map(each => each.finished.catch(() => 0)))"


def refuse(request):
    raise SuspiciousOperation("A request that cannot be read.")


def fail(request):
    raise RuntimeError("A fault of ours.")


urlpatterns = [path("refuse", refuse), path("fail", fail), *site_urls]


def assert_accessible(tab, *, exclude=()):
    """axe finds nothing, and nothing is wider than the screen."""
    findings = []
    for size in SIZES:
        tab.set_viewport_size(size)
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            tab.evaluate(COLOURS_CHANGED)
            for rule, target, message in violations(tab, exclude):
                findings.append(f"{size['width']} px, {scheme}, {rule}: {target}: {message}")
        width = tab.evaluate("document.documentElement.scrollWidth")
        if width > size["width"]:
            findings.append(f"{size['width']} px: the page is {width} px wide")
    if findings:
        pytest.fail("\n".join([tab.url, *findings]))


def violations(tab, exclude):
    options = {"runOnly": {"type": "tag", "values": WCAG}}
    found = Axe().run(tab, {"exclude": [[css] for css in exclude]}, options).response
    for violation in found["violations"]:
        for node in violation["nodes"]:
            yield violation["id"], " ".join(map(str, node["target"])), node["failureSummary"]


@pytest.fixture
def hers(tab, alice):
    """A tab in which alice is signed in."""
    sign_in(tab, alice)
    expect(tab.get_by_role("heading", level=1)).to_have_text("Your devices")
    return tab


@pytest.fixture
def stale(hers, alice, age):
    age(alice.devices.get(kind="browser"), minutes=16)
    return hers


@pytest.fixture
def phone(api, alice):
    return api(alice, headers={"user-agent": FIREFOX})


@pytest.fixture
def staffs(tab, root):
    """A tab in which a superuser is in the admin."""
    sign_in(tab, root, "/admin/")
    expect(tab.get_by_role("heading", name="Administration")).to_be_visible()
    return tab


@pytest.fixture
def ended(api, alice, root, age):
    """Devices of alice that ended in all ways, one of them with a note."""
    for reason in IssuedToken.Reason.values:
        device = api(alice, headers={"user-agent": FIREFOX}).device
        alice.devices.filter(pk=device.pk).revoke(reason=reason, by=root, note="Call 555.")
    device = api(alice, headers={"user-agent": FIREFOX}).device
    age(device, days=15)


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


def test_refused_sign_in(tab, alice):
    tab.goto("/login")
    tab.get_by_label("Username or email address").fill("alice")
    tab.get_by_label("Password").fill("wrong")
    tab.get_by_role("button", name="Sign in").click()
    expect(tab.get_by_role("alert")).to_be_visible()
    assert_accessible(tab)


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
    tab.goto("/login")
    tab.context.clear_cookies()
    tab.get_by_label("Username or email address").fill("alice")
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Sign in").click()
    expect(tab.get_by_role("heading", level=1)).to_have_text("That form is too old")
    assert_accessible(tab)


# Her own pages


def test_one_device(hers):
    assert_accessible(hers)


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


@pytest.mark.parametrize("which", ["/devices/{}/sign-out/", "/devices/sign-out-others/"])
def test_sign_out(hers, phone, which):
    hers.goto(which.format(phone.device.pk))
    assert_accessible(hers)


@pytest.mark.parametrize("which", ["/devices/{}/sign-out/", "/devices/sign-out-others/"])
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


def test_data_asks_for_the_password(stale):
    stale.goto("/account/data")
    expect(stale.get_by_label("Your password")).to_be_visible()
    assert_accessible(stale)


def test_password_change(hers):
    hers.goto("/password/change")
    assert_accessible(hers)


# The admin


# Django's own widget for choosing several labels the icon of its search box, which is no control.
STOCK = [".help-tooltip.search-label-icon"]


@pytest.mark.parametrize(
    "address",
    [
        "/admin/",
        "/admin/tokens/issuedtoken/",
        "/admin/tokens/issuedtoken/?state=live",
        "/admin/tokens/issuedtoken/{device}/change/",
        "/admin/tokens/issuedtoken/{device}/history/",
        "/admin/tokens/issuedtoken/{device}/revoke/",
        "/admin/tokens/issuedtoken/incident/",
        "/admin/tokens/issuedtoken/incident/?network=here",
        "/admin/tokens/issuedtoken/incident/?everybody=on&os=iOS",
        "/admin/tokens/issuedtoken/incident/?network=192.0.2.0/24",
        "/admin/accounts/user/",
        "/admin/accounts/user/{user}/change/",
        "/admin/accounts/user/{user}/revoke/",
        "/admin/accounts/user/add/",
        "/admin/accounts/role/",
    ],
)
def test_admin(staffs, phone, ended, alice, address):
    staffs.goto(address.format(device=phone.device.pk, user=alice.pk))
    assert_accessible(staffs, exclude=STOCK)


def test_selection_in_the_admin(staffs, phone, alice, bob, api, root, age):
    api(bob)
    staffs.goto("/admin/tokens/issuedtoken/")
    staffs.get_by_label("Select all objects on this page for an action").check()
    staffs.get_by_label("Action:").select_option(label="Revoke the selected devices")
    staffs.get_by_role("button", name="Go", exact=True).click()
    expect(staffs.get_by_label("Note, shown to the person")).to_be_visible()
    assert_accessible(staffs)
    staffs.get_by_role("button", name="Revoke").click()
    expect(staffs.get_by_text("Choose a reason or write a note.")).to_be_visible()
    assert_accessible(staffs)

    staffs.get_by_label("Looked wrong to us.").check()
    age(root.devices.get(), minutes=16)
    staffs.get_by_role("button", name="Revoke").click()
    expect(staffs.get_by_text("nothing you typed is lost")).to_be_visible()
    assert_accessible(staffs)
    staffs.get_by_label("Password").fill("wrong")
    staffs.get_by_role("button", name="Go on").click()
    expect(staffs.get_by_text("This is not your password.")).to_be_visible()
    assert_accessible(staffs)


@pytest.fixture
def reused(phone):
    """A device of which there is everything to tell, at length."""
    now, far = timezone.now(), "2001:db8:1111:2222:3333:4444:5555:6666"
    devices = IssuedToken.objects.filter(pk=phone.device.pk)
    devices.revoke(reason="reuse")
    devices.update(
        generation=3,
        rotated_ip=far,
        rotated_user_agent=FIREFOX,
        alarm_at=now,
        alarm_ip=far,
        alarm_client="x" * 512,
        user_agent="x" * 512,
        refused_at=now,
        refused_count=14,
        refused_ip=far,
    )
    return phone.device


@pytest.fixture
def many(alice):
    """More devices than two pieces hold."""
    return make_devices(alice, 2500, os="Windows", browser="Chrome", location="y" * 128)


def test_overview_with_alarms(staffs, reused, many):
    cache.clear()
    staffs.goto("/admin/")
    expect(staffs.get_by_text("so somebody may hold a copy")).to_be_visible()
    for summary in staffs.locator("summary").all():
        summary.click()
    assert_accessible(staffs)


def test_story_of_a_device(staffs, reused):
    staffs.goto(f"/admin/tokens/issuedtoken/{reused.pk}/change/")
    expect(staffs.get_by_text("refused 14 times since")).to_be_visible()
    assert_accessible(staffs)


def test_audit_list(staffs, phone, root):
    note = f"Revoked: {'W' * 500}"
    devices = IssuedToken.objects.all()
    LogEntry.objects.log_actions(root.pk, devices, CHANGE, change_message=note)
    staffs.goto("/admin/admin/logentry/")
    expect(staffs.get_by_text(note).first).to_be_visible()
    assert_accessible(staffs)


def test_incident_in_pieces(staffs, many, monkeypatch):
    """With a script that does not go on by itself, so that there is time to look."""
    monkeypatch.setattr("tokens.flows.incident.PIECE_SIZE", 1000)
    staffs.route("**/continue.js", lambda route: route.fulfill(content_type="text/javascript"))
    staffs.goto("/admin/tokens/issuedtoken/incident/?everybody=on")
    expect(staffs.get_by_role("table", name="By OS")).to_be_visible()
    assert_accessible(staffs)
    staffs.get_by_label("Looked wrong to us.").check()
    staffs.get_by_label("Your password").fill(PASSWORD)
    staffs.get_by_role("button", name="Revoke 2,500 devices").click()
    expect(staffs.get_by_role("status")).to_contain_text("1,000 of 2,500")
    assert_accessible(staffs)


# The browsable API


@pytest.mark.parametrize("address", ["/api/v1/", "/api/v1/devices?state=all", "/api/v1/me"])
def test_browsable_api(hers, phone, address):
    hers.goto(address)
    assert_accessible(hers)


def test_browsable_api_without_signing_in(tab, db):
    tab.goto("/api/v1/devices")
    assert_accessible(tab)


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
