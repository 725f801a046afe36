"""manage.py as a process, on terminals that cannot show everything, and into pipes that close."""

import os
import subprocess
import sys

import pytest

from config.tests.processes import BASE_DIR, database_url
from tests.plugins.guestlist import FIREFOX
from tokens.models import IssuedToken

NAME = "Ana\u2019s \U0001f4f1"
ENCODINGS = {
    "ascii": "Ana\\u2019s \\U0001f4f1",
    "latin-1": "Ana\\u2019s \\U0001f4f1",
    "utf-8": NAME,
}


@pytest.fixture
def phone(transactional_db, api, alice):
    phone = api(alice, headers={"user-agent": FIREFOX})
    IssuedToken.objects.update(name=NAME)
    return phone


def run(*args, encoding="utf-8", **options):
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "PYTHONIOENCODING": encoding,
    }
    command = [sys.executable, "manage.py", *args]
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.run(
        command,
        cwd=BASE_DIR,
        env=environment,
        stderr=subprocess.PIPE,
        encoding=encoding,
        timeout=100,
        check=False,
        **options,
    )


@pytest.mark.parametrize(("encoding", "shown"), ENCODINGS.items())
def test_command_prints_what_the_terminal_can_show(phone, encoding, shown):
    done = run("list_devices", encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout
    assert done.stdout.endswith("1 device.\n")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_refusal_is_a_sentence_on_any_terminal(phone, encoding):
    done = run("list_devices", "--user", NAME, encoding=encoding)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("list_devices",),
        ("list_devices", "--json"),
        ("showmigrations",),
        ("--help",),
    ],
)
def test_pipe_that_is_closed_is_the_end(phone, args):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run(*args, stdout=writer)
    finally:
        os.close(writer)
    assert done.returncode == 1
    assert "pipe" not in done.stderr


def test_help_into_a_pipe_that_is_closed_is_quiet(phone):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert run("list_devices", "--help", stdout=writer).stderr == ""
    finally:
        os.close(writer)


def test_interrupted_command_ends_without_a_traceback(db):
    done = run("shell", "-c", "raise KeyboardInterrupt")
    assert (done.returncode, done.stderr) == (130, "")


def test_output_that_is_closed_is_no_fault(phone):
    done = run("list_devices", preexec_fn=lambda: os.close(1))
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


# Without a database


@pytest.mark.parametrize("command", ["list_devices", "purge_devices", "migrate"])
def test_command_says_in_a_sentence_that_the_database_is_away(command, monkeypatch):
    away = "postgres://guestlist:a-secret-password@127.0.0.1:1/guestlist"
    monkeypatch.setattr("config.tests.test_manage.database_url", lambda: away)

    done = run(command)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("The database cannot be used: ")
    assert "Traceback" not in done.stderr
    assert "a-secret-password" not in done.stderr
    assert "Traceback" in run(command, "--traceback").stderr
