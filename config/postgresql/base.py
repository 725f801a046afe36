"""Django's backend for PostgreSQL, with a cheaper question whether a kept connection still lives.

Django asks the server in each request. Here it is asked only if the socket has something to read,
or if the connection was idle for so long that a firewall may have forgotten it. A server that ends
a connection says so on the socket, and keepalives find a dead one.
"""

import select
import time
from typing import Any

from django.db.backends.postgresql import base
from psycopg import Error
from psycopg_pool import ConnectionPool

from config.postgresql import waits
from config.postgresql.schema import DatabaseSchemaEditor

IDLE = 30  # seconds


class DatabaseWrapper(base.DatabaseWrapper):
    SchemaEditorClass = DatabaseSchemaEditor

    def is_usable(self):
        return self.connection is not None and (_is_quiet(self.connection) or super().is_usable())

    def get_new_connection(self, conn_params):
        """A new connection, or one of the pool. If that one is gone, the whole pool is made anew.

        Replaces the check of the pool itself (CONN_HEALTH_CHECKS), which asks each time.
        """
        connection = super().get_new_connection(conn_params)
        waits.watch(connection)
        if self.pool is None or _is_quiet(connection) or _answers(connection):
            return connection
        self.pool.drain()
        self.pool.putconn(connection)
        return super().get_new_connection(conn_params)


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
