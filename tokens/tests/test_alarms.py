"""A cookie that comes from another client: noted once, shown, and nobody is signed out by it."""

import logging

import pytest

from tests.plugins.guestlist import FIREFOX
from tokens.models import IssuedToken

NEWER_FIREFOX = FIREFOX.replace("145.0", "146.0")
CURL = "curl/8.5.0"
HOME, ABROAD = "81.2.69.142", "8.8.8.8"
EVENT = "device came with another client"


@pytest.fixture
def laptop(browser, alice):
    return browser(alice, HTTP_USER_AGENT=FIREFOX, REMOTE_ADDR=HOME)


def come(page, agent, address=HOME):
    return page.get("/api/v1/me", headers={"user-agent": agent}, REMOTE_ADDR=address)


def alarm(user):
    device = user.devices.get()
    return device.alarm, device.alarm_ip, device.alarm_client


@pytest.mark.asvs("16.3.3")
def test_another_client_is_noted_once_with_both_sides(laptop, alice, caplog):
    with caplog.at_level(logging.WARNING, "tokens"):
        assert come(laptop, CURL, ABROAD).status_code == 200
        assert come(laptop, "python-requests/2.32", "203.0.113.7").status_code == 200

    assert alarm(alice) == ("client", ABROAD, "curl")
    device = alice.devices.get()
    assert (device.user_agent, device.browser) == (FIREFOX, "Firefox")
    assert device.created_at < device.alarm_at <= device.last_seen_at
    [line] = [record for record in caplog.records if record.msg == EVENT]
    assert (line.device, line.user) == (str(device.pk), alice.pk)
    assert (line.first_ip, line.second_ip) == (HOME, ABROAD)
    assert (line.first_user_agent, line.second_user_agent) == (FIREFOX, CURL)


@pytest.mark.parametrize("agent", [FIREFOX, NEWER_FIREFOX])
def test_same_client_is_none_however_new(laptop, alice, agent):
    assert come(laptop, agent, ABROAD).status_code == 200
    assert alarm(alice) == ("", None, "")


def test_client_without_a_name_is_another_one(laptop, alice):
    come(laptop, "")
    assert alarm(alice) == ("client", HOME, "Unknown device")


def test_device_whose_client_was_unknown_has_no_alarm(browser, alice):
    laptop = browser(alice, HTTP_USER_AGENT="")
    come(laptop, CURL)
    assert alarm(alice) == ("", None, "")


@pytest.mark.parametrize(("address", "mails"), [(HOME, 0), ("81.2.69.7", 0), (ABROAD, 1)])
def test_owner_is_mailed_if_the_network_changed_too(
    laptop, alice, mailoutbox, django_capture_on_commit_callbacks, address, mails
):
    mailoutbox.clear()
    with django_capture_on_commit_callbacks(execute=True):
        come(laptop, CURL, address)
    assert len(mailoutbox) == mails
    for mail in mailoutbox:
        assert f"Used by: curl, United States ({ABROAD})" in mail.body


def test_owner_and_staff_see_it(laptop, alice, browser, support):
    come(laptop, CURL, ABROAD)
    page = laptop.get("/devices/", headers={"user-agent": FIREFOX}, REMOTE_ADDR=HOME)
    assert f"from {ABROAD} by curl" in page.content.decode()
    staff = browser(support)
    device = alice.devices.get()
    listed = staff.get("/admin/tokens/issuedtoken/?q=alice").content.decode()
    assert "live, another client" in listed
    story = staff.get(f"/admin/tokens/issuedtoken/{device.pk}/change/").content.decode()
    assert "its cookie came from another client" in story


def test_user_agent_is_parsed_only_when_it_is_another_text(laptop, alice, monkeypatch):
    come(laptop, NEWER_FIREFOX)
    calls = []
    monkeypatch.setattr("tokens.user_agents.ua_parser.parse", calls.append)
    for agent in (FIREFOX, NEWER_FIREFOX, FIREFOX, NEWER_FIREFOX):
        assert come(laptop, agent).status_code == 200
    assert calls == []


def test_api_device_changes_its_client_as_it_likes(api, alice):
    phone = api(alice)
    assert phone.get("me", **{"user-agent": CURL}).status_code == 200
    assert not IssuedToken.objects.exclude(alarm="").exists()


def test_alarm_costs_the_update_of_a_touch(laptop, django_assert_num_queries):
    come(laptop, FIREFOX)
    with django_assert_num_queries(3):
        come(laptop, CURL)
    with django_assert_num_queries(2):
        come(laptop, CURL)
