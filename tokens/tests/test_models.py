"""What the models say and count, asked directly."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from tests.plugins.guestlist import NEW_PASSWORD
from tokens import flows
from tokens.client import Client
from tokens.models import DailyCount, IssuedToken
from tokens.stories import ended_note, refused_text
from tokens.tests.admin import make_devices

DAY = timedelta(days=1)


def test_migrations_make_what_the_models_are(db):
    said = StringIO()
    call_command("makemigrations", dry_run=True, stdout=said)
    assert said.getvalue() == "No changes detected\n"


def ended(user, **values):
    [device] = make_devices(user, 1, **values)
    return device


def test_devices_that_ended_since_are_told_by_their_first_end(alice):
    now = timezone.now()
    later = now + 30 * DAY
    revoked = ended(alice, revoked_at=now - 2 * DAY, revoked_reason="user")
    idle = ended(alice, idle_at=now - 3 * DAY, expires_at=later)
    expired = ended(alice, idle_at=None, expires_at=now - 4 * DAY)
    ended(alice, revoked_at=now - 9 * DAY, revoked_reason="user", expires_at=later)
    ended(alice, idle_at=now - 9 * DAY, expires_at=later)
    ended(alice, idle_at=None, expires_at=now - 9 * DAY)
    make_devices(alice, 1, expires_at=later)

    assert list(alice.devices.ended_since(Now() - 8 * DAY)) == [revoked, idle, expired]


def test_breakdown_holds_the_five_largest_groups(alice):
    for number, os in enumerate("ABCDEFG", 1):
        make_devices(alice, number, os=os, kind="api", browser="Firefox", location="")

    assert alice.devices.breakdown() == {
        "os": [("G", 7), ("F", 6), ("E", 5), ("D", 4), ("C", 3)],
        "browser": [("Firefox", 28)],
        "kind": [("api", 28)],
        "location": [("", 28)],
    }
    assert alice.devices.breakdown(1)["os"] == [("G", 7)]


def test_device_that_was_refreshed_was_used(api, alice):
    """Also while its new generation was not used yet."""
    phone = api(alice)
    assert alice.devices.never_used().exists()

    phone.http.post("/api/v1/refresh", {"refresh_token": phone.pair["refresh_token"]})

    assert phone.device.confirmed is False
    assert not alice.devices.never_used().exists()


@pytest.mark.parametrize(
    ("days", "by", "is_past"), [(29, 0, False), (31, 0, True), (31, 2, False), (33, 2, True)]
)
def test_devices_are_past_their_retention_by_so_long(alice, settings, days, by, is_past):
    settings.DEVICE_RETENTION = 30 * DAY
    ended(alice, revoked_at=timezone.now() - days * DAY, revoked_reason="user")

    assert alice.devices.past_retention(by * DAY).exists() is is_past


def refused(**values):
    now = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    device = IssuedToken(refused_at=now - values.pop("ago"), **values)
    device.now = now
    return refused_text(device).replace("\xa0", " ")


def test_refusals_are_told_in_words():
    minute = timedelta(minutes=1)
    assert refused_text(IssuedToken()) == ""
    assert (
        refused(ago=59 * minute / 60, refused_count=1, refused_ip="203.0.113.7")
        == "refused once since, last just now from 203.0.113.7"
    )
    assert (
        refused(ago=minute, refused_count=2)
        == "refused 2 times since, last 1 minute ago from somewhere"
    )
    assert (
        refused(ago=timedelta(days=8, hours=5), refused_count=14)
        == "refused 14 times since, last 1 week ago from somewhere"
    )


def test_both_sides_of_a_reuse_are_told_in_words():
    seen = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
    device = IssuedToken(
        revoked_reason="reuse",
        rotated_at=seen,
        rotated_ip="203.0.113.7",
        rotated_user_agent=firefox,
        alarm_at=None,
        alarm_ip=None,
        alarm_client="",
    )

    assert ended_note(device) == (
        "Used first on 29 Mar 2026, 01:30 UTC from 203.0.113.7 by Firefox on Linux, "
        "then again at an unknown time from an unknown address by Unknown device."
    )
    device.alarm_at, device.alarm_ip = seen + timedelta(minutes=14), "203.0.113.8"
    assert "then again on 29 Mar 2026, 01:44 UTC from 203.0.113.8 by" in ended_note(device)


def today():
    return datetime.now(UTC).date()


def test_days_are_counted_from_the_first_to_today(alice):
    make_devices(alice, 2)
    make_devices(alice, 1, created_at=timezone.now() - 3 * DAY)

    counts = DailyCount.objects.recent(3)

    assert [(count.day, count.sign_ins) for count in counts] == [
        (today() - 2 * DAY, 0),
        (today() - DAY, 0),
        (today(), 2),
    ]


def test_days_that_were_kept_are_not_counted_again(alice):
    """Neither the first day nor any other is counted twice, and none that is too old is read."""
    for ago in (3, 2, 1):
        DailyCount.objects.create(day=today() - ago * DAY, sign_ins=70 + ago, revocations=0)
    make_devices(alice, 4)

    with CaptureQueriesContext(connection) as captured:
        counts = DailyCount.objects.recent(3)

    assert [count.sign_ins for count in counts] == [72, 71, 4]
    kept = captured[0]["sql"]
    assert str(today() - 2 * DAY) in kept
    assert str(today()) in kept
    since = [query["sql"] for query in captured if "created_at" in query["sql"]]
    assert all(str(today()) in sql for sql in since)


def test_two_who_count_the_same_day_at_once_keep_it_once(alice):
    """The other one keeps the day between this one's look and its write."""

    def keep_first(execute, sql, *args):
        if sql.startswith("INSERT") and not kept:
            kept.append(True)
            DailyCount.objects.create(day=today() - DAY, sign_ins=5, revocations=6)
        return execute(sql, *args)

    kept = []
    with connection.execute_wrapper(keep_first):
        DailyCount.objects.recent(2)

    assert DailyCount.objects.get().sign_ins == 5


def test_clock_of_the_host_says_the_day_in_utc(monkeypatch, db):
    """Wherever the host stands."""
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")  # UTC+14
    import time

    time.tzset()
    try:
        assert DailyCount.objects.recent(1)[0].day == today()
        monkeypatch.setenv("TZ", "Etc/GMT+12")
        time.tzset()
        assert DailyCount.objects.recent(1)[0].day == today()
    finally:
        monkeypatch.undo()
        time.tzset()


def test_device_is_fresh_and_not_confirmed_once_the_password_was_given(api, alice, age):
    phone = api(alice)
    phone.get("me")
    age(phone.device, hours=1)
    device = phone.device
    user = device.user
    assert (device.confirmed, device.is_fresh()) == (True, False)

    flows.reauthenticate(device, user)

    assert device.is_fresh()
    assert device.user is user
    assert phone.device.confirmed is False


def test_password_change_writes_nothing_but_the_password(api, alice):
    """What else changed since the account was read stays as it is."""
    phone = api(alice)
    User.objects.filter(pk=alice.pk).update(first_name="Alicia")
    alice.set_password(NEW_PASSWORD)

    flows.change_password(alice, phone.device)

    stored = User.objects.get(pk=alice.pk)
    assert stored.first_name == "Alicia"
    assert stored.check_password(NEW_PASSWORD)


def end_all_of(user, **kwargs):
    """End the user's devices as an incident does; how many each batch ended."""
    devices = user.devices.all()
    found = flows.incident.find(devices)
    return [ended for _, ended in flows.incident.end(devices, found, **kwargs)]


def test_incident_cuts_the_note_and_logs_each_batch(api, alice, root, caplog, monkeypatch):
    monkeypatch.setattr(flows.incident, "BATCH_SIZE", 2)
    phones = [api(alice) for _ in range(3)]

    assert end_all_of(alice, by=root, note="x" * 501) == [2, 1]
    assert {phone.device.revoked_note for phone in phones} == {"x" * 500}
    lines = [line for line in caplog.records if line.message == "devices revoked"]
    assert [(line.count, line.reason, line.by) for line in lines] == [
        (2, "incident", root.pk),
        (1, "incident", root.pk),
    ]


def test_incident_stops_after_the_batch_that_reaches_the_limit(api, alice, monkeypatch):
    monkeypatch.setattr(flows.incident, "BATCH_SIZE", 1)
    for _ in range(4):
        api(alice)

    assert end_all_of(alice, limit=3) == [1, 1, 1]
    assert alice.devices.live().count() == 1


def test_incident_needs_no_note(api, alice):
    phone = api(alice)

    assert end_all_of(alice) == [1]

    assert phone.device.revoked_note == ""


def test_what_ended_is_not_ended_again(api, alice, root):
    phone = api(alice)
    assert alice.devices.all().revoke(reason="user") == 1
    before = phone.device

    assert alice.devices.all().revoke(reason="staff", by=root, note="Again.") == 0

    assert (phone.device.revoked_at, phone.device.revoked_reason) == (before.revoked_at, "user")
    assert (phone.device.revoked_by, phone.device.revoked_by_name) == (None, "")


def test_new_pair_says_how_long_it_lasts_and_its_device_has_no_name(alice, settings):
    settings.ACCESS_TOKEN_LIFETIME = timedelta(minutes=7)

    pair = flows.log_in(alice, Client(ip_address=None))

    assert (pair.expires_in, pair.device.name) == (420, "")


def test_name_of_a_new_device_is_cut_to_its_length(alice):
    assert flows.log_in(alice, Client(ip_address=None), name="x" * 65).device.name == "x" * 64


def test_account_whose_password_changed_meanwhile_is_refused_as_such(alice):
    User.objects.filter(pk=alice.pk).update(password_changed_at=timezone.now())

    with pytest.raises(flows.Refused, match=r"^password_changed$"):
        flows.log_in(alice, Client(ip_address=None))


def test_device_that_moves_is_located_again(api, alice, age):
    phone = api(alice)
    age(phone.device, minutes=2)

    phone.http.defaults["REMOTE_ADDR"] = "8.8.8.8"
    phone.get("me")

    assert (phone.device.last_ip, phone.device.location) == ("8.8.8.8", "United States")


def test_refusal_says_its_code_and_no_more():
    refusal = flows.Refused("token_invalid")

    assert (str(refusal), refusal.reason, refusal.note) == ("token_invalid", "", "")


def test_staffs_note_is_cut_to_its_length(api, alice, root):
    phone = api(alice)

    flows.revoke_for_user(alice, alice.devices.all(), by=root, note="x" * 501)

    assert phone.device.revoked_note == "x" * 500
