"""Where a benchmark runs: databases of its own, and a configuration as in production."""

import json
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

DATABASE = "guestlist_bench"


def configure() -> None:
    """The environment of this process and of all that it starts, with keys of this run alone."""
    from tokens.keys import generate_signing_key

    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
        "DEBUG": "false",
        "SECRET_KEY": secrets.token_urlsafe(64),
        "JWT_SIGNING_KEYS": json.dumps({"keys": [generate_signing_key()]}),
        "SITE_URL": "https://testserver",
        "ALLOWED_HOSTS": "testserver,127.0.0.1",
        "SECURE_SSL_REDIRECT": "false",
        "PYTHONWARNINGS": "ignore:No directory at",  # no static files were collected
        "ACCESS_TOKEN_LIFETIME": "86400",  # longer than the run, for every contender
    }


@contextmanager
def sqlite() -> Iterator[str]:
    """The URL of an empty database in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="guestlist-bench-") as folder:
        yield f"sqlite:///{folder}/bench.sqlite3"


@contextmanager
def postgresql(server: str) -> Iterator[str]:
    """The URL of an empty database on the server of the URL `server`, dropped in the end."""
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


def server() -> str:
    """The URL of the PostgreSQL server, "" if there is none to use."""
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        print("No PostgreSQL in DATABASE_URL: it is left out.", file=sys.stderr)
        return ""
    return url
