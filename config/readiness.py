"""Whether the site can answer requests: its database takes writes, its tables are there, it signs.

A look asks for all three. It runs in a thread of its own, because a database may hang: who waits
for it gives up after PATIENCE. A process looks once in KEPT at most, however often it is asked.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from accounts.models import User
from config.errors import describe
from tokens import signing
from tokens.models import IssuedToken

logger = logging.getLogger(__name__)

KEPT, PATIENCE = 5, 3  # seconds
PARTS = ("database", "migrations", "keys")
OURS = ("accounts", "tokens")
# The limits of a connection that gives up within seconds. Those of PostgreSQL after the first
# notice that the server's host is gone.
LIMITS: dict[str, dict[str, int]] = {
    "sqlite": {"timeout": 2},
    "postgresql": {
        "connect_timeout": 2,
        "tcp_user_timeout": 3000,
        "keepalives_idle": 3,
        "keepalives_interval": 1,
        "keepalives_count": 3,
    },
}


class Look(threading.Thread):
    """One look. A part whose look does not end within PATIENCE has failed."""

    def __init__(self) -> None:
        super().__init__(name="readiness", daemon=True)
        self.began = time.monotonic()
        self.failed = ["database"]

    def run(self):
        self.failed = [part for part in (_database(), _keys()) if part]

    def is_awaited(self) -> bool:
        return self.is_alive() and time.monotonic() < self.began + PATIENCE


_lock = threading.Lock()
_looks: list[Look] = []  # the last one


def failed_parts() -> list[str]:
    """The names of the parts that the site lacks, as of KEPT seconds ago at most."""
    look = _last_look()
    while look.is_awaited():
        look.join(0.05)
    return look.failed


async def afailed_parts() -> list[str]:
    """As `failed_parts`. While it waits, it keeps no thread of the server from others."""
    look = _last_look()
    while look.is_awaited():
        await asyncio.sleep(0.05)
    return look.failed


def _last_look() -> Look:
    """The last look, or a new one if that has ended and is too old."""
    with _lock:
        if _looks and (_looks[0].is_alive() or time.monotonic() < _looks[0].began + KEPT):
            return _looks[0]
        _looks[:] = [Look()]
        _looks[0].start()
        return _looks[0]


@contextmanager
def impatient_transaction() -> Iterator[BaseDatabaseWrapper]:
    """A transaction on a connection that gives up within seconds, and that is closed at the end.

    It is for a thread that has no connection yet.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    options = {**connection.settings_dict["OPTIONS"], **LIMITS[connection.vendor]}
    options.pop("pool", None)
    connection.settings_dict = {**connection.settings_dict, "OPTIONS": options}
    try:
        with transaction.atomic():
            if connection.vendor == "postgresql":
                limits = "set_config('lock_timeout', '1s', true)"
                limits += ", set_config('statement_timeout', '2s', true)"
                connection.cursor().execute(f"SELECT {limits}")
            yield connection
    finally:
        connection.close()


def _database() -> str | None:
    """The part that is wrong with the database, if any."""
    try:
        with impatient_transaction() as connection:
            if _unapplied(connection):
                logger.error("not ready", extra={"part": "migrations"})
                return "migrations"
            _write_nothing(connection)
    except Exception as error:  # of the database, its driver, or a file of migrations
        logger.error("not ready", extra={"part": "database", **describe(error)})
        return "database"
    return None


def _unapplied(connection: BaseDatabaseWrapper) -> bool:
    """Whether a migration of our apps is missing. Django applies those that it needs before it."""
    executor = MigrationExecutor(connection)
    newest = [node for app in OURS for node in executor.loader.graph.leaf_nodes(app)]
    return bool(executor.migration_plan(newest))


def _write_nothing(connection: BaseDatabaseWrapper) -> None:
    """Fail where a write would fail: on a standby, a read-only or a locked database.

    An update of no row takes the locks and needs the rights of a write. SQLite tells of a full disk
    only when it writes, so there the number of a version that nobody uses is written again.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA user_version")
            cursor.execute(f"PRAGMA user_version = {cursor.fetchone()[0]}")
        for model in (User, IssuedToken):
            table, column = model._meta.db_table, model._meta.pk.column
            cursor.execute(f"UPDATE {table} SET {column} = {column} WHERE 1 = 0")  # noqa: S608


def _keys() -> str | None:
    try:
        signing.key_ring()
    except ImproperlyConfigured as error:
        logger.error("not ready", extra={"part": "keys", **describe(error)})
        return "keys"
    return None
