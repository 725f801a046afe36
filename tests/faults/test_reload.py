"""A key file is broken while a site runs: its workers go on, and the log says why none is new."""

import os
import signal
import time

import httpx
import pytest

from tests.faults.servers import Servers
from tests.faults.sites import Site
from tests.faults.test_doctor import address

pytestmark = pytest.mark.slow


@pytest.fixture
def servers(tmp_path):
    site = Site(tmp_path / "site", "")
    site.database = address(tmp_path, f"reload_{os.urandom(3).hex()}")
    site.lay_out()
    if not site.is_sqlite:
        site.server(f'CREATE DATABASE "{site.name}"')
    servers = Servers(site, workers=2, max_requests=50)
    try:
        site.set_up()
        servers.start_gunicorn()
        wait_for(lambda: status(servers) == 200)
        yield servers
    finally:
        servers.stop()
        site.remove()


def status(servers):
    """Of /readyz, asked without nginx in front. None without an answer."""
    try:
        return httpx.get(f"http://127.0.0.1:{servers.inner}/readyz", timeout=60).status_code
    except httpx.TransportError:
        return None


def wait_for(condition):
    give_up = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.2)


def said(servers, words):
    return servers.log.read_text().count(words)


def test_reload_with_a_broken_key_file_leaves_the_workers_at_work(servers):
    keys = servers.site.keys.read_text()
    before = servers.workers()
    servers.site.keys.write_text("{broken")

    servers.gunicorn.send_signal(signal.SIGHUP)
    wait_for(lambda: said(servers, "The other workers go on.") >= 1)

    assert "JWT_SIGNING_KEYS" in servers.log.read_text()
    assert set(before) <= set(servers.workers())
    assert status(servers) == 200

    servers.site.keys.write_text(keys)
    servers.gunicorn.send_signal(signal.SIGHUP)
    wait_for(lambda: len(servers.workers()) == 2 and not set(before) & set(servers.workers()))
    assert status(servers) == 200


def test_worker_that_cannot_be_replaced_leaves_the_others_at_work(servers):
    keys = servers.site.keys.read_text()
    first, second = servers.workers()
    servers.site.keys.write_text("{broken")

    os.kill(first, signal.SIGTERM)
    wait_for(lambda: said(servers, "The other workers go on.") >= 1)
    statuses = {status(servers) for _ in range(100)}
    assert (statuses, second in servers.workers()) == ({200}, True)

    servers.site.keys.write_text(keys)
    wait_for(lambda: len(servers.workers()) == 2)
    assert status(servers) == 200
