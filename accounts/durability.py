"""Commits that do not wait for the disk, for what a power cut may take.

That is counts of attempts, and on SQLite the times when devices were last seen.

Others see such a commit at once. A power cut, or a crash of the machine, may take the last moments
of them, and nothing that was committed with a wait. A later commit that waits makes them durable
too. Within a transaction nothing changes here: it may hold what must not be lost.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

# Ends the RETURNING of a statement that PostgreSQL is to commit without a wait.
UNWAITED = ", set_config('synchronous_commit', 'off', true)"


@contextmanager
def without_disk(alias: str) -> Iterator[str]:
    """Commit what the block writes without a wait. It gets what its RETURNING is to end in.

    SQLite is told for the connection. That is closed if it cannot be set back, so no later commit
    goes without its wait. PostgreSQL is told by the statement itself.
    """
    database: Any = connections[alias]
    if database.in_atomic_block or database.vendor != "sqlite":
        yield "" if database.in_atomic_block else UNWAITED
        return
    database.ensure_connection()
    execute = database.connection.execute
    [level] = execute("PRAGMA synchronous").fetchone()
    execute("PRAGMA synchronous = NORMAL")
    try:
        yield ""
    finally:
        try:
            execute(f"PRAGMA synchronous = {level}")
        except database.Database.Error:
            database.close()
