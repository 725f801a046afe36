"""What a change of the user ends: by any path at once, and marked in the rows afterwards."""

from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from accounts.models import User
from tests.plugins.guestlist import FIREFOX, NEW_PASSWORD, PASSWORD
from tokens.models import IssuedToken
from tokens.stories import ended_text

HOME, NEXT_DOOR, ABROAD = "81.2.69.142", "81.2.69.9", "8.8.8.8"


def by_save(user, **flags):
    user = User.objects.get(pk=user.pk)
    for name, value in flags.items():
        setattr(user, name, value)
    user.save()


def by_update(user, **flags):
    User.objects.filter(pk=user.pk).update(**flags)


def by_bulk_update(user, **flags):
    user = User.objects.get(pk=user.pk)
    for name, value in flags.items():
        setattr(user, name, value)
    User.objects.bulk_update([user], list(flags))


def by_raw_sql(user, **flags):
    columns = ", ".join(f"{name} = %s" for name in flags)
    with connection.cursor() as cursor:
        sql = f"UPDATE accounts_user SET {columns} WHERE id = %s"
        cursor.execute(sql, [*flags.values(), user.pk])


PATHS = [by_save, by_update, by_bulk_update, by_raw_sql]


@pytest.mark.asvs("7.4.2")
@pytest.mark.parametrize("change", PATHS)
@pytest.mark.parametrize("flags", [{"is_staff": True}, {"is_superuser": True}])
def test_who_may_do_more_signs_in_again(browser, api, alice, change, flags):
    """A copy of an ordinary cookie or token does not open what the account opens now."""
    laptop, phone = browser(alice), api(alice)
    change(alice, **flags)

    assert laptop.get("/admin/").status_code == 302
    assert "Your account may do more since" in laptop.get("/login").content.decode()
    refused = phone.get("me")
    assert (refused.status_code, refused.json()["code"]) == (401, "device_revoked")
    assert refused.json()["reason"] == "rights"
    body = {"refresh_token": phone.pair["refresh_token"]}
    assert phone.post("refresh", body, authorization="").json()["reason"] == "rights"
    device = phone.device
    assert (device.state, device.ended_reason) == ("revoked", "rights")
    assert ended_text(device) == "the account may do more since"
    assert not alice.devices.live().exists()
    assert api(alice).get("me").status_code == 200


@pytest.mark.parametrize("change", PATHS)
def test_who_may_do_less_or_the_same_stays(browser, api, root, change):
    desk, phone = browser(root), api(root)
    change(root, is_superuser=False)
    change(root, is_superuser=True)
    assert phone.get("me").status_code == 200
    assert desk.get("/admin/").status_code == 200


def test_flags_that_a_row_does_not_know_count_as_those_of_today(api, alice):
    """As rows of the release before, which goes on with this schema."""
    phone = api(alice)
    IssuedToken.objects.update(was_staff=None, was_superuser=None)
    by_raw_sql(alice, is_staff=True)
    assert phone.get("me").status_code == 200
    assert alice.devices.live().exists()


def test_rows_are_marked_when_the_change_commits(
    api, alice, bob, django_capture_on_commit_callbacks
):
    phone, other = api(alice), api(bob)
    with django_capture_on_commit_callbacks(execute=True):
        by_save(alice, is_staff=True)
    device = phone.device
    assert (device.revoked_reason, device.revoked_at is None) == ("rights", False)
    with django_capture_on_commit_callbacks(execute=True):
        by_update(bob, is_superuser=True)
    assert other.device.revoked_reason == "rights"


def test_password_set_elsewhere_marks_the_rows(api, alice, django_capture_on_commit_callbacks):
    phone = api(alice)
    with django_capture_on_commit_callbacks(execute=True):
        alice.set_password(NEW_PASSWORD)
        alice.save()
    assert phone.device.revoked_reason == "password"
    assert phone.device.revoked_at is not None
    refused = phone.get("me").json()
    assert refused["code"] == "password_changed"


def test_password_change_marks_all_but_its_own_device(
    api, alice, django_capture_on_commit_callbacks
):
    phone, other = api(alice), api(alice)
    with django_capture_on_commit_callbacks(execute=True):
        body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        phone.keep(phone.post("password", body).json())
    assert phone.get("me").status_code == 200
    assert other.device.revoked_reason == "password"


@pytest.mark.parametrize(
    ("flags", "reason"),
    [({"is_active": False}, "deactivated"), ({"is_staff": True}, "rights")],
)
def test_purge_marks_what_raw_sql_has_ended(api, alice, bob, caplog, flags, reason):
    caplog.set_level("INFO", "tokens")
    phone, other = api(alice), api(bob)
    by_raw_sql(alice, **flags)
    assert phone.device.revoked_at is None

    call_command("purge_devices", dry_run=True)
    assert phone.device.revoked_at is None
    call_command("purge_devices")

    device = phone.device
    assert (device.revoked_reason, device.revoked_at is None) == (reason, False)
    assert other.device.state == "live"
    [line] = [record for record in caplog.records if record.msg == "devices revoked"]
    assert (line.count, line.reason) == (1, reason)


# Fresh


@pytest.mark.asvs("7.5.3")
@pytest.mark.parametrize(
    ("address", "status"),
    [(HOME, 200), (NEXT_DOOR, 200), (ABROAD, 401), ("10.0.0.1", 401), ("2001:db8::1", 401)],
)
def test_stolen_token_is_not_fresh_elsewhere(api, alice, address, status):
    phone, thief = api(alice, REMOTE_ADDR=HOME), api(REMOTE_ADDR=address, HTTP_USER_AGENT=FIREFOX)
    answer = thief.keep(phone.pair).post("logout/others")
    assert answer.status_code == status
    assert phone.post("logout/others").status_code == 200


def test_password_makes_fresh_where_it_is_given(api, alice):
    phone = api(alice, REMOTE_ADDR=HOME)
    moved = api(REMOTE_ADDR=ABROAD).keep(phone.pair)
    assert moved.post("logout/others").json()["code"] == "reauthentication_required"

    moved.keep(moved.post("reauthenticate", {"password": PASSWORD}).json())

    assert moved.post("logout/others").status_code == 200
    assert moved.device.authenticated_ip == ABROAD
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    back = api(REMOTE_ADDR=HOME).keep(moved.pair)
    back.keep(back.post("password", body).json())
    assert back.device.authenticated_ip == HOME


@pytest.mark.parametrize(
    ("address", "status"), [("2a02:2e0::1", 200), ("5.1.71.1", 200), ("5.1.67.1", 401)]
)
def test_country_is_as_good_as_the_network(api, alice, settings, address, status):
    """Berlin and Hanover, Berlin and somewhere in Germany, Berlin and France."""
    settings.GEOIP_PATH = str(Path(__file__).with_name("data") / "city.mmdb")
    phone = api(alice, REMOTE_ADDR="5.1.66.1")
    moved = api(REMOTE_ADDR=address).keep(phone.pair)
    assert moved.post("logout/others").status_code == status


def test_browser_is_asked_for_the_password_elsewhere(browser, api, alice):
    laptop = browser(alice, REMOTE_ADDR=HOME)
    api(alice)
    page = laptop.post("/devices/sign-out-others/", REMOTE_ADDR=ABROAD)
    assert "You last gave it on this device" in page.content.decode()
    assert alice.devices.live().count() == 2
