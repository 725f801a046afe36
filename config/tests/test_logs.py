"""The security log: one JSON object a line for what happened, by whom, when and from where."""

import json
import logging
import threading
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db.models import QuerySet
from django.test import Client
from django.utils.functional import SimpleLazyObject

from accounts.models import Role, User
from accounts.tests.admin import url_of
from config.logs import REPORTING, REPORTS_AN_HOUR, JSONFormatter, current_request
from tests.plugins.guestlist import PASSWORD
from tokens import flows
from tokens.models import IssuedToken
from tokens.tests.admin import revoke_by_page

LONDON = "81.2.69.142"


@pytest.fixture
def log():
    """`log()` reads the lines since it was last asked, as the console handler writes them."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter())
    logging.getLogger().addHandler(handler)

    def read():
        lines = stream.getvalue().splitlines()
        stream.seek(0)
        stream.truncate()
        return [json.loads(line) for line in lines]

    yield read
    logging.getLogger().removeHandler(handler)


def only(lines, event):
    [line] = [line for line in lines if line["event"] == event]
    return line


@pytest.mark.asvs("16.2.3", "16.2.4")
def test_production_logs_json_on_the_console(settings):
    assert settings.LOGGING["handlers"]["console"]["formatter"] == "json"
    assert settings.LOGGING["formatters"]["json"]["()"] == "config.logs.JSONFormatter"
    assert settings.LOGGING["root"]["handlers"] == ["console"]


@pytest.mark.asvs("16.2.1", "16.2.2", "16.3.1")
def test_a_line_says_who_what_when_and_where(log, api, alice):
    phone = api(alice, REMOTE_ADDR=LONDON)
    line = only(log(), "signed in")
    assert datetime.now(UTC) - datetime.fromisoformat(line["time"]) < timedelta(minutes=1)
    assert line["time"].endswith("+00:00")
    assert line["level"] == "info"
    assert (line["user"], line["device"]) == (alice.pk, phone.pair["device"]["id"])
    assert (line["ip"], line["method"], line["route"]) == (LONDON, "POST", "api/v1/login")


@pytest.mark.asvs("16.2.1", "16.2.5")
def test_a_revocation_names_both_sides(log, browser, api, support, alice):
    phone = api(alice)
    page = browser(support)
    log()
    revoke_by_page(page, phone.device, note="Lost.")
    lines = log()
    line = only(lines, "devices revoked")
    assert (line["count"], line["reason"]) == (1, "staff")
    assert (line["user"], line["by"], line["by_user"]) == (alice.pk, support.pk, support.pk)
    action = only(lines, "admin action")
    assert (action["by"], action["model"]) == (support.pk, "issuedtoken")
    assert action["object"] == phone.pair["device"]["id"]
    assert "Lost." not in json.dumps(lines)

    phone.get("me")
    line = only(log(), "request refused")
    assert (line["status"], line["code"]) == (401, "device_revoked")


@pytest.mark.asvs("16.3.2", "16.3.3")
@pytest.mark.parametrize(
    ("act", "event", "expected"),
    [
        (lambda c, *_: c.post("logout"), "devices revoked", {"reason": "logout"}),
        (lambda c, *_: c.post("logout/all"), "devices revoked", {"reason": "user", "count": 1}),
        (
            lambda c, *_: c.post("reauthenticate", {"password": PASSWORD}),
            "password given again",
            {"kind": "api"},
        ),
        (
            lambda c, *_: c.post(
                "password", {"current_password": PASSWORD, "new_password": "another long password"}
            ),
            "password changed",
            {},
        ),
        (
            lambda c, *_: c.get("users"),
            "request refused",
            {"status": 403, "code": "permission_denied"},
        ),
        (
            lambda c, *_: c.get("me", authorization="Bearer x.y.z"),
            "request refused",
            {"status": 401, "code": "token_invalid"},
        ),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_what_a_person_does_is_logged(log, api, alice, act, event, expected):
    phone = api(alice)
    log()
    act(phone)
    line = only(log(), event)
    assert expected.items() <= line.items()
    if event == "devices revoked":
        assert (line["count"], line["user"], line["by"]) == (1, alice.pk, alice.pk)
    elif event.startswith("password"):
        assert (line["user"], line["by_device"]) == (alice.pk, phone.pair["device"]["id"])


@pytest.mark.asvs("16.3.3")
def test_a_refresh_token_that_comes_back_is_logged_with_both_sides(log, api, alice):
    phone, other = api(alice), api(REMOTE_ADDR=LONDON)
    body = {"refresh_token": phone.pair["refresh_token"]}

    def come_back(event):
        log()
        other.post("refresh", body, **{"user-agent": "curl/8.5.0"})
        line = only(log(), event)
        device = phone.device
        assert line["first_at"] == device.rotated_at.isoformat()
        asked = datetime.fromisoformat(line["second_at"]) - device.rotated_at
        assert timedelta(0) <= asked < timedelta(minutes=1)
        assert (
            line.items()
            >= {
                "device": str(device.pk),
                "user": alice.pk,
                "first_ip": "127.0.0.1",
                "first_user_agent": "okhttp/4.12.0",
                "second_ip": LONDON,
                "second_user_agent": "curl/8.5.0",
            }.items()
        )
        return line["level"]

    phone.keep(phone.post("refresh", body, **{"user-agent": "okhttp/4.12.0"}).json())
    assert come_back("refresh answered again") == "info"
    again = {"refresh_token": phone.pair["refresh_token"]}
    phone.post("refresh", again, **{"user-agent": "okhttp/4.12.0"})
    assert come_back("refresh token reused") == "warning"


def test_a_refresh_token_ahead_of_its_device_is_logged(log, api, alice):
    phone = api(alice)
    ahead = phone.post("refresh", {"refresh_token": phone.pair["refresh_token"]}).json()
    IssuedToken.objects.update(generation=1)
    log()
    phone.post("refresh", {"refresh_token": ahead["refresh_token"]})
    line = only(log(), "refresh token ahead of its device")
    assert (line["device"], line["user"]) == (str(phone.device.pk), alice.pk)


@pytest.mark.asvs("16.2.5", "16.3.1")
@pytest.mark.parametrize("path", ["/api/v1/login", "/login"])
def test_a_refused_sign_in_names_the_account_and_no_word_that_was_typed(log, client, alice, path):
    for name in ("alice", "my password, by mistake"):
        data = {"username": name, "password": "not my password"}
        json_type = {"content_type": "application/json"} if "api" in path else {}
        client.post(path, data, **json_type)
    known, unknown = [line for line in log() if line["event"] == "login refused"]
    assert (known["user"], known["ip"], unknown["user"]) == (alice.pk, "127.0.0.1", None)
    assert "by mistake" not in json.dumps([known, unknown])


@pytest.mark.asvs("16.3.1")
def test_a_lock_and_what_it_refuses_are_logged(log, api, alice):
    client = api()
    for _ in range(6):
        client.post("login", {"username": "alice", "password": "not my password"})
    lines = log()
    locked = next(line for line in lines if line["event"] == "locked")
    assert (locked["level"], locked["kind"], locked["count"]) == ("warning", "login_pair", 5)
    assert only(lines, "request refused")["code"] == "throttled"


@pytest.mark.asvs("16.3.1")
@pytest.mark.parametrize("path", ["/login", "/admin/login/", "/api/v1/login"])
def test_what_a_lock_refuses_is_logged_once_by_every_way_in(log, client, alice, path):
    words = {"username": "alice", "password": "not my password"}
    json_type = {"content_type": "application/json"} if "api" in path else {}
    for _ in range(5):
        client.post(path, words, **json_type)
    log()
    assert client.post(path, words, **json_type).status_code == 429
    line = only(log(), "request refused")
    assert (line["status"], line["code"], line["ip"]) == (429, "throttled", "127.0.0.1")


@pytest.mark.asvs("16.3.1")
@pytest.mark.parametrize("way", ["API", "page"])
def test_a_wrong_password_on_a_signed_in_device_is_logged(log, api, browser, alice, age, way):
    phone, tab = api(alice), browser(alice)
    age(alice.devices.get(kind="browser"), minutes=20)
    log()
    if way == "API":
        phone.post("reauthenticate", {"password": "not my password"})
    else:
        tab.post("/devices/sign-out-others/", {"password": "not my password"})
    lines = log()
    line = only(lines, "password refused")
    kind = "api" if way == "API" else "browser"
    assert line["user"] == alice.pk
    assert line["device"] == str(alice.devices.get(kind=kind).pk)
    assert "not my password" not in json.dumps(lines)


@pytest.mark.asvs("16.3.1")
@pytest.mark.django_db(transaction=True)
def test_a_password_set_by_a_mailed_link_is_logged_once(log, client, alice, mailoutbox):
    User.objects.filter(pk=alice.pk).update(email_verified_at=alice.date_joined)
    client.post("/password/reset", {"email": alice.email})
    link = mailoutbox[0].body.split()[-1].removeprefix("https://testserver")
    page = client.get(link, follow=True).redirect_chain[-1][0]
    log()
    client.post(page, {"new_password1": PASSWORD * 2, "new_password2": PASSWORD * 2})
    lines = log()
    assert only(lines, "password changed")["user"] == alice.pk
    assert PASSWORD not in json.dumps(lines)


@pytest.mark.django_db(transaction=True)
def test_a_password_set_on_the_server_is_logged(log, alice):
    alice.set_password(PASSWORD * 2)
    alice.save()
    line = only(log(), "password changed")
    assert (line["user"], line["is_active"]) == (alice.pk, True)
    assert line["password_changed_at"] == alice.password_changed_at.isoformat()
    alice.save()
    User.objects.get(pk=alice.pk).save()
    assert {line["event"] for line in log()} == {"account changed"}


@pytest.mark.django_db(transaction=True)
def test_an_upgrade_of_the_hash_is_no_change_of_the_account(log, alice):
    log()
    alice._upgrade_hash(PASSWORD)
    assert not log()


@pytest.mark.asvs("16.3.3")
def test_a_deactivation_is_logged(log, api, alice):
    api(alice)
    log()
    alice.is_active = False
    alice.save()
    line = only(log(), "devices revoked")
    assert (line["reason"], line["count"]) == ("deactivated", 1)
    assert (line["user"], line["by"]) == (None, None)


def test_deactivated_in_several_statements_they_are_counted_together(log, api, alice, bob):
    api(alice), api(bob)
    QuerySet(User).update(is_active=False)
    log()
    flows.revoke_inactive([alice.pk, bob.pk], size=1)
    assert only(log(), "devices revoked")["count"] == 2


@pytest.mark.asvs("16.3.3")
def test_a_limit_is_logged(log, api, alice, settings):
    settings.MAX_DEVICES_PER_USER = 1
    api(alice)
    log()
    api(alice)
    line = only(log(), "devices revoked")
    assert (line["reason"], line["count"]) == ("limit", 1)
    assert (line["user"], line["by"]) == (alice.pk, None)


def test_a_browser_that_signs_in_again_is_logged(log, browser, alice):
    tab = browser(alice)
    log()
    tab.post("/login", {"username": "alice", "password": PASSWORD})
    lines = log()
    line = only(lines, "devices revoked")
    assert (line["reason"], line["count"]) == ("replaced", 1)
    assert (line["user"], line["by"]) == (None, alice.pk)
    assert only(lines, "signed in")["kind"] == "browser"


def test_a_changed_password_ends_others_and_says_how_many(log, api, alice):
    phone, other, *_ = api(alice), api(alice), api(alice)
    log()
    phone.post("password", {"current_password": PASSWORD, "new_password": "another long password"})
    line = only(log(), "devices revoked")
    assert (line["reason"], line["count"]) == ("password", 2)
    assert (line["user"], line["by"]) == (alice.pk, alice.pk)
    assert (other.device.revoked_reason, other.device.revoked_by) == ("password", alice)


def test_a_token_for_a_script_is_logged(log, alice):
    command = ["issue_token", "alice", "--name=cron", "--expires=1d"]
    call_command(*command, stdout=StringIO(), stderr=StringIO())
    line = only(log(), "token issued")
    assert line["device"] == str(alice.devices.get().pk)
    assert (line["user"], line["kind"]) == (alice.pk, "api")


@pytest.mark.asvs("16.3.3")
@pytest.mark.django_db(transaction=True)
def test_a_role_given_by_the_api_is_logged(log, api, manager, alice):
    staff = api(manager)
    log()
    staff.put("users/alice/roles/support", {"current_password": PASSWORD})
    line = only(log(), "rights changed")
    assert (line["of_users"], line["change"]) == ([alice.pk], "add")
    assert line["roles"] == [Role.objects.get(name="support").pk]
    assert line["by_user"] == manager.pk


@pytest.mark.django_db(transaction=True)
def test_permissions_of_a_role_are_logged(log, db):
    role = Role.objects.get(name="support")
    log()
    role.permissions.clear()
    line = only(log(), "rights changed")
    assert (line["of_roles"], line["change"]) == ([role.pk], "clear")
    assert "tokens.revoke_issuedtoken" in line["permissions"]


@pytest.mark.asvs("16.3.3")
@pytest.mark.django_db(transaction=True)
def test_accounts_come_and_go(log, alice):
    assert only(log(), "account created")["user"] == alice.pk
    key = alice.pk
    alice.delete()
    assert only(log(), "account deleted")["user"] == key


@pytest.mark.asvs("16.3.2")
def test_an_admin_page_that_is_refused_is_logged(log, browser, support, alice):
    page = browser(support)
    log()
    page.post(url_of(alice), {"username": "eve"})
    line = only(log(), "request refused")
    assert (line["status"], line["by_user"]) == (403, support.pk)


def test_a_browser_device_that_ended_is_logged(log, browser, alice):
    tab = browser(alice)
    alice.devices.all().revoke(reason="staff")
    log()
    tab.get("/devices/")
    assert only(log(), "request refused")["code"] == "device_revoked"


def test_a_purge_is_logged(log, api, alice, age):
    phone = api(alice)
    phone.post("logout")
    age(phone.device, days=29)
    log()
    call_command("purge_devices", stdout=StringIO())
    assert only(log(), "devices purged")["count"] == 1


def test_a_command_has_no_request_to_name(log, api, alice):
    api(alice)
    log()
    call_command("revoke_devices", "--all", stdout=StringIO())
    assert {"ip", "route", "by_user"}.isdisjoint(only(log(), "devices revoked"))


@pytest.mark.asvs("16.4.1")
def test_no_text_breaks_a_line(log):
    logging.getLogger("tokens").warning("a\nb\x1b[31m\u2028", extra={"name_of": "c\r\nd"})
    [line] = log()
    assert line["event"] == "a\nb\x1b[31m\u2028"
    assert line["name_of"] == "c\r\nd"


@pytest.mark.asvs("16.2.5")
def test_a_mailed_token_in_a_path_is_not_logged(log, client, db, settings):
    logger = logging.getLogger("django.request")
    logger.error("Internal Server Error: %s", "/email/secret-token")
    [line] = log()
    assert line["event"] == "Internal Server Error"
    client.get("/email/secret-token")
    assert "secret-token" not in json.dumps(log())


@pytest.mark.asvs("16.2.5")
@pytest.mark.parametrize("path", ["/email/", "/not-me/", "/password/reset/MQ/"])
@pytest.mark.parametrize("origin", ["https://testserver", "https://evil.example"])
def test_a_mailed_token_in_a_path_is_not_logged_for_want_of_a_csrf_token(log, db, path, origin):
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(f"{path}secret-token", headers={"origin": origin}).status_code == 403
    [line] = log()
    assert line["event"].startswith("Forbidden (")
    assert line["event"].endswith(".)")
    assert "secret-token" not in json.dumps(line)


@pytest.mark.asvs("16.2.4", "16.3.4")
def test_an_exception_is_one_line(log):
    try:
        raise ValueError("x\ny")
    except ValueError:
        logging.getLogger("tokens").exception("it broke")
    [line] = log()
    assert "ValueError: x\ny" in line["exception"]


def test_a_line_about_a_browser_asks_the_database_for_nothing(log, alice, rf):
    request = rf.get("/devices/")
    request.device = SimpleLazyObject(lambda: pytest.fail("the device was asked for"))
    token = current_request.set(request)
    logging.getLogger("tokens").warning("x")
    current_request.reset(token)
    assert only(log(), "x")["method"] == "GET"


def reports():
    return [thread for thread in threading.enumerate() if thread.name == REPORTING]


@pytest.fixture
def fail(rf, settings):
    """`fail()` logs an error of a request as Django does. ADMINS are mailed about it."""
    settings.ADMINS = [("", "operators@example.org")]
    [handler] = logging.getLogger("django.request").handlers
    handler.bound.counts.clear()

    def run():
        request = rf.post("/password/reset/our-link", {"password": PASSWORD})
        request.COOKIES["sessionid"] = "our-cookie"
        try:
            try:
                raise KeyError(PASSWORD)
            except KeyError as error:
                raise ValueError(PASSWORD) from error
        except ValueError:
            extra = {"request": request, "status_code": 500}
            words = "Internal Server Error: %s"
            logging.getLogger("django.request").exception(words, request.path, extra=extra)

    yield run
    handler.bound.counts.clear()


def test_no_request_waits_for_a_report_and_reports_are_bounded(fail, mail_server):
    """The mail server hangs."""
    mail_server.fault = "hangs at connection"

    for _ in range(REPORTS_AN_HOUR + 5):
        fail()

    under_way = reports()
    assert len(under_way) == REPORTS_AN_HOUR
    mail_server.mend()
    for thread in under_way:
        thread.join()


def test_report_says_where_the_error_was_and_nothing_that_was_sent(fail, settings, mailoutbox):
    settings.SERVER_EMAIL = "Errors <errors@example.org>"
    fail()
    for thread in reports():
        thread.join()

    [report] = mailoutbox
    assert (report.to, report.from_email) == (["operators@example.org"], settings.SERVER_EMAIL)
    assert report.subject == "Guestlist: Internal Server Error"
    assert report.body.index("builtins.KeyError") < report.body.index("builtins.ValueError")
    assert f'{Path(__file__).name}", line' in report.body
    message = report.message()
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@example.org>")
    for word in ("our-link", PASSWORD, "our-cookie", "sessionid", settings.SECRET_KEY):
        assert word not in message.as_string()


@pytest.mark.parametrize("name", ["django.security.DisallowedHost", "django.db.backends"])
def test_operators_are_not_mailed_about_what_strangers_cause(name, fail, mailoutbox):
    logging.getLogger(name).error("x")
    assert (reports(), mailoutbox) == ([], [])
