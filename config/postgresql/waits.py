"""Ends the one wait that no limit of PostgreSQL ends: that of a commit for a synchronous standby.

`statement_timeout` and `lock_timeout` do not apply to it, so while the standby is away a request
would wait without end. A thread looks at the connections of a web server, and breaks one whose
command has run for LONGEST. Its request is answered 503: the primary has the change by then, and
nobody knows whether it will last.
"""

import os
import socket
import threading
import time
from contextlib import suppress
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.pq import TransactionStatus

LONGEST = 25  # seconds; statements end after 20, and gunicorn ends a request after 30
INTERVAL = 0.2  # seconds

# The connections, and since when each was found at work, each time that the thread looked.
_found: WeakKeyDictionary[Any, float | None] = WeakKeyDictionary()
_adding = threading.Lock()  # a dictionary that grows cannot be walked


@cache
def start() -> None:
    """Look from now on, in this process. Commands wait as long as they must, and do not call it."""
    threading.Thread(target=_look, name="waits", daemon=True).start()


def watch(connection: Any) -> None:
    with _adding:
        _found[connection] = None


def _look() -> None:
    while True:
        time.sleep(INTERVAL)
        now = time.monotonic()
        with _adding:
            found = list(_found.items())
        for connection, since in found:
            if connection.pgconn.transaction_status != TransactionStatus.ACTIVE:
                _found[connection] = None
            elif since is None:
                _found[connection] = now
            elif now - since > LONGEST:
                _found.pop(connection, None)
                with suppress(psycopg.Error, OSError):
                    _end(connection)


def _end(connection: Any) -> None:
    """Break the connection for the request that waits, then let the server go on without it.

    In this order, because the server reports a commit whose wait it gave up as done.
    """
    cancel = connection.pgconn.get_cancel()
    with socket.socket(fileno=os.dup(connection.pgconn.socket)) as shared:
        shared.shutdown(socket.SHUT_RDWR)
    cancel.cancel()
