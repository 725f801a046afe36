"""A connection to PostgreSQL between two requests: when the server is asked whether it lives."""

import contextlib
import copy
import select
import socket
import struct
import threading
import time

import pytest
from django.db import OperationalError, connection

from config.databases import POOL
from config.postgresql import base, waits

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no server to connect to"),
]
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close sends RST


class Relay:
    """A network between the site and the server. `sent` counts what the site has sent."""

    def __init__(self, server):
        self.server, self.sent, self.ends, self.forgotten = server, 0, [], []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                site, _ = self.listener.accept()
                server = socket.create_connection(self.server)
                self.ends += [site, server]
                threading.Thread(target=self.pass_on, args=(site, server, 1), daemon=True).start()
                threading.Thread(target=self.pass_on, args=(server, site, 0), daemon=True).start()

    def pass_on(self, source, target, counts):
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                if source in self.forgotten:
                    source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    source.close()
                    return
                self.sent += counts
                target.sendall(content)
            target.shutdown(socket.SHUT_WR)

    def forget(self):
        """Answer what is sent on the connections of now with RST alone, as a firewall may."""
        self.forgotten += self.ends

    def close(self):
        self.listener.close()
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Site:
    """A connection of the site, by way of the relay."""

    def __init__(self, values, relay):
        self.wrapper = base.DatabaseWrapper(values, alias=f"relayed by {relay.port}")
        self.relay = relay

    def request(self):
        """The server's process for it, and how often that was sent something.

        A kept connection stays for the next request. One of the pool goes back there.
        """
        before = self.relay.sent
        self.wrapper.close_if_unusable_or_obsolete()
        with self.wrapper.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            [process] = cursor.fetchone()
        self.last = self.wrapper.connection
        self.wrapper.close_if_unusable_or_obsolete()
        return process, self.relay.sent - before

    def age(self, seconds):
        self.last.looked_at -= seconds


@pytest.fixture
def relay():
    info = connection.cursor().connection.info
    relay = Relay((info.hostaddr or "127.0.0.1", info.port))
    yield relay
    relay.close()


@pytest.fixture(params=["kept", "pool"])
def site(request, relay):
    """With a connection as under WSGI ("kept"), or as under ASGI ("pool")."""
    values = copy.deepcopy(connection.settings_dict)
    values |= {"HOST": "127.0.0.1", "PORT": relay.port}
    values["OPTIONS"]["prepare_threshold"] = None  # it is a way to the server more, once
    if request.param == "pool":
        values |= {"CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": False}
        values["OPTIONS"]["pool"] = POOL | {"max_size": 1}  # so that it is the same one
    site = Site(values, relay)
    yield site
    site.wrapper.close()
    site.wrapper.close_pool()


def end(process):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [process])
        assert cursor.fetchone() == (True,)


def test_connection_in_use_is_not_asked(site):
    process, _ = site.request()
    site.request()  # a new connection is asked once

    assert site.request() == (process, 1)
    site.age(29)
    assert site.request() == (process, 1)


def test_idle_connection_is_asked_once(site):
    process, _ = site.request()
    site.request()
    site.age(31)

    assert site.request() == (process, 2)
    assert site.request() == (process, 1)


def test_connection_with_something_to_read_is_asked(site):
    process, _ = site.request()
    with site.wrapper.cursor() as cursor:
        cursor.execute("LISTEN news")
    site.request()
    with connection.cursor() as cursor:
        cursor.execute("NOTIFY news")
    assert select.select([site.last], [], [], 60)[0]

    assert site.request() == (process, 2)
    assert site.request() == (process, 1)


def test_connection_that_the_server_ended_is_replaced(site):
    process, _ = site.request()
    site.request()
    end(process)

    other, _ = site.request()
    assert other != process


def test_connection_that_the_network_forgot_is_replaced(site, relay):
    process, _ = site.request()
    site.request()
    relay.forget()
    site.age(31)

    other, _ = site.request()
    assert other != process


@pytest.mark.parametrize("site", ["kept"], indirect=True)
def test_connection_that_was_closed_here_is_replaced(site):
    process, _ = site.request()
    site.request()
    site.last.close()

    other, _ = site.request()
    assert other != process


@pytest.mark.skipif(connection.vendor != "postgresql", reason="a wait at PostgreSQL")
def test_command_that_does_not_come_back_is_broken_and_cancelled(monkeypatch, db):
    """A commit that waits for a standby cannot be made here: tests/faults does it."""
    monkeypatch.setattr(waits, "LONGEST", 1)
    waits.start()
    other = connection.copy("other")
    other.connect()
    marked = "SELECT pg_sleep(60) /* marked */"
    running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = %s"
    try:
        with pytest.raises(OperationalError), other.cursor() as cursor:
            cursor.execute(marked)
    finally:
        other.close()
    with connection.cursor() as cursor:
        for _ in range(100):
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(running, [marked])
            if cursor.fetchone() == (0,):
                return
            time.sleep(0.1)
    pytest.fail("the server still works at it")
