"""Ten mistakes of support, each with the sentence that it ends in."""

import re

import pytest
from playwright.sync_api import expect

from accounts.models import User
from accounts.tests.admin import url_of
from tests.browser.conftest import sign_in
from tests.browser.hands import Mouse
from tests.browser.support import (
    DESK,
    STOLEN,
    ask,
    assert_ended,
    button,
    counting,
    end_stolen_phone,
    open_person,
)
from tests.plugins.guestlist import IPHONE, PASSWORD
from tokens.tests.admin import DEVICES

BY_YOU = r"Already revoked by you at \d\d:\d\d: "


@pytest.fixture
def its(at_work, laptop, phone):
    """The hands of support on the front page, with a mouse. alice calls about her phone."""
    return counting(Mouse)(at_work(DESK))


def expect_said(tab, *sentences):
    expect(tab.locator(".messagelist li")).to_have_text(list(map(re.compile, sentences)))


def test_wrong_person(its, api, ann, bob):
    """Two people begin alike. Both are shown with their address, up to the last page."""
    User.objects.filter(pk=bob.pk).update(email="ann.meyer@example.org")
    tab, phones = its.tab, [api(user, headers={"user-agent": IPHONE}) for user in (ann, bob)]
    tab.keyboard.type("ann.m")
    tab.keyboard.press("Enter")
    people = tab.get_by_role("main").get_by_role("table").get_by_role("row")
    expect(people.nth(1)).to_contain_text("ann.miller@example.org")
    expect(people.nth(2)).to_contain_text("ann.meyer@example.org")

    tab.get_by_role("link", name="bob", exact=True).click()
    tab.get_by_role("link", name="Revoke Safari on iPhone of bob").click()
    expect(tab.get_by_role("table", name="What would end")).to_contain_text("ann.meyer@example.org")
    expect(tab.get_by_role("main")).to_contain_text(
        "This cannot be undone: the owner has to sign in again."
    )
    tab.get_by_role("link", name="Cancel").click()

    expect(tab.get_by_role("heading", level=2, name="bob")).to_be_visible()
    assert [client.get("me").status_code for client in phones] == [200, 200]


def test_person_who_is_not_there(its):
    its.tab.keyboard.type("alicia")
    its.tab.keyboard.press("Enter")
    expect_said(its.tab, "No username or email address starts with “alicia”.")


def test_own_device(its, support):
    tab, own = its.tab, support.devices.get()
    for page in (url_of(support), url_of(own), f"{DEVICES}?q=support"):
        tab.goto(page)
        expect(tab.get_by_role("main")).to_contain_text("This is the device you use now.")
        expect(tab.locator("a.revoke")).to_have_count(0)
    tab.goto(url_of(own, "revoke"))
    tab.get_by_label(STOLEN).check()
    button(tab, "Revoke").click()
    expect_said(
        tab, "Nothing was revoked: this is the device you use now, and its box was not ticked."
    )


def test_double_click(its, phone):
    tab = its.tab
    open_person(tab, its)
    ask(tab, its)
    tab.get_by_label(STOLEN).check()
    button(tab, "Revoke").dblclick()
    expect_said(tab, "^1 device was revoked.$")
    assert_ended(phone, STOLEN)


def test_back(its):
    tab = its.tab
    end_stolen_phone(tab, its)
    expect_said(tab, "^1 device was revoked.$")
    tab.go_back()
    expect(tab.get_by_role("main")).to_contain_text(re.compile(f"{BY_YOU}{STOLEN}"))
    expect(button(tab, "Revoke")).to_have_count(0)


def test_two_tabs(its, phone):
    tab, second = its.tab, its.tab.context.new_page()
    for each in (tab, second):
        each.goto(url_of(phone.device, "revoke"))
        each.get_by_label(STOLEN).check()
    button(tab, "Revoke").click()
    expect_said(tab, "^1 device was revoked.$")
    button(second, "Revoke").click()
    expect_said(second, f"^{BY_YOU}{STOLEN}$")


def test_two_staff(its, open_tab, root, phone):
    tab, boss = its.tab, open_tab(**DESK)
    open_person(tab, its)
    ask(tab, its)
    sign_in(boss, root, url_of(phone.device, "revoke"))
    boss.get_by_label("Note, shown to the person").fill("Call 555.")
    button(boss, "Revoke").click()
    expect_said(boss, "^1 device was revoked.$")

    tab.get_by_label(STOLEN).check()
    button(tab, "Revoke").click()

    expect_said(tab, r"^Already revoked by root at \d\d:\d\d: Call 555.$")
    assert_ended(phone, "Call 555.")
    tab.goto(url_of(phone.device, "history"))
    expect(tab.get_by_role("main")).to_contain_text(f"Had ended already. Second note: {STOLEN}")


def test_expired_step_up(its, api, bob, support, phone, age):
    api(bob)
    tab = its.tab
    tab.goto(f"{DEVICES}?kind__exact=api")
    tab.get_by_label("Select all objects on this page for an action").check()
    tab.get_by_label("Action:").select_option(label="Revoke the selected devices")
    button(tab, "Go").click()
    tab.get_by_label(STOLEN).check()
    age(support.devices.get(), minutes=16)
    button(tab, "Revoke 3 devices").click()
    expect(tab.get_by_role("main")).to_contain_text(
        "You last gave it on this device more than 15 minutes ago, or somewhere else. "
        "Give it again to go on. Nothing you typed is lost."
    )
    tab.get_by_label("Password").fill(PASSWORD)
    button(tab, "Go on").click()
    expect_said(tab, "^3 devices were revoked.$")
    assert_ended(phone, STOLEN)


def test_own_sign_in_that_ended_while_one_wrote(its, support, phone, age):
    tab = its.tab
    tab.goto(url_of(phone.device, "revoke"))
    tab.get_by_label(STOLEN).check()
    age(support.devices.get(), hours=2)
    button(tab, "Revoke").click()
    sign_in(tab, support, tab.url)
    expect_said(tab, "You were signed out before anything ended. Your note is kept.")
    expect(tab.get_by_label(STOLEN)).to_be_checked()
    button(tab, "Revoke").click()
    expect_said(tab, "^1 device was revoked.$")


def test_ended_meanwhile(its, phone):
    tab = its.tab
    open_person(tab, its)
    ask(tab, its)
    phone.post("logout")
    tab.get_by_label(STOLEN).check()
    button(tab, "Revoke").click()
    expect_said(tab, r"^Already ended: signed out at \d\d:\d\d\.$")


def test_nothing_ticked(its):
    tab = its.tab
    tab.goto(DEVICES)
    tab.get_by_label("Action:").select_option(label="Revoke the selected devices")
    button(tab, "Go").click()
    expect_said(tab, "Nothing is ticked. Tick what you mean, then press Go.")


def test_empty_note(its, phone):
    tab = its.tab
    open_person(tab, its)
    ask(tab, its)
    button(tab, "Revoke").click()
    expect(tab.get_by_label("Note, shown to the person")).to_have_accessible_description(
        "The person reads it after the reason. With a reason, it may stay empty. "
        "Choose a reason or write a note. The person reads it."
    )
    assert phone.get("me").status_code == 200
    tab.get_by_label(STOLEN).check()
    button(tab, "Revoke").click()
    expect_said(tab, "^1 device was revoked.$")
    assert_ended(phone, STOLEN)
