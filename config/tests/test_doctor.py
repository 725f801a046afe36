"""`manage.py doctor`: what a site needs, one line each."""

import io
import json
import os
import socketserver
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as global_settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.functions import Now
from django.test import override_settings
from django.utils import timezone

from accounts.mail import silence
from accounts.models import QueuedMail, User
from config.doctor import CHECKS, OFFLINE, database, devices, files, keys
from config.tests.processes import BASE_DIR
from tests.plugins.authenticator import give_passkey
from tokens.keys import generate_signing_key
from tokens.models import Figure, IssuedToken

SMTP = "django.core.mail.backends.smtp.EmailBackend"


@pytest.fixture(scope="session")
def collected(tmp_path_factory):
    """The static files, as `collectstatic` collects them."""
    folder = tmp_path_factory.mktemp("static")
    manifest = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
    storages = {**global_settings.STORAGES, "staticfiles": {"BACKEND": manifest}}
    with override_settings(STATIC_ROOT=folder, STORAGES=storages):
        call_command("collectstatic", "--no-input", "--verbosity", "0")
    return folder


@pytest.fixture(autouse=True)
def in_order(root, settings, collected):
    """Everything is in order but for what a test breaks."""
    settings.STATIC_ROOT = collected
    settings.SECURE_SSL_REDIRECT = settings.STAFF_NEEDS_PASSKEY = True
    with silence():
        give_passkey(root, vouched=True)
    if connection.vendor == "sqlite":
        Path(connection.settings_dict["NAME"]).chmod(0o600)


@pytest.fixture
def mail_server(settings):
    """A server that greets; the commands that it was sent."""
    sent = []

    class Greeter(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"220 hello\r\n")
            for line in self.rfile:
                sent.append(line.decode().split()[0].upper())
                self.wfile.write(b"221 bye\r\n" if sent[-1] == "QUIT" else b"250 yes\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Greeter) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        settings.EMAIL_BACKEND = SMTP
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.server_address
        yield sent
        server.shutdown()
        thread.join()


def examine():
    """What it finds by check, as (level, message), and whether it fails."""
    out = io.StringIO()
    try:
        call_command("doctor", "--json", stdout=out)
        failed = False
    except CommandError:
        failed = True
    rows = json.loads(out.getvalue())
    return {row["check"]: (row["level"], row["message"]) for row in rows}, failed


def test_all_is_in_order(mail_server):
    out = io.StringIO()

    call_command("doctor", stdout=out, no_color=True)

    lines = out.getvalue().splitlines()
    assert len(lines) == len(CHECKS)
    assert all(line.startswith("ok ") for line in lines), lines
    engine = "SQLite 3." if connection.vendor == "sqlite" else "PostgreSQL 1"
    assert lines[0].startswith(f"ok       database: {engine}")
    assert "MAIL" not in mail_server
    assert mail_server[-1] == "QUIT"


def test_each_line_says_what_to_do(root):
    root.delete()
    out = io.StringIO()

    with pytest.raises(CommandError, match=r"^Not in order: superuser\.$"):
        call_command("doctor", stdout=out, no_color=True)

    assert out.getvalue().endswith("error    superuser: None is active. Run create_admin.\n")


def without_migration(settings, root):
    applied = MigrationRecorder(connection).migration_qs.filter(app="tokens")
    applied.latest("name").delete()


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE accounts_queuedmail",
        "ALTER TABLE accounts_queuedmail RENAME COLUMN given_up_at TO gone",
    ],
)
def test_what_migrations_have_yet_to_make_is_told_once(root, change):
    """But if none is missing, it is an error of its own."""
    connection.cursor().execute(change)
    assert examine()[0]["mail queue"][0] == "error"

    without_migration(None, root)

    found, failed = examine()
    assert failed
    assert found["migrations"] == ("error", "1 are not applied.")
    assert found["mail queue"] == ("warning", "Not examined, because migrations are missing.")


def test_empty_database_lacks_its_migrations_and_no_check_repeats_it(tmp_path):
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path}/empty.sqlite3"}
    done = subprocess.run(
        [sys.executable, "manage.py", "doctor"],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "error    migrations: " in done.stdout
    assert "no such" not in done.stdout
    assert done.stdout.count("Not examined, because migrations are missing.") > 5


def without_mail_server(settings, root):
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = SMTP, "127.0.0.1", 1


def without_static_files(settings, root):
    settings.STATIC_ROOT = "/nowhere"


def with_an_inactive_superuser(settings, root):
    root.is_active = False
    root.save()


def with_a_long_access_token(settings, root):
    settings.ACCESS_TOKEN_LIFETIME = timedelta(hours=1)


@pytest.mark.parametrize(
    ("broken", "check", "message"),
    [
        (without_migration, "migrations", "1 are not applied."),
        (without_mail_server, "mail", "127.0.0.1:1 cannot be reached (ConnectionRefusedError)."),
        (without_static_files, "static files", "They are not collected."),
        (with_an_inactive_superuser, "superuser", "None is active."),
        (with_a_long_access_token, "configuration", "tokens.E001."),
    ],
)
def test_what_is_broken_is_an_error(settings, root, broken, check, message):
    broken(settings, root)

    found, failed = examine()

    assert failed
    assert found[check][0] == "error"
    assert found[check][1].startswith(message)
    assert [name for name, (level, _) in found.items() if level == "error"] == [check]
    assert "our-secret" not in str(found)


def without_places(settings, root):
    settings.GEOIP_PATH = "/nowhere.mmdb"


def with_a_damaged_file_of_places(settings, root):
    settings.GEOIP_PATH = __file__


def with_open_cookies(settings, root):
    settings.SESSION_COOKIE_SECURE = False


@pytest.mark.parametrize(
    ("broken", "check", "message"),
    [
        (without_places, "places", "/nowhere.mmdb cannot be read: no places."),
        (with_a_damaged_file_of_places, "places", f"{__file__} cannot be read: no places."),
        (with_open_cookies, "configuration", "config.W006, security.W012."),
    ],
)
def test_what_can_wait_is_a_warning(settings, root, broken, check, message):
    broken(settings, root)

    found, failed = examine()

    assert not failed
    assert found[check] == ("warning", message)


def test_mail_that_goes_nowhere_is_a_warning():
    assert examine()[0]["mail"][0] == "warning"


@pytest.mark.parametrize(
    ("minutes", "level"), [(-10, "ok"), (4, "ok"), (6, "warning"), (59, "warning"), (61, "error")]
)
def test_queue_of_mails_that_nobody_works_at(root, minutes, level):
    due = Now() - timedelta(minutes=minutes)
    QueuedMail.objects.create(kind="revoked", person=root, not_before=due)

    found, failed = examine()

    assert found["mail queue"][0] == level
    assert found["mail queue"][1].startswith("1 waiting, ")
    assert failed == (level == "error")


@pytest.mark.parametrize(("minutes", "level"), [(29, "ok"), (31, "warning")])
def test_mail_that_is_tried_again_and_again(root, minutes, level):
    happened = Now() - timedelta(minutes=minutes)
    next_attempt = Now() + timedelta(minutes=15)
    QueuedMail.objects.create(
        kind="revoked", person=root, happened_at=happened, not_before=next_attempt, attempts=7
    )

    found, failed = examine()

    assert not failed
    assert found["mail queue"][0] == level
    said = "One has been tried for 31 min and is not sent."
    assert (said in found["mail queue"][1]) == (level == "warning")


def test_mail_that_was_given_up_is_a_warning(root):
    QueuedMail.objects.create(kind="revoked", person=root, given_up_at=Now())

    said = "0 waiting, the oldest due for 0 min; 1 given up."
    assert examine()[0]["mail queue"] == ("warning", said)


def test_old_file_of_places_is_a_warning(monkeypatch):
    monkeypatch.setattr(files, "MAX_PLACES_AGE", timedelta(0))
    assert examine()[0]["places"][0] == "warning"


def test_clocks_apart_are_an_error(monkeypatch):
    assert examine()[0]["clocks"][0] == "ok"
    monkeypatch.setattr(database, "MAX_CLOCK_DIFFERENCE", timedelta(-1))
    assert examine()[0]["clocks"][0] == "error"


def test_devices_that_nobody_purges_are_a_warning(settings, api, alice, age, monkeypatch):
    settings.SECURE_SSL_REDIRECT = False  # the test client speaks plain HTTP
    phone = api(alice)
    phone.post("logout")
    age(phone.device, days=29)  # a day late, as it may be
    assert examine()[0]["purge"][0] == "ok"

    age(phone.device, days=2)
    assert examine()[0]["purge"] == ("warning", "Devices long past their retention: 1.")

    monkeypatch.setattr(devices, "MAX_COUNTED", 0)
    assert examine()[0]["purge"][1].endswith("More than 0.")
    assert IssuedToken.objects.filter(pk=phone.device.pk).exists()


def test_purge_that_no_longer_runs_is_a_warning(db):
    call_command("purge_devices", stdout=io.StringIO())
    assert examine()[0]["purge"][0] == "ok"
    ended = timezone.now() - timedelta(days=2, minutes=5)
    Figure.objects.update(taken_at=ended)
    message = f"It ended last on {ended:%Y-%m-%d}, so no addresses are forgotten."
    assert examine()[0]["purge"] == ("warning", message)


def test_usernames_that_a_url_folds_are_a_warning(alice, bob):
    User.objects.filter(pk=alice.pk).update(username="..")
    User.objects.filter(pk=bob.pk).update(username="b/\nob")
    found, failed = examine()
    level, message = found["usernames"]
    assert (level, failed) == ("warning", False)
    assert "'..'" in message
    assert r"'b/\nob'" in message


def test_keys_are_named_and_never_shown(settings):
    jwks = [generate_signing_key("EdDSA"), generate_signing_key()]
    jwks[1]["use_from"] = "2099-01-31T18:30:00Z"
    settings.JWT_SIGNING_KEYS = jwks

    found, _ = examine()

    first, second = (repr(jwk["kid"]) for jwk in jwks)
    message = f"{first} signs: 0 live devices. {second} signs from 2099-01-31 18:30:00 UTC on."
    assert found["signing keys"] == ("ok", message)
    assert not [jwk for jwk in jwks if (jwk.get("k") or jwk["d"]) in str(found)]


def key(kid, **members):
    return generate_signing_key() | {"kid": kid, **members}


def advice():
    """What doctor says about the keys: level, message and hint."""
    found = keys.signing_keys()
    return found.level, found.message, found.hint


def test_key_that_a_live_device_needs_is_kept(settings, api, alice, age):
    settings.SECURE_SSL_REDIRECT = False
    switch = timezone.now() - timedelta(hours=1)
    settings.JWT_SIGNING_KEYS = [key("old"), key("new", use_from=switch.isoformat())]
    phone = api(alice)
    age(phone.device, hours=2)
    api(alice)

    assert advice() == (
        "ok",
        "'old' is needed: 1 live device last issued under it. 'new' signs: 1 live device.",
        "Keep 'old': without it, these devices may be signed out.",
    )


def test_key_of_older_tokens_is_kept(settings, api, alice, age):
    settings.SECURE_SSL_REDIRECT = False
    phone = api(alice)
    switch = phone.device.created_at + timedelta(microseconds=1)
    settings.JWT_SIGNING_KEYS = [key("old"), key("new", use_from=switch.isoformat())]
    IssuedToken.objects.update(rotated_at=switch)

    _, message, _ = advice()

    assert message.startswith(
        "'old' is needed: 0 live devices last issued under it, and 1 more may hold an older token "
        "of it."
    )


def test_key_that_no_live_device_needs_is_a_warning(settings, api, alice, age):
    settings.SECURE_SSL_REDIRECT = False
    switch = timezone.now() - timedelta(hours=1)
    settings.JWT_SIGNING_KEYS = [key("old"), key("new", use_from=switch.isoformat())]
    phone = api(alice)
    age(phone.device, hours=2)
    phone.post("logout")
    api(alice)

    assert advice() == (
        "warning",
        "No live device needs 'old'. 'new' signs: 1 live device.",
        "Remove 'old' on every host.",
    )


def test_key_that_was_moved_without_a_use_from_cannot_be_judged(settings, db):
    settings.JWT_SIGNING_KEYS = [key("new"), key("old")]

    assert advice() == (
        "warning",
        "'new' signs: 0 live devices. 'old' has the use_from of a key before it, so nothing tells "
        "who needs it.",
        "Keep 'old' until all that it signed has ended, or give 'new' a use_from: when every host "
        "had begun to sign with it.",
    )


def test_devices_whose_key_is_gone_are_a_warning(settings, api, alice, age):
    settings.SECURE_SSL_REDIRECT = False
    phone = api(alice)
    age(phone.device, hours=2)
    switch = timezone.now() - timedelta(hours=1)
    settings.JWT_SIGNING_KEYS = [key("new", use_from=switch.isoformat())]

    assert advice() == (
        "warning",
        "'new' signs: 1 live device. 1 live device got the newest tokens before the first "
        "use_from.",
        "If their key is no longer in the ring, their people must sign in again.",
    )


@pytest.mark.django_db(transaction=True)
def test_other_transactions_than_the_code_relies_on_are_an_error():
    change = (
        "PRAGMA journal_mode=DELETE"
        if connection.vendor == "sqlite"
        else "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"
    )
    try:
        connection.cursor().execute(change)
        assert examine()[0]["transactions"][0] == "error"
    finally:
        connection.close()
    assert examine()[0]["transactions"][0] == "ok"


def test_database_that_is_gone_is_an_error_and_no_traceback():
    def gone(*args):
        with connection.wrap_database_errors:
            raise connection.Database.OperationalError("the connection was lost\nwith details")

    with connection.execute_wrapper(gone):
        found, failed = examine()

    assert failed
    lost = "It cannot be reached. OperationalError: the connection was lost."
    assert found["database"] == ("error", lost)
    for check in CHECKS.keys() - OFFLINE - {"disk"}:
        assert found[check] == (
            "warning",
            "Not examined, because the database does not answer.",
        )
    assert found["static files"][0] == "ok"
