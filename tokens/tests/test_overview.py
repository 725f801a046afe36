"""The overview on the front page of the admin."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache
from django.core.cache.backends.base import BaseCache
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tests.admin import make_staff, text_of
from tokens import flows
from tokens.models import DailyCount, IssuedToken
from tokens.overview import live_by_os
from tokens.tests.admin import make_devices
from tokens.tests.test_keys import key


@pytest.fixture(autouse=True)
def nothing_cached():
    cache.clear()


def front(page):
    answer = page.get("/admin/")
    assert answer.status_code == 200
    return text_of(answer)


def days_ago(days):
    return datetime.now(UTC) - timedelta(days=days)


def revoked(user, count, days, reason="staff"):
    return make_devices(user, count, revoked_at=days_ago(days), revoked_reason=reason)


def test_it_counts_live_devices_by_os(browser, support, alice):
    make_devices(alice, 3, os="Windows", created_at=days_ago(2))
    make_devices(alice, 2, os="iOS", created_at=days_ago(40))
    revoked(alice, 4, days=1)
    text = front(browser(support))
    assert "Live now 6 By OS Windows 3 iOS 2 Unknown 1" in text


def test_it_counts_sign_ins_and_revocations_of_thirty_days(browser, support, alice):
    make_devices(alice, 3, created_at=days_ago(2))
    make_devices(alice, 2, created_at=days_ago(31))
    revoked(alice, 4, days=1)
    html = browser(support).get("/admin/").content.decode()
    assert 'aria-label="Sign-ins a day: 8 in 30 days, at most 5 on one, 5 today so far."' in html
    assert 'aria-label="Revocations a day: 4 in 30 days, at most 4 on one, 0 today so far."' in html
    assert html.count("<rect") == 60


def test_it_shows_the_latest_reuses(browser, support, alice, bob):
    (seen,) = revoked(alice, 1, days=3, reason="reuse")
    IssuedToken.objects.filter(pk=seen.pk).update(
        alarm="reuse", alarm_at=days_ago(3), alarm_ip="203.0.113.7"
    )
    (old,) = revoked(bob, 1, days=31, reason="reuse")
    IssuedToken.objects.filter(pk=old.pk).update(alarm="reuse", alarm_at=days_ago(31))
    page = browser(support)
    text = front(page)
    assert f"alice , alice@example.org, {days_ago(3):%-d %b %Y}" in text
    assert "203.0.113.7" in text
    assert "bob" not in text


def test_without_a_reuse_it_says_so(browser, support):
    assert "None: no refresh token was used twice." in front(browser(support))


def test_a_day_that_is_over_is_counted_once_and_kept(browser, support, alice):
    make_devices(alice, 3, created_at=days_ago(2))
    page = browser(support)
    front(page)
    assert DailyCount.objects.count() == 29
    assert DailyCount.objects.get(day=days_ago(2).date()).sign_ins == 3
    IssuedToken.objects.filter(user=alice).delete()
    make_devices(alice, 1)
    cache.clear()
    assert "Sign-ins, last 30 days 5" in front(page)  # three kept, and today's two


def test_a_purge_counts_before_it_deletes(alice):
    revoked(alice, 2, days=29)
    assert sum(flows.purge(IssuedToken.objects.all())) == 2
    assert DailyCount.objects.get(day=days_ago(29).date()).revocations == 2


def test_it_is_at_most_a_minute_old_and_costs_nothing_in_between(browser, support, alice):
    page = browser(support)
    with CaptureQueriesContext(connection) as first:
        front(page)
    make_devices(alice, 3)
    with CaptureQueriesContext(connection) as second:
        assert "Live now 1" in front(page)
    assert len(second) < len(first)
    assert not any("tokens_dailycount" in query["sql"] for query in second)


@pytest.mark.asvs("16.5.2")
@pytest.mark.parametrize("cache_class", ["GoneCache", "VanishingCache"])
def test_a_cache_that_is_gone_costs_the_queries_and_no_more(
    browser, support, settings, caplog, cache_class
):
    settings.CACHES = {"default": {"BACKEND": f"tokens.tests.test_overview.{cache_class}"}}
    page = browser(support)
    assert "Live now 1" in front(page)
    assert "cache unavailable" in caplog.text


class GoneCache(BaseCache):
    def __init__(self, location, params):
        super().__init__(params)

    def get(self, key, default=None, version=None):
        raise ConnectionError("no cache")

    def set(self, key, value, timeout=None, version=None):
        raise ConnectionError("no cache")

    def clear(self):
        pass


class VanishingCache(GoneCache):
    """Gone between the question and the answer that was to be kept."""

    def get(self, key, default=None, version=None):
        return default


def test_the_cache_holds_no_hash(browser, support, alice):
    (seen,) = revoked(alice, 1, days=3, reason="reuse")
    IssuedToken.objects.filter(pk=seen.pk).update(alarm="reuse", alarm_at=days_ago(3))
    front(browser(support))
    assert set(cache.get("overview")["alarms"][0]) == {
        "pk",
        "user__username",
        "user__email",
        "alarm_at",
        "alarm_ip",
    }


def test_it_shows_the_devices_of_each_key_as_the_purge_counted_them(
    browser, support, alice, settings
):
    now = datetime.now(UTC)
    settings.JWT_SIGNING_KEYS = [
        key("old"),
        key("new", now - timedelta(days=1)),
        key("next <b>", "2099-01-31T18:30:00Z"),
        key("moved"),
    ]
    make_devices(alice, 1100, rotated_at=days_ago(2))
    make_devices(alice, 2)
    page = browser(support)
    assert "old unknown new, signs now unknown" in front(page)
    assert "purge_devices counts them." in front(page)

    call_command("purge_devices")
    cache.clear()

    text = front(page)
    assert "old 1,100 new, signs now 2 next <b>, signs from 31 Jan 2099, 18:30 on 0" in text
    assert "moved unknown" in text
    assert "Counted" in text


def test_one_key_is_not_worth_a_word(browser, support):
    assert "Signing keys" not in front(browser(support))


@pytest.mark.parametrize("labels", [(), ("accounts.view_user",)])
def test_who_may_not_see_devices_sees_no_overview(db, browser, labels):
    assert "Live now" not in front(browser(make_staff("erin", *labels)))


def test_an_estimate_is_close_to_the_truth(alice, monkeypatch):
    """Ten thousand of twenty thousand are looked at. Five standard errors: 7 %."""
    monkeypatch.setattr("tokens.overview.SAMPLE_SIZE", 1000)
    make_devices(alice, 1500, os="iOS")
    make_devices(alice, 500, os="Windows", revoked_at=days_ago(1), revoked_reason="staff")
    live = live_by_os()
    assert live.estimated
    assert live.total == pytest.approx(1500, rel=0.2)
    assert live.by_os == [("iOS", live.total)]


def test_up_to_the_sample_nothing_is_estimated(alice, monkeypatch):
    monkeypatch.setattr("tokens.overview.SAMPLE_SIZE", 10)
    make_devices(alice, 10)
    assert (live_by_os().total, live_by_os().estimated) == (10, False)


def test_an_estimate_is_rounded_to_what_it_knows(alice, monkeypatch):
    monkeypatch.setattr("tokens.overview.SAMPLE_SIZE", 2)
    for number in (1, 2, 3):
        make_devices(alice, 1, id=uuid.UUID(int=number * 2**112))
    assert live_by_os().total == 43700  # two in 3 of 65536 parts of the space
