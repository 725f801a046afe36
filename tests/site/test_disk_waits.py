"""What waits for the disk on SQLite, as the system sees it: devices and revocations, not counts."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from django.conf import settings
from django.db import connection

pytestmark = [
    pytest.mark.slow,
    pytest.mark.no_cover,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL waits in its own process"),
    pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed"),
]

# Says on standard error which act begins, and that it was answered.
ACTS = """
import os, django
django.setup()
from django.core.management import call_command
from django.test import Client
from django.test.utils import setup_test_environment
from accounts.models import User
call_command("migrate", verbosity=0)
setup_test_environment()
User.objects.create_user("alice", "alice@example.org", "four quiet herons at dawn")
password, tokens = "four quiet herons at dawn", []

def act(name, path, status, body, token=None):
    headers = {"authorization": f"Bearer {token}"} if token else {}
    os.write(2, f"## {name}\\n".encode())
    answer = Client(headers=headers).post(f"/api/v1/{path}", body, content_type="application/json")
    os.write(2, b"## answered\\n")
    assert answer.status_code == status, answer.content
    return answer.json() if answer.content else {}

def log_in(name, password, status):
    return act(name, "login", status, {"username": "alice", "password": password})

log_in("first login", password, 200)
for _ in range(3):
    log_in("wrong", "wrong", 401)
token = log_in("login", password, 200)["access_token"]
act("logout", "logout", 204, {}, token)
"""


def waits_of_acts(tmp_path):
    """How often each act waited for the disk, in their order."""
    trace = tmp_path / "trace"
    environment = os.environ | {"DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}"}
    subprocess.run(
        [
            "strace",
            "-f",
            "-o",
            trace,
            "-e",
            "trace=fdatasync,fsync,write",
            sys.executable,
            "-c",
            ACTS,
        ],
        cwd=settings.BASE_DIR,
        env=environment,
        check=True,
        capture_output=True,
        timeout=300,
    )
    acts = []
    for line in trace.read_text(errors="replace").splitlines():
        if began := re.search(r'write\(2, "## (.*?)\\n"', line):
            acts.append((began[1], 0))
        elif re.search(r"f(?:data)?sync\(", line) and acts:
            acts[-1] = (acts[-1][0], acts[-1][1] + 1)
    return [(name, waits) for name, waits in acts if name != "answered"]


def test_devices_and_revocations_wait_and_counts_do_not(tmp_path):
    acts = waits_of_acts(tmp_path)

    assert [name for name, _ in acts] == ["first login", *["wrong"] * 3, "login", "logout"]
    assert [waits for name, waits in acts if name == "wrong"] == [0, 0, 0]
    assert [waits for name, waits in acts if name == "login"] == [1]
    # The first use of a token is confirmed, then the device ends.
    assert [waits for name, waits in acts if name == "logout"] == [2]
