"""A day of support in the admin, with the built-in role `support` and nothing else."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from accounts.models import User
from accounts.tests.admin import url_of
from tests.browser.hands import Keyboard, Mouse
from tests.browser.support import (
    DESK,
    STOLEN,
    assert_ended,
    button,
    counting,
    end_stolen_phone,
)
from tests.plugins.guestlist import FIREFOX, IPHONE, PASSWORD
from tokens.models import IssuedToken
from tokens.tests.admin import DEVICES, make_devices

PHONE = {"viewport": {"width": 360, "height": 640}, "java_script_enabled": False}
NOTE = "You told us that this phone was stolen. Call 555."
THIEVES = "203.0.113.7"
INCIDENT = f"{DEVICES}incident/"


def note_pages(tab):
    """The method and the path of each page that the tab shows from now on."""
    pages = []

    def note(response):
        request = response.request
        if request.is_navigation_request() and response.status == 200:
            pages.append((request.method, urlsplit(response.url).path))

    tab.on("response", note)
    return pages


# Half a minute: somebody calls, whose phone is gone


@pytest.mark.parametrize(
    ("hands", "options"),
    [(Mouse, DESK), (Keyboard, DESK), (Mouse, PHONE)],
    ids=["mouse", "keyboard", "phone-no-javascript"],
)
def test_a_stolen_phone_is_ended_in_four_presses_and_one_field(
    at_work, laptop, phone, api, bob, hands, options
):
    api(bob, headers={"user-agent": IPHONE})
    tab = at_work(options)
    pages, its = note_pages(tab), counting(hands)(tab)

    end_stolen_phone(tab, its)

    expect(tab.get_by_text("1 device was revoked.")).to_be_visible()
    assert (its.presses, its.fields) == (4, 1)
    assert_ended(phone, STOLEN)
    assert laptop.get("me").status_code == 200
    person = url_of(laptop.device.user)
    assert [path for _, path in pages] == [person, url_of(phone.device, "revoke"), person]
    ended = tab.get_by_role("table", name="Ended devices of alice").get_by_role("row").nth(1)
    for fact in ("Safari on iPhone", "revoked by staff", "support", STOLEN):
        expect(ended).to_contain_text(fact)


# The worst day: a network signs in with stolen passwords


def last_tuesday():
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=(today.weekday() - 1) % 7)


@pytest.fixture
def honest(api, bob):
    """bob at home, and bob on the network of the thieves before they came."""
    at_home = api(bob, REMOTE_ADDR="81.2.69.142")
    before = api(bob, REMOTE_ADDR=THIEVES)
    earlier = last_tuesday() - timedelta(minutes=1)
    IssuedToken.objects.filter(pk=before.device.pk).update(created_at=earlier)
    return [at_home, before]


@pytest.fixture
def thief(api, honest, alice, bob):
    """One of 2,500 devices of two people that signed in from one network since Tuesday."""
    client = api(bob, REMOTE_ADDR="203.0.113.99", headers={"user-agent": FIREFOX})
    found = {"ip_address": THIEVES, "last_ip": THIEVES}
    make_devices(alice, 1500, os="Windows", browser="Chrome", location="Germany", **found)
    make_devices(bob, 999, browser="curl", **found)
    return client


def describe_the_thieves(tab):
    tab.get_by_role("rowheader", name="Devices").get_by_role("link").click()
    tab.get_by_role("link", name="Incident: end many devices").click()
    tab.get_by_label("Address or network").fill("203.0.113.0/24")
    tab.get_by_label("Signed in at or after (UTC)").fill(f"{last_tuesday():%Y-%m-%dT%H:%M}")
    button(tab, "Show what would end").click()


def read_the_dry_run(tab):
    expect(tab.get_by_role("heading", name="What would end")).to_be_in_viewport()
    main = tab.get_by_role("main")
    expect(main).to_contain_text("These 2,500 devices of 2 people are signed out at the next")
    expect(main).to_contain_text("Nobody is mailed, because these are too many")
    expect(main).to_contain_text("and 2,480 more.")
    shown = main.get_by_role("table", name="What would end").get_by_role("row")
    expect(shown).to_have_count(21)  # with its head
    for table, first in [
        ("By OS", "Windows 1,500"),
        ("By client", "Chrome 1,500"),
        ("By kind", "API 2,500"),
        ("By place", "Germany 1,500"),
    ]:
        rows = main.get_by_role("table", name=table).get_by_role("row")
        expect(rows.first).to_have_accessible_name(first)


@pytest.mark.parametrize("options", [DESK, PHONE], ids=["desk", "phone-no-javascript"])
def test_a_network_is_ended_in_pieces(
    at_work, support, alice, thief, honest, age, monkeypatch, options
):
    monkeypatch.setattr("tokens.flows.incident.PIECE_SIZE", 1000)
    tab = at_work(options)
    pages = note_pages(tab)
    describe_the_thieves(tab)
    read_the_dry_run(tab)
    assert thief.get("me").status_code == 200
    age(support.devices.get(), minutes=16)

    tab.get_by_label("Note, shown to the person").fill("We were attacked.")
    button(tab, "Revoke 2,500 devices").click()
    expect(tab.get_by_text("nothing you typed is lost")).to_be_visible()
    assert thief.get("me").status_code == 200
    tab.get_by_label("Password").fill(PASSWORD)
    button(tab, "Go on").click()
    if options is PHONE:
        for done in ("1,000", "2,000"):
            expect(tab.get_by_role("status")).to_have_text(f"{done} of 2,500 devices have ended.")
            button(tab, "Go on").click()

    expect(tab.get_by_text("2,500 devices were revoked.")).to_be_visible()
    assert_ended(thief, "We were attacked.", "incident")
    assert [client.get("me").status_code for client in honest] == [200, 200]
    ended = IssuedToken.objects.filter(revoked_reason="incident", revoked_note="We were attacked.")
    assert ended.count() == 2500
    assert pages == [
        ("GET", DEVICES),
        ("GET", INCIDENT),
        ("GET", INCIDENT),  # with what would end
        ("POST", INCIDENT),  # asks for the password
        ("POST", INCIDENT),  # 1,000
        ("POST", INCIDENT),  # 2,000
        ("GET", DEVICES),
    ]


def test_what_cannot_be_meant_is_said_beside_the_field(at_work):
    tab = at_work(DESK)
    tab.goto(INCIDENT)
    button(tab, "Show what would end").click()
    expect(tab.get_by_text("Say which devices: fill in at least one field.")).to_be_in_viewport()
    network = tab.get_by_label("Address or network")
    network.fill("here")
    button(tab, "Show what would end").click()
    expect(network).to_have_accessible_description(
        "Signed in from it, or last seen there: 203.0.113.7 or 203.0.113.0/24 "
        "Write an IP address or a network, 203.0.113.0/24."
    )
    network.fill("192.0.2.0/24")
    button(tab, "Show what would end").click()
    expect(tab.get_by_role("status")).to_contain_text("No live device is like that.")


# What strangers wrote


BEYOND = """() => [...document.querySelectorAll("body *")]
  .filter(element => !element.closest(".results, .visually-hidden, select"))
  .filter(element => element.getBoundingClientRect().right > innerWidth + 1)
  .map(element => element.outerHTML.slice(0, 120))"""


def test_the_longest_words_stay_on_the_page(at_work, alice):
    """Without a space in them, and of the greatest length that the database holds."""
    User.objects.filter(pk=alice.pk).update(username="u" * 150, email=f"{'e' * 64}@example.org")
    words = {"name": "N" * 64, "browser": "B" * 64, "os": "O" * 64, "location": "L" * 128}
    agents = dict.fromkeys(("user_agent", "rotated_user_agent"), "A" * 512)
    now = datetime.now(UTC)
    ended = {"revoked_at": now, "revoked_reason": "staff", "revoked_note": "W" * 500}
    make_devices(alice, 1, **words, **agents)
    make_devices(alice, 1, **words, **agents, **ended, revoked_by_name="s" * 150)
    pages = [url_of(alice), url_of(alice, "revoke"), url_of(alice, "history"), "/admin/"]
    for device in alice.devices.all():
        pages += [url_of(device), url_of(device, "revoke"), url_of(device, "history")]
    tab = at_work(DESK)
    found = {}
    for width in (1280, 360):
        tab.set_viewport_size({"width": width, "height": 800})
        for page in [
            *pages,
            f"{DEVICES}?q={'u' * 9}",
            "/admin/accounts/user/",
        ]:
            tab.goto(page)
            found[width, page] = tab.evaluate(BEYOND)
    assert {where: beyond for where, beyond in found.items() if beyond} == {}


# Any day


def test_all_of_somebodys_many_devices_are_ended(at_work, ann, phone):
    make_devices(ann, 499, browser="curl")
    tab = at_work(DESK)
    tab.get_by_role("rowheader", name="Users").get_by_role("link").click()
    tab.get_by_role("textbox", name="Search").fill("ann.m")
    button(tab, "Search").click()
    tab.get_by_role("table").get_by_role("link", name="alice", exact=True).click()
    expect(tab.get_by_role("link", name="of alice")).to_have_count(21)  # 20, and all of them
    tab.get_by_role("link", name="Revoke all 500").click()
    expect(tab.get_by_role("main")).to_contain_text("These 500 devices are signed out")
    tab.get_by_label("Note, shown to the person").fill(NOTE)
    button(tab, "Revoke 500 devices").click()

    expect(tab.get_by_text("500 devices were revoked.")).to_be_visible()
    assert_ended(phone, NOTE)
    assert not ann.devices.live().exists()


def test_the_overview_reads_without_its_plots(at_work, ann, phone):
    yesterday = datetime.now(UTC) - timedelta(days=1)
    make_devices(ann, 3, os="Windows", created_at=yesterday)
    make_devices(ann, 2, revoked_at=yesterday, revoked_reason="staff")
    tab = at_work(DESK)

    for plot, text, before in [
        ("Sign-ins", "7 in 30 days, at most 4 on one, 4 today so far.", "3"),
        ("Revocations", "2 in 30 days, at most 2 on one, 0 today so far.", "2"),
    ]:
        expect(tab.get_by_role("img", name=f"{plot} a day: {text}")).to_be_visible()
        table = tab.get_by_role("table", name=f"{plot} a day (UTC)")
        expect(table).to_be_hidden()
        tab.get_by_text(f"{plot} as a table").click()
        expect(table.get_by_role("row")).to_have_count(30)
        expect(table.get_by_role("row").nth(1)).to_have_text(f"{yesterday:%-d %b %Y}{before}")
    by_os = tab.get_by_role("table", name="By OS").get_by_role("row")
    expect(by_os.first).to_have_text("Windows3")
    assert sorted(by_os.all_text_contents()) == ["Linux1", "Windows3", "iOS1"]
    expect(tab.get_by_text("None: no refresh token was used twice.")).to_be_visible()


def test_an_alarm_leads_to_the_story_of_the_device(at_work, ann, phone):
    ann.devices.revoke(reason="reuse")
    now = datetime.now(UTC)
    ann.devices.update(alarm_at=now, alarm_ip=THIEVES, alarm_client="curl/8.16.0")
    tab = at_work(DESK)
    alarm = tab.get_by_role("listitem").filter(has_text=THIEVES)
    alarm.get_by_role("link", name="alice").click()
    told = tab.get_by_role("listitem").filter(has_text="its refresh token came again")
    expect(told).to_contain_text(f"from {THIEVES} by curl")
