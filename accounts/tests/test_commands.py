import io
import os
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.models import Role, User
from tests.plugins.guestlist import PASSWORD


class Terminal(io.StringIO):
    """A standard input that somebody sits at."""

    def isatty(self):
        return True


@pytest.fixture
def typed(monkeypatch):
    """`typed(a, b)` answers the questions for a password; an exception stands for a key."""

    def answer(*answers):
        answers = iter(answers)

        def getpass(prompt):
            given = next(answers)
            if isinstance(given, type):
                raise given
            return given

        monkeypatch.setattr(sys, "stdin", Terminal())
        monkeypatch.setattr("accounts.management.commands.create_admin.getpass", getpass)

    return answer


@pytest.fixture
def piped(monkeypatch):
    """`piped(text)` is what standard input holds: text, or bytes."""

    def pipe(text):
        content = text if isinstance(text, bytes) else text.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return pipe


def run(*args):
    out = io.StringIO()
    call_command(*args, stdout=out, stderr=io.StringIO(), no_color=True)
    return out.getvalue()


def refusal(*args):
    with pytest.raises(CommandError) as raised:
        run(*args)
    return str(raised.value)


# create_admin


def test_create_admin_creates_a_superuser_with_the_role_admin(db, client, piped):
    piped(f"{PASSWORD}\nnot this\n")
    out = run("create_admin", "carol", "carol@Example.org", "--password-stdin")
    assert out == "Created the administrator carol (carol@example.org).\n"
    carol = User.objects.get()
    assert (carol.username, carol.email) == ("carol", "carol@example.org")
    assert carol.is_staff
    assert carol.is_superuser
    assert carol.is_active
    assert carol.has_role("admin")
    assert carol.email_verified_at
    assert client.login(username="carol@example.org", password=PASSWORD)


def test_create_admin_asks_for_the_password_twice(db, typed):
    typed(PASSWORD, PASSWORD)
    run("create_admin", "carol", "carol@example.org")
    assert User.objects.get().check_password(PASSWORD)


@pytest.mark.asvs("6.2.8")
def test_create_admin_keeps_the_spaces_of_a_password(db, piped):
    piped(f" {PASSWORD} \n")
    run("create_admin", "carol", "carol@example.org", "--password-stdin")
    assert User.objects.get().check_password(f" {PASSWORD} ")


@pytest.mark.parametrize(
    "line",
    [
        f"{PASSWORD}\r\n",
        f"\ufeff{PASSWORD}\n",
        f"\ufeff{PASSWORD}\r\n",
        PASSWORD,
        f"{PASSWORD}\r\nmore\r\n",
    ],
)
def test_one_line_is_the_password_whatever_begins_or_ends_it(db, piped, line):
    piped(line)
    run("create_admin", "carol", "carol@example.org", "--password-stdin")
    assert User.objects.get().check_password(PASSWORD)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "There is no password on standard input."),
        (b"p\xe4ssw\xf6rter und mehr davon\n", "The password on standard input is not in UTF-8."),
    ],
)
def test_standard_input_without_a_password_creates_nobody(db, piped, content, message):
    piped(content)
    assert refusal("create_admin", "carol", "c@example.org", "--password-stdin") == message
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("create_admin carol c@example.org", "There is no terminal to ask at."),
        ("create_admin carol c@example.org --password-stdin", "There is no password on standard"),
        ("flush", "The command asked for an answer, but standard input has ended."),
    ],
)
def test_command_that_asks_with_standard_input_closed(tmp_path, arguments, sentence):
    """In a process of its own, because Python itself looks at what is closed at its start."""
    environment = {
        **os.environ,
        "DEBUG": "true",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}",
    }
    command = f"{sys.executable} manage.py"
    done = subprocess.run(
        ["sh", "-c", f"{command} migrate --verbosity 0 && {command} {arguments} <&-"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_two_different_passwords_create_nobody(db, typed):
    typed(PASSWORD, PASSWORD.upper())
    expected = "The two passwords differ. No user was created."
    assert refusal("create_admin", "carol", "carol@example.org") == expected
    assert not User.objects.exists()


@pytest.mark.parametrize("key", [KeyboardInterrupt, EOFError])
def test_giving_up_at_the_password_creates_nobody(db, typed, key):
    typed(PASSWORD, key)
    assert refusal("create_admin", "carol", "carol@example.org") == "No user was created."
    assert not User.objects.exists()


@pytest.mark.asvs("6.4.1")
def test_create_admin_without_a_terminal_points_to_the_option(db, piped):
    piped(PASSWORD)
    expected = "There is no terminal to ask at. Use --password-stdin."
    assert refusal("create_admin", "carol", "carol@example.org") == expected


@pytest.mark.parametrize(
    ("username", "email", "message"),
    [
        ("ALICE", "new@example.org", "That username is taken."),
        (
            "carol@home",
            "carol@example.org",
            "username: Use only A to Z, digits and . + - _, with at least one letter or digit.",
        ),
        ("carol", "carol", "email: Enter a valid email address."),
        ("", "carol@example.org", "username: This field cannot be blank."),
    ],
)
def test_create_admin_refuses_a_bad_name_before_it_asks(alice, typed, username, email, message):
    typed()
    assert refusal("create_admin", username, email) == message
    assert User.objects.get() == alice


@pytest.mark.asvs("6.3.2")
@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("", "This password is too short. It must contain at least 15 characters."),
        ("carol@example.org", "The password is too similar to the email address."),
        ("x" * 257, "Your password must contain at most 256 characters."),
    ],
)
def test_create_admin_runs_the_password_validators(db, piped, password, message):
    piped(f"{password}\n")
    assert refusal("create_admin", "carol", "carol@example.org", "--password-stdin") == message
    assert not User.objects.exists()


# reset_db


@pytest.fixture
def answer(monkeypatch, settings):
    """`answer(text)` sits at a terminal with DEBUG on; an exception stands for a key."""

    def reply(given):
        def ask(prompt):
            if isinstance(given, type):
                raise given
            return given

        settings.DEBUG = True
        monkeypatch.setattr("builtins.input", ask)

    return reply


def test_reset_db_without_debug_asks_for_the_option(alice):
    name = connection.settings_dict["NAME"]
    expected = f"DEBUG is off. To drop all data of {name}, give --yes-i-mean-it."
    assert refusal("reset_db") == expected
    assert User.objects.get() == alice


@pytest.mark.parametrize("given", ["", "y", "YES", EOFError, KeyboardInterrupt])
def test_reset_db_drops_nothing_without_a_yes(alice, answer, given):
    answer(given)
    assert refusal("reset_db") == "Nothing was dropped."
    assert User.objects.get() == alice


@pytest.mark.django_db(transaction=True)
def test_reset_db_drops_all_and_leaves_a_migrated_database(alice, api):
    api(alice)
    Role.objects.create(name="printers")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE of_an_older_version (id integer)")
    tables = len(connection.introspection.table_names())

    out = run("reset_db", "--yes-i-mean-it")
    assert out.startswith(f"Dropped {tables} tables of ")
    assert out.endswith("no users. Run create_admin or load_demo next.\n")
    assert not User.objects.exists()
    assert set(Role.objects.values_list("name", flat=True)) == {"admin", "support"}
    assert Role.objects.get(name="support").permissions.count() == 5
    assert "of_an_older_version" not in connection.introspection.table_names()


@pytest.mark.django_db(transaction=True)
def test_reset_db_goes_on_at_a_yes(alice, answer):
    answer("yes")
    run("reset_db")
    assert not User.objects.exists()
