import json
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import maxminddb
from django.conf import settings
from django.core import checks
from django.core.cache import cache
from django.core.mail import get_connection
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from accounts.models import User
from accounts.models.users import USERNAME
from tokens import signing
from tokens.models import IssuedToken
from tokens.places import COUNTRY_FILE

OK, WARNING, ERROR = "ok", "warning", "error"
MAX_CLOCK_DIFFERENCE = timedelta(seconds=5)
MAX_PLACES_AGE = timedelta(days=365)
MAX_PURGE_DELAY = timedelta(days=2)  # the purge should run daily
MAX_COUNTED = 10_000  # devices
MAX_NAMED = 10  # usernames


@dataclass(frozen=True)
class Finding:
    level: str
    message: str
    hint: str = ""


class Command(BaseCommand):
    help = (
        "Examine everything that this site needs to run, and change nothing. Fails if it finds an "
        "error."
    )
    requires_system_checks = []  # `configuration` runs them

    def add_arguments(self, parser):
        parser.add_argument(
            "--json",
            action="store_true",
            dest="as_json",
            help='[{"check": name, "level": "ok", "warning" or "error", "message", "hint"}, ...]',
        )

    def handle(self, *, as_json, **options):
        findings = {name: examine(look) for name, look in CHECKS.items()}
        if as_json:
            rows = [{"check": name, **asdict(found)} for name, found in findings.items()]
            self.stdout.write(json.dumps(rows))
        else:
            for name, found in findings.items():
                self.stdout.write(self._line(name, found))
        failed = [name for name, found in findings.items() if found.level == ERROR]
        if failed:
            raise CommandError(f"Not in order: {', '.join(failed)}.")

    def _line(self, name: str, found: Finding) -> str:
        style = {OK: self.style.SUCCESS, WARNING: self.style.WARNING, ERROR: self.style.ERROR}
        level = style[found.level](f"{found.level:7}")
        return f"{level}  {name}: {found.message} {found.hint}".rstrip()


def examine(look: Callable[[], Finding]) -> Finding:
    """Return what a check finds. A check that raises is an error too."""
    try:
        return look()
    except Exception as error:
        first_line = str(error).partition("\n")[0]
        return Finding(ERROR, f"{type(error).__name__}: {first_line}".rstrip(": ") + ".")


def database() -> Finding:
    _ask("SELECT 1")
    if connection.vendor == "sqlite":
        return Finding(OK, f"SQLite {sqlite3.sqlite_version} answers.")
    version = connection.pg_version  # type: ignore[attr-defined]
    return Finding(OK, f"PostgreSQL {version // 10000}.{version % 10000} answers.")


def migrations() -> Finding:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        return Finding(ERROR, f"{len(missing)} are not applied.", "Run migrate.")
    return Finding(OK, "All are applied.")


def transactions() -> Finding:
    """The journal mode or the isolation level that the conditional updates rely on."""
    if connection.vendor == "sqlite":
        question, wanted = "PRAGMA journal_mode", "wal"
    else:
        question, wanted = "SHOW transaction_isolation", "read committed"
    found = _ask(question)
    if found != wanted:
        return Finding(ERROR, f"{found} instead of {wanted}.", "See docs/operations.md.")
    return Finding(OK, f"{wanted}.")


def clocks() -> Finding:
    """The clocks of host and database. Tokens end by the first, devices by the second."""
    told = datetime.fromisoformat(str(_ask("SELECT CURRENT_TIMESTAMP")))
    apart = abs(datetime.now(UTC) - (told if told.tzinfo else told.replace(tzinfo=UTC)))
    message = f"Host and database differ by {apart.total_seconds():.0f} s."
    if apart > MAX_CLOCK_DIFFERENCE:
        return Finding(ERROR, message, "Set both by NTP.")
    return Finding(OK, message)


def configuration() -> Finding:
    """What `check --deploy` says."""
    said = [
        one for one in checks.run_checks(include_deployment_checks=True) if not one.is_silenced()
    ]
    if not said:
        return Finding(OK, "check --deploy finds nothing.")
    level = ERROR if any(message.is_serious() for message in said) else WARNING
    ids = ", ".join(sorted({message.id or "unnamed" for message in said}))
    return Finding(level, f"{ids}.", "Run check --deploy.")


def signing_keys() -> Finding:
    ring = signing.key_ring()
    others = len({key.kid for key, _ in ring.headers.values()}) - 1
    return Finding(OK, f"{ring.signing_key.kid!r} signs, {others} more only verify.")


def mail() -> Finding:
    """Connect to the mail server and log in, but send nothing."""
    server = get_connection()
    if not hasattr(server, "host"):
        return Finding(WARNING, f"{settings.EMAIL_BACKEND} sends nothing.", "Set EMAIL_URL.")
    where = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    try:
        server.open()
    except OSError as error:  # SMTPException is an OSError
        message = f"{where} cannot be reached ({type(error).__name__})."
        return Finding(ERROR, message, "See EMAIL_URL.")
    server.close()
    return Finding(OK, f"{where} answers.")


def cache_server() -> Finding:
    if not settings.CACHES["default"]["BACKEND"].endswith("RedisCache"):
        return Finding(OK, "None is configured, none is needed.")
    try:
        cache.get("doctor")
    except Exception as error:
        # The error's text is left out, because it may repeat the URL with its password.
        message = f"It does not answer ({type(error).__name__})."
        return Finding(ERROR, message, "See REDIS_URL.")
    return Finding(OK, "It answers.")


def places() -> Finding:
    path = settings.GEOIP_PATH or str(COUNTRY_FILE)
    try:
        with maxminddb.open_database(path, maxminddb.MODE_MMAP) as reader:
            built = datetime.fromtimestamp(reader.metadata().build_epoch, UTC)
    except (OSError, ValueError, maxminddb.InvalidDatabaseError):
        return Finding(WARNING, f"{path} cannot be read: no places.", "See GEOIP_PATH.")
    message = f"The file of places is of {built.date()}."
    if datetime.now(UTC) - built > MAX_PLACES_AGE:
        return Finding(WARNING, message, "Get a newer one and set GEOIP_PATH.")
    return Finding(OK, message)


def static_files() -> Finding:
    if settings.DEBUG:
        return Finding(OK, "Not needed with DEBUG.")
    if not Path(settings.STATIC_ROOT, "staticfiles.json").is_file():
        return Finding(ERROR, "They are not collected.", "Run collectstatic.")
    return Finding(OK, "They are collected.")


def purge() -> Finding:
    waiting = IssuedToken.objects.past_retention(MAX_PURGE_DELAY)[: MAX_COUNTED + 1].count()
    if not waiting:
        return Finding(OK, "No device is long past its retention.")
    count = f"More than {MAX_COUNTED:,}" if waiting > MAX_COUNTED else f"{waiting:,}"
    return Finding(
        WARNING, f"Devices long past their retention: {count}.", "Run purge_devices daily."
    )


def usernames() -> Finding:
    """Names that a URL folds or cannot hold. No new account can have one."""
    odd = User.objects.exclude(username__regex=rf"\A{USERNAME}\Z")
    names = [repr(name) for name in odd.values_list("username", flat=True)[: MAX_NAMED + 1]]
    if not names:
        return Finding(OK, "All can stand in a URL.")
    more = " and more" if len(names) > MAX_NAMED else ""
    message = f"No longer allowed: {', '.join(names[:MAX_NAMED])}{more}."
    return Finding(WARNING, message, "Rename them in the admin.")


def superuser() -> Finding:
    if not User.objects.filter(is_superuser=True, is_active=True).exists():
        return Finding(ERROR, "None is active.", "Run create_admin.")
    return Finding(OK, "At least one is active.")


def _ask(sql: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


CHECKS: dict[str, Callable[[], Finding]] = {
    "database": database,
    "migrations": migrations,
    "transactions": transactions,
    "clocks": clocks,
    "configuration": configuration,
    "signing keys": signing_keys,
    "mail": mail,
    "cache": cache_server,
    "places": places,
    "static files": static_files,
    "purge": purge,
    "usernames": usernames,
    "superuser": superuser,
}
