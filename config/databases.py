"""The database of the site, from DATABASE_URL: SQLite or PostgreSQL."""

import sqlite3
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config.environment import env

ENGINES = {
    "sqlite": "django.db.backends.sqlite3",
    "postgresql": "django.db.backends.postgresql",
}
OUR_POSTGRESQL = "config.postgresql"  # Django's, with a cheaper look at a kept connection
POOLERS = ["none", "session", "transaction"]  # what stands before PostgreSQL, and what it pools
KEPT = 600  # seconds that a thread keeps its connection
# How long the network may be silent. A server that does not answer to a new connection within ten
# seconds, or does not confirm what it was sent, is gone: a request answers 503. Keepalives find the
# dead among idle connections within a minute, and keep a firewall from forgetting the others.
PATIENCE = {
    "connect_timeout": 10,  # seconds
    "tcp_user_timeout": 10_000,  # milliseconds
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
# Parameters of every connection to PostgreSQL. psycopg names the level at BEGIN, and a statement
# outside of a transaction has the default of its connection.
PARAMETERS = {"timezone": "UTC", "default_transaction_isolation": "read committed"}
# Limits for requests: 10 s for a lock and 20 s for a statement, so the 503 comes before gunicorn
# kills the worker (after 30 s by default). Commands have no limits. JIT is off, because compiling a
# query takes longer than running it.
LIMITS = {"lock_timeout": "10s", "statement_timeout": "20s", "jit": "off"}
PREPARED_AFTER = 5  # times that a query was run on a connection
# Connections of a process under ASGI. A request waits so many seconds for one, and then gets a 503.
# `reconnect_timeout` keeps the pauses between attempts to reach a server that was away at a second.
# By default they double for five minutes, so a server would be back long before its site.
POOL = {"min_size": 1, "max_size": 10, "timeout": 5, "reconnect_timeout": 1}


def read_database(default: str, pooler: str) -> dict[str, Any]:
    """Django's settings of the database behind this one of POOLERS.

    Raise ImproperlyConfigured if DATABASE_URL is of another kind. The message holds no password.
    """
    try:
        database: dict[str, Any] = env.dj_db_url("DATABASE_URL", default, conn_max_age=KEPT)
    except Exception:  # whatever the parser raises may repeat the URL with its password
        database = {}
    engine, name = database.get("ENGINE"), database.get("NAME")
    database.setdefault("OPTIONS", {})
    if engine == ENGINES["sqlite"] and name != ":memory:":
        _use_sqlite(database)
    elif engine == ENGINES["postgresql"] and name:
        _use_postgresql(database, pooler)
    else:
        raise ImproperlyConfigured(
            "DATABASE_URL must be of SQLite or PostgreSQL and name a database: "
            "sqlite:////path/of/a/file or postgres://user:password@host/name"
        )
    return database


def limit_requests(database: dict[str, Any]) -> None:
    """Give LIMITS to the connections of this process. `config.postgresql` says how."""
    if database["ENGINE"] == OUR_POSTGRESQL:
        database["PARAMETERS"] = PARAMETERS | LIMITS


def bound_connections(database: dict[str, Any]) -> None:
    """Bound the connections of a process that answers each request in a new thread, as ASGI does.

    A thread would keep its connection, and be gone. PostgreSQL gets a pool instead. SQLite opens
    its file for each request.
    """
    database["CONN_MAX_AGE"] = 0
    if database["ENGINE"] == OUR_POSTGRESQL:
        database["OPTIONS"]["pool"] = POOL
        database["CONN_HEALTH_CHECKS"] = False  # `config.postgresql` looks at those of the pool


def _use_sqlite(database: dict[str, Any]) -> None:
    if sqlite3.sqlite_version_info < (3, 35):
        raise ImproperlyConfigured("DATABASE_URL: SQLite must be 3.35 or newer (RETURNING)")
    # IMMEDIATE: a writer waits at BEGIN. Otherwise a transaction that first reads and then writes
    # could fail. `synchronous` stays FULL, SQLite's default, so an answered revocation survives a
    # power cut. `cache_size` keeps 16 MB of often used pages in memory instead of 2, above all of
    # indexes.
    database["OPTIONS"] |= {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA cache_size=-16384",
    }
    # Tests run on a file. A database in memory has no WAL, and other processes cannot open it.
    path = Path(database["NAME"])
    database["TEST"] = {"NAME": path.with_name(f"test-{path.name}")}


def _use_postgresql(database: dict[str, Any], pooler: str) -> None:
    # The conditional updates rely on READ COMMITTED: they update no row where a stricter level
    # raises an error. The level is set here, because a server may have another default.
    from django.db.backends.postgresql.psycopg_any import IsolationLevel

    # Parameters are sent apart from the SQL, so the server can keep the plan of a repeated query,
    # from the sixth time on a connection. Where transactions are pooled, the next one may run on
    # another connection of the server. There a prepared statement is missing, or is another
    # client's of the same name: `config.postgresql` asks the pooler first. A cursor that outlives
    # its transaction is missing too.
    is_shared = pooler == "transaction"
    database["OPTIONS"] |= {
        "isolation_level": IsolationLevel.READ_COMMITTED,
        "server_side_binding": True,
        "prepare_threshold": None if is_shared else PREPARED_AFTER,
    }
    database["DISABLE_SERVER_SIDE_CURSORS"] = is_shared
    database |= {"POOLER": pooler, "PARAMETERS": PARAMETERS}
    database["OPTIONS"] = PATIENCE | database["OPTIONS"]
    # Each request looks whether its connection is still there. So no request fails after the server
    # restarted, or after a firewall forgot the connection.
    database["CONN_HEALTH_CHECKS"] = True
    database["ENGINE"] = OUR_POSTGRESQL
