"""What comes between the look at a device and the write to its row: the condition of the UPDATE
decides, whatever was seen before. The races with processes are in test_races.py."""

import re

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from tests.plugins.guestlist import PASSWORD
from tokens.models import IssuedToken
from tokens.tests.requests import assert_refused, refresh

REVOKED = {"revoked_at": Now(), "revoked_reason": "staff"}
LONDON = "81.2.69.142"


@pytest.fixture
def meanwhile():
    """`with meanwhile(**values)`: the device's row gets these values just before its first UPDATE
    of the block."""

    def change(**values):
        def change_first(execute, sql, params, many, context):
            if sql.startswith('UPDATE "tokens_issuedtoken"') and not changed:
                changed.append(True)
                IssuedToken.objects.update(**values)
            return execute(sql, params, many, context)

        changed = []
        return connection.execute_wrapper(change_first)

    return change


def used(client):
    """The client after its first request, which confirms its generation."""
    assert client.get("me").status_code == 200
    return client


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (REVOKED, "device_revoked"),
        ({"idle_at": Now()}, "device_idle"),
        ({"expires_at": Now()}, "device_expired"),
    ],
)
def test_device_that_ends_meanwhile_is_not_refreshed(api, alice, meanwhile, values, code):
    phone = api(alice)
    with meanwhile(**values):
        assert_refused(refresh(phone), code)
    assert phone.device.generation == 1


def test_device_that_is_never_idle_refreshes(api, alice):
    phone = api(alice)
    IssuedToken.objects.update(idle_at=None)
    assert refresh(phone).status_code == 200
    assert phone.device.idle_at is None


def test_first_use_revives_nothing(api, alice, meanwhile):
    phone = api(alice)
    before = phone.device
    with meanwhile(**REVOKED):
        phone.get("me", REMOTE_ADDR=LONDON)
    assert (phone.device.confirmed, phone.device.idle_at) == (False, before.idle_at)


def test_first_use_confirms_no_later_generation(api, alice, meanwhile):
    phone = api(alice)
    with meanwhile(generation=F("generation") + 1):
        phone.get("me")
    assert phone.device.confirmed is False


def test_later_use_revives_nothing(api, alice, age, meanwhile):
    phone = used(api(alice))
    age(phone.device, minutes=2)
    before = phone.device
    with meanwhile(**REVOKED):
        phone.get("me")
    assert phone.device.last_seen_at == before.last_seen_at


def test_of_several_uses_at_once_one_is_noted(api, alice, age, meanwhile):
    phone = used(api(alice))
    age(phone.device, minutes=2)
    before = phone.device
    with meanwhile(last_seen_at=Now()):
        assert phone.get("me").status_code == 200
    assert phone.device.last_seen_at > before.last_seen_at
    assert phone.device.idle_at == before.idle_at


@pytest.mark.parametrize("values", [REVOKED, {"hash": b"another handle"}])
def test_device_that_ends_meanwhile_is_not_made_fresh(api, alice, age, meanwhile, values):
    phone = used(api(alice))
    age(phone.device, minutes=16)
    phone.get("me")
    before = phone.device

    with meanwhile(**values):
        assert_refused(phone.post("reauthenticate", {"password": PASSWORD}), "token_invalid")

    assert phone.device.authenticated_at == before.authenticated_at
    assert phone.device.generation == 1


def test_browser_whose_device_ends_meanwhile_signs_in_again(browser, alice, age, meanwhile):
    laptop, url = browser(alice), "/devices/sign-out-others/"
    age(alice.devices.get(), minutes=16)
    laptop.get(url)

    with meanwhile(**REVOKED):
        page = laptop.post(url, {"password": PASSWORD}, follow=True)

    assert page.redirect_chain == [(f"/login?next={url}", 302)]
    assert laptop.get("/account/").status_code == 302


def test_device_that_is_refreshed_meanwhile_is_made_fresh_one_generation_on(api, alice, meanwhile):
    phone = used(api(alice))
    with meanwhile(generation=F("generation") + 1):
        pair = phone.post("reauthenticate", {"password": PASSWORD}).json()
    assert phone.device.generation == 3
    assert phone.keep(pair).post("logout/others").status_code == 200


def test_refusals_at_once_are_counted_once(api, alice, meanwhile):
    phone = api(alice)
    alice.devices.all().revoke(reason="staff")
    with meanwhile(refused_at=Now(), refused_count=1):
        assert_refused(phone.get("me"), "device_revoked")
    assert phone.device.refused_count == 1


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite locks no rows")
@pytest.mark.parametrize(
    "act",
    [
        lambda phone, staff: phone.post("logout/others"),
        lambda phone, staff: phone.post("logout/all"),
        lambda phone, staff: phone.post("reauthenticate", {"password": PASSWORD}),
        lambda phone, staff: phone.post(
            "password", {"current_password": PASSWORD, "new_password": "another long password"}
        ),
        lambda phone, staff: staff.post("users/alice/devices/revoke"),
    ],
)
def test_whoever_ends_or_adds_devices_locks_the_user(api, alice, support, act):
    """And no more than that, so that staff who revoke each other do not wait for each other."""
    phone, staff = api(alice), api(support)
    with CaptureQueriesContext(connection) as queries:
        act(phone, staff)

    [lock] = [
        q["sql"] for q in queries if 'FROM "accounts_user"' in q["sql"] and "FOR " in q["sql"]
    ]
    assert re.search(rf'WHERE .*"accounts_user"."id" = \(?{alice.pk}\b', lock)
    assert lock.endswith("FOR NO KEY UPDATE")


def test_whoever_logs_in_locks_the_user_before_anything_is_written(api, alice):
    """By an UPDATE of no key, which takes the same lock."""
    phone = api(alice)
    with CaptureQueriesContext(connection) as queries:
        phone.log_in(alice)

    wrote = [q["sql"] for q in queries if q["sql"].startswith(("UPDATE", "INSERT", "DELETE"))]
    count, lock, device = wrote[:3]
    assert count.startswith("INSERT INTO accounts_throttle")
    assert lock.startswith('UPDATE "accounts_user" SET "last_login" = ')
    assert re.search(rf'WHERE .*"accounts_user"."id" = \(?{alice.pk}\b', lock)
    assert device.startswith('INSERT INTO "tokens_issuedtoken"')


# Other devices


def refreshed_twice(phone):
    phone.keep(refresh(phone).json())
    phone.keep(refresh(phone).json())


def reused(phone):
    old = phone.pair["refresh_token"]
    refreshed_twice(phone)
    assert_refused(refresh(phone, old), "refresh_invalid")


def refused(phone):
    phone.post("logout")
    assert_refused(phone.get("me"), "device_revoked")


@pytest.mark.parametrize(
    "act",
    [
        used,
        refreshed_twice,
        reused,
        refused,
        lambda phone: phone.post("reauthenticate", {"password": PASSWORD}),
        lambda phone: phone.patch(f"devices/{phone.pair['device']['id']}", {"name": "Mine"}),
    ],
)
def test_what_a_device_does_leaves_others_as_they_were(api, alice, bob, act):
    phone, her_other, his = api(alice), api(alice), api(bob)
    others = IssuedToken.objects.exclude(pk=phone.device.pk).order_by("pk")
    before = list(others.values())

    act(phone)

    assert len(before) == 2
    assert list(others.values()) == before
    assert [client.get("me").status_code for client in (her_other, his)] == [200, 200]
