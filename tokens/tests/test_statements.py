"""The compiled query against the ORM: the same device, attribute by attribute."""

import hashlib
import itertools
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import connection, connections, models
from django.db.models import OuterRef, Subquery
from django.test import override_settings
from django.utils import timezone

from accounts import compiled
from accounts.compiled import Parameter, several, spread
from accounts.models import Role, Throttle, User
from tests.plugins.guestlist import PASSWORD
from tokens import statements
from tokens.flows.rotation import _not_rotated
from tokens.models import IssuedToken, State
from tokens.statements import DevicesOf, find_device, find_device_of, look_at_devices, update_if

Kind = IssuedToken.Kind
DIGEST = hashlib.sha256(b"handle").digest()
# One with microseconds, one that is written without.
MOMENTS = [datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)]


def new_device(user, **values):
    now = timezone.now()
    times = dict.fromkeys(["rotated_at", "created_at", "last_seen_at"], now)
    defaults = {
        "kind": Kind.API,
        "hash": DIGEST,
        "password_epoch": user.password_changed_at,
        "expires_at": now + timedelta(days=30),
    }
    return IssuedToken.objects.create(user=user, **times | defaults | values)


def nullable(model):
    return [field for field in model._meta.concrete_fields if field.null]


def some_value(field, number, user):
    """A value that tells its field from every other of the same type."""
    match field:
        case models.DateTimeField():
            return MOMENTS[number % 2] + timedelta(days=number)
        case models.GenericIPAddressField():
            return ["203.0.113.{}", "2001:db8::{:x}"][number % 2].format(number)
        case models.BinaryField():
            return hashlib.sha256(bytes([number])).digest()
        case models.ForeignKey():
            return user.pk
        case models.BooleanField():
            return bool(number % 2)
        case models.IntegerField():
            return 1000 + number
        case models.CharField():
            return f"{number} é % %s 'x'\t"[: field.max_length]
    raise AssertionError(field)


def full(user, staff):
    """A device and a user with a value of its own in every column that may hold any."""
    fixed = {"id", "user", "kind", "hash"}
    values = {
        field.attname: some_value(field, number, staff)
        for number, field in enumerate(IssuedToken._meta.concrete_fields)
        if field.name not in fixed
    }
    User.objects.filter(pk=user.pk).update(
        **{
            field.attname: some_value(field, number, staff)
            for number, field in enumerate(User._meta.concrete_fields)
            if field.name not in {"id", "username", "email"}
        }
    )
    return new_device(user, **values)


def described(instance):
    """Every attribute with its type, and for a time with its time zone."""
    return {
        name: (type(value), value, getattr(value, "tzinfo", None))
        for name, value in vars(instance).items()
        if name not in ("_state", "now")
    }


def assert_same(found, expected):
    assert type(found) is type(expected)
    assert described(found) == described(expected)
    assert (found._state.db, found._state.adding) == (expected._state.db, expected._state.adding)
    assert set(vars(found)) == set(vars(expected))
    assert not found.get_deferred_fields()


def user_of(device):
    """The user of a found device, without what it says of their acts on the device."""
    user = device.user
    acting = vars(user).pop("acts_at"), vars(user).pop("proven_at")
    assert acting == (device.now, device.passkey_at if device.passkey_vouched else None)
    return user


def assert_as_the_orm_has_it(django_assert_num_queries):
    expected = IssuedToken.objects.with_state().filter(hash=DIGEST).first()
    with django_assert_num_queries(1):
        found = find_device(DIGEST)
        user = user_of(found)

    assert_same(found, expected)
    assert_same(find_device_of(expected.user_id, expected.pk), expected)
    assert_same(user, expected.user)
    assert type(found.now) is datetime
    assert found.now.tzinfo is expected.now.tzinfo is UTC
    assert timedelta(0) <= found.now - expected.now < timedelta(minutes=1)
    assert set(found._state.fields_cache) == set(expected._state.fields_cache) == {"user"}
    return found


@pytest.mark.parametrize("kind", Kind.values)
@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({}, State.LIVE),
        ({"idle_at": timezone.now() + timedelta(days=1)}, State.LIVE),
        ({"idle_at": MOMENTS[0]}, State.IDLE),
        ({"expires_at": MOMENTS[1]}, State.EXPIRED),
        ({"revoked_at": MOMENTS[0], "revoked_reason": "staff"}, State.REVOKED),
        ({"password_epoch": MOMENTS[0]}, State.REVOKED),
    ],
)
def test_device_in_any_state(alice, django_assert_num_queries, kind, values, state):
    new_device(alice, kind=kind, **values)

    assert assert_as_the_orm_has_it(django_assert_num_queries).state == state


def test_device_of_a_deactivated_user(alice, django_assert_num_queries):
    new_device(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)

    assert assert_as_the_orm_has_it(django_assert_num_queries).state == State.REVOKED


def test_device_with_nothing_that_may_be_missing(alice, django_assert_num_queries):
    new_device(alice)
    User.objects.filter(pk=alice.pk).update(last_login=None, email_verified_at=None)

    device = assert_as_the_orm_has_it(django_assert_num_queries)

    for instance in (device, device.user):
        for field in nullable(type(instance)):
            assert getattr(instance, field.attname) is None


def test_device_with_everything(alice, support, django_assert_num_queries):
    full(alice, support)

    device = assert_as_the_orm_has_it(django_assert_num_queries)

    for instance in (device, device.user):
        for field in nullable(type(instance)):
            assert getattr(instance, field.attname) is not None
    assert device.revoked_by == support


def test_unknown_hash_finds_nothing(alice):
    new_device(alice)

    assert find_device(hashlib.sha256(b"another").digest()) is None
    assert find_device(b"") is None


def test_found_device_is_a_row_to_work_with(alice):
    new_device(alice)
    device = find_device(DIGEST)

    device.name = "Alice's phone"
    device.save(update_fields=["name"])
    device.refresh_from_db()

    assert device == alice.devices.get(name="Alice's phone")
    assert device.user.devices.get() == device


def test_execute_wrapper_sees_the_query(alice):
    new_device(alice)
    seen = []

    def listen(execute, sql, params, many, context):
        seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(listen):
        find_device(DIGEST)

    assert [sql.split()[0] for sql in seen] == ["SELECT"]


def test_devices_at_a_sign_in_are_counted_over_all_places(alice, bob, django_assert_num_queries):
    now = timezone.now()
    recent, alike = {"created_at": now}, {"browser": "Firefox", "os": "Linux", "last_seen_at": now}
    places = [{"ip_address": f"192.0.2.{number}", "last_ip": "2001:db8::1"} for number in (1, 2)]
    old = {"created_at": now - timedelta(hours=2)}
    kinds = [recent, recent | alike, old | alike, old | {"browser": "Firefox", "os": "Windows"}]
    for number, (values, place) in enumerate(itertools.product(kinds, places)):
        new_device(alice, hash=bytes([number]), location="Bern", **{**values, **place})
    new_device(alice, hash=b"forgotten", forgotten_at=now, **old, **alike)
    new_device(bob, **alike)

    with django_assert_num_queries(1):
        others = look_at_devices(alice.pk, "Firefox", "Linux")

    assert (others.live, others.recent, others.is_any) == (alice.devices.live().count(), 4, True)
    assert abs(others.first_recent - now) < timedelta(milliseconds=1)
    assert sorted(others.places) == [
        (0, "Bern", "192.0.2.1", "2001:db8::1"),
        (0, "Bern", "192.0.2.2", "2001:db8::1"),
        (1, *alice.devices.values_list("location", "ip_address", "last_ip").get(hash=b"forgotten")),
    ]
    assert look_at_devices(0, "Firefox", "Linux") == (0, 0, None, [], False)


def test_places_of_live_and_recent_devices_come_before_all_others(alice):
    """So a long history does not push one out that counts."""
    ended = {"revoked_at": MOMENTS[1], "revoked_reason": "staff", "created_at": MOMENTS[1]}
    for number in range(5):
        new_device(alice, hash=bytes([number]), ip_address=f"192.0.2.{number}", **ended)
    ended["created_at"] = timezone.now()
    new_device(alice, hash=b"recent", ip_address="198.51.100.1", **ended)
    new_device(alice, hash=b"live", ip_address="198.51.100.2", created_at=MOMENTS[0])

    build = statements._counted_by_place
    rows = compiled.select("default", build).fetch(user=alice.pk, browser="", os="")

    assert [row[2] for row in rows[:2]] == ["198.51.100.2", "198.51.100.1"]


def live_devices(user_id):
    return look_at_devices(user_id, "Firefox", "Linux").live


def test_count_of_live_devices_is_that_of_the_orm(alice, bob, django_assert_num_queries):
    ended = [
        {"idle_at": MOMENTS[0]},
        {"expires_at": MOMENTS[1]},
        {"revoked_at": MOMENTS[0], "revoked_reason": "staff"},
        {"password_epoch": MOMENTS[0]},
    ]
    lives = [{}, {"idle_at": timezone.now() + timedelta(days=1)}, {"idle_at": None}]
    for number, values in enumerate(ended + lives):
        new_device(alice, hash=bytes([number]), **values)
    new_device(bob)

    with django_assert_num_queries(1):
        assert live_devices(alice.pk) == 3
    assert alice.devices.live().count() == 3
    assert live_devices(bob.pk) == 1
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert live_devices(bob.pk) == bob.devices.live().count() == 0
    assert live_devices(0) == 0


@pytest.mark.parametrize("state", [*State.values, "all"])
@pytest.mark.parametrize("is_current", [True, False])
def test_page_of_devices_is_that_of_the_orm(
    alice, bob, django_assert_num_queries, state, is_current
):
    kinds = [
        {},
        {"idle_at": MOMENTS[0]},
        {"expires_at": MOMENTS[1]},
        {"revoked_at": MOMENTS[0], "revoked_reason": "staff"},
        {"password_epoch": MOMENTS[0]},
    ]
    for number in range(15):
        times = {"last_seen_at": MOMENTS[0] + timedelta(days=number // 2)}  # two at a time
        new_device(alice, hash=bytes([number]), **times, **kinds[number % len(kinds)])
        new_device(bob, hash=bytes([100 + number]), **kinds[number % len(kinds)])
    devices = alice.devices.with_state()
    devices = list(devices if state == "all" else devices.in_state(state))
    current = min(devices, key=lambda one: one.last_seen_at) if is_current else None
    devices.sort(key=lambda one: (one.last_seen_at, one.pk.hex), reverse=True)
    devices.sort(key=lambda one: one != current)

    listed = DevicesOf(alice.pk, state, current)
    with django_assert_num_queries(1):
        assert listed.count() == len(devices)
    for places in (slice(0, 20), slice(0, 2), slice(2, 4), slice(2, 3), slice(20, 40)):
        with django_assert_num_queries(1):
            found = listed[places]
            users = [device.user for device in found]
        assert found == devices[places]
        for device, user, expected in zip(found, users, devices[places], strict=True):
            assert_same(device, expected)
            assert_same(user, expected.user)


def values_of_every_field(user):
    return {
        field.name: some_value(field, number, user)
        for number, field in enumerate(IssuedToken._meta.concrete_fields)
        if field.name not in {"id", "user", "revoked_by"}
    } | {"kind": Kind.BROWSER}


def stored(device):
    return described(IssuedToken.objects.get(pk=device.pk))


def test_update_writes_what_that_of_the_orm_would(alice, django_assert_num_queries):
    device, other = new_device(alice), new_device(alice, hash=b"other")
    values, before = values_of_every_field(alice), stored(other)

    with django_assert_num_queries(1):
        assert update_if(_not_rotated, device, values)
    found = stored(device)
    IssuedToken.objects.filter(pk=device.pk).update(**values)

    assert found == stored(device)
    assert found["name"][1] == values["name"]
    assert stored(other) == before


def test_update_writes_null(alice, support):
    full(alice, support)
    later = timezone.now() + timedelta(days=1)
    IssuedToken.objects.update(revoked_at=None, revoked_reason="", idle_at=later, expires_at=later)
    device = IssuedToken.objects.get()
    values = {field.name: None for field in nullable(IssuedToken) if field.name != "revoked_by"}

    assert update_if(_not_rotated, device, values)

    device.refresh_from_db()
    assert {name: getattr(device, name) for name in values} == values


@pytest.mark.parametrize(
    "values",
    [
        {"idle_at": MOMENTS[0]},
        {"expires_at": MOMENTS[1]},
        {"revoked_at": MOMENTS[0], "revoked_reason": "staff"},
        {"generation": 2},
    ],
)
def test_update_spares_a_row_that_changed(alice, values):
    device = new_device(alice)
    IssuedToken.objects.filter(pk=device.pk).update(**values)
    before = stored(device)

    assert not update_if(_not_rotated, device, {"name": "changed"})
    assert stored(device) == before


def test_statements_know_what_is_always_the_same_from_what_differs(alice, bob):
    """And a percent sign from a place for a parameter."""
    first, second = new_device(alice, name="100 %"), new_device(bob, hash=b"2", name="100 %")
    new_device(alice, hash=b"3", name="100 % more")

    found = compiled.select("default", _named_so).fetch(user=alice.pk)
    counted = compiled.count("default", _named_so).fetch(user=bob.pk)
    renamed = compiled.update("default", _named_so, "name").execute(user=alice.pk, new_name="%s")
    first.refresh_from_db()
    deleted = compiled.delete("default", _named_so).execute(user=bob.pk)

    assert found == [[first.pk, first.created_at]]
    assert counted == [[1]]
    assert (renamed, first.name) == (1, "%s")
    assert deleted == 1
    assert not IssuedToken.objects.filter(pk=second.pk).exists()
    assert alice.devices.count() == 2


def _named_so():
    known = User.objects.filter(username__in=["alice", "bob"])
    devices = IssuedToken.objects.filter(name="100 %", user_id=Parameter("user"), user__in=known)
    return devices.values_list("pk", "created_at")


def test_several_parameters_are_spread(alice):
    for digest in (b"1", b"2", b"3"):
        new_device(alice, hash=digest)
    statement = compiled.select("default", _of_any, 2)

    def found(*digests):
        return {bytes(digest) for [digest] in statement.fetch(**spread("hash", digests))}

    assert found(b"1", b"3") == {b"1", b"3"}
    assert found(b"2", b"4") == {b"2"}


def _of_any(size):
    return IssuedToken.objects.filter(hash__in=several("hash", size)).values_list("hash")


@pytest.mark.django_db(transaction=True)
def test_threads_may_compile_at_once(alice):
    new_device(alice)
    compiled.select.cache_clear()
    together = Barrier(4)
    found = []

    def ask():
        together.wait()
        found.append(find_device(DIGEST))
        connection.close()

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [device.user for device in found] == [alice] * 4


class Watch:
    """A router that leaves every choice to Django, and notes who asked."""

    asked: set[object] = set()

    def db_for_read(self, model, **hints):
        self.asked.add(model)

    db_for_write = db_for_read


def test_routers_are_asked_for_the_model(api, alice):
    with override_settings(DATABASE_ROUTERS=[Watch()]):
        phone = api(alice)
        phone.http.post("/api/v1/refresh", {"refresh_token": phone.pair["refresh_token"]})
        phone.get("me")

    assert Watch.asked >= {IssuedToken, User, Throttle}
    assert all(isinstance(model, type) for model in Watch.asked)


class Replica:
    """Sends reads of what decides to a database that answers nothing."""

    def db_for_read(self, model, **hints):
        return "replica" if model in {IssuedToken, User, Role, Permission, Throttle} else None


@pytest.fixture
def replica():
    connections["replica"] = connection.copy("replica")
    connections["replica"].cursor = None
    yield
    del connections["replica"]


def test_what_decides_is_read_where_it_is_written(
    replica, api, browser, alice, root, support, django_capture_on_commit_callbacks
):
    """Who is let in, who may do what, what ends: nothing of it asks a replica."""
    role = Role.objects.get(name="admin")
    with (
        override_settings(DATABASE_ROUTERS=[Replica()]),
        django_capture_on_commit_callbacks(execute=True),
    ):
        phone, boss, laptop = api(alice), api(root), browser(alice)
        body = {"refresh_token": phone.pair["refresh_token"]}
        phone.keep(phone.post("refresh", body, authorization="").json())
        assert phone.get("me").status_code == 200
        assert phone.get("users").status_code == 403
        assert boss.get("users").status_code == 200
        assert api(support).get("users/alice/devices").status_code == 200
        assert not alice.has_role(role.name)
        assert laptop.get("/devices/").status_code == 200
        phone.keep(phone.post("reauthenticate", {"password": PASSWORD}).json())
        body = {"current_password": PASSWORD, "new_password": "five loud herons at dusk"}
        phone.keep(phone.post("password", body).json())
        assert laptop.get("/devices/").status_code == 302
        assert boss.post("users/alice/devices/revoke").json() == {"revoked": 1}
        asked = {"all": True, "dry_run": False, "current_password": PASSWORD}
        assert boss.post("users/devices/revoke", asked).json()["revoked"] == 1
        call_command("purge_devices")
        assert phone.get("me").status_code == 401


def test_router_chooses_the_database(alice, request):
    new_device(alice)
    connections["replica"] = connections["default"]  # one database under two names
    request.addfinalizer(lambda: connections.__delitem__("replica"))

    class Primary:
        def db_for_write(self, model, **hints):
            return "replica"

    with override_settings(DATABASE_ROUTERS=[Primary()]):
        device = find_device(DIGEST)
        expected = IssuedToken.objects.with_state().get(hash=DIGEST)

    assert_same(device, expected)
    assert_same(user_of(device), expected.user)
    assert device._state.db == device.user._state.db == "replica"


def test_column_with_a_from_of_its_own_is_refused():
    """Its SQL could not be told from the rest, and columns would shift."""
    newest = IssuedToken.objects.filter(user=OuterRef("pk")).values("created_at")[:1]

    with pytest.raises(ValueError, match="a FROM of its own"):
        compiled.select("default", lambda: User.objects.annotate(newest=Subquery(newest)))
