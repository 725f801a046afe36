"""The devices of a user on the page of the user in the admin."""

import re
from html import unescape

import pytest
from django.contrib.admin.models import LogEntry

from accounts.models import User
from accounts.tests.admin import text_of, url_of
from tests.plugins.guestlist import IPHONE
from tokens.models import IssuedToken
from tokens.tests.admin import confirm, make_devices


def test_page_of_a_user_shows_live_devices(browser, support, api, alice, bob):
    phone, ended = api(alice, HTTP_USER_AGENT=IPHONE), api(alice)
    ended.post("logout")
    his = api(bob).device

    answer = browser(support).get(url_of(alice))

    html, text = answer.content.decode(), text_of(answer)
    assert "Safari on iPhone - API - 127.0.0.1 just now just now live Revoke" in text
    assert f"{url_of(phone.device, 'revoke')}?from_person" in html
    assert url_of(ended.device, "revoke") not in html
    assert re.search(r"Ended devices.* Unknown device - \d.*:\d\d signed out alice -", text)
    assert url_of(his) not in html
    assert "1 live, 1 ended" in text
    assert "Revoke all" not in text
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
    with django_assert_max_num_queries(12):
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
