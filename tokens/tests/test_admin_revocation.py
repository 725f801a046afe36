"""Revoking in the admin: who may, what ends, what it asks, and where it leads back to."""

import re
from html import unescape

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from accounts.tests.admin import make_staff, text_of, url_of
from tests.plugins.guestlist import FIREFOX, IPHONE, PASSWORD, make_user
from tokens.models import IssuedToken
from tokens.tests.admin import (
    DEVICES,
    WAYS,
    confirm,
    listed,
    live,
    make_devices,
    revoke_by_action,
    revoke_by_page,
    revoke_by_user,
    select,
)

HOSTILE = "<script>alert('1')</script><img src=x onerror=alert(1)>"


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
    assert "alice alice@example.org Safari on iPhone - - 127.0.0.1 just now just now" in text
    assert "bob bob@example.org" in text
    assert 'value="Revoke 2 devices"' in asked.content.decode()
    assert live(alice, bob) == 2
    assert page.post(url_of(phone.device, "revoke"), {"note": "x"}).status_code == 200
    assert live(alice, bob) == 2


def test_confirmation_counts_what_it_does_not_list(browser, support, alice):
    make_devices(alice, 25)
    asked = browser(support).get(url_of(alice, "revoke"))
    assert "These 25 devices are" in text_of(asked)
    assert "and 5 more." in text_of(asked)
    assert text_of(asked).count("alice alice@example.org Unknown device") == 20


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

    for asked, said in (
        (page.get(url_of(phone.device, "revoke")), "Already ended: signed out at"),
        (select(page, [phone.device]), "Nothing to revoke: none of these devices is live."),
    ):
        assert said in text_of(asked)
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
    assert LogEntry.objects.get().get_change_message() == f"Revoked: {told}"


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


def test_support_sees_no_revoke_beside_a_device_of_a_superuser(api, browser, alice, root, support):
    api(alice)
    own = api(root).device

    for staff, shown in ((support, False), (root, True)):
        page = browser(staff).get("/admin/tokens/issuedtoken/").content.decode()
        assert (f"/{own.pk}/revoke/" in page) == shown
        assert f"/{alice.devices.get().pk}/revoke/" in page


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


@pytest.mark.asvs("7.5.3")
def test_devices_of_several_users_ask_for_the_password(stale_browser, support, api, alice, bob):
    hers, his, kept = api(alice), api(bob), api(bob)
    page = stale_browser(support)

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


def test_password_is_asked_for_everything_a_filter_shows(stale_browser, support, alice, bob):
    make_devices(alice, 60)
    make_devices(bob, 60)
    page = stale_browser(support)
    query = "?kind__exact=api"

    asked = select(page, listed(page, query)[:50], query, select_across="1", index="0")
    asked = confirm(page, asked, note="All.")
    done = confirm(page, asked, step_up_password=PASSWORD)

    assert done.url == DEVICES + query
    assert live(alice, bob) == 0
    assert IssuedToken.objects.filter(revoked_note="All.").count() == 120


def test_own_ticked_device_is_not_lost_by_the_password(stale_browser, support, api, alice):
    phone = api(alice)
    page = stale_browser(support)
    current = support.devices.get()

    asked = select(page, [phone.device, current])
    asked = confirm(page, asked, include_current="yes")
    assert live(alice, support) == 2
    done = confirm(page, asked, step_up_password=PASSWORD)

    assert done.url.startswith("/admin/login/")
    assert live(alice, support) == 0


@pytest.mark.parametrize("revoke", WAYS)
def test_devices_of_one_user_ask_for_no_password(stale_browser, support, api, alice, revoke):
    phone = api(alice)
    assert revoke(stale_browser(support), phone.device).status_code == 302
    assert phone.get("me").status_code == 401


def test_fresh_staff_are_not_asked(browser, support, api, alice, bob):
    hers, his = api(alice), api(bob)
    page = browser(support)
    assert confirm(page, select(page, [hers.device, his.device])).status_code == 302
    assert live(alice, bob) == 0


def test_note_is_escaped_on_the_way_through_the_password(stale_browser, support, api, alice, bob):
    page = stale_browser(support)
    asked = select(page, [api(alice).device, api(bob).device])
    html = confirm(page, asked, note=f'">{HOSTILE}').content.decode()
    assert "<script>alert" not in html
    assert '">' + "<img" not in html


# The way back


@pytest.fixture
def phone(api, alice):
    return api(alice, headers={"user-agent": FIREFOX})


def link_to_revoke(answer, device):
    [link] = re.findall(r'<a class="revoke" href="([^"]*)"', answer.content.decode())
    assert unescape(link).startswith(url_of(device, "revoke"))
    return unescape(link)


def cancel(asked):
    [link] = re.findall(r'<a class="(?:closelink|button)" href="([^"]*)"', asked.content.decode())
    return unescape(link)


@pytest.fixture
def page(browser, support):
    return browser(support)


@pytest.mark.parametrize(
    "query",
    [
        "?state=live&q=alice&os=Linux",
        "?q=alice&created_at__gte=2020-01-01+00%3A00%3A00%2B00%3A00",
        "?q=alice&o=7",
    ],
)
def test_revoking_from_a_filtered_list_leads_back_to_it(page, phone, query):
    asked = page.get(link_to_revoke(page.get(DEVICES + query), phone.device))
    assert cancel(asked) == DEVICES + query

    answer = confirm(page, asked)

    assert (answer.status_code, answer.url) == (302, DEVICES + query)
    assert "1 device was revoked." in text_of(page.get(answer.url))


def test_cancel_leads_back_if_the_device_has_ended(page, phone):
    link = link_to_revoke(page.get(DEVICES + "?q=alice"), phone.device)
    IssuedToken.objects.filter(pk=phone.device.pk).revoke(reason="logout")
    assert cancel(page.get(link)) == DEVICES + "?q=alice"


def test_revoking_from_the_page_of_a_device_leads_back_to_it(page, phone):
    asked = page.get(link_to_revoke(page.get(url_of(phone.device)), phone.device))
    assert cancel(asked) == url_of(phone.device)
    assert confirm(page, asked).url == url_of(phone.device)


@pytest.mark.parametrize(
    "filters", ["https://evil.example/", "//evil.example", "a%0d%0aLocation: x", "%00", "%25"]
)
def test_way_back_stays_in_the_list(page, phone, filters):
    url = f"{url_of(phone.device, 'revoke')}?_changelist_filters={filters}"
    asked = page.get(url)
    assert cancel(asked).partition("?")[0] == DEVICES
    assert confirm(page, asked).url.partition("?")[0] == DEVICES


@pytest.mark.parametrize("item", ["device", "user"])
def test_form_sent_twice_says_what_the_first_one_did(page, phone, alice, item):
    asked = page.get(url_of({"device": phone.device, "user": alice}[item], "revoke"))
    confirm(page, asked)
    text = text_of(page.get(confirm(page, asked).url))
    assert "1 device was revoked. Already revoked by you at" in text
    assert "0 devices" not in text
    assert LogEntry.objects.count() == 1


def test_own_form_sent_twice_says_that_nothing_was_left(browser, alice, phone):
    hers = browser(alice)
    sent = {"password": PASSWORD}
    hers.post("/devices/sign-out-others/", sent)
    text = text_of(hers.post("/devices/sign-out-others/", sent, follow=True))
    assert "1 device was signed out. You are not signed in anywhere else." in text
