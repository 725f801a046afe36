"""What stands between the web server and PostgreSQL: the limits of a request, and poolers."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from django.conf import settings
from django.db import ProgrammingError, connection

from config.databases import limit_requests
from config.doctor.findings import ERROR, OK, WARNING, Finding, told

LIMITS = ("statement_timeout", "lock_timeout")
LONGEST = 30_000  # milliseconds; then gunicorn kills the worker
NO_LIMITS = {  # what to do, by DATABASE_POOLER
    "none": "PGOPTIONS or DATABASE_URL lifts them, or a pooler drops them: set DATABASE_POOLER.",
    "session": "Does the pooler pool sessions? See PgBouncer in docs/operations.md.",
    "transaction": "Give them to the role of DATABASE_URL, then RECONNECT the pooler. "
    "See PgBouncer in docs/operations.md.",
}
# Which of two clients asks. The first one asks twice in a row, so that a pooler which gives its
# connections out in turn gives it two.
TURNS = (0, 1, 0, 0, 1, 0, 1, 1, 0, 1)
ROUNDS = 5
SQLITE = Finding(OK, "SQLite has none.")
SHARED = "Set DATABASE_POOLER=transaction, or let the pooler pool sessions."
NOT_RESET = "Let the pooler run DISCARD ALL before the next client, as PgBouncer does by default."


class Trial(NamedTuple):
    """What two clients found who took turns."""

    is_shared: bool  # a backend, among transactions of both
    is_direct: bool  # no pooler stands in between: it would tell other numbers of the backends
    is_prepared: bool


def limits() -> Finding:
    """The limits of a request at PostgreSQL, as a connection of the web server has them."""
    if connection.vendor == "sqlite":
        return SQLITE
    with _connection() as server:
        asked = "SELECT name, setting::int FROM pg_settings WHERE name = ANY(%s)"
        found = dict(server.execute(asked, [list(LIMITS)]).fetchall())
    unbounded = [name for name in LIMITS if not 0 < found[name] <= LONGEST]
    if not unbounded:
        return Finding(OK, ", ".join(f"{name} {found[name] / 1000:g} s" for name in LIMITS) + ".")
    message = f"A request has no {' and no '.join(unbounded)} below {LONGEST // 1000} s."
    return Finding(WARNING, message, NO_LIMITS[settings.DATABASE_POOLER])


def pooler() -> Finding:
    """Whether a pooler does what DATABASE_POOLER says. It is found out by trying."""
    if connection.vendor == "sqlite":
        return SQLITE
    said = settings.DATABASE_POOLER
    try:
        trial = _take_turns()
    except ProgrammingError as error:
        return Finding(ERROR, f"A pooler loses prepared statements. {told(error)}", SHARED)
    if said == "transaction":
        shared = "are" if trial.is_shared else "were not"
        prepared = "are" if trial.is_prepared else "are not"
        return Finding(OK, f"Transactions {shared} pooled. Queries {prepared} prepared.")
    return _wrong(said, trial) or Finding(OK, "Each connection keeps its backend.")


def _wrong(said: str, trial: Trial) -> Finding | None:
    if trial.is_shared:
        return Finding(ERROR, f"Transactions are pooled, and DATABASE_POOLER is {said}.", SHARED)
    if _is_passed_on():
        return Finding(ERROR, "A pooler passes on what a client has set to the next.", NOT_RESET)
    if said == "none" and not trial.is_direct:
        message = "A pooler stands before PostgreSQL, and DATABASE_POOLER is none."
        return Finding(WARNING, message, "Set DATABASE_POOLER=session.")
    return None


def _take_turns() -> Trial:
    """Let two clients prepare different queries under the same name, unless the site prepares none.

    If a pooler shares a backend between their transactions, it must keep the two names apart.
    """
    backends: tuple[set[int], set[int]] = (set(), set())
    with ExitStack() as stack:
        clients = [stack.enter_context(_connection()) for _ in backends]
        for turn in TURNS:
            query = f"SELECT pg_backend_pid(), {turn}"
            backend, number = clients[turn].execute(query, prepare=True).fetchone()
            clients[turn].commit()  # at a rollback, psycopg would forget what it has prepared
            if number != turn:
                raise ProgrammingError("The answer was that of another query.")
            backends[turn].add(backend)
        return Trial(
            is_shared=len(backends[0]) > 1 or not backends[0].isdisjoint(backends[1]),
            is_direct=backends[0] == {clients[0].info.backend_pid},
            is_prepared=clients[0].prepare_threshold is not None,
        )


def _is_passed_on() -> bool:
    """Whether a new connection has what another one has set before it was closed."""
    for _ in range(ROUNDS):
        with _connection() as client:
            asked = "SELECT current_setting('guestlist.doctor', true)"
            if client.execute(asked).fetchone()[0]:
                return True
            client.execute("SELECT set_config('guestlist.doctor', 'was here', false)")
            client.commit()
    return False


@contextmanager
def _connection() -> Iterator[Any]:
    """A new connection to PostgreSQL, as the web server opens it."""
    server = connection.copy()
    limit_requests(server.settings_dict)
    try:
        server.ensure_connection()
        server.connection.autocommit = False
        with connection.wrap_database_errors:
            yield server.connection
    finally:
        server.close()
