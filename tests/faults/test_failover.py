"""The primary is lost and a standby takes over: what was answered, and how the site gets there.

Both servers are made here, with `initdb` and `pg_basebackup`. `make test-faults` shows the figures.
"""

import json
import logging
import time

import pytest

from tests.faults.standby import BINARIES, Clients, Web, clusters
from tests.faults.sites import Site

pytestmark = [
    pytest.mark.slow,
    pytest.mark.faults,
    pytest.mark.skipif(not (BINARIES / "initdb").exists(), reason="needs PostgreSQL's programs"),
]
logger = logging.getLogger(__name__)

PEOPLE = """
from django.utils import timezone
from tests.plugins.guestlist import make_user
for number in range(8):
    make_user(f"user{number}")
make_user("root", is_staff=True, is_superuser=True)
"""
WRONG = {"username": "user0", "password": "not this one"}
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
SYNCHRONOUS = "ALTER SYSTEM SET synchronous_standby_names = '{}'"


@pytest.fixture
def pair_of_servers():
    with clusters("a", "b") as made:
        yield made


@pytest.fixture
def site(tmp_path, pair_of_servers):
    """A site that knows both servers."""
    ports = ",".join(str(server.port) for server in pair_of_servers)
    url = f"postgres://guestlist@/guestlist?host=127.0.0.1,127.0.0.1&port={ports}"
    made = Site(tmp_path / "site", f"{url}&target_session_attrs=read-write")
    made.lay_out()
    made.manage("migrate", "--verbosity", "0")
    made.manage("shell", "-c", PEOPLE)
    made.manage("collectstatic", "--no-input", "--verbosity", "0")
    return made


def be_synchronous(primary, names="b"):
    primary.sql(SYNCHRONOUS.format(names))
    primary.sql("SELECT pg_reload_conf()")
    if names:
        primary.await_row("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'")


def log_out(web, pair):
    return web.ask("POST", "/api/v1/logout", token=pair["access_token"])[0]


def test_what_was_answered_outlives_a_failover_to_a_synchronous_standby(site, pair_of_servers):
    """Clients go on through it. The primary dies right behind the answer to the last revocation."""
    primary, standby = pair_of_servers
    be_synchronous(primary)
    web = Web(site)
    with web.running():
        honest = [web.sign_in(f"user{number}") for number in range(4)]
        stolen = [web.sign_in(f"user{number}") for number in range(4, 8)]
        clients = Clients(web, honest)
        with clients.running():
            assert [log_out(web, pair) for pair in stolen] == [204] * 4
            primary.kill()
            time.sleep(3)
            assert (
                web.ask("POST", "/api/v1/login", {"username": "user0", "password": "x"})[0] == 503
            )
            promoted = time.monotonic()
            standby.promote()
            web.await_status("/readyz", 200)
            took = time.monotonic() - promoted
            time.sleep(2)
        assert [web.me(pair) for pair in stolen] == [401] * 4
        assert [web.me(pair) for pair in honest] == [200] * 4
        web.sign_in("user7")
    logger.info("%s; ready %.1f s after the promotion", dict(clients.answers), took)
    assert clients.answers.keys() == {200, 503}


def test_an_asynchronous_standby_loses_a_revocation_and_after_restore_ends_it(
    site, pair_of_servers
):
    """The standby is away while a device is revoked and another one refreshes."""
    primary, standby = pair_of_servers
    web = Web(site)
    with web.running():
        stolen, honest = web.sign_in("user0"), web.sign_in("user1")
        primary.await_row(
            "SELECT 1 FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()"
        )
        standby.stop()
        assert log_out(web, stolen) == 204
        for _ in range(2):
            body = {"refresh_token": honest["refresh_token"]}
            status, honest = web.ask("POST", "/api/v1/refresh", body)
            assert status == 200
        assert web.me(stolen) == 401
        primary.kill()
        standby.start()
        standby.promote()
        web.await_status("/readyz", 200)
        assert web.me(stolen) == 200  # this is the window that the book tells of
        body = {"refresh_token": honest["refresh_token"]}
        assert web.ask("POST", "/api/v1/refresh", body)[0] == 401
        assert "ahead of their devices" in site.run("doctor").stdout

        done = json.loads(site.manage("after_restore", "--json", str(web.log)))
        assert web.me(stolen) == 401
        assert "ahead of their devices" not in site.run("doctor").stdout
        web.sign_in("user1")
    assert (done["devices"], done["log"]["unreadable"]) == (2, [])


def test_a_commit_that_waits_for_an_absent_standby_is_503(site, pair_of_servers):
    """No limit of PostgreSQL ends that wait. The site does, and no worker is killed for it."""
    primary, standby = pair_of_servers
    be_synchronous(primary)
    web = Web(site)
    with web.running():
        stolen, honest = web.sign_in("user0"), web.sign_in("user1")
        web.me(honest)
        standby.stop()
        began = time.monotonic()
        assert log_out(web, stolen) == 503
        took = time.monotonic() - began
        assert web.me(honest) == 200  # who only reads does not wait
        assert web.me(stolen) == 401  # the primary has it
        be_synchronous(primary, "")
        web.sign_in("user2")
        log = web.log.read_text()
    logger.info("503 after %.1f s", took)
    assert "WORKER TIMEOUT" not in log
    assert primary.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == [
        (0,)
    ]
