"""What keeps doctor from changing anything, and from waiting forever."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

LOOK = 60  # seconds that a check takes at most
STATEMENT = 50  # seconds that PostgreSQL takes at most for a statement of a check


@contextmanager
def deadline(seconds: int) -> Iterator[None]:
    """Raise TimeoutError if the block takes longer, even if a server answers byte by byte.

    It needs the signal SIGALRM, which Windows does not have, and the main thread.
    """
    if not hasattr(signal, "SIGALRM") or threading.current_thread() != threading.main_thread():
        yield
        return

    def stop(*args: object) -> None:
        raise TimeoutError(f"it took longer than {seconds} s")

    former = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)


@contextmanager
def only_reading() -> Iterator[None]:
    """A transaction of PostgreSQL that cannot write, and that is rolled back.

    The limits are set for the transaction alone, because a pooler may give the connection to
    another client after it.
    """
    if connection.vendor == "sqlite":
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
            cursor.execute(f"SET LOCAL statement_timeout = '{STATEMENT}s'")
            cursor.execute(f"SET LOCAL lock_timeout = '{STATEMENT}s'")
        yield
        transaction.set_rollback(True)
