"""Commands, while the database is away in each way: one sentence, and exit code 1."""

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager

import pytest
from django.core.management import get_commands
from django.db import connection

from config.tests.processes import BASE_DIR, database_url

SECRET = "a-secret-password"
OURS = {name for name, app in get_commands().items() if app in ("accounts", "config", "tokens")}
# These need no database, or examine what is broken.
APART = {"generate_signing_key", "doctor"}
ARGUMENTS = {
    "create_admin": ["zoe", "zoe@example.org", "--password-stdin"],
    "issue_token": ["alice", "--name", "x", "--expires", "1d"],
    "reset_db": ["--yes-i-mean-it"],
    "reset_passkeys": ["alice"],
    "revoke_devices": ["--all"],
    "send_mails": ["--once"],
}
# One that reads, one that writes, and one that works in a thread. The others meet a state as one of
# these does.
DIFFERENT = {"list_devices", "create_admin", "send_mails"}
INPUT = "correct horse battery staple\n"


@contextmanager
def gone(folder):
    yield f"postgres://guestlist:{SECRET}@127.0.0.1:1/guestlist"


@contextmanager
def frozen(folder):
    """The system takes the connection, and nobody answers, as for a server that is stopped."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        port = server.getsockname()[1]
        yield f"postgres://guestlist:{SECRET}@127.0.0.1:{port}/guestlist?connect_timeout=2"


@contextmanager
def not_migrated(folder):
    yield f"{database_url()}?options=-c%20search_path%3Dnowhere"


@contextmanager
def missing_folder(folder):
    yield f"sqlite:///{folder}/nowhere/db.sqlite3"


@contextmanager
def damaged(folder):
    (folder / "damaged").write_bytes(b"not a database" * 1000)
    yield f"sqlite:///{folder}/damaged"


@contextmanager
def locked(folder):
    """Another program writes, and does not end."""
    with closing(sqlite3.connect(folder / "locked", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        other.execute("CREATE TABLE x (y)")
        yield f"sqlite:///{folder}/locked"


@pytest.mark.slow
@pytest.mark.skipif(connection.vendor != "postgresql", reason="one state is PostgreSQL's alone")
@pytest.mark.parametrize("state", [gone, frozen, not_migrated, missing_folder, damaged, locked])
def test_commands_say_in_a_sentence_how_the_database_is_away(state, tmp_path, db):
    names = OURS - APART if state is gone else DIFFERENT
    with state(tmp_path) as url:
        commands = {name: start(name, url) for name in names}
        said = {name: command.communicate(INPUT)[1] for name, command in commands.items()}

    for name, command in commands.items():
        assert command.returncode == 1, (name, said[name])
        last = said[name].splitlines()[-1]
        assert last.startswith("The database cannot be used: "), (name, said[name])
        assert "Traceback" not in said[name]
        assert SECRET not in said[name]


def start(name, url):
    """The command, with DEBUG on, because some are for development alone."""
    return subprocess.Popen(
        [sys.executable, "manage.py", name, *ARGUMENTS.get(name, [])],
        cwd=BASE_DIR,
        env={**os.environ, "DATABASE_URL": url, "DEBUG": "true"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
