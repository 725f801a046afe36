"""Parts of a site are killed, stopped and filled up while people go on.

No device is half-written, no revoked device lives, nobody is signed out, every other answer is a
503, and the site recovers by itself.
"""

import logging
import os
import random
import shutil
import signal
import time
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from tests.faults.people import ADD_PEOPLE, LIMITS, People
from tests.faults.poolers import pgbouncer
from tests.faults.postgres import cluster
from tests.faults.servers import Servers
from tests.faults.sites import Site
from tests.faults.states import _fill, _mount
from tests.faults.test_doctor import address

pytestmark = pytest.mark.faults
logger = logging.getLogger(__name__)

# No device without a handle, and none that has half an end.
HALF_WRITTEN = (
    "SELECT count(*) FROM tokens_issuedtoken WHERE length(hash) <> 32"
    " OR (revoked_at IS NULL) <> (revoked_reason = '') OR expires_at <= created_at"
)
WRONG_CLOCK = """
import time
from datetime import timedelta
from django.utils import timezone
from site_settings import *

right_time, right_now = time.time, timezone.now
time.time = lambda: right_time() + {seconds}
timezone.now = lambda: right_now() + timedelta(seconds={seconds})
"""


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def is_sqlite(tmp_path):
    return address(tmp_path, "any").startswith("sqlite")


@pytest.fixture
def make_site(stack, tmp_path):
    """Make a site with people, on a database of the run's server or on this one."""

    def make(database=None, **variables):
        site = Site(tmp_path / "site", "")
        site.database = database or address(tmp_path, f"outage_{os.urandom(3).hex()}")
        site.lay_out()
        site.environment |= LIMITS
        stack.callback(shutil.rmtree, site.folder, ignore_errors=True)
        if not site.is_sqlite and not database:
            site.server(f'CREATE DATABASE "{site.name}"')
            stack.callback(site.remove)
        site.set_up()
        site.manage("shell", "-c", ADD_PEOPLE)
        site.environment |= variables
        return site

    return make


@pytest.fixture
def serve(stack):
    """Servers before a site, until the end of the test."""

    def serve(site):
        servers = Servers(site, workers=3)
        stack.callback(servers.stop)
        servers.start()
        return servers

    return serve


@pytest.fixture
def postgres(stack, tmp_path, is_sqlite):
    if is_sqlite:
        pytest.skip("SQLite has no server")
    return stack.enter_context(cluster(tmp_path))


@contextmanager
def going_on(what, site, *servers):
    """People go on before, during and after the block. Then what they were answered is checked."""
    people = People(*servers)
    with people.running():
        time.sleep(5)
        yield people
        for each in servers:
            each.await_answer()
        time.sleep(8)
    people.check()
    assert count(site, HALF_WRITTEN) == 0
    people.tell(logger, f"{'SQLite' if site.is_sqlite else 'PostgreSQL'}, {what}")


def count(site, question):
    if site.is_sqlite:
        import sqlite3

        connection = sqlite3.connect(site.file)
        [number] = connection.execute(question).fetchone()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
    else:
        with psycopg.connect(site.database) as connection:
            [number] = connection.execute(question).fetchone()
    return number


def test_workers_are_killed(make_site, serve):
    site = make_site()
    servers = serve(site)
    with going_on("12 workers killed", site, servers):
        for _ in range(12):
            os.kill(random.choice(servers.workers()), signal.SIGKILL)
            time.sleep(1.5)


@pytest.mark.parametrize("how", ["fast", "immediate", "kill -9"])
def test_postgresql_is_stopped(make_site, serve, postgres, how):
    site = make_site(postgres.url)
    servers = serve(site)
    with going_on(f"server stopped three times ({how})", site, servers):
        for _ in range(3):
            postgres.kill() if how == "kill -9" else postgres.stop(how)
            time.sleep(3)
            postgres.start()
            time.sleep(6)


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_pooler_is_restarted(make_site, serve, stack, tmp_path, is_sqlite, mode):
    if is_sqlite:
        pytest.skip("SQLite has no pooler")
    site = make_site()
    pooler = stack.enter_context(pgbouncer(tmp_path, site.database, mode))
    site.environment |= {"DATABASE_URL": pooler.url, "DATABASE_POOLER": mode}
    servers = serve(site)
    with going_on(f"PgBouncer ({mode}) killed four times", site, servers):
        for _ in range(4):
            pooler.stop()
            time.sleep(2)
            pooler.start()
            time.sleep(4)


def test_disk_of_sqlite_is_full(make_site, serve, stack, tmp_path, is_sqlite):
    if not is_sqlite:
        pytest.skip("a state of SQLite")
    disk = small_disk(stack, tmp_path, "48m")
    site = make_site(f"sqlite:///{disk}/db.sqlite3")
    servers = serve(site)
    with going_on("disk full twice for 10 s", site, servers):
        for _ in fill_twice(disk):
            pass


def test_disk_of_postgresql_is_full(make_site, serve, stack, tmp_path, is_sqlite):
    if is_sqlite:
        pytest.skip("a state of PostgreSQL")
    disk = small_disk(stack, tmp_path, "160m")
    postgres = stack.enter_context(cluster(disk))
    site = make_site(postgres.url)
    servers = serve(site)
    with going_on("disk full twice for 10 s", site, servers) as people:
        for _ in fill_twice(disk):
            died = not postgres.is_running()
            logger.info("PostgreSQL %s on a full disk", "ended" if died else "went on")
            if died:
                postgres.start()  # as systemd or the operator would
    assert people.answers[503]


def small_disk(stack, folder, size):
    disk = folder / "disk"
    disk.mkdir()
    _mount(disk, size)
    stack.callback(os.system, f"umount --lazy {disk}")
    return disk


def fill_twice(disk):
    """Fill the disk for ten seconds, and make room again. Yield each time that there is room."""
    for _ in range(2):
        _fill(disk / "ballast")
        time.sleep(10)
        (disk / "ballast").unlink()
        yield
        time.sleep(5)


@pytest.mark.parametrize("seconds", [400, -400])
def test_clock_of_one_host_is_wrong(make_site, serve, is_sqlite, seconds):
    """Its Python, that is: libfaketime would also break how its servers wait.

    It is wrong by more than an access token lasts. No host takes a token of the other for expired.
    """
    if is_sqlite:
        pytest.skip("SQLite has the clock of its one host")
    site = make_site(ACCESS_TOKEN_LIFETIME="300")
    right = serve(site)
    (site.folder / "wrong_settings.py").write_text(WRONG_CLOCK.format(seconds=seconds))
    site.environment["DJANGO_SETTINGS_MODULE"] = "wrong_settings"
    wrong = serve(site)
    site.environment["DJANGO_SETTINGS_MODULE"] = "site_settings"
    with going_on(f"the clock of one of two hosts {seconds:+} s", site, right, wrong):
        time.sleep(20)
