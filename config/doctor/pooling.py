"""What stands between the web server and PostgreSQL: options and poolers."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from django.db import OperationalError, ProgrammingError, connection

from config.doctor.findings import ERROR, OK, WARNING, Finding, told
from config.servers import PGOPTIONS

LIMITS = ("statement_timeout", "lock_timeout")
LONGEST = 30_000  # milliseconds; then gunicorn kills the worker
ROUNDS = 5
SQLITE = Finding(OK, "SQLite has none.")


def limits() -> Finding:
    """The limits of a request at PostgreSQL, as a connection of the web server has them."""
    if connection.vendor == "sqlite":
        return SQLITE
    try:
        with _connection() as server:
            asked = "SELECT name, setting::int FROM pg_settings WHERE name = ANY(%s)"
            found = dict(server.execute(asked, [list(LIMITS)]).fetchall())
    except OperationalError as error:
        hint = "A pooler may refuse the options. See PgBouncer in docs/operations.md."
        return Finding(ERROR, f"A web server cannot connect. {told(error)}", hint)
    unbounded = [name for name in LIMITS if not 0 < found[name] <= LONGEST]
    if not unbounded:
        return Finding(OK, ", ".join(f"{name} {found[name] / 1000:g} s" for name in LIMITS) + ".")
    message = f"A request has no {' and no '.join(unbounded)} below {LONGEST // 1000} s."
    if "PGOPTIONS" in os.environ:
        hint = f"PGOPTIONS replaces the limits. Unset it, or add to it: {PGOPTIONS}"
    else:
        hint = "A pooler drops the options. See PgBouncer in docs/operations.md."
    return Finding(WARNING, message, hint)


def prepared_statements() -> Finding:
    """Whether queries that are prepared on the server are still there when they run.

    Two clients prepare different queries under the same name, and take turns. If a pooler shares a
    connection of the server between them, it must keep the two names apart.
    """
    if connection.vendor == "sqlite":
        return SQLITE
    try:
        backends = _take_turns()
    except ProgrammingError as error:
        hint = "Use session pooling, or PgBouncer 1.22 or newer with max_prepared_statements."
        return Finding(ERROR, f"A pooler loses prepared statements. {told(error)}", hint)
    if len(set(backends[0::2])) == 1 and not set(backends[0::2]) & set(backends[1::2]):
        return Finding(OK, "Each connection keeps its backend.")
    return Finding(OK, "Transactions are pooled, and prepared statements pass.")


def _take_turns() -> list[int]:
    """The backends of two clients, alternately."""
    backends = []
    with ExitStack() as stack:
        clients = [stack.enter_context(_connection()) for _ in range(2)]
        for turn in range(2 * ROUNDS):
            client, query = clients[turn % 2], f"SELECT pg_backend_pid(), {turn % 2}"
            backend, number = client.execute(query, prepare=True).fetchone()
            client.commit()  # at a rollback, psycopg would forget what it has prepared
            if number != turn % 2:
                raise ProgrammingError("The answer was that of another query.")
            backends.append(backend)
    return backends


@contextmanager
def _connection() -> Iterator[Any]:
    """A new connection to PostgreSQL, with the options of a web server."""
    parameters = connection.get_connection_params()
    parameters.setdefault("options", os.environ.get("PGOPTIONS", PGOPTIONS))
    with connection.wrap_database_errors, closing(connection.get_new_connection(parameters)) as new:
        new.autocommit = False
        yield new
