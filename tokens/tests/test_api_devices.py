"""The list: one's own devices, the four states, the limit, and staff's view of a person's."""

import hashlib
import ipaddress
import itertools
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Role, User
from tests.plugins.guestlist import FIREFOX, PASSWORD, make_user
from tokens.models import IssuedToken, State

FIELDS = {
    "id",
    "kind",
    "name",
    "label",
    "browser",
    "os",
    "device_type",
    "ip_address",
    "last_ip",
    "location",
    "method",
    "passkey_at",
    "created_at",
    "last_seen_at",
    "expires_at",
    "state",
    "is_current",
    "revoked_at",
    "revoked_reason",
    "revoked_note",
}


def own(client, query=""):
    """The ids of one's own list."""
    answer = client.get(f"devices{query}")
    assert answer.status_code == 200
    return [device["id"] for device in answer.json()["results"]]


def id_of(client):
    return client.pair["device"]["id"]


@pytest.mark.asvs("7.2.2", "7.2.4")
def test_every_login_is_a_device_with_tokens_of_its_own(api, alice, read_segment):
    """Also for a client that is signed in, and one that asks for a handle of its own choice."""
    first = api(alice)
    claims = read_segment(first.pair["access_token"])
    body = {"username": "alice", "password": PASSWORD, "sid": claims["sid"], "jti": claims["jti"]}

    second = first.post("login", body).json()

    assert second["device"]["id"] != id_of(first)
    others = read_segment(second["access_token"])
    assert others["sid"] != claims["sid"]
    assert others["jti"] != claims["jti"]
    tokens = {pair[name] for pair in (first.pair, second) for name in pair if "_token" in name}
    assert len(tokens) == 4


def test_row_of_a_new_device(api, alice, read_segment, settings):
    body = {"username": "alice", "password": PASSWORD, "device_name": "Work"}
    pair = api(HTTP_USER_AGENT=FIREFOX, REMOTE_ADDR="8.8.8.8").post("login", body).json()

    row = alice.devices.values().get()
    now = row["created_at"]
    handle = read_segment(pair["access_token"])["sid"]
    assert row == {
        **{field.attname: field.get_default() for field in IssuedToken._meta.concrete_fields},
        "id": uuid.UUID(pair["device"]["id"]),
        "user_id": alice.pk,
        "kind": "api",
        "hash": hashlib.sha256(handle.encode()).digest(),
        "password_epoch": alice.password_changed_at,
        "name": "Work",
        "browser": "Firefox",
        "os": "Linux",
        "device_type": "desktop",
        "user_agent": FIREFOX,
        "ip_address": "8.8.8.8",
        "last_ip": "8.8.8.8",
        "authenticated_ip": "8.8.8.8",
        "was_staff": False,
        "was_superuser": False,
        "location": "United States",
        "method": "password",
        **dict.fromkeys(["rotated_at", "created_at", "authenticated_at", "last_seen_at"], now),
        "idle_at": now + settings.DEVICE_IDLE_TIMEOUT,
        "expires_at": now + settings.DEVICE_LIFETIME,
    }
    assert timezone.now() - now < timedelta(minutes=1)
    assert User.objects.get(pk=alice.pk).last_login == now


# One's own list


@pytest.mark.asvs("7.5.2")
def test_device_in_json(api, alice):
    phone = api(alice, HTTP_USER_AGENT=FIREFOX, REMOTE_ADDR="8.8.8.8")

    [device] = phone.get("devices").json()["results"]

    assert set(device) == FIELDS
    times = {name: device.pop(name) for name in ("created_at", "last_seen_at", "expires_at")}
    assert all(time.endswith("Z") for time in times.values())
    assert device == {
        "id": id_of(phone),
        "kind": "api",
        "name": "",
        "label": "Firefox on Linux",
        "browser": "Firefox",
        "os": "Linux",
        "device_type": "desktop",
        "ip_address": "8.8.8.8",
        "last_ip": "8.8.8.8",
        "location": "United States",
        "method": "password",
        "passkey_at": None,
        "state": "live",
        "is_current": True,
        "revoked_at": None,
        "revoked_reason": "",
        "revoked_note": "",
    }
    assert phone.get(f"devices/{id_of(phone)}").json() == device | times


def test_current_device_is_first_then_the_last_seen(api, alice, age):
    current, older, newer = api(alice), api(alice), api(alice)
    age(current.device, days=3)
    age(older.device, days=2)
    age(newer.device, days=1)
    IssuedToken.objects.filter(pk=current.device.pk).update(confirmed=True)

    assert own(older) == [id_of(older), id_of(newer), id_of(current)]
    assert own(current) == [id_of(current), id_of(older), id_of(newer)]


def test_list_comes_in_pages(api, alice):
    clients = [api(alice) for _ in range(5)]
    page = clients[0].get("devices?page_size=2").json()
    assert (page["count"], len(page["results"]), page["previous"]) == (5, 2, None)
    assert page["results"][0]["id"] == id_of(clients[0])
    ids = [own(clients[0], f"?page_size=2&page={n}") for n in (1, 2, 3)]
    assert sorted(itertools.chain(*ids)) == sorted(id_of(client) for client in clients)
    assert clients[0].get("devices?page_size=2&page=4").status_code == 404


def test_list_is_ones_own(api, alice, bob):
    phone = api(alice)
    api(bob)
    assert own(phone, "?state=all") == [id_of(phone)]


@pytest.fixture
def states(api, alice, age):
    """Alice's devices by state, and a live one to ask from."""
    devices = {state: api(alice) for state in ("idle", "expired", "revoked", "live")}
    age(devices["idle"].device, days=15)
    age(devices["expired"].device, days=31)
    devices["revoked"].post("logout")
    return devices


@pytest.mark.parametrize("state", ["live", "idle", "expired", "revoked"])
def test_list_of_one_state(states, state):
    asker = states["live"]
    answer = asker.get(f"devices?state={state}").json()
    assert [device["id"] for device in answer["results"]] == [id_of(states[state])]
    assert [device["state"] for device in answer["results"]] == [state]


def test_list_shows_live_devices_unless_asked(states):
    assert own(states["live"]) == [id_of(states["live"])]


def test_list_of_all_states(states):
    assert sorted(own(states["live"], "?state=all")) == sorted(map(id_of, states.values()))


@pytest.mark.parametrize("state", ["x", "", "LIVE", "%00", "live,idle"])
def test_list_of_no_state_is_a_field_error(states, state):
    answer = states["live"].get(f"devices?state={state}")
    assert answer.status_code == 400
    assert list(answer.json()) == ["state"]


def test_list_costs_the_same_for_many(api, alice, django_assert_num_queries):
    for _ in range(10):
        api(alice)
    phone = api(alice)
    phone.get("me")
    with django_assert_num_queries(3):  # the device, the count, the page
        phone.get("devices")


# Names


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Alice's phone", "Alice's phone"),
        ("x" * 64, "x" * 64),
        ("  spaces  ", "spaces"),
        ("tab\tand\nnewline", "tabandnewline"),
        ("bell\x07 escape\x1b[31m", "bell escape[31m"),
        ("right\u202eto left", "rightto left"),
        ("📱" * 64, "📱" * 64),
        ("", ""),
        ("\x07\x1b", ""),
        ("nul\0", "nul"),
    ],
)
@pytest.mark.parametrize("way", ["login", "rename"])
def test_name_is_kept_without_control_characters(api, alice, given, kept, way):
    if way == "login":
        phone = api().log_in(alice, device_name=given)
        name = phone.pair["device"]["name"]
    else:
        phone = api(alice)
        answer = phone.patch(f"devices/{id_of(phone)}", {"name": given})
        assert answer.status_code == 200
        name = answer.json()["name"]

    assert name.replace(" ", "") == kept.replace(" ", "")
    assert phone.device.name == name
    assert all(char.isprintable() for char in name)


@pytest.mark.parametrize("name", ["x" * 65, None, ["x"], {"x": 1}])
def test_bad_name_is_a_field_error(api, alice, name):
    phone = api(alice)
    answer = phone.patch(f"devices/{id_of(phone)}", {"name": name})
    assert answer.status_code == 400
    assert list(answer.json()) == ["name"]
    login = {"username": "alice", "password": PASSWORD, "device_name": name}
    answer = api().post("login", login)
    assert answer.status_code == 400
    assert list(answer.json()) == ["device_name"]


def test_name_stands_beside_the_label(api, alice):
    phone = api(alice, HTTP_USER_AGENT=FIREFOX)
    phone.patch(f"devices/{id_of(phone)}", {"name": "Work"})
    device = phone.get(f"devices/{id_of(phone)}").json()
    assert (device["name"], device["label"]) == ("Work", "Firefox on Linux")
    assert str(phone.device) == "Work (Firefox on Linux)"


@pytest.mark.asvs("8.2.3", "15.3.3")
def test_name_is_all_that_is_written(api, alice, bob):
    phone = api(alice)
    before = IssuedToken.objects.filter(pk=id_of(phone)).values().get()

    answer = phone.patch(
        f"devices/{id_of(phone)}",
        {
            "name": "new",
            "user": bob.pk,
            "state": "revoked",
            "kind": "browser",
            "label": "x",
            "expires_at": "2099-01-01T00:00:00Z",
            "revoked_at": "2020-01-01T00:00:00Z",
            "revoked_reason": "staff",
            "ip_address": "1.2.3.4",
            "hash": "x",
            "id": str(uuid.uuid4()),
        },
    )

    assert answer.status_code == 200
    after = IssuedToken.objects.filter(pk=id_of(phone)).values().get()
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"name", "confirmed", "last_seen_at", "idle_at"}
    assert after["name"] == "new"


def test_other_device_can_be_renamed_also_when_it_has_ended(api, alice, age):
    phone, other = api(alice), api(alice)
    other.post("logout")
    age(phone.device, minutes=16)
    assert phone.patch(f"devices/{id_of(other)}", {"name": "Old"}).json()["state"] == "revoked"
    assert other.device.name == "Old"


def test_rename_to_nothing_given_changes_nothing(api, alice):
    phone = api().log_in(alice, device_name="Work")
    assert phone.patch(f"devices/{id_of(phone)}", {}).json()["name"] == "Work"


# Ending one


@pytest.mark.asvs("8.2.2")
@pytest.mark.parametrize("method", ["get", "patch", "delete"])
def test_somebody_elses_device_is_like_none(api, alice, bob, method):
    phone, his = api(alice), api(bob)
    ids = [id_of(his), str(uuid.uuid4()), "x", "1", id_of(his).replace("-", "x"), "a b"]

    answers = {id: getattr(phone, method)(f"devices/{id}") for id in ids}

    assert {answer.status_code for answer in answers.values()} == {404}
    assert len({answer.content for answer in answers.values()}) == 1
    assert answers["x"].json() == {"detail": "Not found.", "code": "not_found"}
    assert his.get("me").status_code == 200


@pytest.mark.asvs("7.5.2", "10.4.9")
def test_other_device_ends_for_who_is_fresh(api, alice):
    phone, other = api(alice), api(alice)

    answer = phone.delete(f"devices/{id_of(other)}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert other.device.revoked_reason == "user"
    assert other.device.revoked_by == alice
    refused = other.get("me")
    assert (refused.status_code, refused.json()["reason"]) == (401, "user")


@pytest.mark.asvs("7.5.2")
def test_other_device_does_not_end_for_who_is_not_fresh(api, alice, age):
    phone, other = api(alice), api(alice)
    age(phone.device, minutes=16)

    answer = phone.delete(f"devices/{id_of(other)}")

    assert (answer.status_code, answer.json()["code"]) == (401, "reauthentication_required")
    assert other.get("me").status_code == 200


def test_current_device_ends_as_a_logout(api, alice, age):
    phone = api(alice)
    age(phone.device, minutes=16)
    assert phone.delete(f"devices/{id_of(phone)}").status_code == 204
    assert phone.device.revoked_reason == "logout"
    assert phone.get("me").status_code == 401


@pytest.mark.parametrize("state", ["idle", "expired", "revoked"])
def test_device_that_has_ended_ends_again_without_a_password(states, age, state):
    asker, ended = states["live"], states[state]
    age(asker.device, minutes=16)
    reason = ended.device.revoked_reason

    assert asker.delete(f"devices/{id_of(ended)}").status_code == 204
    assert ended.device.revoked_reason == reason


@pytest.mark.asvs("7.4.1")
def test_logout(api, alice):
    phone, other = api(alice), api(alice)
    answer = phone.post("logout")
    assert (answer.status_code, answer.content) == (204, b"")
    assert (phone.device.revoked_reason, phone.device.revoked_by) == ("logout", alice)
    assert phone.get("me").status_code == 401
    assert other.get("me").status_code == 200


@pytest.mark.parametrize("path", ["logout/others", "logout/all"])
def test_logout_elsewhere_counts_live_devices(states, api, alice, bob, path):
    asker, other, his = states["live"], api(alice), api(bob)
    everywhere = path == "logout/all"

    answer = asker.post(path)

    assert answer.status_code == 200
    assert answer.json() == {"revoked": 2 if everywhere else 1}
    assert other.get("me").status_code == 401
    assert asker.get("me").status_code == (401 if everywhere else 200)
    assert his.get("me").status_code == 200
    assert (other.device.revoked_reason, other.device.revoked_by) == ("user", alice)
    assert states["revoked"].device.revoked_reason == "logout"
    assert states["idle"].device.revoked_reason == ""


@pytest.mark.asvs("7.5.2")
@pytest.mark.parametrize("path", ["logout/others", "logout/all"])
def test_logout_elsewhere_needs_the_password(api, alice, age, path):
    phone, other = api(alice), api(alice)
    age(phone.device, minutes=16)

    answer = phone.post(path)

    assert (answer.status_code, answer.json()["code"]) == (401, "reauthentication_required")
    assert other.get("me").status_code == 200
    phone.keep(phone.post("reauthenticate", {"password": PASSWORD}).json())
    assert phone.post(path).status_code == 200


def test_row_that_no_request_came_with_is_not_fresh(api, alice):
    assert api(alice).device.is_fresh() is False


def test_logout_of_no_others(api, alice):
    assert api(alice).post("logout/others").json() == {"revoked": 0}


# The limit


@pytest.fixture
def limit(settings):
    settings.MAX_DEVICES_PER_USER = 3


@pytest.mark.asvs("7.1.2")
def test_one_too_many_ends_the_first_never_used(api, alice, limit, age):
    used, first, second = api(alice), api(alice), api(alice)
    used.get("me")
    age(used.device, days=5)
    age(first.device, days=2)
    age(second.device, days=1)

    new = api(alice)

    assert first.device.revoked_reason == "limit"
    assert first.device.revoked_by is None
    assert [client.get("me").status_code for client in (used, second, new)] == [200, 200, 200]


@pytest.mark.asvs("7.1.2")
def test_one_too_many_ends_the_least_recently_seen(api, alice, limit, age):
    clients = [api(alice) for _ in range(3)]
    for client, days in zip(clients, (1, 3, 2), strict=True):
        client.get("me")
        age(client.device, days=days)

    api(alice)

    reasons = [client.device.revoked_reason for client in clients]
    assert reasons == ["", "limit", ""]


def test_new_device_is_never_the_one(api, alice, settings):
    settings.MAX_DEVICES_PER_USER = 1
    first = api(alice)
    first.get("me")
    second = api(alice)
    assert first.get("me").json()["reason"] == "limit"
    assert second.get("me").status_code == 200


def test_lowered_limit_ends_several(api, alice, settings):
    clients = [api(alice) for _ in range(5)]
    settings.MAX_DEVICES_PER_USER = 2
    new = api(alice)
    assert alice.devices.live().count() == 2
    assert new.get("me").status_code == 200
    assert clients[-1].get("me").status_code == 200


def test_limit_counts_live_devices_of_one_user(states, api, alice, bob, settings):
    settings.MAX_DEVICES_PER_USER = 2
    his = [api(bob), api(bob)]
    new = api(alice)
    answers = [client.get("me").status_code for client in (states["live"], new, *his)]
    assert answers == [200] * 4


@pytest.mark.asvs("7.1.2")
def test_limit_counts_browsers_and_tokens_together(api, browser, alice, settings):
    settings.MAX_DEVICES_PER_USER = 2
    laptop = browser(alice)
    laptop.get("/api/v1/me")
    phone = api(alice)
    new = api(alice)
    assert phone.device.revoked_reason == "limit"
    assert laptop.get("/api/v1/me").status_code == 200
    assert new.get("me").status_code == 200


# The states


def test_states_agree_and_partition(alice):
    """Every combination of what ends a device: the row, the queryset and the reason agree."""
    now = timezone.now()
    moments = {"past": now - timedelta(hours=1), "future": now + timedelta(hours=1)}
    inactive = make_user("inactive")
    combinations = itertools.product(
        (alice, inactive), (True, False), (None, "past"), ("past", "future"), (None, *moments)
    )
    for user, same_epoch, revoked, expires, idle in combinations:
        IssuedToken.objects.create(
            user=user,
            kind="api",
            hash=uuid.uuid4().bytes * 2,
            rotated_at=now,
            password_epoch=user.password_changed_at if same_epoch else now - timedelta(days=1),
            created_at=now - timedelta(days=1),
            last_seen_at=now,
            expires_at=moments[expires],
            idle_at=moments.get(idle),
            revoked_at=moments.get(revoked),
            revoked_reason="logout" if revoked else "",
        )
    User.objects.filter(pk=inactive.pk).update(is_active=False)
    IssuedToken.objects.filter(revoked_reason="deactivated").update(
        revoked_at=None, revoked_reason=""
    )

    rows = list(IssuedToken.objects.with_state())

    assert len(rows) == 2 * 2 * 2 * 2 * 3
    for row in rows:
        assert row.state == expected_state(row)
        assert bool(row.ended_reason) == (row.state == State.REVOKED)
    by_state = {state: set(IssuedToken.objects.in_state(state)) for state in State.values}
    for state, found in by_state.items():
        assert found == {row for row in rows if row.state == state}
        assert found
    assert sum(map(len, by_state.values())) == len(rows)
    assert set(IssuedToken.objects.live()) == by_state["live"]


def expected_state(row):
    same_epoch = row.password_epoch == row.user.password_changed_at
    if row.revoked_at or not row.user.is_active or not same_epoch:
        return "revoked"
    if row.expires_at <= row.now:
        return "expired"
    if row.idle_at and row.idle_at <= row.now:
        return "idle"
    return "live"


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        ({"is_active": False}, "user_inactive", "deactivated"),
        ({"password_changed_at": timezone.now()}, "password_changed", "password"),
    ],
)
def test_state_of_the_account_is_the_state_of_its_devices(
    api, alice, support, change, code, reason
):
    phone, staff = api(alice), api(support)
    User.objects.filter(pk=alice.pk).update(**change)
    IssuedToken.objects.filter(user=alice).update(revoked_at=None, revoked_reason="")

    assert phone.get("me").json()["code"] == code
    assert staff.get("users/alice/devices").json()["results"] == []
    [shown] = staff.get("users/alice/devices?state=revoked").json()["results"]
    assert (shown["state"], shown["revoked_reason"]) == ("revoked", reason)
    assert shown["revoked_at"] is None


@pytest.mark.asvs("7.3.1")
def test_idle_device_is_refused_and_comes_back_with_nothing(api, alice, age):
    phone = api(alice)
    age(phone.device, days=14, seconds=1)
    IssuedToken.objects.filter(pk=id_of(phone)).update(
        expires_at=timezone.now() + timedelta(days=1)
    )
    assert phone.get("me").json()["code"] == "device_idle"
    refused = phone.post("refresh", {"refresh_token": phone.pair["refresh_token"]})
    assert refused.json()["code"] == "device_idle"


def test_use_moves_the_idle_end_and_nothing_the_absolute_end(api, alice, age):
    phone = api(alice)
    age(phone.device, days=10)
    phone.get("me")
    device = phone.device
    assert device.idle_at - device.last_seen_at == timedelta(days=14)
    assert device.expires_at - device.created_at == timedelta(days=30)

    age(device, days=10)
    phone.get("me")
    device = phone.device
    assert device.idle_at == device.expires_at


# Staff


def test_staff_see_the_devices_of_a_person(states, api, support):
    staff = api(support)
    listed = staff.get("users/alice/devices").json()
    assert [device["id"] for device in listed["results"]] == [id_of(states["live"])]
    assert [device["is_current"] for device in listed["results"]] == [False]
    assert staff.get("users/ALICE/devices?state=all").json()["count"] == 4
    assert set(listed["results"][0]) == FIELDS


def test_staff_revoke_one_device(api, alice, support):
    phone, other = api(alice), api(alice)

    answer = api(support).post(
        f"users/alice/devices/{id_of(phone)}/revoke", {"note": "Reported as lost."}
    )

    assert (answer.status_code, answer.json()) == (200, {"revoked": 1})
    refused = phone.get("me").json()
    assert (refused["reason"], refused["note"]) == ("staff", "Reported as lost.")
    assert other.get("me").status_code == 200
    [shown] = other.get("devices?state=revoked").json()["results"]
    assert (shown["revoked_reason"], shown["revoked_note"]) == ("staff", "Reported as lost.")
    assert phone.device.revoked_by == support


@pytest.mark.asvs("7.4.5")
def test_staff_revoke_all_devices(states, api, alice, bob, support):
    his, staff = api(bob), api(support)
    assert staff.post("users/alice/devices/revoke", {}).json() == {"revoked": 1}
    assert staff.post("users/alice/devices/revoke").json() == {"revoked": 0}
    assert states["live"].get("me").json()["note"] == ""
    assert states["revoked"].device.revoked_reason == "logout"
    assert his.get("me").status_code == 200


def test_revocation_by_staff_is_idempotent(api, alice, support):
    phone, staff = api(alice), api(support)
    url = f"users/alice/devices/{id_of(phone)}/revoke"
    assert staff.post(url, {"note": "First."}).json() == {"revoked": 1}
    first = phone.device.revoked_at
    assert staff.post(url, {"note": "Second."}).json() == {"revoked": 0}
    assert (phone.device.revoked_note, phone.device.revoked_at) == ("First.", first)


def test_revocation_by_staff_needs_no_fresh_password(api, alice, support, age):
    phone, staff = api(alice), api(support)
    age(staff.device, minutes=16)
    assert staff.post("users/alice/devices/revoke", {"note": "x"}).json() == {"revoked": 1}
    assert phone.get("me").status_code == 401


@pytest.mark.parametrize(
    ("note", "kept"), [("x" * 500, "x" * 500), ("a\nb\x1b[0m\u202ec", "ab[0mc"), ("  a  ", "a")]
)
def test_note_is_kept_clean(api, alice, support, note, kept):
    phone = api(alice)
    api(support).post("users/alice/devices/revoke", {"note": note})
    assert phone.get("me").json()["note"].replace(" ", "") == kept


@pytest.mark.parametrize("note", ["x" * 501, "nul\0", None, ["x"]])
def test_bad_note_is_a_field_error(api, alice, support, note):
    phone = api(alice)
    answer = api(support).post("users/alice/devices/revoke", {"note": note})
    assert answer.status_code == 400
    assert list(answer.json()) == ["note"]
    assert phone.get("me").status_code == 200


@pytest.mark.asvs("8.2.1")
@pytest.mark.parametrize("asker", ["nobody", "bob", "reader", "support", "manager", "root"])
@pytest.mark.parametrize("what", ["list", "one", "all"])
def test_who_may(request, api, alice, bob, asker, what):
    target = api(alice)
    may = {"support", "manager", "root"}
    if asker == "reader":
        user = make_user("reader")
        user.roles.add(reading := Role.objects.create(name="reading"))
        reading.permissions.set(Role.objects.get(name="support").permissions.all())
        reading.permissions.remove(reading.permissions.get(codename="revoke_issuedtoken"))
        may |= {"reader"} if what == "list" else set()
    else:
        user = None if asker == "nobody" else request.getfixturevalue(asker)
    client = api(user)

    if what == "list":
        answer = client.get("users/alice/devices")
    elif what == "one":
        answer = client.post(f"users/alice/devices/{id_of(target)}/revoke", {})
    else:
        answer = client.post("users/alice/devices/revoke", {})

    expected = 200 if asker in may else 401 if asker == "nobody" else 403
    assert answer.status_code == expected
    ended = expected == 200 and what != "list"
    assert target.get("me").status_code == (401 if ended else 200)


@pytest.mark.asvs("8.2.2")
def test_only_a_superuser_ends_a_superusers_devices(api, root, support, manager):
    phone = api(root)
    for staff in (api(support), api(manager)):
        for url in (f"users/root/devices/{id_of(phone)}/revoke", "users/root/devices/revoke"):
            answer = staff.post(url, {})
            assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert phone.get("me").status_code == 200
    second = make_user("second", is_superuser=True)
    assert api(second).post("users/root/devices/revoke").json() == {"revoked": 1}


@pytest.mark.parametrize(
    "url",
    [
        "users/bob/devices/{id}/revoke",
        "users/none/devices/{id}/revoke",
        "users/alice/devices/{other}/revoke",
        "users/alice/devices/x/revoke",
        "users/none/devices/revoke",
    ],
)
def test_no_such_device_for_staff(api, alice, bob, support, url):
    phone = api(alice)
    url = url.format(id=id_of(phone), other=uuid.uuid4())
    answer = api(support).post(url, {})
    assert answer.status_code == 404
    assert answer.json() == {"detail": "Not found.", "code": "not_found"}
    assert phone.get("me").status_code == 200


def test_staff_may_end_their_own_current_device(api, support):
    staff = api(support)
    url = f"users/support/devices/{id_of(staff)}/revoke"
    assert staff.post(url).json() == {"revoked": 1}
    assert staff.get("me").json()["reason"] == "staff"


# The address


def addresses(client):
    device = client.device
    return device.ip_address, device.last_ip


@pytest.mark.asvs("4.1.3", "15.3.4")
@pytest.mark.parametrize(
    ("peer", "forwarded", "seen"),
    [
        ("203.0.113.7", None, "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.9.9.9", "198.51.100.1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("::ffff:203.0.113.7", None, "203.0.113.7"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
    ],
)
def test_forwarded_address_is_believed_of_trusted_proxies(
    api, alice, settings, peer, forwarded, seen
):
    settings.TRUSTED_PROXIES = [ipaddress.ip_network("10.0.0.0/8")]
    headers = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    phone = api(alice, REMOTE_ADDR=peer, **headers)
    assert addresses(phone) == (seen, seen)


@pytest.mark.asvs("4.1.3")
def test_forwarded_address_is_hearsay_without_trusted_proxies(api, alice):
    phone = api(alice, REMOTE_ADDR="203.0.113.7", HTTP_X_FORWARDED_FOR="198.51.100.1")
    assert addresses(phone) == ("203.0.113.7", "203.0.113.7")


def test_address_follows_the_device_and_the_first_one_stays(api, alice, age):
    phone = api(alice, REMOTE_ADDR="8.8.8.8")
    phone.get("me")
    age(phone.device, minutes=2)
    phone.http.defaults["REMOTE_ADDR"] = "203.0.113.7"
    phone.get("me")
    assert addresses(phone) == ("8.8.8.8", "203.0.113.7")
    assert phone.device.location == ""


def test_connection_without_an_address(api, alice):
    phone = api(alice, REMOTE_ADDR="")
    assert addresses(phone) == (None, None)
    assert phone.get("me").status_code == 200


def test_user_agent_is_cut_and_printable(api, alice):
    phone = api(alice, HTTP_USER_AGENT="curl/8.0 \x1b[31m" + "x" * 1000)
    assert len(phone.device.user_agent) == 512
    assert phone.device.user_agent.isprintable()
    assert phone.device.label == "curl"
