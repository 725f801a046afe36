"""What is forgotten of a device that ended, when, and what people read of it then."""

import csv
import io
import json
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from accounts.tests.admin import text_of, url_of
from tests.plugins.guestlist import FIREFOX, IPHONE
from tokens import flows
from tokens.models import IssuedToken
from tokens.tests.admin import DEVICES, export, listed, make_devices
from tokens.tests.test_rotation import refresh

LONDON, NETWORK = "81.2.69.142", "81.2.69.0"
IPV6, NETWORK6 = "2001:db8:12:34:56:78:9a:bc", "2001:db8:12::"
DAY = timedelta(days=1)
TRACES = [
    "ip_address",
    "last_ip",
    "rotated_ip",
    "authenticated_ip",
    "alarm_ip",
    "refused_ip",
    "user_agent",
    "rotated_user_agent",
    "alarm_client",
]


def purge():
    out = io.StringIO()
    call_command("purge_devices", "--json", stdout=out)
    return json.loads(out.getvalue())["forgotten"]


def traces(device):
    return IssuedToken.objects.filter(pk=device.pk).values(*TRACES).get()


def traced(user, **fields):
    """A device whose row has all that can be forgotten."""
    addresses = {name: LONDON for name in TRACES if name.endswith(("_ip", "_address"))}
    fields = {
        **addresses,
        "browser": "Firefox",
        "os": "Linux",
        "user_agent": FIREFOX,
        "rotated_user_agent": FIREFOX,
        "generation": 3,
        "authenticated_at": timezone.now(),
        "location": "London, United Kingdom",
        **fields,
    }
    [device] = make_devices(user, 1, **fields)
    return device


# When


@pytest.mark.parametrize("field", ["revoked_at", "expires_at", "idle_at"])
def test_device_is_forgotten_a_week_after_its_end(alice, field):
    now = timezone.now()
    reason = {"revoked_reason": "user"} if field == "revoked_at" else {}
    late = traced(alice, **{field: now - 7 * DAY - timedelta(seconds=5), **reason})
    soon = traced(alice, **{field: now - 7 * DAY + timedelta(minutes=5), **reason})

    assert purge() == 1

    assert traces(late)["ip_address"] == NETWORK
    assert traces(soon)["ip_address"] == LONDON


def test_device_that_lives_is_never_forgotten(alice, api, age):
    phone = api(alice, REMOTE_ADDR=LONDON)
    script = traced(alice, idle_at=None, created_at=timezone.now() - 300 * DAY)
    age(phone.device, days=13)

    assert purge() == 0

    assert traces(phone.device)["ip_address"] == LONDON
    assert traces(script)["user_agent"] == FIREFOX


def test_time_is_a_setting(alice, settings):
    settings.FORGET_AFTER = timedelta(hours=1)
    device = traced(alice, idle_at=timezone.now() - timedelta(hours=2))
    assert purge() == 1
    assert traces(device)["last_ip"] == NETWORK


def test_device_of_an_account_that_raw_sql_deactivated_is_forgotten_a_week_after_its_mark(
    alice, age
):
    device = traced(alice, created_at=timezone.now() - 20 * DAY)
    type(alice).objects.filter(pk=alice.pk).update(is_active=False)
    assert purge() == 0  # it is marked now
    IssuedToken.objects.filter(pk=device.pk).update(revoked_at=timezone.now() - 8 * DAY)
    assert purge() == 1


def test_forgetting_again_changes_nothing_and_finds_nothing(alice, django_assert_max_num_queries):
    device = traced(alice, idle_at=timezone.now() - 8 * DAY)
    assert purge() == 1
    before = IssuedToken.objects.filter(pk=device.pk).values().get()

    with django_assert_max_num_queries(1):
        assert list(flows.forget(IssuedToken.objects.all())) == []

    assert IssuedToken.objects.filter(pk=device.pk).values().get() == before


def test_many_are_forgotten_in_batches(alice):
    made = make_devices(alice, 5, idle_at=timezone.now() - 8 * DAY, ip_address=LONDON)
    assert list(flows.forget(IssuedToken.objects.all(), size=2)) == [2, 2, 1]
    forgotten = IssuedToken.objects.filter(pk__in=[device.pk for device in made])
    assert set(forgotten.values_list("ip_address", flat=True)) == {NETWORK}


def test_a_dry_run_forgets_nothing(alice):
    device = traced(alice, idle_at=timezone.now() - 8 * DAY)
    call_command("purge_devices", "--dry-run")
    assert traces(device)["ip_address"] == LONDON


# What


def test_addresses_become_networks_and_user_agents_labels(alice):
    device = traced(
        alice,
        idle_at=timezone.now() - 8 * DAY,
        ip_address=IPV6,
        rotated_user_agent=IPHONE,
        alarm="reuse",
        alarm_client="curl/8.16.0",
    )
    purge()

    assert traces(device) == {
        "ip_address": NETWORK6,
        "last_ip": NETWORK,
        "rotated_ip": NETWORK,
        "authenticated_ip": NETWORK,
        "alarm_ip": NETWORK,
        "refused_ip": NETWORK,
        "user_agent": "Firefox on Linux",
        "rotated_user_agent": "Safari on iPhone",
        "alarm_client": "curl",
    }
    stored = IssuedToken.objects.get(pk=device.pk)
    assert stored.location == "London, United Kingdom"
    assert stored.forgotten_at is not None


def test_what_is_unknown_stays_unknown(alice):
    ended = timezone.now() - 8 * DAY
    [device] = make_devices(alice, 1, idle_at=ended)
    never_refreshed = traced(alice, idle_at=ended, rotated_ip=None, rotated_user_agent="")
    purge()
    assert set(traces(device).values()) == {None, ""}
    assert traces(never_refreshed)["rotated_user_agent"] == ""
    assert traces(never_refreshed)["rotated_ip"] is None


def test_name_of_another_client_stays_as_it_is(alice):
    device = traced(
        alice, idle_at=timezone.now() - 8 * DAY, alarm="client", alarm_client="Chrome on Windows"
    )
    purge()
    assert traces(device)["alarm_client"] == "Chrome on Windows"


def test_note_of_a_reuse_says_networks(api, alice, age, browser, root):
    phone = api(alice, REMOTE_ADDR=LONDON, HTTP_USER_AGENT=FIREFOX)
    first = phone.pair["refresh_token"]
    phone.keep(refresh(phone).json())
    refresh(phone)
    thief = api(REMOTE_ADDR=IPV6, HTTP_USER_AGENT="curl/8.16.0")
    assert thief.post("refresh", {"refresh_token": first}).status_code == 401
    exact = phone.device.revoked_note
    assert LONDON in exact
    assert IPV6 in exact
    age(phone.device, days=8)

    purge()

    expected = exact.replace(LONDON, f"{NETWORK}/24").replace(IPV6, f"{NETWORK6}/48")
    assert phone.device.revoked_note == expected
    page = text_of(browser(root).get(url_of(phone.device)))
    assert f"its refresh token came again from {NETWORK6}/48 by curl" in page
    assert LONDON not in page
    assert IPV6 not in page


def test_reuse_without_a_note_gets_it_before_its_addresses_go(alice):
    now = timezone.now()
    device = traced(
        alice,
        revoked_at=now - 8 * DAY,
        revoked_reason="reuse",
        alarm="reuse",
        alarm_at=now - 8 * DAY,
        alarm_ip=IPV6,
        alarm_client="curl/8.16.0",
    )
    purge()
    note = IssuedToken.objects.get(pk=device.pk).revoked_note
    assert f"from {NETWORK}/24 by Firefox on Linux, then again" in note
    assert f"from {NETWORK6}/48 by curl." in note


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("from 203.0.113.77 by x", "from 203.0.113.0/24 by x"),
        ("203.0.113.7:8080", "203.0.113.0/24"),
        ("::ffff:203.0.113.7", "203.0.113.0/24"),
        ("2001:db8::1, fe80::1", "2001:db8::/48, fe80::/48"),
        ("at 19:56 UTC by App 1.2.3, v1.2.3.4.5 and a.b", None),
        ("f" * 500, None),
        (":" * 500, None),
        ("203.0.113.7 " * 41, ("203.0.113.0/24 " * 34)[:500]),
    ],
)
def test_any_note_of_a_reuse_is_forgotten_whatever_it_says(alice, said, left):
    device = traced(
        alice, revoked_at=timezone.now() - 8 * DAY, revoked_reason="reuse", revoked_note=said
    )
    purge()
    assert IssuedToken.objects.get(pk=device.pk).revoked_note == (left or said)


def test_note_of_staff_stays(alice):
    note = f"Seen at {LONDON}."
    device = traced(
        alice, revoked_at=timezone.now() - 8 * DAY, revoked_reason="staff", revoked_note=note
    )
    purge()
    assert IssuedToken.objects.get(pk=device.pk).revoked_note == note


def test_request_of_a_forgotten_device_is_noted_by_its_network(api, alice, age):
    phone = api(alice, REMOTE_ADDR=LONDON)
    phone.post("logout")
    age(phone.device, days=8)
    assert purge() == 1

    phone.http.defaults["REMOTE_ADDR"] = "203.0.113.7"
    assert phone.get("me").json()["code"] == "device_revoked"

    assert phone.device.refused_count == 1
    assert traces(phone.device)["refused_ip"] == "203.0.113.0"


def test_refusal_that_meets_the_forgetting_writes_no_exact_address(api, alice, age, monkeypatch):
    """The device was read before it was forgotten, and is written afterwards."""
    phone = api(alice, REMOTE_ADDR=LONDON)
    phone.post("logout")
    age(phone.device, days=8)
    read = phone.device
    purge()

    flows.refusals._count_refusal(read, flows.refusals.Client(ip_address=LONDON))

    assert traces(read)["refused_ip"] is None


# What people read


@pytest.fixture
def forgotten(alice):
    device = traced(alice, idle_at=timezone.now() - 8 * DAY, name="Kitchen", ip_address=IPV6)
    purge()
    return device


def test_owner_reads_networks(forgotten, browser, alice):
    text = text_of(browser(alice).get(reverse("activity")))
    assert f"from {NETWORK6}/48" in text
    assert f"from {NETWORK}/24" in text
    assert LONDON not in text
    assert IPV6 not in text


def test_staff_read_networks(forgotten, browser, support):
    page = browser(support)
    text = text_of(page.get(url_of(forgotten)))
    for told in (
        f"signed in from {NETWORK6}/48",
        f"refreshed 2 times, the last from {NETWORK}/24 by Firefox on Linux",
        "exact addresses and clients forgotten",
        f"IP address: {NETWORK6}/48",
        f"Last IP address: {NETWORK}/24",
    ):
        assert told in text
    assert f"{NETWORK}/24 · London, United Kingdom" in text_of(page.get(DEVICES + "?state=idle"))


@pytest.mark.parametrize(
    ("term", "found"),
    [
        (f"{NETWORK}/24", True),
        ("81.2.0.0/16", True),
        (f"{NETWORK6}/48", True),
        (NETWORK, True),
        (LONDON, False),
        (IPV6, False),
        ("81.2.69.128/25", False),
    ],
)
def test_search_finds_the_network_and_no_longer_the_address(
    forgotten, browser, support, term, found
):
    assert (forgotten in listed(browser(support), f"?q={term}&state=idle")) == found


def test_exports_and_the_command_say_networks(forgotten, browser, root):
    exported = export(browser(root), "csv", [forgotten], "?state=idle")
    [row] = csv.DictReader(io.StringIO(exported))
    assert (row["ip_address"], row["last_ip"]) == (f"{NETWORK6}/48", f"{NETWORK}/24")

    out = io.StringIO()
    call_command("list_devices", "--state", "idle", stdout=out)
    assert f"{NETWORK}/24" in out.getvalue()


def test_api_answers_addresses_as_ever(forgotten, api, alice):
    [device] = api(alice).get("devices?state=idle").json()["results"]
    assert (device["ip_address"], device["last_ip"]) == (NETWORK6, NETWORK)


def test_overview_says_the_network_of_a_reuse(alice, browser, support):
    now = timezone.now()
    ended = {"revoked_at": now - 8 * DAY, "revoked_reason": "reuse"}
    traced(alice, **ended, alarm="reuse", alarm_at=now - 8 * DAY)
    purge()
    cache.clear()  # it holds the overview of another test
    assert f", {NETWORK}/24" in text_of(browser(support).get("/admin/"))


# Who is known


@pytest.mark.parametrize(
    ("here", "is_mailed"),
    [
        ("81.2.69.7", False),
        ("81.2.70.7", True),
        ("2001:db8:12:99::1", False),
        ("2001:db8:13:34::1", True),
    ],
)
def test_sign_in_near_a_forgotten_device_is_known(api, alice, mails_of, age, here, is_mailed):
    """By the network alone: the place is not known."""
    for address in (LONDON, IPV6):
        phone = api(alice, REMOTE_ADDR=address, HTTP_USER_AGENT=FIREFOX)
        phone.post("logout")
        age(phone.device, days=8)
    assert purge() == 2
    IssuedToken.objects.update(location="")

    sent = mails_of(lambda: api(alice, REMOTE_ADDR=here, HTTP_USER_AGENT=FIREFOX))

    assert [mail.subject for mail in sent] == ["Guestlist: New sign-in"] * is_mailed
