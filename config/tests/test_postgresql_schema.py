"""Migrations of a site on PostgreSQL that goes on meanwhile."""

import io
import threading
import time
from contextlib import contextmanager

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, connection, models

from accounts.models import User
from config.management.commands import migrate
from config.tests.processes import database_url

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time"),
]
READ = "SELECT count(*) FROM tokens_issuedtoken"
WRITE = "UPDATE accounts_user SET first_name = 'A' WHERE username = 'alice'"


@contextmanager
def another():
    """Another connection, which waits a second for a lock."""
    with psycopg.connect(database_url(), options="-c lock_timeout=1s") as other:
        yield other


@pytest.fixture
def older():
    """The tables before the migrations that build indexes. The newest ones are there at the end."""
    call_command("migrate", "tokens", "0006_forgotten", verbosity=0)
    yield
    call_command("migrate", "tokens", verbosity=0)


class Output(io.StringIO):
    """What a command prints. At the first notice of a lock, it calls `at_notice`."""

    def __init__(self, at_notice):
        super().__init__()
        self.at_notice = at_notice

    def write(self, text):
        if "in use" in text and "in use" not in self.getvalue():
            self.at_notice()
        return super().write(text)


def test_migration_lets_requests_pass_while_a_table_is_in_use(older):
    with another() as backup:
        backup.execute(READ)

        def end_backup():
            with another() as request:
                assert request.execute(READ)
            backup.rollback()

        output = Output(end_backup)
        call_command("migrate", "tokens", "0005_figure", stdout=output)
    assert "Trying again in 2 seconds" in output.getvalue()
    with another() as request:
        columns = "SELECT 1 FROM information_schema.columns WHERE column_name = 'forgotten_at'"
        assert request.execute(columns).fetchall() == []


def test_migration_gives_up_with_a_sentence(older, monkeypatch):
    monkeypatch.setattr(migrate, "ATTEMPTS", 1)
    with another() as backup:
        backup.execute(READ)
        with pytest.raises(CommandError, match="A table is still in use"):
            call_command("migrate", "tokens", "0005_figure", stdout=io.StringIO())


INDEX = models.Index(fields=["first_name"], name="user_first_name")


@pytest.fixture
def dropped():
    yield
    connection.cursor().execute("DROP INDEX IF EXISTS user_first_name")


def build():
    try:
        with connection.schema_editor(atomic=False) as editor:
            editor.add_index(User, INDEX)
    finally:
        connection.close()


def sees(question, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(question, parameters)
        return cursor.fetchone() is not None


def is_valid():
    index = "'user_first_name'::regclass"
    return sees(f"SELECT 1 FROM pg_index WHERE indexrelid = {index} AND indisvalid")


def test_people_write_while_an_index_is_built(alice, dropped):
    thread = threading.Thread(target=build)
    with another() as slow:
        slow.execute(WRITE)
        thread.start()
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
        while not sees(waits, "CREATE INDEX CONCURRENTLY%"):
            assert thread.is_alive()
            time.sleep(0.05)
        with another() as request:
            request.execute(WRITE.replace("alice", "bob"))
    thread.join()
    assert is_valid()


def test_index_whose_building_was_interrupted_is_built_again(alice, bob, dropped):
    with pytest.raises(IntegrityError), connection.cursor() as cursor:
        cursor.execute(
            "CREATE UNIQUE INDEX CONCURRENTLY user_first_name ON accounts_user (first_name)"
        )
    assert not is_valid()
    build()
    assert is_valid()
