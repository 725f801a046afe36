"""`/healthz` and `/readyz`: what they ask for, what they say, and how much they cost."""

import asyncio
import http.client
import json
import socket
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import psycopg
import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import RequestFactory

from config import readiness
from config.servers import ASGIHandler, WSGIHandler
from config.tests.processes import database_url
from config.tests.test_servers import SERVERS, serve
from tokens import signing

ON_POSTGRES = pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no server")


@pytest.fixture(autouse=True)
def first_look(monkeypatch):
    monkeypatch.setattr(readiness, "_looks", [])


@pytest.fixture(scope="module")
def handler():
    return WSGIHandler()


@pytest.fixture
def ask(handler):
    """`ask(path, method)` is the status, the headers and the body."""

    def answer(path, method="GET", **environ):
        started = []
        environ = RequestFactory().generic(method, "/", PATH_INFO=path, **environ).environ
        body = b"".join(handler(environ, lambda *words: started.append(words)))
        [(status, headers)] = started
        return int(status.split()[0]), dict(headers), body

    return answer


# What they say


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.django_db(transaction=True)
def test_answer_says_little_and_is_not_kept(ask, path):
    status, headers, body = ask(path)
    assert (status, json.loads(body)) == (200, {"status": "ok"})
    assert headers == {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Content-Length": str(len(body)),
    }
    assert ask(path, "HEAD") == (status, headers, b"")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"])
def test_only_reads_are_answered(ask, path, method):
    status, headers, body = ask(path, method)
    assert (status, headers["Allow"], body) == (405, "GET, HEAD", b"")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/healthz/", "//healthz", "/readyz/", "/healthz/x", "/HEALTHZ"])
def test_other_paths_are_those_of_the_site(ask, path):
    assert ask(path, HTTP_HOST="testserver")[0] == 404
    assert ask(path, HTTP_HOST="evil.example")[0] == 400


def test_alive_asks_the_database_for_nothing(ask):
    assert ask("/healthz")[0] == 200  # where a test without `db` may not ask it


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.django_db(transaction=True)
def test_asgi_answers_as_wsgi(ask, path):
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": f"/below{path}", "root_path": "/below"}
    asyncio.run(ASGIHandler()(scope, None, send))
    start, content = sent
    status, headers, body = ask(path)
    assert (start["status"], content["body"]) == (status, body)
    assert {key.decode(): value.decode() for key, value in start["headers"]} == headers


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("server", SERVERS)
def test_they_come_before_the_host_and_before_tls(server):
    with serve(server, DATABASE_URL=database_url(), SECURE_SSL_REDIRECT="true") as (port, _):
        for path in ("/healthz", "/readyz"):
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
                client.request("GET", path, headers={"Host": "10.1.2.3:80"})
                answer = client.getresponse()
                assert (answer.status, answer.read()) == (200, b'{"status": "ok"}')
                assert "Set-Cookie" not in answer.headers


# What is looked at


def failed(ask):
    status, headers, body = ask("/readyz")
    assert status == 503
    assert int(headers["Retry-After"]) > 0
    answer = json.loads(body)
    assert (answer.pop("status"), list(answer)) == ("unavailable", ["failed"])
    return answer["failed"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("app", ["accounts", "tokens"])
def test_site_with_a_migration_left_is_not_ready(ask, app, caplog):
    recorder = MigrationRecorder(connection)
    newest = recorder.migration_qs.filter(app=app).latest("pk")
    recorder.record_unapplied(app, newest.name)
    try:
        assert failed(ask) == ["migrations"]
    finally:
        newest.save(force_insert=True)
    assert "not ready" in caplog.messages


@pytest.mark.django_db(transaction=True)
def test_migrations_of_other_apps_are_their_own_matter(ask):
    recorder = MigrationRecorder(connection)
    newest = recorder.migration_qs.filter(app="sessions").latest("pk")
    newest.delete()
    try:
        assert ask("/readyz")[0] == 200
    finally:
        newest.save(force_insert=True)


@pytest.mark.django_db(transaction=True)
def test_site_without_a_key_is_not_ready(ask, settings, monkeypatch):
    settings.JWT_SIGNING_KEYS = []
    assert failed(ask) == ["keys"]
    signing.key_ring.cache_clear()


@contextmanager
def sqlite_locked():
    with closing(sqlite3.connect(connection.settings_dict["NAME"])) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def postgres_locked(mode):
    parameters = connection.get_connection_params() | {"cursor_factory": None}
    with psycopg.connect(**parameters) as other:
        other.execute(f"LOCK TABLE tokens_issuedtoken IN {mode} MODE")
        yield


LOCKS = {
    "sqlite": [sqlite_locked],
    "postgresql": [
        lambda: postgres_locked("ACCESS EXCLUSIVE"),
        lambda: postgres_locked("SHARE"),  # which lets reads pass, as CREATE INDEX does
    ],
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("locked", LOCKS[connection.vendor])
def test_locked_database_is_not_ready_and_is_again_afterwards(ask, locked, monkeypatch):
    with locked():
        assert failed(ask) == ["database"]
    monkeypatch.setattr(readiness, "_looks", [])
    assert ask("/readyz")[0] == 200


@pytest.fixture
def read_only(monkeypatch):
    """The database of the run takes no writes from a connection that is opened now."""
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        monkeypatch.setitem(values, "OPTIONS", {**values["OPTIONS"], "uri": True})
        monkeypatch.setitem(values, "NAME", f"file:{values['NAME']}?mode=ro")
    else:
        read_only = "-c default_transaction_read_only=on"
        monkeypatch.setitem(values, "OPTIONS", {**values["OPTIONS"], "options": read_only})


@pytest.mark.django_db(transaction=True)
def test_read_only_database_is_not_ready(ask, read_only):
    assert failed(ask) == ["database"]


@pytest.mark.django_db(transaction=True)
def test_database_that_is_gone_is_not_ready_and_the_log_says_why(ask, monkeypatch, caplog):
    name = "PORT" if connection.vendor == "postgresql" else "NAME"
    monkeypatch.setitem(connection.settings_dict, name, "1" if name == "PORT" else "/nowhere/x")
    assert failed(ask) == ["database"]
    [line] = [record for record in caplog.records if record.message == "not ready"]
    assert (line.part, line.error, line.exc_info) == ("database", "OperationalError", None)
    assert line.reason


# What they cost


@pytest.mark.django_db(transaction=True)
def test_answer_is_kept_also_when_many_ask(ask, monkeypatch):
    """The number of looks: one for all who ask within the time, and one for all who ask later."""
    looks = []
    look = readiness.Look.run
    monkeypatch.setattr(readiness.Look, "run", lambda self: (looks.append(self), look(self)))

    def ask_all():
        with ThreadPoolExecutor(20) as threads:
            return [status for status, *_ in threads.map(lambda _: ask("/readyz"), range(60))]

    assert ask_all() == [200] * 60
    assert len(looks) == 1
    readiness._looks[0].began -= readiness.KEPT
    assert ask_all() == [200] * 60
    assert len(looks) == 2


@ON_POSTGRES
@pytest.mark.django_db(transaction=True)
def test_hanging_database_is_asked_once_however_many_ask(ask, monkeypatch):
    """It takes the connection, and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as hanging:
        monkeypatch.setitem(connection.settings_dict, "PORT", str(hanging.getsockname()[1]))
        with ThreadPoolExecutor(50) as threads:
            assert list(threads.map(lambda _: failed(ask), range(50))) == [["database"]] * 50
        readiness._looks[0].join()
        hanging.settimeout(0)
        hanging.accept()[0].close()
        with pytest.raises(BlockingIOError):
            hanging.accept()


def test_look_that_does_not_end_is_waited_for_once(ask, monkeypatch):
    """Later ones are answered at once, and begin no other look."""
    monkeypatch.setattr(readiness, "PATIENCE", 0.2)
    monkeypatch.setattr(readiness.Look, "run", lambda self: time.sleep(1))
    assert failed(ask) == ["database"]
    [look] = readiness._looks
    look.began -= readiness.KEPT
    assert failed(ask) == ["database"]
    assert asyncio.run(readiness.afailed_parts()) == ["database"]
    assert readiness._looks == [look]
    look.join()
