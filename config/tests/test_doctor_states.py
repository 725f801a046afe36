"""What `doctor` says of accounts, devices, files and settings that are not in order."""

import json
import os
import shutil
from datetime import timedelta
from ipaddress import ip_network

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import Role, User
from config import doctor
from config.doctor import addresses, database, devices, disk, files, limits, people, static
from config.doctor.limits import deadline
from config.tests.test_manage import run
from tokens.models import IssuedToken


def sign_in(people, ips, **fields):
    now = timezone.now()
    for number, ip in enumerate(ips):
        user = people[number % len(people)]
        IssuedToken.objects.create(
            user=user,
            kind="api",
            hash=os.urandom(32),
            rotated_at=now,
            password_epoch=user.password_changed_at,
            ip_address=ip,
            created_at=now,
            last_seen_at=now,
            expires_at=now + timedelta(days=1),
            **fields,
        )


def test_addresses_of_people_are_in_order(alice, bob):
    sign_in([alice, bob], ["127.0.0.1", "192.0.2.7", *["127.0.0.1"] * 8])
    assert addresses.sign_ins().level == "ok"


def test_one_inner_address_of_many_is_that_of_a_proxy(alice, bob, settings):
    sign_in([alice, bob], ["10.1.2.3"] * 4)
    assert addresses.sign_ins().level == "ok"
    sign_in([alice], ["10.1.2.3"])

    found = addresses.sign_ins()
    assert (found.level, found.message) == (
        "warning",
        "The newest 5 sign-ins all came from 10.1.2.3.",
    )

    settings.SITE_URL = "http://127.0.0.1:8000"
    assert addresses.sign_ins().level == "ok"


def test_one_inner_address_of_one_person_is_in_order(alice):
    sign_in([alice], ["10.1.2.3"] * 9)
    assert addresses.sign_ins().level == "ok"


def test_person_at_the_address_of_a_proxy_is_a_warning_without_the_address(alice, settings):
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/8")]
    sign_in([alice], ["10.1.2.3"])
    found = addresses.sign_ins()
    assert found.level == "warning"
    assert "10.1" not in found.message + found.hint


def test_person_without_an_address_is_a_warning_and_a_script_is_none(alice):
    sign_in([alice], [None], device_type="script")
    assert addresses.sign_ins().level == "ok"
    sign_in([alice], [None])
    assert addresses.sign_ins().message == "People signed in from no address."


def test_devices_that_raw_sql_has_ended_are_counted(alice, bob):
    sign_in([alice, bob], ["192.0.2.7"] * 4)
    assert devices.unmarked().level == "ok"
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_user SET is_active = false WHERE id = %s", [alice.pk])

    found = devices.unmarked()
    assert (found.level, found.message) == (
        "warning",
        "They are refused, but lists show no end of them: 2.",
    )


@pytest.mark.parametrize("password", ["pbkdf2_sha256$1$a$b", "", "plain", "argon2"])
def test_passwords_that_no_hasher_verifies_are_a_warning(alice, bob, password):
    bob.set_unusable_password()
    bob.save()
    assert people.passwords().level == "ok"
    User.objects.filter(pk=alice.pk).update(password=password)

    assert people.passwords().message == "Hashes of an unknown kind: 'alice'."

    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert people.passwords().level == "ok"


def test_many_names_are_cut(db):
    password = "unknown$hash"
    for number in range(12):
        User.objects.create_user(f"user{number}", f"user{number}@example.org")
    User.objects.update(password=password)
    message = people.passwords().message
    assert message.count("'user") == 10
    assert message.endswith(" and more.")


def test_role_that_nobody_may_give_is_a_warning(manager):
    assert people.roles().level == "ok"
    manager.roles.remove(Role.objects.get(name="admin"))
    assert people.roles().message == "Nobody may give: 'admin', 'support'."


def test_superuser_may_give_every_role(root):
    assert people.roles().message == "A superuser may give each of them."


@pytest.mark.parametrize("name", ["..", "a/b", "ümlaut", ""])
def test_role_that_no_url_can_name_is_a_warning(root, name):
    Role.objects.create(name=name)
    assert people.roles().message == f"No URL can name: {name!r}."


def test_file_of_keys_that_others_may_read_is_a_warning(settings, tmp_path):
    keys = tmp_path / "keys.json"
    keys.touch(0o640)
    settings.JWT_SIGNING_KEYS_FILE = keys
    open_folders(tmp_path)
    assert not files.is_open(keys)
    keys.chmod(0o644)
    assert files.is_open(keys)
    assert str(keys) in files.secret_files().hint

    tmp_path.chmod(0o700)
    assert not files.is_open(keys)


def open_folders(folder):
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.getuid() and not path.stat().st_mode & 1:
            path.chmod(path.stat().st_mode | 0o711)


@pytest.fixture
def static_root(settings, tmp_path):
    """Static files of the code, with a manifest that gives each its own name."""
    for name, source in static.sources().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tmp_path / name)
    names = {name: name for name in static.sources()}
    (tmp_path / "staticfiles.json").write_text(json.dumps({"paths": names}))
    settings.STATIC_ROOT = tmp_path
    return tmp_path


def test_each_static_file_is_compared(static_root):
    assert static.static_files().level == "ok"

    (static_root / "guestlist.css").write_text("body { color: red }")
    stale = "Files that are older than the code, or were changed: 1."
    assert static.static_files().message == stale


def test_static_file_with_a_hash_is_looked_for(static_root):
    path = static_root / "staticfiles.json"
    names = json.loads(path.read_text())["paths"] | {"guestlist.css": "gone.css"}
    path.write_text(json.dumps({"paths": names}))
    missing = "Files that the manifest names, and that are missing: 1."
    assert static.static_files().message == missing


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"paths": []}', b"\xff\xfe", b"[" * 9999])
def test_damaged_manifest_is_an_error(settings, tmp_path, content):
    settings.STATIC_ROOT = tmp_path
    (tmp_path / "staticfiles.json").write_bytes(content)
    assert static.static_files().message == "staticfiles.json cannot be read."


def test_little_space_is_an_error(monkeypatch, db):
    assert disk.space().level == "ok"
    if connection.vendor == "sqlite":
        monkeypatch.setattr(disk, "FEW_FREE", 10**12)
        assert disk.space().level == "warning"
        monkeypatch.setattr(disk, "MIN_FREE", 10**12)
        assert disk.space().level == "error"


def test_look_that_never_ends_is_stopped():
    def look():
        with deadline(1):
            while True:
                pass

    with pytest.raises(TimeoutError, match="longer than 1 s"):
        look()


def test_look_at_too_many_rows_is_a_warning(monkeypatch, db):
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no limit of statements")
    monkeypatch.setattr(limits, "STATEMENT", 1)
    found = doctor.examine(lambda: database.ask("SELECT pg_sleep(5)"), limits.only_reading)
    assert found == doctor.TOO_SLOW


@pytest.mark.django_db(transaction=True)
def test_look_cannot_write(alice):
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no transaction that only reads")
    found = doctor.examine(lambda: User.objects.update(first_name="a"), limits.only_reading)
    assert "read-only transaction" in found.message
    User.objects.update(first_name="b")


@pytest.mark.parametrize("args", [["--json"], []])
def test_settings_that_cannot_be_read_are_one_finding(args, monkeypatch):
    monkeypatch.setenv("LOGIN_ATTEMPTS", "100000")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///nowhere")

    done = run("doctor", *args)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stdout.count("LOGIN_ATTEMPTS") == 1
    if args:
        [row] = json.loads(done.stdout)
        assert (row["check"], row["level"]) == ("configuration", "error")
        assert row.keys() == {"check", "level", "message", "hint", "figures"}
    else:
        assert done.stdout.startswith("error    configuration: ")
        assert ". See Settings in docs/operations.md." in done.stdout


def test_other_commands_say_the_same_in_a_sentence(monkeypatch):
    monkeypatch.setenv("ALLOWED_HOSTS", "")
    done = run("migrate")
    sentence = "The settings cannot be read: SITE_URL: its host must be one of ALLOWED_HOSTS\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", sentence)
