"""An older copy of the database is put back while the site runs, which the book forbids.

People get 503 or have to sign in again, and nothing else. After `after_restore` no device that was
revoked since the copy lives, and nobody had to restart anything.
"""

import json
import logging
import sqlite3
import subprocess
import sys
import time
from threading import Thread

import pytest

from tests.faults.people import ADD_PEOPLE, LIMITS, PASSWORD, People
from tests.faults.servers import Servers
from tests.faults.sites import BASE_DIR, Site
from tests.faults.test_doctor import address
from tests.plugins.guestlist import NEW_PASSWORD

pytestmark = pytest.mark.faults
logger = logging.getLogger(__name__)


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path / "site", address(tmp_path, "restored"))
    made.lay_out()
    made.environment |= LIMITS
    if not made.is_sqlite:
        made.server(f'CREATE DATABASE "{made.name}"')
    made.set_up()
    made.manage("shell", "-c", ADD_PEOPLE)
    yield made
    made.remove()


@pytest.fixture
def servers(site):
    made = Servers(site, workers=3)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def back_up(site):
    """The file of a backup, made as the timer does it."""
    folder = site.folder / "backups"
    folder.mkdir()
    words = [sys.executable, "deploy/backup.py", folder]
    subprocess.run(words, env=site.environment, cwd=BASE_DIR, check=True, capture_output=True)
    [file] = folder.iterdir()
    return file


def put_back(site, file):
    """Under the running site, in one transaction."""
    if site.is_sqlite:
        with sqlite3.connect(file) as there, sqlite3.connect(site.file, timeout=60) as here:
            there.backup(here)
        return
    words = "pg_restore --clean --if-exists --single-transaction --no-owner --exit-on-error"
    subprocess.run([*words.split(), f"--dbname={site.database}", str(file)], check=True)


def use(person, username):
    """Use a device all the time. Sign in again when asked to, as people must after a restore."""
    pair = person.sign_in(username)
    while not person.stopping.is_set() and pair:
        status, content = person.ask("GET", "/api/v1/me", pair["access_token"])
        person.expect({200, 401}, status, content, "use")
        if status == 401:
            pair = person.sign_in(username)
        time.sleep(person.rest)


def test_a_copy_is_put_back_while_people_go_on(site, servers):
    person = People(servers, rest=0.1)
    stolen, changed = person.sign_in("mover0"), person.sign_in("changer0")
    file = back_up(site)
    assert person.ask("POST", "/api/v1/logout", stolen["access_token"], {})[0] == 204
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert person.ask("POST", "/api/v1/password", changed["access_token"], body)[0] == 200
    users = [Thread(target=use, args=[person, f"rotator{number}"]) for number in range(6)]
    for user in users:
        user.start()
    time.sleep(3)
    put_back(site, file)
    time.sleep(3)
    came_back = person.ask("GET", "/api/v1/me", stolen["access_token"])[0]
    done = json.loads(site.manage("after_restore", "--json", str(servers.log)))
    time.sleep(3)
    person.stopping.set()
    for user in users:
        user.join()

    assert person.faults == []
    assert came_back == 200
    assert person.ask("GET", "/api/v1/me", stolen["access_token"])[0] == 401
    for password in (PASSWORD, NEW_PASSWORD):
        login = {"username": "changer0", "password": password}
        assert person.ask("POST", "/api/v1/login", body=login)[0] == 401
    assert [change["taken"] for change in done["changes"]] == [["the former password"]]
    assert done["log"]["unreadable"] == []
    kind = "SQLite" if site.is_sqlite else "PostgreSQL"
    logger.info("%s, put back while it ran: %s", kind, dict(person.answers))
