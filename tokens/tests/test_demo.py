import io

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.management import CommandError, call_command
from django.db.models import F
from django.db.models.functions import Now

from accounts.models import User
from tokens import demo
from tokens.models import IssuedToken, State


@pytest.fixture
def debug(settings):
    settings.DEBUG = True


@pytest.fixture
def loaded(db, debug):
    return run()


def run():
    out = io.StringIO()
    call_command("load_demo", stdout=out, no_color=True)
    return out.getvalue()


@pytest.mark.asvs("6.3.2")
def test_load_demo_refuses_without_debug(db):
    with pytest.raises(CommandError, match=r"^DEBUG is off\. The demo's password is public"):
        run()
    assert not User.objects.exists()


def test_load_demo_prints_a_card_with_all_that_one_needs(loaded):
    people, devices = User.objects.count(), IssuedToken.objects.count()
    assert loaded.startswith(f"Loaded {people} people and their {devices} devices.\n")
    for line in [
        "  Site       https://testserver/\n",
        "  Admin      https://testserver/admin/\n",
        "  API        https://testserver/api/v1/\n",
        "  API docs   https://testserver/api/v1/docs\n",
        f"  Password of everybody: {demo.PASSWORD}\n",
        f"""    -d '{{"username": "ana", "password": "{demo.PASSWORD}"}}'\n""",
    ]:
        assert line in loaded


def test_everybody_of_the_demo_but_emma_can_sign_in(loaded, api):
    for user in User.objects.exclude(username="emma"):
        client = api().log_in(user, password=demo.PASSWORD)
        assert client.get("me").json()["username"] == user.username
    body = {"username": "emma", "password": demo.PASSWORD}
    assert api().post("login", body).json()["code"] == "login_failed"


def test_the_demo_password_passes_the_validators(loaded):
    for user in User.objects.all():
        assert validate_password(demo.PASSWORD, user) is None  # and raises nothing


def test_the_demo_has_staff_and_ordinary_people(loaded):
    admin, support, ana = (User.objects.get(username=name) for name in ("admin", "support", "ana"))
    assert admin.is_superuser
    assert admin.has_role("admin")
    assert support.is_staff
    assert support.has_role("support")
    assert not support.is_superuser
    assert not ana.is_staff
    assert ana.devices.live().count() >= 3


def test_the_demo_has_devices_of_every_kind_state_and_reason(loaded):
    devices = IssuedToken.objects.with_state()
    assert {device.kind for device in devices} == set(IssuedToken.Kind.values)
    assert {device.state for device in devices} == set(State.values)
    assert {device.ended_reason for device in devices} == {
        *set(IssuedToken.Reason.values) - {"rights", "recovery"},
        "",
    }
    assert {device.device_type for device in devices} >= {
        *("desktop", "phone", "tablet", "app", "script")
    }
    assert IssuedToken.objects.past_retention().exists()


def test_staff_s_revocation_in_the_demo_has_a_name_and_a_note(loaded):
    device = IssuedToken.objects.get(revoked_reason="staff")
    assert device.revoked_by_name == "support"
    assert device.revoked_note


def test_every_address_of_the_demo_has_a_place(loaded):
    devices = IssuedToken.objects.all()
    assert {device.location for device in devices} >= {"Germany", "Japan", "Kenya", "Brazil"}
    assert not devices.filter(location="").exists()


def test_the_times_of_the_demo_lie_in_the_past_and_in_order(loaded):
    devices = IssuedToken.objects.all()
    assert not devices.filter(last_seen_at__gt=Now()).exists()
    assert not devices.filter(created_at__gt=F("last_seen_at")).exists()
    assert not devices.filter(last_seen_at__gt=F("revoked_at")).exists()
    assert not devices.filter(created_at__lt=F("user__date_joined")).exists()
    assert not devices.filter(alarm_at__lte=F("rotated_at")).exists()
    ana = User.objects.get(username="ana")
    assert ana.last_login == ana.devices.latest("created_at").created_at


def test_a_second_run_changes_nothing_and_says_so(loaded):
    def rows():
        return list(User.objects.order_by("pk").values()), list(
            IssuedToken.objects.order_by("pk").values()
        )

    before = rows()
    again = run()
    assert again.startswith("There are accounts already: nothing was loaded or changed.\n")
    assert again.partition("\n")[2] == loaded.partition("\n")[2]
    assert rows() == before


def test_load_demo_leaves_a_database_with_other_people_alone(alice, debug):
    assert run() == "There are accounts already: nothing was loaded or changed.\n"
    assert User.objects.get() == alice


def test_an_interrupted_load_leaves_nothing(db, debug):
    loading = demo.load()
    next(loading)
    assert IssuedToken.objects.exists()
    loading.close()
    assert not User.objects.exists()
    assert not IssuedToken.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_demo_mails_nobody_and_logs_nothing(debug, mailoutbox, caplog, settings):
    backend = settings.EMAIL_BACKEND
    run()
    assert mailoutbox == []
    assert caplog.records == []
    assert backend == settings.EMAIL_BACKEND
