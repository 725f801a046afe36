"""What staff are told about devices that ended before they pressed Revoke."""

import pytest
from django.contrib.admin.models import LogEntry

from accounts.tests.admin import text_of, url_of
from tests.plugins.guestlist import make_user
from tokens.models import IssuedToken
from tokens.tests.admin import confirm, revoke_by_page, select


@pytest.fixture
def page(browser, support):
    return browser(support)


@pytest.fixture
def boss(browser, root):
    return browser(root)


def said(page, answer):
    return [str(message) for message in page.get(answer.url).context["messages"]]


def test_colleague_who_was_faster_is_named_and_the_second_note_is_kept(page, boss, api, alice):
    phone = api(alice)
    asked = page.get(url_of(phone.device, "revoke"))
    revoke_by_page(boss, phone.device, note="The <first>.")

    answer = confirm(page, asked, note="The second.")

    html = page.get(answer.url).content.decode()
    assert "Already revoked by root at <time" in html
    assert "</time>: The &lt;first&gt;." in html
    assert phone.device.revoked_note == "The <first>."
    entries = LogEntry.objects.filter(object_id=str(phone.device.pk)).order_by("pk")
    assert [(entry.user.username, entry.change_message) for entry in entries] == [
        ("root", "Revoked: The <first>."),
        ("support", "Had ended already. Second note: The second."),
    ]


@pytest.mark.parametrize("many", ["user", "selection"])
def test_some_of_many_had_ended(page, boss, api, alice, many):
    before, *phones = [api(alice) for _ in range(4)]
    revoke_by_page(boss, before.device)
    devices = [phone.device for phone in phones]
    asked = select(page, devices) if many == "selection" else page.get(url_of(alice, "revoke"))
    for device in devices[1:]:
        revoke_by_page(boss, device, note="The first.")

    told = text_of(page.get(confirm(page, asked, note="The second.").url))

    assert "1 device was revoked. 2 of them had ended. The last one: Already revoked by" in told
    late = LogEntry.objects.filter(change_message__contains="The second.", user__username="support")
    assert late.count() == 3
    assert not late.filter(object_id=str(before.device.pk)).exists()


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        (lambda phone: phone.post("logout"), "Already ended: signed out at "),
        (lambda phone: phone.device.user.delete(), "Nothing was left to revoke."),
    ],
    ids=["signed out", "deleted"],
)
def test_device_that_ended_otherwise(page, boss, api, end, sentence):
    phone = api(make_user("carol"))
    asked = select(page, [phone.device])
    end(phone)
    [told] = said(page, confirm(page, asked))
    assert told.startswith(sentence)


def test_link_to_a_device_that_ended_long_ago(page, api, alice, age):
    phone = api(alice)
    IssuedToken.objects.filter(pk=phone.device.pk).revoke(reason="incident")
    age(phone.device, days=2)
    told = text_of(page.get(url_of(phone.device, "revoke")))
    assert "Already revoked by staff on " in told


def test_link_to_a_device_that_is_idle(page, api, alice, age):
    phone = api(alice)
    age(phone.device, days=15)
    told = text_of(page.get(url_of(phone.device, "revoke")))
    assert "Already ended: not used for too long." in told


def test_page_that_is_too_old_is_shown_again_with_what_was_typed(page, api, alice):
    phone = api(alice)
    typed = {"confirmed": "yes", "shown": "x", "reason": "Reported lost.", "note": "Call 555."}
    answer = page.post(url_of(phone.device, "revoke"), typed)
    assert "This page was too old. Look again at what would end." in text_of(answer)
    assert answer.context["form"].initial == {"reason": "Reported lost.", "note": "Call 555."}
    assert phone.get("me").status_code == 200
