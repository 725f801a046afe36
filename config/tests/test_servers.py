"""The site as a server runs it: gunicorn over WSGI, uvicorn over ASGI."""

import asyncio
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time

import httpx
import pytest
from django.db import connection

from config.parsers import MAX_BYTES
from config.servers import ASGIHandler
from config.tests.processes import BASE_DIR, database_url
from tests.plugins.guestlist import PASSWORD

SERVERS = {
    "gunicorn": ["gunicorn", "--threads=4", "--bind={address}", "config.wsgi"],
    "uvicorn": ["uvicorn", "--host=127.0.0.1", "--port={port}", "config.asgi:application"],
}
POOL = 10  # connections of a process under ASGI, at most


def command(server, **variables):
    """A process of the server, the port that it listens on, and the file of what it says."""
    if server == "uvicorn":
        pytest.importorskip("uvicorn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [word.format(address=f"127.0.0.1:{port}", port=port) for word in SERVERS[server]]
    environment = {**os.environ, **variables}
    environment.pop("PGOPTIONS", None)
    said = tempfile.TemporaryFile("w+")  # noqa: SIM115 -- a pipe would fill up
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=BASE_DIR,
        env=environment,
        stdout=said,
        stderr=subprocess.STDOUT,
    )
    return process, port, said


@contextlib.contextmanager
def serve(server, **variables):
    """The port of a running server; then what it printed is in the list that comes with it."""
    process, port, file = command(server, **variables)
    said = []
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert process.poll() is None
            time.sleep(0.1)
        yield port, said
    finally:
        process.terminate()
        process.wait()
        said += read(file).splitlines()


def read(file):
    with file:
        file.seek(0)
        return file.read()


# A configuration that is unsafe


@pytest.mark.parametrize(
    ("server", "variables"),
    [
        ("gunicorn", {"ACCESS_TOKEN_LIFETIME": "315360000"}),
        ("gunicorn", {"DEVICE_IDLE_TIMEOUT": "34000000"}),
        ("gunicorn", {"JWT_SIGNING_KEYS": '{"keys": []}'}),
        ("uvicorn", {"LOGIN_ATTEMPTS": "1000000000"}),
        ("uvicorn", {"LOGIN_DELAY": "3601"}),
        ("uvicorn", {"SITE_URL": "http://example.org"}),
    ],
)
def test_server_does_not_start(server, variables):
    process, _, file = command(server, **variables)
    assert process.wait(60) != 0
    [name] = variables
    assert name in read(file)


@pytest.mark.parametrize("server", SERVERS)
def test_server_starts_with_one_warning(server):
    safe = {"SECURE_SSL_REDIRECT": "true", "STAFF_NEEDS_PASSKEY": "true"}
    with serve(server, ALLOWED_HOSTS="*", **safe) as (_, said):
        pass
    assert sum("config.W001" in line for line in said) == 1
    assert sum("unsafe configuration" in line for line in said) == 1


# Bodies


def send(port, body, *, chunks=True, path="/api/v1/login", kind="application/json"):
    """Status and content of a POST. Its body is sent in chunks, or with its length."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
        headers = {"Content-Type": kind, "Host": "testserver", "Accept": "application/json"}
        pieces = [body[start : start + 4000] for start in range(0, len(body), 4000)]
        client.request(
            "POST", path, iter(pieces) if chunks else body, headers, encode_chunked=chunks
        )
        answer = client.getresponse()
        return answer.status, answer.read()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("server", SERVERS)
def test_chunked_body_is_read_like_any_other(server, alice):
    good = json.dumps({"username": "alice", "password": PASSWORD}).encode()
    full = good[:-1] + b" " * (MAX_BYTES - len(good)) + b"}"
    with serve(server, DATABASE_URL=database_url()) as (port, _):
        for body, status in (
            (good, 200),
            (full, 200),
            (b" " + full, 413),
            (full * 8, 413),
            (b"", 400),
            (b"{", 400),
            (b"[]", 400),
        ):
            for chunks in (True, False):
                assert send(port, body, chunks=chunks)[0] == status, (len(body), chunks)
        assert send(port, good, kind="text/plain")[0] == 415


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "rest", [b"zz\r\nabc\r\n0\r\n\r\n", b"5\r\n{}", b"-1\r\n", b"ffffffffffffffffffff\r\n{}"]
)
def test_malformed_chunks_are_the_fault_of_their_client(rest):
    head = (
        b"POST /api/v1/login HTTP/1.1\r\nHost: testserver\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/json\r\n\r\n"
    )
    with (
        serve("gunicorn", DATABASE_URL=database_url()) as (port, said),
        socket.create_connection(("127.0.0.1", port), timeout=30) as client,
    ):
        client.sendall(head + rest)
        client.shutdown(socket.SHUT_WR)
        answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400") or not answer
    assert "Traceback" not in "\n".join(said)


def test_body_of_any_size_is_kept_up_to_the_limit(settings):
    """Under ASGI, where the server hands it over in parts."""
    parts = iter(range(100, -1, -1))

    async def receive():
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": next(parts) > 0}

    with asyncio.run(ASGIHandler().read_body(receive)) as body:
        assert body.seek(0, os.SEEK_END) == settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1
    assert list(parts) == []


# Connections


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no server to connect to")
def test_connections_of_asgi_are_bounded(alice):
    body = json.dumps({"username": "alice", "password": PASSWORD}).encode()

    async def ask(port):
        token = json.loads(send(port, body)[1])["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Host": "testserver"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            places = asyncio.Semaphore(30)

            async def one():
                async with places:
                    return (await client.get("/api/v1/me", headers=headers)).status_code

            return await asyncio.gather(*(one() for _ in range(300)))

    before = connections()
    with serve("uvicorn", DATABASE_URL=database_url()) as (port, _):
        statuses = asyncio.run(ask(port))
        kept = connections() - before
    assert set(statuses) == {200}
    assert 1 <= kept <= POOL


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no server to restart")
@pytest.mark.parametrize("server", SERVERS)
def test_no_request_fails_after_the_database_restarted(server, alice):
    body = json.dumps({"username": "alice", "password": PASSWORD}).encode()
    with serve(server, DATABASE_URL=database_url()) as (port, said):
        token = json.loads(send(port, body)[1])["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Host": "testserver"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            statuses = {client.get("/api/v1/me", headers=headers).status_code for _ in range(20)}
            assert end_connections() > 0
            statuses |= {client.get("/api/v1/me", headers=headers).status_code for _ in range(20)}
    assert statuses == {200}
    assert not any('"unavailable"' in line for line in said)


def end_connections():
    """End all but the one of this process, and return how many that were."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid != pg_backend_pid()"
        )
        return len(cursor.fetchall())


def connections():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return cursor.fetchone()[0]


# The log


@pytest.mark.parametrize("server", SERVERS)
def test_refused_host_is_a_short_line_and_a_flood_of_them_is_ten(server):
    with serve(server, DATABASE_URL="postgres://u:our-secret@127.0.0.1:1/gone") as (port, said):
        for _ in range(30):
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as client:
                client.request("GET", "/api/v1/", headers={"Host": "x" * 2000})
                assert client.getresponse().status == 400
    lines = [line for line in said if "HTTP_HOST" in line]
    assert 1 <= len(lines) <= 20  # a minute may end meanwhile
    assert max(map(len, lines)) < 700
    assert "Traceback" not in "\n".join(said)


@pytest.mark.parametrize("server", SERVERS)
def test_stopped_database_is_one_line_and_a_flood_of_them_is_ten(server):
    body = json.dumps({"username": "alice", "password": PASSWORD}).encode()
    gone = "postgres://u:our-secret@127.0.0.1:1/gone?connect_timeout=2"
    with serve(server, DATABASE_URL=gone, MAX_CONCURRENT_HASHES="1") as (port, said):
        statuses = {
            send(port, body, chunks=False)[0] for _ in range(3 if server == "uvicorn" else 15)
        }
    assert statuses == {503}
    lines = [json.loads(line) for line in said if '"unavailable"' in line]
    assert 1 <= len(lines) <= 20
    assert all(line["error"] == "OperationalError" and line["reason"] for line in lines)
    assert "our-secret" not in "\n".join(said)
    assert "Traceback" not in "\n".join(said)
    assert "django.request" not in "\n".join(said)


def test_damaged_file_is_one_line(tmp_path):
    file = tmp_path / "db.sqlite3"
    file.write_bytes(b"not a database" * 1000)
    with serve("gunicorn", DATABASE_URL=f"sqlite:///{file}") as (port, said):
        assert send(port, b'{"username": "alice", "password": "x"}')[0] == 503
    [line] = [json.loads(line) for line in said if '"unavailable"' in line]
    assert (line["error"], line["reason"]) == ("DatabaseError", "file is not a database")
    assert "Traceback" not in "\n".join(said)


@pytest.mark.parametrize("server", ["wsgi", "asgi"])
def test_tables_of_user_agents_are_there_before_the_first_request(server):
    code = f"import config.{server}, ua_parser; print('parser' in vars(ua_parser))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=BASE_DIR, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True"


def test_commands_load_no_tables_of_user_agents():
    code = "import django, ua_parser; django.setup(); print('parser' in vars(ua_parser))"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
