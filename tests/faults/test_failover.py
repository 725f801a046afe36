"""The primary is lost and a standby takes over, while people go on.

Both servers are made here, with `initdb` and `pg_basebackup`. `make test-faults` shows the figures.
"""

import json
import logging
import shutil
import time

import pytest

from tests.faults.people import ADD_PEOPLE, LIMITS, People
from tests.faults.servers import Servers
from tests.faults.sites import Site
from tests.faults.standby import CAUGHT_UP, name_synchronous, with_standby

pytestmark = pytest.mark.faults
logger = logging.getLogger(__name__)

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture
def both(tmp_path):
    """The primary and its standby."""
    with with_standby(tmp_path) as made:
        yield made


@pytest.fixture
def site(tmp_path, both):
    """A site that knows both servers."""
    hosts = "&".join(
        f"{name}={','.join(map(str, values))}"
        for name, values in {"host": ["127.0.0.1"] * 2, "port": [one.port for one in both]}.items()
    )
    url = f"postgres://guestlist@/guestlist?{hosts}&target_session_attrs=read-write"
    made = Site(tmp_path / "site", url)
    made.lay_out()
    made.environment |= LIMITS
    made.set_up()
    made.manage("shell", "-c", ADD_PEOPLE)
    yield made
    shutil.rmtree(made.folder)


@pytest.fixture
def servers(site):
    made = Servers(site, workers=3)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_nothing_that_was_answered_is_lost_with_a_synchronous_standby(both, site, servers):
    primary, standby = both
    name_synchronous(primary, "standby")
    people = People(servers)
    with people.running():
        time.sleep(8)
        primary.kill()
        time.sleep(4)
        promoted = time.monotonic()
        standby.promote()
        servers.await_answer()
        took = time.monotonic() - promoted
        time.sleep(8)
    people.check()
    assert people.answers[503]
    people.tell(logger, f"synchronous standby promoted, ready after {took:.1f} s")


def test_a_standby_that_was_behind_loses_a_revocation_and_after_restore_ends_it(
    both, site, servers
):
    """The standby is away while a device is revoked and another one refreshes."""
    primary, standby = both
    person = People(servers)
    stolen, honest = person.sign_in("rotator0"), person.sign_in("rotator1")
    primary.await_row(CAUGHT_UP)
    standby.stop("fast")
    assert status(servers, "POST", "/api/v1/logout", stolen, {}) == 204
    for _ in range(2):
        answered, honest = refresh(person, honest)
        assert answered == 200
    primary.kill()
    standby.start()
    standby.promote()
    servers.await_answer()
    assert status(servers, "GET", "/api/v1/me", stolen) == 200  # the window that the book tells of
    assert refresh(person, honest)[0] == 401
    assert "ahead of their devices" in site.run("doctor").stdout

    done = json.loads(site.manage("after_restore", "--json", str(servers.log)))

    assert status(servers, "GET", "/api/v1/me", stolen) == 401
    assert "ahead of their devices" not in site.run("doctor").stdout
    assert person.sign_in("rotator1")
    assert (done["devices"], done["log"]["unreadable"]) == (2, [])


def test_a_commit_that_waits_for_an_absent_standby_is_503(both, site, servers):
    """No limit of PostgreSQL ends that wait. The site does, and no worker is killed for it."""
    primary, standby = both
    name_synchronous(primary, "standby")
    person = People(servers)
    stolen, honest = person.sign_in("rotator0"), person.sign_in("rotator1")
    for pair in (stolen, honest):  # each first use is a write
        assert status(servers, "GET", "/api/v1/me", pair) == 200
    workers = set(servers.workers())
    standby.stop("fast")
    began = time.monotonic()
    assert status(servers, "POST", "/api/v1/logout", stolen, {}) == 503
    logger.info("503 after %.1f s", time.monotonic() - began)
    assert status(servers, "GET", "/api/v1/me", honest) == 200  # who only reads does not wait
    primary.await_row(f"{WAITING} HAVING count(*) = 0")
    assert set(servers.workers()) == workers
    name_synchronous(primary, "")
    assert status(servers, "GET", "/api/v1/me", stolen) == 401  # the primary has it
    assert person.sign_in("rotator2")


def status(servers, method, path, pair, body=None):
    return servers.ask(method, path, pair["access_token"], body)[0]


def refresh(person, pair):
    body = {"refresh_token": pair["refresh_token"]}
    return person.ask("POST", "/api/v1/refresh", body=body)
