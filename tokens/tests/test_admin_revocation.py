"""Revoking in the admin, and back to where staff came from."""

import re
from html import unescape

import pytest

from tests.plugins.guestlist import FIREFOX, PASSWORD
from tokens.models import IssuedToken
from tokens.tests.test_admin import DEVICES, confirm, text_of, url_of


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
def test_form_sent_twice_says_that_nothing_was_left(page, phone, alice, item):
    asked = page.get(url_of({"device": phone.device, "user": alice}[item], "revoke"))
    confirm(page, asked)
    text = text_of(page.get(confirm(page, asked).url))
    assert "1 device was revoked. Nothing was left to revoke." in text
    assert "0 devices" not in text


def test_own_form_sent_twice_says_that_nothing_was_left(browser, alice, phone):
    hers = browser(alice)
    sent = {"password": PASSWORD}
    hers.post("/devices/sign-out-others/", sent)
    text = text_of(hers.post("/devices/sign-out-others/", sent, follow=True))
    assert "1 device was signed out. No other device was left to sign out." in text
