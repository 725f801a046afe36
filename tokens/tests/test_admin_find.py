"""*Find* on the admin's front page: it leads to the person, or to a list."""

import pytest

from accounts.tests.admin import make_staff, text_of, url_of
from tests.plugins.guestlist import make_user
from tokens.tests.admin import DEVICES

FIND = f"{DEVICES}find/"
USERS = "/admin/accounts/user/"


@pytest.mark.parametrize(
    ("term", "leads_to"),
    [
        ("ali", USERS + "{alice}/change/"),
        (" ALICE@exam ", USERS + "{alice}/change/"),
        ("a", USERS + "?q=a"),
        ("", USERS + "?q="),
        ("no & body", USERS + "?q=no+%26+body"),
        ("a\0b", USERS + "?q=a%00b"),
        ("203.0.113.0/24", DEVICES + "?q=203.0.113.0%2F24"),
        ("2001:db8::1", DEVICES + "?q=2001%3Adb8%3A%3A1"),
        ("{device}", DEVICES + "?q={device}"),
    ],
)
def test_find_leads_to_who_is_meant(browser, support, api, alice, term, leads_to):
    make_user("anna")
    keys = {"alice": alice.pk, "device": api(alice).device.pk}
    answer = browser(support).get(FIND, {"q": term.format(**keys)})
    assert (answer.status_code, answer.url) == (302, leads_to.format(**keys))


def test_find_says_that_there_is_nobody(browser, support):
    answer = browser(support).get(FIND, {"q": "zoe"}, follow=True)
    assert "No username or email address starts with “zoe”." in text_of(answer)


def test_who_may_not_see_people_finds_devices(browser, api, alice):
    api(alice)
    page = browser(make_staff("helper", "tokens.view_issuedtoken"))
    assert page.get(FIND, {"q": "ali"}).url == DEVICES + "?q=ali"


def test_way_back_from_the_page_of_a_person_is_the_person(browser, support, api, alice):
    phone, page = api(alice), browser(support)
    asked = page.get(url_of(phone.device, "revoke"), {"from_person": ""})
    assert f'href="{url_of(alice)}">Cancel' in asked.content.decode()
