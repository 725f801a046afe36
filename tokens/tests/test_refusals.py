"""After the end: a revoked device that still tries is counted, at most once a minute."""

import re

import pytest

from accounts import exceptions
from tokens import flows, stories
from tokens.client import Client
from tokens.flows import refusals

SENTENCES = {
    refusal.default_code: refusal.default_detail
    for refusal in vars(exceptions).values()
    if hasattr(refusal, "default_code") and refusal.__module__ == exceptions.__name__
    if isinstance(refusal.default_detail, str)
}


@pytest.fixture
def revoked(api, alice, root):
    phone = api(alice)
    flows.revoke_for_user(alice, alice.devices.all(), by=root)
    return phone


def test_refusals_are_counted_once_a_minute(revoked, age):
    for _ in range(3):
        assert revoked.get("me").status_code == 401
    assert revoked.device.refused_count == 1

    age(revoked.device, seconds=61)
    revoked.get("me")

    assert revoked.device.refused_count == 2


def test_refused_refresh_is_counted_with_its_address(revoked, api, age):
    thief = api(REMOTE_ADDR="81.2.69.142")
    thief.post("refresh", {"refresh_token": revoked.pair["refresh_token"]})

    device = revoked.device
    assert (device.refused_count, device.refused_ip) == (1, "81.2.69.142")


def test_device_that_ended_by_itself_counts_nothing(api, alice, age):
    phone = api(alice)
    age(phone.device, days=14)

    phone.get("me")

    assert (phone.device.state, phone.device.refused_count) == ("idle", 0)


def test_of_two_refusals_at_once_one_is_counted(revoked):
    """Both have read the row before either writes."""
    first, second = revoked.device, revoked.device
    for device in (first, second):
        with pytest.raises(flows.Refused):
            refusals.require_live(device, Client(ip_address=None))

    assert revoked.device.refused_count == 1


def test_staff_and_owner_see_what_came_after_the_end(revoked, age, alice, root, browser):
    revoked.get("me")
    age(revoked.device, minutes=3)
    revoked.get("me")
    age(revoked.device, minutes=3)

    url = f"/admin/tokens/issuedtoken/{revoked.device.pk}/change/"
    for page in (browser(alice).get("/devices/"), browser(root).get(url)):
        text = page.content.decode().replace("\xa0", " ").lower()
        assert "refused 2 times since, last 3 minutes ago from 127.0.0.1" in text


@pytest.mark.parametrize("code", [*stories.REFUSALS, *SENTENCES])
def test_sentences_for_people_are_plain(code):
    """People sign in and out. A sentence is short, and says what helps if something does."""
    said = stories.REFUSALS.get(code) or SENTENCES[code]
    assert not re.search(r"\blog(ged)? (in|out)\b|\bsession\b|\binvalid\b", said.lower())
    assert all(len(sentence.split()) <= 20 for sentence in re.split(r"[.;] ", said))
    assert said.endswith(".")
