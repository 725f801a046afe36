"""What has reached the disk when an answer leaves: devices and revocations, not counts.

On SQLite the system shows it, by strace. On PostgreSQL a server of this test's own says how far it
has written its log.
"""

import os
import re
import shutil
import subprocess
import sys

import pytest
from django.conf import settings
from django.db import connection

from tests.faults.postgres import cluster

pytestmark = [pytest.mark.slow, pytest.mark.no_cover]

# Says on standard error which act begins, and that it was answered; on standard output how many
# bytes of PostgreSQL's log were not on its disk at that moment.
ACTS = """
import os, django
django.setup()
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import setup_test_environment
from accounts.models import User
call_command("migrate", verbosity=0)
setup_test_environment()
User.objects.create_user("alice", "alice@example.org", "four quiet herons at dawn")
password, tokens = "four quiet herons at dawn", []
BEHIND = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn())::bigint"

def act(name, path, status, body, token=None):
    headers = {"authorization": f"Bearer {token}"} if token else {}
    os.write(2, f"## {name}\\n".encode())
    answer = Client(headers=headers).post(f"/api/v1/{path}", body, content_type="application/json")
    os.write(2, b"## answered\\n")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(BEHIND)
            os.write(1, f"{name}: {cursor.fetchone()[0]}\\n".encode())
    assert answer.status_code == status, answer.content
    return answer.json() if answer.content else {}

def log_in(name, password, status):
    return act(name, "login", status, {"username": "alice", "password": password})

log_in("first login", password, 200)
for _ in range(3):
    log_in("wrong", "wrong", 401)
token = log_in("login", password, 200)["access_token"]
act("logout", "logout", 204, {}, token)
if connection.vendor == "postgresql":
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
    for _ in range(5):
        log_in("unwaited", password, 200)
"""


def run_acts(url, *before):
    """What the acts write to standard output, in the database of the URL."""
    done = subprocess.run(
        [*before, sys.executable, "-c", ACTS],
        cwd=settings.BASE_DIR,
        env=os.environ | {"DATABASE_URL": url},
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stdout


def events_of_acts(tmp_path):
    """Each act with its writes to the log of SQLite ("w") and its waits for the disk ("s")."""
    trace = tmp_path / "trace"
    traced = "trace=fdatasync,fsync,write,pwrite64"
    run_acts(
        f"sqlite:///{tmp_path / 'db.sqlite3'}", "strace", "-f", "-y", "-e", traced, "-o", str(trace)
    )
    acts = []
    for line in trace.read_text(errors="replace").splitlines():
        if began := re.search(r'write\(2<.*?>, "## (.*?)\\n"', line):
            acts.append([began[1], ""])
        elif acts and re.search(r"pwrite64\(\d+<[^>]*-wal>", line):
            acts[-1][1] += "w"
        elif acts and re.search(r"\bf(?:data)?sync\(", line):
            acts[-1][1] += "s"
    return acts


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL waits in its own process")
@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_devices_and_revocations_are_on_the_disk_of_sqlite_and_counts_need_not(tmp_path):
    acts = events_of_acts(tmp_path)

    answered = [events for name, events in acts if name == "answered"]
    acts = [(name, events) for name, events in acts if name != "answered"]
    assert [name for name, _ in acts] == ["first login", *["wrong"] * 3, "login", "logout"]
    waits = [(name, events.count("s")) for name, events in acts]
    # The first use of a token is confirmed, then the device ends.
    assert waits[1:] == [*[("wrong", 0)] * 3, ("login", 1), ("logout", 2)]
    for name, events in acts:
        assert events.endswith("w" if name == "wrong" else "s"), (name, events)
    assert "w" not in "".join(answered)  # nothing is left for later


@pytest.mark.skipif(connection.vendor != "postgresql", reason="this needs PostgreSQL")
def test_devices_and_revocations_are_on_the_disk_of_postgresql(tmp_path):
    with cluster(tmp_path) as server:
        server.sql("ALTER SYSTEM SET wal_writer_delay = '10s'")  # writes what did not wait
        server.sql("SELECT pg_reload_conf()")
        lines = run_acts(server.url).splitlines()

    behind = [(name, int(size)) for name, size in (line.split(": ") for line in lines)]
    assert [size for name, size in behind if name in ("login", "logout")] == [0, 0]
    assert any(size for name, size in behind if name == "unwaited")  # so this test can fail
