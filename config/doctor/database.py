import sqlite3
from datetime import UTC, datetime, timedelta

from django.db import OperationalError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from config.doctor.findings import ERROR, OK, WARNING, Finding, told

MAX_CLOCK_DIFFERENCE = timedelta(seconds=5)
MISSING = {"42P01", "42703"}  # what PostgreSQL says: undefined table, undefined column
# Each table with a privilege on it that the role of the site lacks.
MISSING_PRIVILEGES = """
SELECT named, privilege
FROM unnest(%s::text[]) AS named, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
WHERE NOT has_table_privilege(quote_ident(named), privilege)
ORDER BY named, privilege
"""


def answer() -> Finding:
    try:
        ask("SELECT 1")
    except OperationalError as error:
        hint = "Is its disk full or read-only? " if connection.vendor == "sqlite" else ""
        if "startup parameter" in str(error):
            hint = "A pooler refuses a parameter of the start: set DATABASE_POOLER. "
        return Finding(ERROR, f"It cannot be reached. {told(error)}", f"{hint}See DATABASE_URL.")
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
    """The journal mode or the isolation level that the conditional updates rely on.

    On PostgreSQL that of this transaction, and that of statements outside of transactions.
    """
    if connection.vendor == "sqlite":
        questions, wanted = ["PRAGMA journal_mode"], "wal"
    else:
        questions = ["SHOW transaction_isolation", "SHOW default_transaction_isolation"]
        wanted = "read committed"
    for found in map(ask, questions):
        if found != wanted:
            return Finding(ERROR, f"{found} instead of {wanted}.", "See docs/operations.md.")
    if connection.vendor == "postgresql" and (lost := _lost_commits()):
        return lost
    return Finding(OK, f"{wanted}.")


def _lost_commits() -> Finding | None:
    """A setting by which revocations that were answered can be lost."""
    level = ask("SHOW synchronous_commit")
    hint = "Take it away: ALTER SYSTEM, ALTER DATABASE or ALTER ROLE ... RESET synchronous_commit."
    if level == "off":
        message = "synchronous_commit is off: a crash loses revocations that were answered."
        return Finding(ERROR, message, hint)
    if level == "local" and ask("SHOW synchronous_standby_names"):
        message = "synchronous_commit is local: a failover loses revocations that were answered."
        return Finding(WARNING, message, hint)
    if ask("SHOW fsync") == "off":
        message = "fsync is off: a crash loses revocations, or the whole database."
        return Finding(ERROR, message, "Turn it on.")
    return None


def clocks() -> Finding:
    """The clocks of host and database.

    Challenges of passkeys, cookies and mailed links end by the first, devices and their tokens by
    the second.
    """
    told_at = datetime.fromisoformat(str(ask("SELECT CURRENT_TIMESTAMP")))
    apart = abs(datetime.now(UTC) - (told_at if told_at.tzinfo else told_at.replace(tzinfo=UTC)))
    message = f"Host and database differ by {apart.total_seconds():.0f} s."
    if apart > MAX_CLOCK_DIFFERENCE:
        return Finding(ERROR, message, "Set both by NTP.")
    return Finding(OK, message)


def writes() -> Finding:
    """Whether the site could write. Nothing is written."""
    refused = _sqlite_refuses() if connection.vendor == "sqlite" else _postgresql_refuses()
    return refused or Finding(OK, "It can be written to.")


def lacks_what_is_read(error: Exception) -> bool:
    """Whether it says that a table or a column is not there."""
    if connection.vendor == "sqlite":
        return str(error).startswith(("no such table", "no such column"))
    return getattr(error.__cause__, "sqlstate", "") in MISSING


def ask(sql: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def _sqlite_refuses() -> Finding | None:
    """SQLite takes the lock of a write when a transaction begins, and this one writes nothing."""
    try:
        with transaction.atomic():
            transaction.set_rollback(True)
    except OperationalError as error:
        hint = "The file, its folder and its disk must be writable for the user of the server."
        return Finding(ERROR, f"It is read-only or locked. {told(error)}", hint)
    return None


def _postgresql_refuses() -> Finding | None:
    if ask("SELECT pg_is_in_recovery()"):
        hint = "Name the primary in DATABASE_URL."
        return Finding(ERROR, "It is a standby, which is read-only.", hint)
    if ask("SHOW default_transaction_read_only") == "on":
        return Finding(
            ERROR,
            "It is read-only: default_transaction_read_only is on.",
            "Take it from the server, the database or the role. A hosting service sets it when "
            "its disk is full.",
        )
    tables = connection.introspection.django_table_names(only_existing=True)
    with connection.cursor() as cursor:
        cursor.execute(MISSING_PRIVILEGES, [tables])
        missing = [f"{privilege} on {table}" for table, privilege in cursor.fetchall()]
    if missing:
        shown = f"{missing[0]} and {len(missing) - 1} more" if missing[1:] else missing[0]
        hint = "Make the role of DATABASE_URL the owner of the tables, or grant it."
        return Finding(ERROR, f"The role may not {shown}.", hint)
    return None
