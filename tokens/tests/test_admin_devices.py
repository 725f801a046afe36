"""Devices in the admin: the list, the page of one, and the purge."""

import base64
import re
import uuid
from html import unescape

import pytest
from django.utils import timezone

from accounts.models import User
from accounts.tests.admin import text_of, url_of
from tests.plugins.guestlist import FIREFOX, IPHONE, make_user
from tokens.models import IssuedToken
from tokens.tests.admin import (
    DEVICES,
    confirm,
    listed,
    make_devices,
    select,
)

HOSTILE = "<script>alert('1')</script><img src=x onerror=alert(1)>"


# The list


def test_list_shows_who_where_and_when(browser, api, support, alice, age):
    phone = api(alice, HTTP_USER_AGENT=IPHONE, REMOTE_ADDR="8.8.8.8")
    age(phone.device, hours=3)
    page = browser(support)

    answer = page.get(DEVICES)

    headers = re.findall(r'<div class="text">(?:<a[^>]*>|<span>)([^<]*)', answer.content.decode())
    assert [header.lower() for header in headers if header.strip()] == [
        "client",
        "user",
        "kind",
        "state",
        "address",
        "last seen",
        "signed in",
        "revoke",
    ]
    text = text_of(answer)
    assert (
        "Safari on iPhone alice alice@example.org API live 8.8.8.8 · United States "
        "3 hours ago 3 hours ago" in text
    )
    assert "just now" in text
    assert f'href="{url_of(phone.device, "revoke")}"' in answer.content.decode()
    assert f'href="{url_of(alice)}"' in answer.content.decode()


def test_list_is_newest_first(browser, api, support, alice, bob, age):
    old, new = api(alice).device, api(bob).device
    age(old, days=2)
    page = browser(support)
    assert [device.user.username for device in listed(page)] == ["support", "bob", "alice"]
    assert listed(page)[1] == new


def test_list_offers_no_addition_and_no_deletion(browser, root, api, alice):
    device = api(alice).device
    page = browser(root)

    html = page.get(DEVICES).content.decode() + page.get(url_of(device)).content.decode()
    assert "/add/" not in html.replace("/accounts/user/add/", "")
    assert url_of(device, "delete") not in html
    assert "delete_selected" not in html
    assert page.get(DEVICES + "add/").status_code == 403
    assert page.post(url_of(device, "delete"), {"post": "yes"}).status_code == 403
    page.post(
        DEVICES, {"action": "delete_selected", "_selected_action": [device.pk], "post": "yes"}
    )
    assert IssuedToken.objects.filter(pk=device.pk).exists()


@pytest.fixture
def assorted(api, browser, alice, bob, age):
    """Devices of every state, by the state or what else is particular about them."""
    devices = {
        "live": api(alice, HTTP_USER_AGENT=FIREFOX).device,
        "idle": api(alice).device,
        "expired": api(alice).device,
        "revoked": api(alice).device,
    }
    age(devices["idle"], days=15)
    age(devices["expired"], days=31)
    devices["revoked"].user.devices.filter(pk=devices["revoked"].pk).revoke(reason="logout")
    browser(bob, HTTP_USER_AGENT=IPHONE)
    devices["browser"] = bob.devices.get()
    carol = make_user("carol")
    devices["deactivated"] = api(carol).device
    # Ended by the state of the account alone, with nothing written in the row.
    IssuedToken.objects.filter(user=carol).update(revoked_at=None, revoked_reason="")
    User.objects.filter(pk=carol.pk).update(password_changed_at=timezone.now())
    return devices


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?state=live", {"live", "browser"}),
        ("?state=idle", {"idle"}),
        ("?state=expired", {"expired"}),
        ("?state=revoked", {"revoked", "deactivated"}),
        ("?kind__exact=browser", {"browser"}),
        ("?kind__exact=api", {"live", "idle", "expired", "revoked", "deactivated"}),
        ("?os=Linux", {"live"}),
        ("?os=iOS", {"browser"}),
        ("?os=Windows", set()),
        ("?os=other", {"idle", "expired", "revoked", "deactivated"}),
        ("?revoked_reason__exact=logout", {"revoked"}),
        ("?revoked_reason__exact=staff", set()),
        ("?state=live&kind__exact=api", {"live"}),
        ("?state=live&q=bob", {"browser"}),
        ("?state=nonsense&kind__exact=browser", {"browser"}),
    ],
)
def test_filters(browser, support, assorted, query, names):
    page = browser(support)
    found = [device for device in listed(page, query) if device.user != support]
    assert {name for name, device in assorted.items() if device in found} == names


def test_filter_by_time_of_sign_in(browser, support, api, alice, age):
    old, new = api(alice).device, api(alice).device
    age(old, days=3)
    page = browser(support)
    html = unescape(page.get(DEVICES).content.decode())

    found = {
        title: set(listed(page, query)) & {old, new}
        for query, title in re.findall(r'href="(\?created_at__[^"]*)">(Today|Past 7 days)<', html)
    }

    assert found == {"Today": {new}, "Past 7 days": {old, new}}


def test_expired_and_idle_devices_stand_in_the_order_of_their_end(
    browser, support, api, alice, age
):
    days = {"idle": (15, 20), "expired": (31, 40)}
    devices = {state: [api(alice).device, api(alice).device] for state in days}
    for state, ages in days.items():
        for device, day in zip(devices[state], ages, strict=True):
            age(device, days=day)
    page = browser(support)

    assert listed(page, "?state=idle") == devices["idle"][::-1]
    assert listed(page, "?state=expired") == devices["expired"]


def test_list_sorts_by_the_time_of_sign_in_alone(browser, support, api, alice, bob, age):
    age(api(alice).device, days=2)
    api(bob)
    page = browser(support)
    newest_first = listed(page)

    assert listed(page, "?o=7") == newest_first[::-1]
    for column in (1, 2, 3, 4, 5, 6, 8):
        assert listed(page, f"?o={column}") == newest_first
    assert listed(page, "?state=live&o=7") == newest_first[::-1]
    assert listed(page, "?state=idle&o=7") == []


def test_long_list_says_that_there_are_more(browser, support, alice, monkeypatch):
    monkeypatch.setattr("accounts.admin.lists.MAX_COUNTED", 60)
    make_devices(alice, 60)
    page = browser(support)

    text = text_of(page.get(DEVICES))
    assert "more than 60 devices" in text
    assert "Select all devices that this list finds, more than 60" in text
    text = text_of(page.get(DEVICES, {"q": "alice"}))
    assert "60 devices" in text
    assert "more than" not in text
    assert page.get(DEVICES, {"p": 2}).status_code == 200
    assert page.get(DEVICES, {"p": 3}).status_code == 302


def test_selection_of_a_long_list_is_all_of_it(browser, support, alice, monkeypatch):
    monkeypatch.setattr("accounts.admin.lists.MAX_COUNTED", 60)
    devices = make_devices(alice, 80)
    answer = select(browser(support), devices[:1], "?q=alice", select_across="1")
    assert "These 80 devices" in text_of(answer)


def test_search_says_that_more_users_start_so(browser, support, api, monkeypatch):
    monkeypatch.setattr("accounts.admin.users.MAX_FOUND", 2)
    for number in range(3):
        api(make_user(f"many{number}"))
    page = browser(support)

    answer = page.get(DEVICES, {"q": "many"})
    assert "More than 2 users start with that, and only the first are searched." in text_of(answer)
    assert {device.user.username for device in answer.context["cl"].result_list} == {
        "many0",
        "many1",
    }
    assert "More than" not in text_of(page.get(DEVICES, {"q": "many1"}))


@pytest.mark.parametrize("query", ["?created_at__gte=x", "?kind__exact=%00", "?os=%00", "?p=zzz"])
def test_odd_filters_are_no_server_error(browser, support, query):
    assert browser(support).get(DEVICES + query, follow=True).status_code in (200, 400)


@pytest.mark.parametrize(
    ("term", "names"),
    [
        ("alice", {"v4", "v6"}),
        ("ALI", {"v4", "v6"}),
        ("bob@exam", {"moved"}),
        ("lice", set()),
        ("203.0.113.7", {"v4", "moved"}),
        (" 203.0.113.7 ", {"v4", "moved"}),
        ("203.0.113.0/24", {"v4", "moved"}),
        ("203.0.113.9/24", {"v4", "moved"}),
        ("198.51.100.0/25", {"moved"}),
        ("203.0.113.8", set()),
        ("::ffff:203.0.113.7", {"v4", "moved"}),
        ("::ffff:203.0.113.0/120", {"v4", "moved"}),
        ("2001:db8::1", {"v6"}),
        ("2001:0DB8:0:0::1", {"v6"}),
        ("2001:db8::/32", {"v6"}),
        ("2001:db8:1::/48", set()),
        ("0.0.0.0/0", {"v4", "moved"}),
        ("::/0", {"v6"}),
        ("{id}", {"v4"}),
        ("{hex}", {"v4"}),
        ("00000000-0000-0000-0000-000000000000", set()),
        ("203.0.113.7/99", set()),
        ("203.0.113", set()),
        ("fe80::1%eth0", set()),
        ("%", set()),
        ("' OR 1=1 --", set()),
        ("\u202e", set()),
        ("x" * 3000, set()),
    ],
)
def test_search(browser, support, api, alice, bob, term, names):
    devices = {
        "v4": api(alice, REMOTE_ADDR="203.0.113.7").device,
        "v6": api(alice, REMOTE_ADDR="2001:db8::1").device,
    }
    moving = api(bob, REMOTE_ADDR="198.51.100.1")
    moving.http.defaults["REMOTE_ADDR"] = "203.0.113.7"
    moving.get("me")
    devices["moved"] = moving.device
    page = browser(support)
    term = term.format(id=devices["v4"].pk, hex=devices["v4"].pk.hex)

    answer = page.get(DEVICES, {"q": term})

    assert answer.status_code == 200
    found = set(answer.context["cl"].result_list) - set(support.devices.all())
    assert found == {devices[name] for name in names}


def test_search_for_a_nul_is_no_server_error(browser, support):
    assert browser(support).get(DEVICES, {"q": "a\0b"}).status_code == 200


def test_address_in_another_form_is_nobodys_name(browser, support):
    assert listed(browser(support), "?q=127.0.0.1") == list(support.devices.all())


# The page of a device


def test_page_shows_all_and_takes_a_name(browser, manager, api, alice):
    device = api(alice, HTTP_USER_AGENT=FIREFOX).device
    page = browser(manager)

    shown = page.get(url_of(device))

    assert list(shown.context["adminform"].form.fields) == ["name"]
    text = text_of(shown)
    for fact in ("Firefox on Linux", FIREFOX, "127.0.0.1", "alice", "live"):
        assert fact in text

    answer = page.post(url_of(device), {"name": "Alice's laptop"})

    assert answer.status_code == 302
    device.refresh_from_db()
    assert device.name == "Alice's laptop"


@pytest.mark.asvs("8.2.3")
def test_nothing_but_the_name_is_written(browser, manager, api, alice, bob):
    phone = api(alice)
    fields = [field.name for field in IssuedToken._meta.concrete_fields if field.name != "name"]
    before = IssuedToken.objects.filter(pk=phone.device.pk).values(*fields).get()

    browser(manager).post(
        url_of(phone.device),
        {
            "name": "new",
            "user": bob.pk,
            "hash": "00" * 32,
            "generation": "9",
            "kind": "browser",
            "user_agent": "x",
            "expires_at_0": "2099-01-01",
            "expires_at_1": "00:00",
            "expires_at": "2099-01-01 00:00",
            "revoked_at": "2020-01-01 00:00",
            "revoked_reason": "staff",
        },
    )

    after = IssuedToken.objects.filter(pk=phone.device.pk).values(*fields).get()
    assert after == before
    assert phone.device.name == "new"


def test_support_reads_the_page_and_writes_no_name(browser, support, api, alice):
    device = api(alice).device
    page = browser(support)
    assert page.get(url_of(device)).status_code == 200
    assert page.post(url_of(device), {"name": "new"}).status_code == 403
    device.refresh_from_db()
    assert device.name == ""


@pytest.mark.parametrize("name", ["x" * 65, "nul\0"])
def test_bad_name_is_refused(browser, manager, api, alice, name):
    answer = browser(manager).post(url_of(api(alice).device), {"name": name})
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors


@pytest.mark.parametrize("id", ["x", str(uuid.UUID(int=4)), "%00", "1"])
@pytest.mark.parametrize("page", ["change", "revoke", "history", "delete"])
def test_page_of_no_device_is_no_server_error(browser, support, id, page):
    answer = browser(support).get(f"{DEVICES}{id}/{page}/")
    assert answer.status_code in (302, 403, 404)


def test_no_page_holds_a_credential(browser, root, api, alice, read_segment):
    phone = api(alice)
    handle = read_segment(phone.pair["access_token"])["sid"]
    page = browser(root)
    device = phone.device
    secrets = [
        handle,
        device.hash.hex(),
        base64.b64encode(device.hash).decode(),
        base64.urlsafe_b64encode(device.hash).decode().rstrip("="),
        str(bytes(device.hash)),
        phone.pair["access_token"],
        phone.pair["refresh_token"],
    ]

    answers = [
        page.get(DEVICES),
        page.get(url_of(device)),
        page.get(url_of(device, "revoke")),
        page.get(url_of(alice)),
        page.get(url_of(alice, "revoke")),
        select(page, [device]),
        confirm(page, page.get(url_of(device, "revoke")), note="x"),
        page.get(DEVICES),
        page.get(url_of(device)),
        page.get(url_of(device, "history")),
    ]

    for answer in answers:
        assert answer.status_code in (200, 302)
        html = unescape(answer.content.decode())
        assert [secret for secret in secrets if secret in html] == []


# What devices say of themselves


def test_what_a_device_says_is_shown_as_text(browser, root, api, alice):
    phone = api(alice, HTTP_USER_AGENT=f"{HOSTILE}/1.0")
    phone.patch(f"devices/{phone.device.pk}", {"name": HOSTILE[:64]})
    IssuedToken.objects.filter(pk=phone.device.pk).update(
        browser=HOSTILE[:64], os=HOSTILE[:64], location=HOSTILE
    )
    device = phone.device
    page = browser(root)

    answers = [
        page.get(DEVICES),
        page.get(url_of(device)),
        page.get(url_of(device, "revoke")),
        select(page, [device]),
        page.get(url_of(alice)),
        page.get(url_of(alice, "revoke")),
        page.get(url_of(alice, "delete")),
        page.get("/admin/"),
    ]
    done = confirm(page, page.get(url_of(device, "revoke")), note=HOSTILE)
    answers += [
        page.get(done.url),
        page.get(url_of(device)),
        page.get(url_of(device, "history")),
        page.get(DEVICES + "?state=revoked"),
        page.get("/admin/"),
    ]

    for answer in answers:
        assert answer.status_code == 200
        html = answer.content.decode()
        assert "<script>alert" not in html
        assert "<img src=x" not in html
    for answer in answers[:6]:
        assert "&lt;script&gt;alert(" in answer.content.decode()


# Purge


def test_purge_deletes_what_ended_long_ago(browser, manager, support, api, alice, age):
    old, recent = api(alice), api(alice)
    for phone in (old, recent):
        phone.post("logout")
    age(old.device, days=29)
    live_one = api(alice)
    chosen = [old.device.pk, recent.device.pk, live_one.device.pk]
    data = {"action": "purge_selected", "_selected_action": chosen}

    browser(support).post(DEVICES, data)
    assert IssuedToken.objects.filter(pk__in=chosen).count() == 3

    page = browser(manager)
    answer = page.post(DEVICES, data)

    assert "Purged 1 device. Only those past their retention go." in text_of(page.get(answer.url))
    left = set(IssuedToken.objects.filter(pk__in=chosen))
    assert left == {recent.device, live_one.device}
