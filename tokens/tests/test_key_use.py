"""Which keys live devices need, reckoned from their rows: for doctor, metrics and the admin."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from tokens import flows
from tokens.models import Figure, IssuedToken
from tokens.tests.admin import make_devices
from tokens.tests.test_keys import HOUR, TICK, key

DAY = timedelta(days=1)


@pytest.fixture
def now(db):
    return timezone.now()


@pytest.fixture
def switched(settings, now):
    """`switched(ago)` is a ring whose key "new" began to sign that long ago. Returns when."""

    def make(ago):
        settings.JWT_SIGNING_KEYS = [key("old"), key("new", now - ago)]
        return now - ago

    return make


def uses():
    """By kid: how many live devices were last issued under it, and how many need it."""
    found, _ = flows.count_by_key()
    return {use.key.kid: (use.issued, use.need) for use in found}


def add(user, rotated_at, **fields):
    fields = {"created_at": rotated_at, "generation": 2, "confirmed": True, **fields}
    [device] = make_devices(user, 1, rotated_at=rotated_at, **fields)
    return device


def test_devices_count_for_the_key_of_their_last_rotation(alice, switched):
    switch = switched(20 * DAY)
    add(alice, switch - TICK)
    add(alice, switch - DAY)
    add(alice, switch)

    assert uses() == {"old": (2, 2), "new": (1, 1)}


def test_three_keys_are_counted_in_one_query(alice, bob, settings, now, django_assert_num_queries):
    settings.JWT_SIGNING_KEYS = [
        key("c", now + HOUR),
        key("a"),
        key("b", now - 20 * DAY, alg="EdDSA"),
    ]
    add(alice, now - 21 * DAY)
    add(bob, now - 19 * DAY)
    add(bob, now)

    with django_assert_num_queries(1):
        assert uses() == {"c": (0, 0), "a": (1, 1), "b": (2, 2)}


def test_only_live_devices_with_tokens_count(alice, bob, browser, switched):
    switch = switched(20 * DAY)
    former = switch - DAY
    browser(bob)
    IssuedToken.objects.update(rotated_at=former, created_at=former)
    add(alice, former, revoked_at=former, revoked_reason="user")
    add(alice, former, expires_at=former)
    add(alice, former, idle_at=former)
    bob.is_active = False
    bob.save()
    add(bob, former)

    assert uses() == {"old": (0, 0), "new": (0, 0)}


def test_token_of_a_script_needs_its_key_to_its_end(alice, age, switched):
    call_command("issue_token", "alice", "--name=backup", "--expires=90d")
    age(IssuedToken.objects.get(), days=50)
    switched(40 * DAY)
    assert uses() == {"old": (1, 1), "new": (0, 0)}

    age(IssuedToken.objects.get(), days=41)
    assert uses() == {"old": (0, 0), "new": (0, 0)}


def test_access_token_needs_the_former_key_for_15_minutes(alice, switched):
    switch = switched(timedelta(minutes=14))
    add(alice, switch + TICK, created_at=switch - DAY)
    add(alice, switch + TICK)  # signed in after the switch
    assert uses() == {"old": (0, 1), "new": (2, 2)}

    switched(timedelta(minutes=16))
    assert uses()["old"] == (0, 0)


def test_former_refresh_token_needs_its_key_for_the_grace(alice, now, switched):
    switch = switched(2 * HOUR)
    add(alice, now - timedelta(seconds=5), created_at=switch - DAY)
    add(alice, now - timedelta(minutes=5), created_at=switch - DAY)
    assert uses() == {"old": (0, 1), "new": (2, 2)}


def test_lost_answer_needs_the_former_key(alice, switched):
    switch = switched(2 * DAY)
    lost = {"created_at": switch - DAY, "confirmed": False, "attempt_hash": b"x" * 32}
    add(alice, switch + DAY, **lost)
    add(alice, switch + DAY, **lost | {"attempt_hash": None})  # has the grace alone
    add(alice, switch + DAY, **lost | {"created_at": switch})  # never had a token of the key
    assert uses() == {"old": (0, 1), "new": (3, 3)}

    switch = switched(14 * DAY)  # when every refresh token of the key has passed its own end
    IssuedToken.objects.update(created_at=switch - DAY, rotated_at=switch + DAY)
    assert uses()["old"] == (0, 0)


def test_lost_answer_that_is_counted_is_answered_and_without_its_key_refused(
    api, alice, age, settings
):
    """The front door agrees with the count."""
    settings.JWT_SIGNING_KEYS = [key("old")]
    phone, attempt = api(alice), {"idempotency-key": "a" * 16}
    body = {"refresh_token": phone.pair["refresh_token"]}
    age(phone.device, hours=2)
    switch = timezone.now() - HOUR
    settings.JWT_SIGNING_KEYS = [*settings.JWT_SIGNING_KEYS, key("new", switch)]
    assert api().post("refresh", body, **attempt).status_code == 200  # and is lost
    IssuedToken.objects.update(rotated_at=timezone.now() - timedelta(minutes=30))
    assert uses() == {"old": (0, 1), "new": (1, 1)}

    removed = settings.JWT_SIGNING_KEYS[1:]
    assert api().post("refresh", body, **attempt).status_code == 200
    settings.JWT_SIGNING_KEYS = removed
    assert api().post("refresh", body, **attempt).json()["code"] == "token_invalid"


def test_key_with_the_use_from_of_another_is_not_counted(alice, now, settings):
    """Keys in a new order, as before `use_from`: no row tells when the first one came first."""
    settings.JWT_SIGNING_KEYS = [key("new"), key("old")]
    add(alice, now)
    assert uses() == {"new": (1, 1), "old": (None, None)}


def test_public_key_counts_for_the_time_when_it_signed(alice, now, settings):
    settings.JWT_SIGNING_KEYS = [
        key("public", alg="EdDSA", public=True),
        key("new", now - 20 * DAY),
    ]
    add(alice, now - 21 * DAY)
    add(alice, now)
    assert uses() == {"public": (1, 1), "new": (1, 1)}


def test_devices_from_before_the_first_use_from_are_told(alice, now, settings):
    settings.JWT_SIGNING_KEYS = [key("new", now - 20 * DAY), key("newer", now - DAY)]
    add(alice, now - 21 * DAY)
    assert uses() == {"new": (1, 1), "newer": (0, 0)}
    assert flows.count_by_key()[1] == 1


def test_use_from_at_the_ends_of_time_is_counted(alice, now, settings):
    settings.JWT_SIGNING_KEYS = [
        key("first", "0001-01-01T00:00:00Z"),
        key("last", "9999-12-31T23:59:59Z"),
    ]
    add(alice, now)
    assert uses() == {"first": (1, 1), "last": (0, 0)}


def test_a_purge_keeps_the_count_of_each_key(alice, now, switched):
    switch = switched(20 * DAY)
    add(alice, switch - DAY)
    for _ in range(2):
        add(alice, switch + DAY)

    call_command("purge_devices")

    of_key = Figure.objects.filter(name__startswith=Figure.OF_KEY)
    assert dict(of_key.values_list("name", "value")) == {
        "live_devices_of_key:old": 1,
        "live_devices_of_key:new": 2,
    }


def test_removing_a_needed_key_refuses_all_its_tokens_at_once(api, alice, bob, settings):
    settings.JWT_SIGNING_KEYS = [key("old"), key("new", timezone.now() + HOUR)]
    phones = [api(alice), api(bob)]
    call_command("issue_token", "bob", "--name=backup", "--expires=90d")
    rows = IssuedToken.objects.live().count()

    settings.JWT_SIGNING_KEYS = settings.JWT_SIGNING_KEYS[1:]

    for phone in phones:
        assert phone.get("me").json()["code"] == "token_invalid"
        refused = api().post("refresh", {"refresh_token": phone.pair["refresh_token"]})
        assert refused.json()["code"] == "token_invalid"
    assert IssuedToken.objects.live().count() == rows == 3
