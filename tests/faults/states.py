"""The broken states of a site, each made for real, and what doctor must say of it.

A state is a function that breaks a `Site`. If it must be undone, it is a generator, which breaks
the site before its `yield` and mends it after.
"""

import inspect
import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.poolers import is_root, open_to_others, pgbouncer
from tests.faults.sites import SUPERUSER
from tokens.keys import generate_signing_key

ANY, SQLITE, POSTGRESQL = "any", "sqlite", "postgresql"


@dataclass
class State:
    name: str
    check: str  # the one that finds it
    level: str
    words: str  # of its message
    make: object
    database: str

    @contextmanager
    def of(self, site):
        made = self.make(site)
        if not inspect.isgenerator(made):
            yield site
            return
        next(made)
        try:
            yield site
        finally:
            next(made, None)


STATES: list[State] = []


def state(check, level, words, *, database=ANY):
    def add(make):
        STATES.append(State(make.__name__, check, level, words, make, database))
        return make

    return add


ERROR, WARNING = "error", "warning"
INSECURE = "django-insecure-q8v2nW5xZr7kD0mHtB9yLcE3uJfG6aSpXo1iNwQ4Rz"
# States that a variable makes: name, check, level, words, variables.
VARIABLES = """
mail_is_dead           | mail          | error   | be reached      | EMAIL_URL=smtp://127.0.0.1:1
mails_are_printed      | mail          | warning | sends nothing   | EMAIL_URL=console://
mails_are_printed      | configuration | warning | config.W007     | EMAIL_URL=console://
cookies_are_open       | configuration | warning | config.W006     | SESSION_COOKIE_SECURE=false
http_is_served         | configuration | warning | config.W006     | SECURE_SSL_REDIRECT=false
no_host_is_allowed     | configuration | error   | ALLOWED_HOSTS   | ALLOWED_HOSTS=
debug_is_on            | configuration | warning | security.W018   | DEBUG=true
no_file_of_places      | configuration | error   | GEOIP_PATH      | GEOIP_PATH=/nowhere.mmdb
secret_is_djangos      | configuration | warning | security.W009   | SECRET_KEY={insecure}
secret_is_short        | configuration | error   | SECRET_KEY      | SECRET_KEY=a9F-x_3kQ2
secret_is_uniform      | configuration | error   | SECRET_KEY      | SECRET_KEY={uniform}
everybody_is_a_proxy   | configuration | error   | TRUSTED_PROXIES | TRUSTED_PROXIES=0.0.0.0/0
site_is_this_machine   | configuration | warning | config.W008     | SITE_URL=http://localhost {any}
site_has_no_name       | configuration | error   | accounts.E004   | SITE_URL=https://[::1] {any}
staff_need_no_passkey  | configuration | warning | accounts.W003   | STAFF_NEEDS_PASSKEY=false
site_is_not_allowed    | configuration | error   | SITE_URL        | SITE_URL=https://example.net
every_host_is_allowed  | configuration | warning | config.W001     | ALLOWED_HOSTS=*
http_scripts_may_call  | configuration | warning | config.W003     | CORS_ALLOWED_ORIGINS=http://app.example.org
subdomains_are_trusted | configuration | warning | config.W004     | CSRF_TRUSTED_ORIGINS=https://*.example.com
hashes_take_all_memory | configuration | error   | MAX_CONCURRENT_ | MAX_CONCURRENT_HASHES=500
guesses_are_unlimited  | configuration | error   | LOGIN_ATTEMPTS  | LOGIN_ATTEMPTS=100000
rows_go_at_once        | configuration | error   | RETENTION       | DEVICE_RETENTION=0
devices_last_ten_years | configuration | error   | DEVICE_LIFETIME | DEVICE_LIFETIME=315360000
passwords_are_short    | configuration | warning | accounts.W001   | PASSWORD_MIN_LENGTH=8
""".format(insecure=INSECURE, uniform="changeme" * 8, any="ALLOWED_HOSTS=*")


def _with(values):
    environment = dict(value.partition("=")[::2] for value in values.split())
    return lambda site: site.environment.update(environment)


for line in VARIABLES.strip().splitlines():
    name, check, level, words, values = (cell.strip() for cell in line.split("|"))
    STATES.append(State(name, check, level, words, _with(values), ANY))


@state("database", ERROR, "cannot be reached", database=POSTGRESQL)
def postgresql_is_down(site):
    site.environment["DATABASE_URL"] = "postgres://guestlist:our-secret@127.0.0.1:1/guestlist"


@state("migrations", ERROR, "1 are not applied")
def a_migration_is_missing(site):
    site.sql(
        "DELETE FROM django_migrations WHERE id = "
        "(SELECT max(id) FROM django_migrations WHERE app = 'tokens')"
    )


@state("purge", WARNING, "1,302")
def nobody_purges(site):
    site.manage("shell", "-c", DEVICES.format(count=1302, fields="expires_at=now - timedelta(99)"))


@state("purge", WARNING, "It ended last on")
def purge_stopped_running(site):
    site.manage("purge_devices")
    site.sql("UPDATE tokens_figure SET taken_at = '2026-01-02 03:04:05+00'")


@state("addresses", WARNING, "127.0.0.1")
def proxy_is_not_trusted(site):
    site.manage("shell", "-c", DEVICES.format(count=12, fields="ip_address='127.0.0.1'"))


@state("addresses", WARNING, "TRUSTED_PROXIES")
def people_come_from_trusted_addresses(site):
    site.environment["TRUSTED_PROXIES"] = "10.0.0.0/8"
    site.manage("shell", "-c", DEVICES.format(count=12, fields="ip_address=f'10.0.0.{number}'"))


@state("limits", WARNING, "statement_timeout", database=POSTGRESQL)
def options_of_postgresql_are_somebody_elses(site):
    site.environment["PGOPTIONS"] = "-c work_mem=8MB -c statement_timeout=0"


@state("secret files", WARNING, "keys.json")
def key_file_is_readable(site):
    open_to_others(site.folder)
    site.keys.chmod(0o644)


@state("secret files", WARNING, "db.sqlite3", database=SQLITE)
def database_file_is_readable(site):
    open_to_others(site.folder)
    site.file.chmod(0o644)


@state("static files", ERROR, "not collected")
def static_files_are_missing(site):
    shutil.rmtree(site.static)


@state("static files", ERROR, "not in the manifest")
def static_manifest_is_empty(site):
    (site.static / "staticfiles.json").write_text('{"version": "1.1", "paths": {}}')


@state("static files", ERROR, "older than")
def static_files_are_stale(site):
    (site.static / "guestlist.css").write_text("body { color: red }")


@state("static files", ERROR, "cannot be read")
def static_manifest_is_damaged(site):
    (site.static / "staticfiles.json").write_bytes(b"\xff\xfe{")


@state("transactions", ERROR, "synchronous_commit is off", database=POSTGRESQL)
def commits_do_not_wait_for_the_disk(site):
    site.server(f'ALTER DATABASE "{site.name}" SET synchronous_commit = off')


@state("writes", ERROR, "read-only", database=POSTGRESQL)
def database_is_read_only(site):
    site.server(f'ALTER DATABASE "{site.name}" SET default_transaction_read_only = on')


@state("writes", ERROR, "may not DELETE", database=POSTGRESQL)
def role_may_only_read(site):
    role = f"reader_{os.getpid()}"
    as_superuser(f"CREATE ROLE {role} LOGIN PASSWORD 'reader' IN ROLE pg_read_all_data")
    site.environment["DATABASE_URL"] = site.url_with(f"{role}:reader@")
    try:
        yield
    finally:
        as_superuser(f"DROP ROLE {role}")


@state("database", ERROR, "unable to open", database=SQLITE)
def database_file_is_on_a_read_only_disk(site):
    with _small_disk(site, "16m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        yield


@state("disk", ERROR, "free", database=SQLITE)
def disk_is_full(site):
    with _small_disk(site, "8m") as disk:
        _fill(disk / "ballast")
        yield


@state("disk", ERROR, "No space left", database=POSTGRESQL)
def disk_of_postgresql_is_full(site):
    space, disk = f"full_{os.getpid()}", Path(f"/tmp/tablespace-{os.getpid()}")
    disk.mkdir()
    _mount(disk, "64m")
    try:
        shutil.chown(disk, "postgres", "postgres")
        as_superuser(f"CREATE TABLESPACE {space} LOCATION '{disk}'")
        as_superuser(f'ALTER DATABASE "{site.name}" SET TABLESPACE {space}')
        site.sql("SELECT 1")  # the first connection after a move writes a file
        _fill(disk / "ballast")
        yield
        (disk / "ballast").unlink()
        site.server(f'DROP DATABASE "{site.name}" WITH (FORCE)')
        as_superuser(f"DROP TABLESPACE {space}")
    finally:
        subprocess.run(["umount", disk], check=True)
        disk.rmdir()


@state("limits", WARNING, "statement_timeout", database=POSTGRESQL)
def pgbouncer_drops_the_limits(site):
    with behind_pgbouncer(site, "session"):
        yield


@state("database", ERROR, "startup parameter", database=POSTGRESQL)
def pgbouncer_refuses_the_options(site):
    with behind_pgbouncer(site, "session", ignored="extra_float_digits"):
        yield


@state("pooling", WARNING, "DATABASE_POOLER is none", database=POSTGRESQL)
def pgbouncer_is_not_told_of(site):
    with behind_pgbouncer(site, "session"):
        yield


@state("pooling", ERROR, "prepared statement", database=POSTGRESQL)
def pgbouncer_forgets_prepared_statements(site):
    with behind_pgbouncer(site, "transaction"):
        yield


@state("pooling", ERROR, "prepared statement", database=POSTGRESQL)
def pgbouncer_pools_transactions_and_not_sessions(site):
    site.environment["DATABASE_POOLER"] = "session"
    with behind_pgbouncer(site, "transaction"):
        yield


@state("pooling", ERROR, "passes on", database=POSTGRESQL)
def pgbouncer_does_not_reset(site):
    site.environment["DATABASE_POOLER"] = "session"
    with behind_pgbouncer(site, "session", server_reset_query=""):
        yield


@state("limits", WARNING, "statement_timeout", database=POSTGRESQL)
def role_behind_pgbouncer_has_no_limits(site):
    site.environment["DATABASE_POOLER"] = "transaction"
    with behind_pgbouncer(site, "transaction"):
        yield


@state("configuration", ERROR, "config.E003", database=SQLITE)
def sqlite_has_a_pooler(site):
    site.environment["DATABASE_POOLER"] = "transaction"


@state("configuration", ERROR, "config.E003", database=POSTGRESQL)
def pooler_drops_pgoptions(site):
    site.environment |= {"DATABASE_POOLER": "session", "PGOPTIONS": "-c work_mem=8MB"}


@state("ended devices", WARNING, "4")
def users_were_deactivated_by_raw_sql(site):
    site.manage("shell", "-c", DEVICES.format(count=4, fields=""))
    site.sql("UPDATE accounts_user SET is_active = false WHERE username = 'alice'")


@state("mail queue", ERROR, "1 waiting")
def nobody_sends_mails(site):
    site.manage("shell", "-c", MAIL)


@state("usernames", WARNING, "'..'")
def username_is_folded_by_a_url(site):
    site.manage("shell", "-c", SUPERUSER.replace("root", "alice"))
    site.sql("UPDATE accounts_user SET username = '..' WHERE username = 'alice'")


@state("roles", WARNING, "'..'")
def role_has_a_name_that_nobody_can_give(site):
    site.sql("INSERT INTO accounts_role (name, description) VALUES ('..', '')")


@state("roles", WARNING, "'admin'")
def nobody_may_give_a_role(site):
    site.sql("UPDATE accounts_user SET is_superuser = false")


@state("staff passkeys", WARNING, "'root'")
def staff_have_no_passkey_that_counts(site):
    site.sql("UPDATE accounts_passkey SET vouched = false")


@state("signing keys", WARNING, "No live device needs")
def key_is_needed_by_nobody(site):
    ring = json.loads(site.keys.read_text())
    ring["keys"].insert(0, generate_signing_key() | {"use_from": "2026-01-02T00:00:00Z"})
    site.keys.write_text(json.dumps(ring))


@state("places", WARNING, "is of 20")
def file_of_places_is_old(site):
    path = site.folder / "old.mmdb"
    path.write_bytes(made_long_ago((site.checkout / "tokens/geo/country.mmdb").read_bytes()))
    site.environment["GEOIP_PATH"] = str(path)


@state("passwords", WARNING, "'carol'")
def password_has_an_unknown_hash(site):
    site.manage("shell", "-c", SUPERUSER.replace("root", "carol"))
    site.sql("UPDATE accounts_user SET password = 'pbkdf2_sha256$1$a$b' WHERE username = 'carol'")


DEVICES = """
from datetime import timedelta
from django.utils import timezone
from accounts.models import User
from tokens.models import IssuedToken

now = timezone.now()
users = [
    User.objects.create_user(name, f"{{name}}@example.org", "four quiet herons at dawn")
    for name in ("alice", "bob")
]
for number in range({count}):
    user = users[number % 2 if {count} > 9 else 0]
    values = dict(
        user=user, kind="api", hash=number.to_bytes(32), rotated_at=now,
        password_epoch=user.password_changed_at, created_at=now, last_seen_at=now,
        idle_at=now + timedelta(1), expires_at=now + timedelta(1),
    )
    IssuedToken.objects.create(**(values | dict({fields})))
"""


MAIL = """
from datetime import timedelta
from django.utils import timezone
from accounts.models import QueuedMail, User

then = timezone.now() - timedelta(hours=2)
QueuedMail.objects.create(
    kind="password_changed", person=User.objects.get(), happened_at=then, not_before=then
)
"""


def as_superuser(statement):
    if not is_root:
        pytest.skip("this needs a superuser of PostgreSQL")
    command = ["runuser", "-u", "postgres", "--", "psql", "-qX", "-v", "ON_ERROR_STOP=1"]
    done = subprocess.run(
        [*command, "-c", statement], capture_output=True, text=True, cwd="/", check=False
    )
    if done.returncode:
        pytest.skip(f"no local PostgreSQL: {done.stderr}")


@contextmanager
def behind_pgbouncer(site, mode, ignored="options", **settings):
    """A pooler before the database that drops the options, or refuses them."""
    settings["ignore_startup_parameters"] = ignored
    with pgbouncer(site.folder, site.database, mode, **settings) as pooler:
        site.environment["DATABASE_URL"] = pooler.url
        yield pooler


def made_long_ago(content):
    """The file of places, built in 2020. Its last part says when, as 8 bytes (MaxMind DB)."""
    at = content.rindex(b"build_epoch") + len(b"build_epoch")
    size = content[at] & 31
    assert (content[at] >> 5, content[at + 1]) == (0, 2), "a 64-bit number"
    return content[: at + 2] + (1577836800).to_bytes(size, "big") + content[at + 2 + size :]


@contextmanager
def _small_disk(site, size):
    """Move the database file to a disk of its own."""
    disk = site.folder / "disk"
    disk.mkdir()
    _mount(disk, size)
    try:
        shutil.copy(site.file, disk)
        site.environment["DATABASE_URL"] = f"sqlite:///{disk}/{site.file.name}"
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def _mount(folder, size):
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    if not is_root or subprocess.run(command, check=False).returncode:
        pytest.skip("no disk can be mounted here")


def _fill(path):
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass
