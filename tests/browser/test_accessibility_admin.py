"""Every page of the admin, looked at by axe-core and measured, in each width and colour."""

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.cache import cache
from django.utils import timezone
from playwright.sync_api import expect

from tests.browser.conftest import sign_in
from tests.browser.eyes import assert_accessible, assert_accessible_without_script
from tests.plugins.guestlist import FIREFOX, PASSWORD, make_user
from tokens.models import IssuedToken
from tokens.tests.admin import make_devices


@pytest.fixture
def alice(db):
    """Somebody with the longest names that an account may have."""
    return make_user("W" * 150, email=f"{'w' * 64}@{'w' * 63}.example")


@pytest.fixture
def phone(api, alice):
    return api(alice, headers={"user-agent": FIREFOX})


@pytest.fixture
def staffs(tab, root):
    """A tab in which a superuser is in the admin."""
    sign_in(tab, root, "/admin/")
    expect(tab.get_by_role("heading", name="Administration")).to_be_visible()
    return tab


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
    assert_accessible_without_script(staffs, exclude=STOCK)


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
