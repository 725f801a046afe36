"""The empty databases that a benchmark runs in."""

import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager

DATABASE = "guestlist_bench"


@contextmanager
def sqlite() -> Iterator[str]:
    """The URL of an empty database in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="guestlist-bench-") as folder:
        yield f"sqlite:///{folder}/bench.sqlite3"


@contextmanager
def postgresql(server: str) -> Iterator[str]:
    """The URL of an empty database on the server of the URL `server`. It is dropped at the end."""
    import psycopg

    url = f"{server.rpartition('/')[0]}/{DATABASE}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
        connection.execute(f"CREATE DATABASE {DATABASE}")
    try:
        yield url
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def for_stock(url: str) -> str:
    """The URL of the same database for stock settings.

    SQLite gets a copy, because a file keeps the journal mode, which is not the stock one here.
    """
    if not url.startswith("sqlite"):
        return url
    file = url.removeprefix("sqlite:///")
    copy = file.replace("bench.sqlite3", "stock.sqlite3")
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")
    return f"sqlite:///{copy}"


def server() -> str:
    """The URL of the PostgreSQL server, or "" without one."""
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        print("No PostgreSQL in DATABASE_URL: it is left out.", file=sys.stderr)
        return ""
    return url
