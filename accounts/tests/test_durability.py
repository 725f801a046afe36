"""Counts do not wait for the disk, and everything else goes on waiting."""

import pytest
from django.db import DatabaseError, connection, transaction

from accounts.durability import without_disk
from accounts.throttling import counting, subjects

pytestmark = pytest.mark.django_db(transaction=True)

KEY = subjects.Key("login_pair", b"subject")
WAITS = {"sqlite": 2, "postgresql": "on"}  # FULL is 2, NORMAL is 1


def level():
    """How the connection commits now."""
    names = {"sqlite": "PRAGMA synchronous", "postgresql": "SHOW synchronous_commit"}
    with connection.cursor() as cursor:
        cursor.execute(names[connection.vendor])
        return cursor.fetchone()[0]


@pytest.fixture
def levels():
    """How each statement about the counts was committed, by its first word."""
    seen = []

    def look(execute, sql, params, many, context):
        answer = execute(sql, params, many, context)
        if "accounts_throttle" in sql and not sql.startswith("SELECT"):
            soft = connection.vendor == "sqlite" and level() == 1
            seen.append((sql.split()[0], soft or "set_config" in sql))
        return answer

    with connection.execute_wrapper(look):
        yield seen


def test_count_and_its_decision_do_not_wait(levels):
    counting.begin(KEY).fail()
    counting.begin(KEY).withdraw()

    assert levels == [
        ("INSERT", True),
        *[("UPDATE", True), ("DELETE", True)],
        ("INSERT", True),
        *[("UPDATE", True), ("DELETE", True)],
    ]
    assert level() == WAITS[connection.vendor]


def test_decision_within_a_transaction_waits_as_that_does(levels):
    attempt = counting.begin(KEY)
    levels.clear()

    with transaction.atomic():
        attempt.forget()
        assert level() == WAITS[connection.vendor]

    assert levels == [("DELETE", False)]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL sets it for one statement")
def test_failure_sets_the_level_back():
    with pytest.raises(DatabaseError), without_disk("default"):
        connection.cursor().execute("SELECT nothing")
    assert level() == 2


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL sets it for one statement")
def test_connection_whose_level_stays_is_closed():
    with without_disk("default"):
        connection.connection.execute("BEGIN")  # within which SQLite refuses to set it
    assert connection.connection is None
    assert level() == 2


def test_transaction_keeps_its_level():
    with transaction.atomic(), without_disk("default") as unwaited:
        assert level() == WAITS[connection.vendor]
        assert unwaited == ""
