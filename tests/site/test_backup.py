"""deploy/backup.py: a backup is whole, of its owner alone, and the oldest ones go."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from django.db import connection

from config.tests.processes import BASE_DIR, database_url


def back_up(folder, keep=3, **variables):
    return subprocess.run(
        [sys.executable, "deploy/backup.py", folder, f"--keep={keep}"],
        cwd=BASE_DIR,
        env=os.environ | {"DATABASE_URL": database_url()} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def names_in(backup):
    """The names of the users in a backup."""
    if backup.suffix == ".sqlite3":
        with closing(sqlite3.connect(backup)) as copy:
            return {name for [name] in copy.execute("SELECT username FROM accounts_user")}
    words = ["pg_restore", "--data-only", "--table=accounts_user", "--file=-", backup]
    rows = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return {word for word in rows.split("\t") if word in ("alice", "bob")}


@pytest.mark.django_db(transaction=True)
def test_backup_has_what_was_committed_and_only_its_owner_reads_it(tmp_path, alice):
    done = back_up(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    [backup] = tmp_path.iterdir()
    assert str(backup) in done.stdout
    assert backup.stat().st_mode & 0o777 == 0o600
    assert names_in(backup) == {"alice"}


@pytest.mark.django_db(transaction=True)
def test_oldest_backups_go(tmp_path, alice):
    ending = "sqlite3" if connection.vendor == "sqlite" else "dump"
    for day in range(1, 4):
        (tmp_path / f"guestlist-2026010{day}T000000Z.{ending}").touch()
    other = tmp_path / "mine.dump"
    other.touch()
    assert back_up(tmp_path, keep=2).returncode == 0
    kept = sorted(set(tmp_path.iterdir()) - {other})
    assert len(kept) == 2
    assert kept[0].name.startswith("guestlist-20260103")
    assert names_in(kept[1]) == {"alice"}


@pytest.mark.parametrize(
    "url", ["postgres://user:our-secret@127.0.0.1:1/gone", "sqlite:////nowhere/gone.sqlite3"]
)
def test_backup_that_fails_leaves_nothing_and_says_no_secret(tmp_path, url):
    done = back_up(tmp_path, DATABASE_URL=url)
    assert done.returncode == 1
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert "our-secret" not in done.stderr
    assert not list(tmp_path.iterdir())
