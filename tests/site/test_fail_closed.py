"""A database that fails in the middle of a request lets nobody in: 503, when to come back, a log
line, and nothing half done."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from datetime import timedelta

import psycopg
import pytest
from django.conf import settings as django_settings
from django.db import connection, transaction
from django.db.models import F
from django.test import Client

from tests.plugins.guestlist import NEW_PASSWORD, PASSWORD
from tokens.models import IssuedToken


def admin_url(user):
    return f"/admin/accounts/user/{user.pk}/change/"


def json_post(people, path, body):
    return people["phone"].http.post(f"/api/v1/{path}", body)


# What people do, as (name, act). Each act gets signed-in clients and answers a response.
REQUESTS = {
    "authenticate": lambda p: p["phone"].get("me"),
    "devices": lambda p: p["phone"].get("devices?state=all"),
    "rename": lambda p: p["phone"].patch(
        f"devices/{p['other'].pair['device']['id']}", {"name": "x"}
    ),
    "end another": lambda p: p["phone"].delete(f"devices/{p['other'].pair['device']['id']}"),
    "log in": lambda p: json_post(p, "login", {"username": "alice", "password": PASSWORD}),
    "sign up": lambda p: json_post(
        p, "signup", {"username": "carol", "email": "carol@example.org", "password": PASSWORD}
    ),
    "refresh": lambda p: json_post(
        p, "refresh", {"refresh_token": p["phone"].pair["refresh_token"]}
    ),
    "reused refresh": lambda p: json_post(p, "refresh", {"refresh_token": p["reused"]}),
    "reauthenticate": lambda p: p["phone"].post("reauthenticate", {"password": PASSWORD}),
    "password": lambda p: p["phone"].post(
        "password", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    ),
    "log out": lambda p: p["phone"].post("logout"),
    "log out all": lambda p: p["phone"].post("logout/all"),
    "API by cookie": lambda p: p["tab"].get("/api/v1/me"),
    "sign-in page": lambda p: p["tab"].get("/login"),
    "sign in": lambda p: Client(raise_request_exception=False).post(
        "/login", {"username": "alice", "password": PASSWORD}
    ),
    "sign in again": lambda p: p["tab"].post("/login", {"username": "root", "password": PASSWORD}),
    "sign out": lambda p: p["tab"].post("/logout"),
    "your devices": lambda p: p["tab"].get("/devices/"),
    "admin": lambda p: p["tab"].get("/admin/"),
    "admin devices": lambda p: p["tab"].get("/admin/tokens/issuedtoken/"),
    "admin user": lambda p: p["tab"].get(admin_url(p["alice"])),
    "step-up page": lambda p: p["old_tab"].post(admin_url(p["alice"]), {"username": "alice"}),
    "step-up": lambda p: p["old_tab"].post(
        admin_url(p["alice"]), {"username": "alice", "step_up_password": PASSWORD}
    ),
    "unknown page": lambda p: p["tab"].get("/nothing"),
    "no CSRF token": lambda p: p["strict_tab"].post("/logout"),
}


@pytest.fixture
def people(api, browser, alice, root, age):
    phone, other = api(alice), api(alice)
    reused = phone.pair["refresh_token"]
    for _ in range(2):  # one older than the grace forgives
        phone.keep(
            phone.http.post(
                "/api/v1/refresh", {"refresh_token": phone.pair["refresh_token"]}
            ).json()
        )
    old_tab = browser(root, raise_request_exception=False)
    age(root.devices.get(), minutes=20)
    tab = browser(root, raise_request_exception=False)
    strict_tab = Client(raise_request_exception=False, enforce_csrf_checks=True)
    strict_tab.cookies = tab.cookies
    return {
        "alice": alice,
        "phone": phone,
        "other": other,
        "reused": reused,
        "old_tab": old_tab,
        "tab": tab,
        "strict_tab": strict_tab,
    }


@contextmanager
def database_gone_from(number):
    """The database answers no query from the one of that number on; yield what was asked.

    Later savepoints it answers: those of the test roll back where a request would be cut off.
    """
    asked = []

    def fail(execute, sql, *args):
        asked.append(sql)
        if len(asked) == number or (len(asked) > number and "SAVEPOINT" not in sql):
            with connection.wrap_database_errors:
                raise connection.Database.OperationalError("the connection was lost")
        return execute(sql, *args)

    with connection.execute_wrapper(fail):
        yield asked


@pytest.mark.asvs("16.5.2", "16.5.3")
@pytest.mark.parametrize("act", REQUESTS.values(), ids=list(REQUESTS))
def test_request_fails_closed_whichever_query_the_database_is_gone_at(people, act, caplog):
    number = 0
    while True:
        number += 1
        caplog.clear()
        with transaction.atomic():
            with database_gone_from(number) as asked:
                answer = act(people)
            transaction.set_rollback(True)
        if len(asked) < number:
            break
        said = f"query {number}: {asked[number - 1]}"
        assert answer.status_code == 503, said
        assert int(answer.headers["Retry-After"]) > 0
        assert "unavailable" in caplog.messages
        assert django_settings.SESSION_COOKIE_NAME not in answer.cookies, said
        assert b"_token" not in answer.content, said
    assert answer.status_code != 503
    assert number > 1


@pytest.mark.asvs("16.5.2")
@pytest.mark.parametrize("name", REQUESTS)
def test_no_request_but_the_front_page_asks_the_cache(people, name, settings, caplog):
    settings.CACHES = {"default": {"BACKEND": "tokens.tests.test_overview.GoneCache"}}
    assert REQUESTS[name](people).status_code < 500
    assert ("cache unavailable" in caplog.messages) == (name == "admin")


# A database that is there, and locked


def other_connection():
    return psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None})


@contextmanager
def locked():
    """Somebody else holds the devices and the people, as a long migration does; the wait for them
    is a moment."""
    if connection.vendor == "sqlite":
        with closing(sqlite3.connect(connection.settings_dict["NAME"])) as other:
            connection.cursor().execute("PRAGMA busy_timeout = 50")
            other.execute("BEGIN IMMEDIATE")
            yield
    else:
        with psycopg.connect(
            **connection.get_connection_params() | {"cursor_factory": None}
        ) as other:
            connection.cursor().execute("SET statement_timeout = 200")
            other.execute("LOCK TABLE tokens_issuedtoken, accounts_user IN ACCESS EXCLUSIVE MODE")
            yield


def assert_unavailable(answer, caplog):
    """503 with `Retry-After`, and one line that has no traceback."""
    assert answer.status_code == 503, answer.content
    assert int(answer.headers["Retry-After"]) > 0
    [line] = [line for line in caplog.records if line.message == "unavailable"]
    assert line.reason
    assert not [line for line in caplog.records if line.exc_info]
    assert django_settings.SESSION_COOKIE_NAME not in answer.cookies


WRITES = ["log in", "sign up", "refresh", "reauthenticate", "password", "log out", "sign in"]


@pytest.mark.asvs("16.5.3")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", [*WRITES, "end another", "sign out", "step-up"])
def test_write_to_a_locked_database_fails_closed_and_works_afterwards(people, name, caplog):
    try:
        with locked():
            answer = REQUESTS[name](people)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert any(line.message == "unavailable" and line.error for line in caplog.records)
        assert django_settings.SESSION_COOKIE_NAME not in answer.cookies

        assert REQUESTS[name](people).status_code in (200, 201, 204, 302)
    finally:
        connection.close()  # with its impatience


# A database that is there, and takes no writes, or is not the one that the code expects


@pytest.mark.asvs("16.5.3")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", [*WRITES, "end another", "sign out", "step-up", "no CSRF token"])
def test_write_to_a_read_only_database_fails_closed_and_works_afterwards(people, name, caplog):
    on_sqlite = connection.vendor == "sqlite"
    read_only = "PRAGMA query_only = 1" if on_sqlite else "SET default_transaction_read_only = on"
    is_write = name != "no CSRF token"
    IssuedToken.objects.update(last_seen_at=F("last_seen_at") - timedelta(minutes=2))
    try:
        connection.cursor().execute(read_only)
        answer = REQUESTS[name](people)
        assert_unavailable(answer, caplog)
    finally:
        connection.close()
    assert REQUESTS[name](people).status_code in ((200, 201, 204, 302) if is_write else (403,))


@pytest.mark.asvs("16.5.2")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", ["tokens_issuedtoken", "accounts_user"])
@pytest.mark.parametrize("name", ["authenticate", "log in", "your devices", "admin", "sign in"])
def test_database_that_is_not_migrated_is_unavailable(people, table, name, caplog):
    connection.cursor().execute(f"ALTER TABLE {table} RENAME TO away")
    try:
        answer = REQUESTS[name](people)
    finally:
        connection.close()
        connection.cursor().execute(f"ALTER TABLE away RENAME TO {table}")
    assert_unavailable(answer, caplog)


@pytest.mark.asvs("16.5.2")
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has its timeout in settings")
@pytest.mark.parametrize("server", ["wsgi", "asgi"])
def test_requests_do_not_wait_for_ever_and_commands_may(db, server):
    """The waits of the tests above are set by them; these are the real ones."""
    show = "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
    ask = "import django; django.setup(); from django.db import connection; c = connection.cursor()"
    ask += f'; c.execute("{show}"); print(*c.fetchone())'
    environment = {name: value for name, value in os.environ.items() if name != "PGOPTIONS"}

    def waits(code, **variables):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**environment, **variables},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    assert waits(ask) == ["0", "0"]
    assert waits(f"import config.{server}; {ask}") == ["10s", "20s"]
    chosen = {"PGOPTIONS": "-c lock_timeout=3s"}  # as an operator may
    assert waits(f"import config.{server}; {ask}", **chosen) == ["3s", "20s"]
    session = {"DATABASE_POOLER": "session"}
    assert waits(f"import config.{server}; {ask}", **session) == ["10s", "20s"]
    assert waits(ask, **session) == ["0", "0"]


@pytest.mark.asvs("16.5.3")
@pytest.mark.django_db(transaction=True)
def test_reused_token_ends_its_device_once_the_database_is_free(people):
    """The thief who was answered 503 is found out at the next try."""
    try:
        with locked():
            assert REQUESTS["reused refresh"](people).status_code == 503
        assert people["phone"].device.revoked_at is None

        assert REQUESTS["reused refresh"](people).json()["code"] == "refresh_invalid"
        assert people["phone"].device.revoked_reason == "reuse"
    finally:
        connection.close()


@pytest.mark.asvs("16.5.2")
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no server to lose")
@pytest.mark.parametrize("name", ["authenticate", *WRITES])
def test_connection_that_the_server_ends_fails_closed(people, name, caplog):
    """The second query of a request finds its connection ended, as a restart of the server does."""

    def restart(execute, sql, *args):
        asked.append(sql)
        if len(asked) == 2:
            with other_connection() as other:
                other.execute(
                    "SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid]
                )
        return execute(sql, *args)

    asked = []
    with connection.execute_wrapper(restart):
        answer = REQUESTS[name](people)
    connection.close()

    assert len(asked) > 1
    assert answer.status_code == 503
    assert "unavailable" in caplog.messages
    assert django_settings.SESSION_COOKIE_NAME not in answer.cookies
    assert REQUESTS[name](people).status_code in (200, 201, 204, 302)
