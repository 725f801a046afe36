import sqlite3
from datetime import UTC, datetime, timedelta

from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from config.doctor.findings import ERROR, OK, Finding

MAX_CLOCK_DIFFERENCE = timedelta(seconds=5)


def answer() -> Finding:
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


def _ask(sql: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]
