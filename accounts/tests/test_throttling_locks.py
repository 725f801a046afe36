"""The lock that the database computes is that of the limits, for each kind and each count."""

from datetime import timedelta

import pytest
from django.utils.crypto import salted_hmac

from accounts.models import Throttle
from accounts.throttling import counting, limits, statements, subjects

pytestmark = pytest.mark.django_db

KINDS = sorted(limits.TOO_MANY)


def counted(key, count):
    """The row of the key after an attempt with this count."""
    row = Throttle.objects.timed().get(pk=statements.add_one({key: limits.limit_of(key)})[0].pk)
    assert row.count == count
    return row


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beyond", [-1, 0, 1, 3, 40])
def test_lock_of_an_attempt(kind, wide, beyond):
    key = subjects.Key(kind, b"subject", b"address", wide=wide)
    limit = limits.limit_of(key)
    counted(key, 1)
    Throttle.objects.update(count=limit.attempts + beyond - 1)
    before = Throttle.objects.get()

    row = counted(key, limit.attempts + beyond)

    assert row.undecided == 2
    if beyond < 0:
        assert row.locked_until is None
    elif limit.delay:
        assert row.locked_until - row.counted_at == limit.delay_after(row.count)
        assert row.expires_at - row.counted_at == max(limit.window, limit.delay_after(row.count))
    else:
        assert row.locked_until == row.expires_at == before.expires_at


@pytest.mark.parametrize("kind", sorted({*KINDS} - {"known"}))  # of that one the limit is fixed
def test_limit_of_one_locks_at_once(kind, settings):
    for name in ("LOGIN_ATTEMPTS", "LOGIN_ATTEMPTS_PER_ACCOUNT", "LOGIN_ATTEMPTS_PER_ADDRESS"):
        setattr(settings, name, 1)
    settings.SIGNUPS_PER_HOUR = settings.RESET_MAILS_PER_HOUR = settings.MAILS_PER_HOUR = 1
    limit = limits.limit_of(subjects.Key(kind))

    row = counted(subjects.Key(kind, b"subject"), 1)

    assert row.locked_until - row.counted_at == (limit.delay or limit.window)
    assert row.expires_at >= row.locked_until


def test_networks_of_an_address_have_limits_of_their_own(settings):
    settings.LOGIN_ATTEMPTS_PER_ADDRESS = 2
    keys = subjects.keys_of_networks("login_address", "2001:db8::1")
    Throttle.objects.bulk_create(
        [
            Throttle(kind=key.kind, address=key.address, count=1, expires_at="9999-01-01T00:00Z")
            for key in keys
        ]
    )

    statements.add_one({key: limits.limit_of(key) for key in keys})

    [narrow, wide] = [Throttle.objects.get(address=key.address).locked_until for key in keys]
    assert narrow is not None
    assert wide is None


def test_lock_of_a_wide_network_is_logged_when_it_is_one(caplog, settings):
    settings.LOGIN_ATTEMPTS_PER_ADDRESS = 2
    for _ in range(3):
        counting.begin(*subjects.keys_of_networks("login_address", "2001:db8::1")[1:]).fail()
    assert "locked" not in caplog.messages


def test_attempt_that_meets_a_lock_leaves_nothing(settings):
    """Counted on one key, refused by the other, and taken back before anybody is told."""
    free, locked = subjects.Key("login_pair", b"free"), subjects.Key("login_pair", b"locked")
    for _ in range(settings.LOGIN_ATTEMPTS):
        counting.begin(locked).fail()
    seen = counting.Seen({}, timedelta(), {})

    assert counting._count([free, locked], seen, None) is None

    [row] = Throttle.objects.all()
    assert (bytes(row.subject), row.count, row.undecided) == (b"locked", settings.LOGIN_ATTEMPTS, 0)


def test_success_spares_counts_that_others_share():
    key = subjects.Key("login_address", address=b"network")
    first, second = counting.begin(key), counting.begin(key)

    first.succeed()
    assert list(Throttle.objects.values_list("count", "undecided")) == [(1, 1)]
    second.succeed()
    assert not Throttle.objects.exists()


def test_hashes_are_those_of_django(settings):
    """As they were stored before, and made anew for another SECRET_KEY."""
    for settings.SECRET_KEY in ("first", "second", "first"):
        expected = salted_hmac("accounts.throttling.name", b"alice", algorithm="sha256").digest()
        assert subjects.hash_text("name", "alice") == expected
