"""Devices in the admin: found, read, and revoked, by whoever may, with a word to the person."""

import base64
import re
import uuid
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts.models import Role, User
from tests.plugins.guestlist import FIREFOX, PASSWORD, make_user
from tokens.models import IssuedToken

DEVICES = "/admin/tokens/issuedtoken/"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)
HOSTILE = "<script>alert('1')</script><img src=x onerror=alert(1)>"


def url_of(item, page="change"):
    meta = item._meta
    return f"/admin/{meta.app_label}/{meta.model_name}/{item.pk}/{page}/"


def make_staff(username, *labels):
    user = make_user(username, is_staff=True)
    role = Role.objects.create(name=f"{username}-role")
    for label in labels:
        app_label, codename = label.split(".")
        role.permissions.add(
            Permission.objects.get(content_type__app_label=app_label, codename=codename)
        )
    user.roles.add(role)
    return user


def make_devices(user, count, **fields):
    now = timezone.now()
    fields = {
        "kind": "api",
        "rotated_at": now,
        "password_epoch": user.password_changed_at,
        "created_at": now,
        "last_seen_at": now,
        "expires_at": now + timedelta(days=30),
        **fields,
    }
    devices = [IssuedToken(user=user, hash=uuid.uuid4().bytes * 2, **fields) for _ in range(count)]
    return IssuedToken.objects.bulk_create(devices, batch_size=500)


def listed(page, query=""):
    """The devices that the list shows, newest first."""
    answer = page.get(DEVICES + query)
    assert answer.status_code == 200
    return list(answer.context["cl"].result_list)


def hidden(answer):
    fields = {}
    for name, value in re.findall(
        r'<input type="hidden" name="([^"]*)" value="([^"]*)">', answer.content.decode()
    ):
        if name != "csrfmiddlewaretoken":
            fields.setdefault(unescape(name), []).append(unescape(value))
    return fields


def text_of(answer):
    """The page without its tags, and with one space where there was any."""
    html = unescape(re.sub(r"<[^>]*>", " ", answer.content.decode()))
    return re.sub(r"\s+", " ", html)


def select(page, devices, query="", **extra):
    """Choose the action on some rows; the answer is the confirmation page."""
    data = {"action": "revoke_selected", "_selected_action": [device.pk for device in devices]}
    return page.post(DEVICES + query, data | extra)


def confirm(page, asked, **typed):
    """Press the button of the confirmation page."""
    request = asked.request
    url = request["PATH_INFO"] + ("?" + request["QUERY_STRING"]).rstrip("?")
    return page.post(url, hidden(asked) | {"confirmed": "yes"} | typed)


def live(*users):
    return IssuedToken.objects.live().filter(user__in=users).count()


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
    assert "Safari on iPhone alice API live 8.8.8.8 · United States 3 hours ago 3 hours ago" in text
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


# Revoking


def revoke_by_page(page, device, **typed):
    return confirm(page, page.get(url_of(device, "revoke")), **typed)


def revoke_by_action(page, device, **typed):
    return confirm(page, select(page, [device]), **typed)


def revoke_by_user(page, device, **typed):
    return confirm(page, page.get(url_of(device.user, "revoke")), **typed)


WAYS = [revoke_by_page, revoke_by_action, revoke_by_user]


@pytest.mark.asvs("7.4.5")
@pytest.mark.parametrize("revoke", WAYS)
def test_revoked_device_is_refused_at_the_next_request(browser, support, api, alice, revoke):
    phone = api(alice)
    page = browser(support)
    assert phone.get("me").status_code == 200

    answer = revoke(page, phone.device, note="Reported as lost.")

    assert answer.status_code == 302
    assert "1 device was revoked." in text_of(page.get(answer.url))
    refused = phone.get("me")
    assert refused.status_code == 401
    assert refused.json() == {
        "detail": "This device was signed out.",
        "code": "device_revoked",
        "reason": "staff",
        "note": "Reported as lost.",
    }
    refused = api().post("refresh", {"refresh_token": phone.pair["refresh_token"]})
    assert refused.json()["note"] == "Reported as lost."


@pytest.mark.asvs("7.4.5")
@pytest.mark.parametrize("revoke", WAYS)
def test_row_and_history_say_who_when_and_why(browser, support, api, alice, revoke):
    device = api(alice).device

    revoke(browser(support), device, note="Reported as lost.")

    device = IssuedToken.objects.with_state().get(pk=device.pk)
    assert device.revoked_by == support
    assert device.revoked_by_name == "support"
    assert device.revoked_reason == "staff"
    assert device.revoked_note == "Reported as lost."
    assert device.created_at <= device.revoked_at <= device.now
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (support, str(device.pk))
    assert entry.get_change_message() == "Revoked: Reported as lost."
    history = text_of(browser(support).get(url_of(device, "history")))
    assert "Revoked: Reported as lost." in history


def test_row_keeps_its_end_when_the_staff_member_is_gone(browser, support, root, api, alice):
    phone = api(alice)
    revoke_by_page(browser(support), phone.device, note="Reported as lost.")
    support.delete()

    device = phone.device
    assert (device.revoked_by, device.revoked_by_name) == (None, "support")
    assert (device.revoked_reason, device.revoked_note) == ("staff", "Reported as lost.")
    assert "support" in text_of(browser(root).get(url_of(device)))


@pytest.mark.asvs("3.5.3")
def test_confirmation_lists_what_ends_and_does_nothing_yet(browser, support, api, alice, bob):
    phone, tablet = api(alice, HTTP_USER_AGENT=IPHONE), api(bob)
    page = browser(support)

    asked = select(page, [phone.device, tablet.device])

    text = text_of(asked)
    assert "These 2 devices of 2 people are signed out at the next request." in text
    assert "Safari on iPhone, alice" in text
    assert ", bob" in text
    assert 'value="Revoke 2 devices"' in asked.content.decode()
    assert live(alice, bob) == 2
    assert page.post(url_of(phone.device, "revoke"), {"note": "x"}).status_code == 200
    assert live(alice, bob) == 2


def test_confirmation_counts_what_it_does_not_list(browser, support, alice):
    make_devices(alice, 25)
    asked = browser(support).get(url_of(alice, "revoke"))
    assert "These 25 devices are" in text_of(asked)
    assert "and 5 more." in text_of(asked)
    assert text_of(asked).count("Unknown device, alice, signed in") == 20


def test_revocation_by_action_ends_the_selection_alone(browser, support, api, alice):
    chosen, other = api(alice), api(alice)
    page = browser(support)

    confirm(page, select(page, [chosen.device]))

    assert chosen.get("me").status_code == 401
    assert other.get("me").status_code == 200


def test_revocation_of_everything_a_filter_shows(browser, support, alice, bob):
    shown = make_devices(alice, 120, os="Windows")
    make_devices(alice, 2, os="Linux")
    ended = make_devices(bob, 1, os="Windows", revoked_at=timezone.now(), revoked_reason="logout")
    make_devices(bob, 3, os="Windows")
    page = browser(support)
    query = "?os=Windows"

    asked = select(page, listed(page, query)[:50], query, select_across="1", index="0")
    assert "These 123 devices of 2 people are" in text_of(asked)
    answer = confirm(page, asked, note="Windows is over.")

    assert "123 devices were revoked." in text_of(page.get(answer.url))
    assert answer.url == DEVICES + query
    revoked = IssuedToken.objects.filter(revoked_reason="staff")
    assert revoked.count() == 123
    assert not revoked.exclude(os="Windows", revoked_note="Windows is over.").exists()
    assert IssuedToken.objects.get(pk=ended[0].pk).revoked_reason == "logout"
    assert LogEntry.objects.filter(object_id=str(shown[0].pk)).count() == 1
    assert LogEntry.objects.count() == 123


def test_revocation_of_everything_a_search_shows(browser, support, alice, bob):
    make_devices(alice, 60)
    make_devices(bob, 1)
    page = browser(support)

    asked = select(page, listed(page, "?q=ali")[:50], "?q=ali", select_across="1", index="0")
    confirm(page, asked)

    assert (live(alice), live(bob)) == (0, 1)


def test_device_that_has_ended_keeps_its_end(browser, support, api, alice):
    phone = api(alice)
    phone.post("logout")
    page = browser(support)

    for asked in (page.get(url_of(phone.device, "revoke")), select(page, [phone.device])):
        assert "Nothing to revoke: none of these devices is live." in text_of(asked)
        confirm(page, asked, note="Too late.")

    assert (phone.device.revoked_reason, phone.device.revoked_note) == ("logout", "")


def test_row_of_an_ended_device_has_no_button(browser, support, api, alice):
    phone = api(alice)
    phone.post("logout")
    page = browser(support)
    for url in (DEVICES, url_of(phone.device)):
        assert url_of(phone.device, "revoke") not in page.get(url).content.decode()
    assert "revoked: signed out" in text_of(page.get(DEVICES))


@pytest.mark.parametrize(
    ("note", "kept"),
    [
        ("", ""),
        ("  spaces  ", "spaces"),
        ("x" * 600, "x" * 500),
        ("nul\0 and\nnewline\u202e", "nul andnewline"),
        ("Zoë's phone 📱", "Zoë's phone 📱"),
    ],
)
@pytest.mark.parametrize("revoke", WAYS)
def test_note_is_kept_clean(browser, support, api, alice, revoke, note, kept):
    phone = api(alice)

    assert revoke(browser(support), phone.device, note=note).status_code == 302

    told = phone.get("me").json()["note"]
    assert told.replace(" ", "") == kept.replace(" ", "")
    message = LogEntry.objects.get().get_change_message()
    assert message == (f"Revoked: {told}" if told else "Revoked.")


@pytest.mark.parametrize("selected", ["x", "", "%00", "0"])
def test_selection_of_no_device_is_no_server_error(browser, support, selected):
    answer = browser(support).post(
        DEVICES, {"action": "revoke_selected", "_selected_action": [selected]}
    )
    assert answer.status_code in (200, 302, 400)


@pytest.mark.asvs("3.5.1")
def test_revocation_needs_a_csrf_token(support, api, alice):
    phone = api(alice)
    page = Client(enforce_csrf_checks=True)
    token = page.get("/login").cookies[_csrf_cookie()].value
    login = {"username": "support", "password": PASSWORD, "csrfmiddlewaretoken": token}
    page.post("/login", login, headers={"referer": "https://testserver/login"}, secure=True)

    answer = page.post(url_of(phone.device, "revoke"), {"confirmed": "yes"}, secure=True)

    assert answer.status_code == 403
    assert phone.get("me").status_code == 200


def _csrf_cookie():
    from django.conf import settings

    return settings.CSRF_COOKIE_NAME


# One's own current device


@pytest.mark.parametrize("revoke", WAYS)
def test_own_current_device_is_left_out(browser, support, api, revoke):
    phone = api(support)
    page = browser(support)
    current = support.devices.get(kind="browser")

    if revoke is revoke_by_action:
        confirm(page, select(page, [phone.device, current]))
    elif revoke is revoke_by_user:
        revoke(page, phone.device)
    else:
        revoke(page, current)
        revoke(page, phone.device)

    assert page.get(DEVICES).status_code == 200
    assert phone.get("me").status_code == 401


@pytest.mark.parametrize("revoke", WAYS)
def test_own_current_device_ends_when_ticked(browser, support, revoke):
    page = browser(support)
    current = support.devices.get()
    asked = page.get(url_of(current, "revoke"))
    assert 'name="include_current"' in asked.content.decode()

    answer = revoke(page, current, include_current="yes")

    assert answer.url.startswith("/admin/login/")
    assert page.get(DEVICES).status_code == 302
    current.refresh_from_db()
    assert (current.revoked_reason, current.revoked_by) == ("staff", support)


def test_tick_is_offered_only_for_the_current_device(browser, support, api, alice):
    asked = browser(support).get(url_of(api(alice).device, "revoke"))
    assert "include_current" not in asked.content.decode()


# Who may


@pytest.fixture
def reader(db):
    """Staff who see users and devices and revoke nothing."""
    return make_staff("reader", "accounts.view_user", "tokens.view_issuedtoken")


def test_without_the_permission_there_is_no_button(browser, reader, api, alice):
    device = api(alice).device
    page = browser(reader)

    for url in (DEVICES, url_of(device), url_of(alice)):
        answer = page.get(url)
        assert answer.status_code == 200
        assert "/revoke/" not in answer.content.decode()
        assert "revoke_selected" not in answer.content.decode()


@pytest.mark.asvs("8.2.1")
def test_without_the_permission_there_is_no_revocation(browser, reader, api, alice):
    phone = api(alice)
    page = browser(reader)

    for url in (url_of(phone.device, "revoke"), url_of(alice, "revoke")):
        assert page.get(url).status_code == 403
        assert page.post(url, {"confirmed": "yes"}).status_code == 403
    select(page, [phone.device], confirmed="yes")
    select(page, [phone.device], confirmed="yes", select_across="1", index="0")

    assert phone.get("me").status_code == 200
    assert not LogEntry.objects.exists()


def test_users_without_devices_for_who_may_not_see_devices(browser, api, alice):
    device = api(alice).device
    staff = make_staff("people", "accounts.view_user", "tokens.revoke_issuedtoken")
    page = browser(staff)

    answer = page.get(url_of(alice))

    assert answer.status_code == 200
    assert str(device.pk) not in answer.content.decode()
    assert page.get(DEVICES).status_code == 403


def test_revoke_needs_no_permission_to_change(browser, support, alice, api):
    assert not support.has_perm("tokens.change_issuedtoken")
    assert revoke_by_page(browser(support), api(alice).device).status_code == 302


def test_support_does_not_revoke_a_superusers_device(browser, support, root, api, alice):
    theirs, hers = api(root), api(alice)
    page = browser(support)

    for url in (url_of(theirs.device, "revoke"), url_of(root, "revoke")):
        assert page.get(url).status_code == 403
        assert page.post(url, {"confirmed": "yes"}).status_code == 403
    left_out = "A superuser's devices are left out: only a superuser ends them."
    for text in (
        text_of(select(page, [theirs.device])),
        text_of(page.get(f"{DEVICES}incident/?network=192.0.2.0/24")),
    ):
        assert left_out in text
    assert left_out not in text_of(page.get(url_of(alice, "revoke")))
    asked = select(page, [theirs.device, hers.device])
    assert "This device is" in text_of(asked)
    assert left_out in text_of(asked)
    assert ", root" not in text_of(asked)
    confirm(page, asked)

    assert theirs.get("me").status_code == 200
    assert hers.get("me").status_code == 401


def test_superuser_revokes_a_superusers_device(browser, root, api):
    second = make_user("second", is_staff=True, is_superuser=True)
    phone = api(second)
    page = browser(root)
    assert "left out" not in text_of(select(page, [phone.device]))
    revoke_by_page(page, phone.device)
    assert phone.get("me").status_code == 401


@pytest.mark.asvs("8.2.1")
@pytest.mark.parametrize("path", ["", "x/change/", "x/revoke/"])
def test_people_who_are_not_staff_are_sent_to_sign_in(browser, alice, path):
    answer = browser(alice).get(DEVICES + path)
    assert answer.status_code == 302
    assert answer.url.startswith("/admin/login/")


# The password


@pytest.fixture
def stale(browser, age):
    def browser_of(user):
        page = browser(user)
        age(user.devices.get(kind="browser"), minutes=16)
        return page

    return browser_of


@pytest.mark.asvs("7.5.3")
def test_devices_of_several_users_ask_for_the_password(stale, support, api, alice, bob):
    hers, his, kept = api(alice), api(bob), api(bob)
    page = stale(support)

    asked = confirm(page, select(page, [hers.device, his.device]), note='A "note" & more.')
    assert asked.status_code == 200
    assert 'name="step_up_password"' in asked.content.decode()
    assert live(alice, bob) == 3

    wrong = confirm(page, asked, step_up_password="not my password")
    assert "This is not your password." in text_of(wrong)
    assert live(alice, bob) == 3

    done = confirm(page, wrong, step_up_password=PASSWORD)
    assert done.status_code == 302
    assert "2 devices were revoked." in text_of(page.get(done.url))
    assert hers.get("me").json()["note"] == 'A "note" & more.'
    assert his.get("me").status_code == 401
    assert kept.get("me").status_code == 200


def test_password_is_asked_for_everything_a_filter_shows(stale, support, alice, bob):
    make_devices(alice, 60)
    make_devices(bob, 60)
    page = stale(support)
    query = "?kind__exact=api"

    asked = select(page, listed(page, query)[:50], query, select_across="1", index="0")
    asked = confirm(page, asked, note="All.")
    done = confirm(page, asked, step_up_password=PASSWORD)

    assert done.url == DEVICES + query
    assert live(alice, bob) == 0
    assert IssuedToken.objects.filter(revoked_note="All.").count() == 120


def test_own_ticked_device_is_not_lost_by_the_password(stale, support, api, alice):
    phone = api(alice)
    page = stale(support)
    current = support.devices.get()

    asked = select(page, [phone.device, current])
    asked = confirm(page, asked, include_current="yes")
    assert live(alice, support) == 2
    done = confirm(page, asked, step_up_password=PASSWORD)

    assert done.url.startswith("/admin/login/")
    assert live(alice, support) == 0


@pytest.mark.parametrize("revoke", WAYS)
def test_devices_of_one_user_ask_for_no_password(stale, support, api, alice, revoke):
    phone = api(alice)
    assert revoke(stale(support), phone.device).status_code == 302
    assert phone.get("me").status_code == 401


def test_fresh_staff_are_not_asked(browser, support, api, alice, bob):
    hers, his = api(alice), api(bob)
    page = browser(support)
    assert confirm(page, select(page, [hers.device, his.device])).status_code == 302
    assert live(alice, bob) == 0


# The page of a user


def test_page_of_a_user_shows_live_devices(browser, support, api, alice, bob):
    phone, ended = api(alice, HTTP_USER_AGENT=IPHONE), api(alice)
    ended.post("logout")
    his = api(bob).device

    answer = browser(support).get(url_of(alice))

    html, text = answer.content.decode(), text_of(answer)
    assert "Safari on iPhone" in text
    assert "last seen just now" in text
    assert url_of(phone.device, "revoke") in html
    assert url_of(ended.device) not in html
    assert url_of(his) not in html
    assert "1 live, 1 ended" in text
    assert "Revoke all 1" in text
    assert "All devices of alice" in text


def test_who_may_not_revoke_sees_the_counts_too(browser, reader, api, alice):
    api(alice), api(alice).post("logout")
    assert "1 live, 1 ended" in text_of(browser(reader).get(url_of(alice)))


def test_all_devices_of_a_user_are_one_click_away(browser, support, api, alice, bob):
    device = api(alice).device
    api(bob)
    page = browser(support)
    html = unescape(page.get(url_of(alice)).content.decode())
    [url] = re.findall(r'href="([^"]*)">All devices of alice', html)

    answer = page.get(url)

    assert list(answer.context["cl"].result_list) == [device]


@pytest.mark.asvs("7.4.5")
def test_revoke_all_ends_all_devices_of_the_user(browser, support, api, alice, bob):
    phone, laptop, his = api(alice), browser(alice), api(bob)
    page = browser(support)

    asked = page.get(url_of(alice, "revoke"))
    assert "These 2 devices are" in text_of(asked)
    answer = confirm(page, asked, note="All of them.")

    assert answer.url == url_of(alice)
    assert "2 devices were revoked." in text_of(page.get(answer.url))
    assert phone.get("me").json()["note"] == "All of them."
    assert laptop.get("/api/v1/me").status_code == 401
    assert his.get("me").status_code == 200
    assert LogEntry.objects.count() == 2


def test_page_of_a_user_without_devices(browser, support, alice):
    answer = browser(support).get(url_of(alice))
    assert "0 live, 0 ended" in text_of(answer)
    assert "Revoke all" not in text_of(answer)
    assert "All devices of alice" in text_of(answer)


def test_page_of_a_user_with_many_devices_costs_the_same(
    browser, support, alice, django_assert_max_num_queries
):
    make_devices(alice, 500)
    page = browser(support)
    page.get(url_of(alice))
    with django_assert_max_num_queries(25):
        answer = page.get(url_of(alice))
    assert "500 live, 0 ended; the 20 seen last:" in text_of(answer)
    assert "Revoke all 500" in text_of(answer)
    assert answer.content.decode().count('class="revoke"') == 20


@pytest.mark.parametrize("who", ["root", "manager"])
@pytest.mark.parametrize("by", ["page", "action"])
def test_user_with_devices_is_deleted(browser, request, who, by, api, alice):
    phone = api(alice)
    page = browser(request.getfixturevalue(who))

    if by == "page":
        answer = page.post(url_of(alice, "delete"), {"post": "yes"})
    else:
        data = {"action": "delete_selected", "_selected_action": [alice.pk], "post": "yes"}
        answer = page.post("/admin/accounts/user/", data)

    assert answer.status_code == 302
    assert not User.objects.filter(username="alice").exists()
    assert phone.get("me").json()["code"] == "token_invalid"


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


def test_note_is_escaped_on_the_way_through_the_password(stale, support, api, alice, bob):
    page = stale(support)
    asked = select(page, [api(alice).device, api(bob).device])
    html = confirm(page, asked, note=f'">{HOSTILE}').content.decode()
    assert "<script>alert" not in html
    assert '">' + "<img" not in html


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


def test_support_sees_no_revoke_beside_a_device_of_a_superuser(api, browser, alice, root, support):
    api(alice)
    own = api(root).device

    for staff, shown in ((support, False), (root, True)):
        page = browser(staff).get("/admin/tokens/issuedtoken/").content.decode()
        assert (f"/{own.pk}/revoke/" in page) == shown
        assert f"/{alice.devices.get().pk}/revoke/" in page


def test_deletion_of_a_user_counts_the_devices(browser, root, alice, django_assert_max_num_queries):
    make_devices(alice, 3000)
    tab = browser(root)
    url = f"/admin/accounts/user/{alice.pk}/delete/"

    with django_assert_max_num_queries(30):
        page = tab.get(url).content.decode()
    assert "3,000 devices" in page
    assert len(page) < 30_000

    with django_assert_max_num_queries(45):
        assert tab.post(url, {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=alice.pk).exists()
    assert not IssuedToken.objects.exclude(user=root).exists()
