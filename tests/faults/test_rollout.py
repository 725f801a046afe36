"""New signing keys on two hosts under load: whom does a restart of one host after the other refuse?

Two gunicorn servers have their own keys and one database. Clients use and refresh at either host at
random, as behind a balancer. `-o log_cli=true --log-cli-level=INFO` shows the figures.
"""

import base64
import http.client
import json
import logging
import os
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.sites import BASE_DIR, Site
from tests.faults.test_doctor import address
from tokens.keys import generate_signing_key

pytestmark = pytest.mark.slow
logger = logging.getLogger(__name__)

OPTIONS = ["config.wsgi", "--workers=2", "--threads=2", "--bind"]
PEOPLE, DEVICES = 3, 4  # devices of each person
PASSWORD = "four quiet herons at dawn"
ADD_PEOPLE = f"""
from django.utils import timezone
from accounts.models import User
for number in range({PEOPLE}):
    User.objects.create_user(f"user{{number}}", f"user{{number}}@example.org", "{PASSWORD}")
"""


class Host:
    """A gunicorn server with keys of its own."""

    def __init__(self, site, name):
        self.site = site
        self.keys = site.folder / f"{name}.json"
        self.log = site.folder / f"{name}.log"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]

    def start(self, ring):
        self.keys.write_text(json.dumps({"keys": ring}))
        variables = {"JWT_SIGNING_KEYS_FILE": str(self.keys), "SECURE_SSL_REDIRECT": "false"}
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *OPTIONS, f"127.0.0.1:{self.port}"],
                cwd=BASE_DIR,
                env=self.site.environment | variables,
                stdout=log,
                stderr=log,
            )
        self.await_answer()

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=40)

    def restart(self, ring):
        self.stop()
        self.start(ring)

    def await_answer(self):
        for _ in range(300):
            assert self.process.poll() is None, self.log.read_text()
            if self.ask("GET", "/api/v1/me", {}) is not None:
                return
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def ask(self, method, path, headers, body=None):
        """Status and JSON of the answer. None if there is none, because the host restarts."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Host": "example.org", "Content-Type": "application/json", **headers}
        try:
            connection.request(method, path, body and json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or "null")
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


class Load:
    """Clients that use and refresh at random hosts, and what they were answered."""

    def __init__(self, hosts, rest=0.1):
        self.hosts, self.rest = hosts, rest
        self.answers: Counter = Counter()
        self.kids: Counter = Counter()  # of the access tokens that were answered
        self.refused: list = []
        self.repeated: Counter = Counter()  # by whether the bytes were the same
        self.stopping = threading.Event()

    @contextmanager
    def running(self, pairs):
        clients = [threading.Thread(target=self._run, args=[pair]) for pair in pairs]
        for client in clients:
            client.start()
        try:
            yield
        finally:
            self.stopping.set()
            for client in clients:
                client.join()

    def _run(self, pair):
        while not self.stopping.is_set():
            if pair.get("refresh_token") and random.random() < 0.3:
                self._refresh(pair)
            else:
                self.ask("GET", "/api/v1/me", {"Authorization": f"Bearer {pair['access_token']}"})
            time.sleep(self.rest)

    def _refresh(self, pair):
        """Refresh, and half the time once more with the same token, as if the answer was lost."""
        body = {"refresh_token": pair["refresh_token"]}
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        status, new = self.ask("POST", "/api/v1/refresh", headers, body)
        if status == 200 and random.random() < 0.5:
            status, again = self.ask("POST", "/api/v1/refresh", headers, body)
            if status == 200:
                self.repeated[again["refresh_token"] == new["refresh_token"]] += 1
                new = again
        if status == 200:
            self.kids[kid_of(new["access_token"])] += 1
            pair.update(new)

    def ask(self, method, path, headers, body=None):
        """The answer of a random host, or of the other one while the first restarts."""
        while True:
            answer = random.choice(self.hosts).ask(method, path, headers, body)
            if answer is not None:
                break
            time.sleep(0.05)
        status, content = answer
        self.answers[status] += 1
        if status != 200:
            self.refused.append((path, status, content))
        return answer


def kid_of(token):
    header = token.partition(".")[0]
    return json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]


def key(kid, alg="HS256", use_from=None):
    begins = {"use_from": use_from.isoformat()} if use_from else {}
    return generate_signing_key(alg) | {"kid": kid} | begins


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path / "site", "")
    site.database = address(tmp_path, f"rollout_{os.urandom(3).hex()}")
    site.lay_out()
    if not site.is_sqlite:
        site.server(f'CREATE DATABASE "{site.name}"')
    site.set_up()
    site.manage("shell", "-c", ADD_PEOPLE)
    yield site
    site.remove()


@pytest.fixture
def hosts(site):
    both = [Host(site, "first"), Host(site, "second")]
    yield both
    for host in both:
        host.process.kill()
        host.process.wait()


@pytest.fixture
def old(hosts):
    """Both hosts run with this one key."""
    old = key("old")
    for host in hosts:
        host.start([old])
    return old


def sign_in(hosts):
    """A pair for each device, and the token of a script for each person."""
    pairs = []
    for person in range(PEOPLE):
        body = {"username": f"user{person}", "password": PASSWORD}
        for _ in range(DEVICES):
            status, pair = hosts[0].ask("POST", "/api/v1/login", {}, body)
            assert status == 200, pair
            pairs.append(pair)
    return pairs


def issue_tokens(site, keys):
    variables = {"JWT_SIGNING_KEYS_FILE": str(keys)}
    for person in range(PEOPLE):
        done = site.run("issue_token", f"user{person}", "--name=job", "--expires=90d", **variables)
        yield {"access_token": done.stdout.strip()}


def wait_until(moment):
    time.sleep(max(0, (moment - datetime.now(UTC)).total_seconds()))


def tell(what, load):
    total, refused = load.answers.total(), len(load.refused)
    figures = (what, refused, total, dict(load.kids), dict(load.repeated))
    logger.info("%s: %d of %d requests refused; access tokens by key %s; repeats %s", *figures)


@pytest.mark.parametrize(
    "order",
    [
        pytest.param([0, 1], id="first host first"),
        pytest.param([1, 0], id="second host first", marks=pytest.mark.faults),
    ],
)
def test_new_keys_refuse_nobody_and_a_removed_one_refuses_all_its_tokens(site, hosts, old, order):
    pairs = sign_in(hosts)
    scripts = list(issue_tokens(site, hosts[0].keys))
    load, ring = Load(hosts), [old]
    with load.running([*pairs, *scripts]):
        started = datetime.now(UTC)
        hosts[0].restart(ring)
        took = datetime.now(UTC) - started
        for kid, alg in (("new", "HS256"), ("newest", "EdDSA")):
            begin = datetime.now(UTC) + took * 4 + timedelta(seconds=5)
            ring = [*ring, key(kid, alg, begin)]
            for number in order:
                hosts[number].restart(ring)
                time.sleep(1)
            assert datetime.now(UTC) < begin, "the restarts took too long for this machine"
            wait_until(begin + timedelta(seconds=5))
    tell("with use_from", load)
    assert load.refused == []
    assert set(load.kids) == {"old", "new", "newest"}
    assert set(load.repeated) == {True}

    # No client holds a token of the first two keys any more, except the scripts.
    for pair in pairs:
        load._refresh(pair)
    without = Load(hosts)
    with without.running(pairs):
        for number in order:
            hosts[number].restart(ring[2:])
            time.sleep(1)
    tell("the former keys removed", without)
    assert without.refused == []

    needed, other = [*pairs, *scripts], key("other")
    for host in hosts:
        host.restart([other])
    refused = 0
    for pair in needed:
        for host in hosts:
            status, answer = host.ask("GET", "/api/v1/me", bearer(pair))
            assert (status, answer["code"]) == (401, "token_invalid")
            refused += 1
    logger.info("a needed key removed: %d of %d requests refused", refused, 2 * len(needed))


def bearer(pair):
    return {"Authorization": f"Bearer {pair['access_token']}"}


def test_key_that_signs_at_once_refuses_people_until_all_hosts_know_it(hosts, old):
    """The order of earlier releases, which put the new key first: why `use_from` is there."""
    pairs = sign_in(hosts)
    load = Load(hosts)
    with load.running(pairs):
        hosts[0].restart([key("new"), old])
        time.sleep(5)
    tell("first in the ring at one host", load)
    assert {answer["code"] for _, _, answer in load.refused} == {"token_invalid"}
