"""Django's backend for PostgreSQL: parameters of a connection, and whether a kept one still lives.

Django asks the server in each request. Here it is asked only if the socket has something to read,
or if the connection was idle for so long that a firewall may have forgotten it. A server that ends
a connection says so on the socket, and keepalives find a dead one.
"""

import os
import select
import time
from collections.abc import Mapping
from typing import Any

from django.db.backends.postgresql import base
from psycopg import Error
from psycopg_pool import ConnectionPool

from config.databases import PREPARED_AFTER
from config.postgresql import waits
from config.postgresql.schema import DatabaseSchemaEditor

IDLE = 30  # seconds


class DatabaseWrapper(base.DatabaseWrapper):
    """Gives PARAMETERS to its connections: when they start, which costs nothing.

    A pooler drops what comes at the start. Where it pools sessions, a statement sets them. Where it
    pools transactions, a setting would go to other clients, so the role in PostgreSQL has them.
    There queries are prepared only if the pooler keeps those of its clients apart.
    """

    SchemaEditorClass = DatabaseSchemaEditor

    def get_connection_params(self):
        params = super().get_connection_params()
        if self.settings_dict.get("POOLER") == "none":
            theirs = params.get("options") or os.environ.get("PGOPTIONS", "")
            params["options"] = f"{_as_options(self.settings_dict['PARAMETERS'])} {theirs}".strip()
        return params

    def _configure_connection(self, connection):
        pooler = self.settings_dict.get("POOLER")
        if pooler == "session":
            _set(connection, self.settings_dict["PARAMETERS"])
        elif pooler == "transaction" and _keeps_prepared_apart(connection):
            connection.prepare_threshold = PREPARED_AFTER
        return super()._configure_connection(connection)  # type: ignore[misc]

    def is_usable(self):
        return self.connection is not None and (_is_quiet(self.connection) or super().is_usable())

    def get_new_connection(self, conn_params):
        """A new connection, or one of the pool. If that one is gone, the whole pool is made anew.

        Replaces the check of the pool itself (CONN_HEALTH_CHECKS), which asks each time.
        """
        connection = super().get_new_connection(conn_params)
        if self.pool is not None and not _is_quiet(connection) and not _answers(connection):
            self.pool.drain()
            self.pool.putconn(connection)
            connection = super().get_new_connection(conn_params)
        waits.watch(connection)
        return connection


def _as_options(parameters: Mapping[str, str]) -> str:
    """Parameters as PostgreSQL reads them at the start. What comes later in the text, wins."""
    pairs = (f"{name}={value}".replace(" ", "\\ ") for name, value in parameters.items())
    return " ".join(f"-c {pair}" for pair in pairs)


def _set(connection: Any, parameters: Mapping[str, str]) -> None:
    calls = ", ".join(["set_config(%s, %s, false)"] * len(parameters))
    values = [text for parameter in parameters.items() for text in parameter]
    connection.execute(f"SELECT {calls}", values)


def _keeps_prepared_apart(connection: Any) -> bool:
    """Whether the pooler gives the prepared statements of its clients names of its own.

    Otherwise a statement may run that another client has prepared under the same name.
    """
    server, name = connection.pgconn, b"guestlist"
    server.exec_(b"BEGIN")
    server.prepare(name, b"SELECT count(*) FROM pg_prepared_statements WHERE name = 'guestlist'")
    is_renamed = server.exec_prepared(name, []).get_value(0, 0) == b"0"
    if not is_renamed:
        server.exec_(b"DEALLOCATE guestlist")
    server.exec_(b"ROLLBACK")
    return is_renamed


def _is_quiet(connection: Any) -> bool:
    """Whether the connection was looked at within IDLE, and its socket has nothing to read."""
    now = time.monotonic()
    idle, connection.looked_at = now - getattr(connection, "looked_at", 0), now
    try:
        readable, _, _ = select.select([connection], [], [], 0)
    except (OSError, ValueError, Error):  # it is closed, or select() takes no number so high
        return False
    return idle <= IDLE and not readable


def _answers(connection: Any) -> bool:
    try:
        ConnectionPool.check_connection(connection)
    except Error:
        return False
    return True
