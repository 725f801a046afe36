"""The Python client against a running site: it stays signed in through everything but a
revocation, and then says why."""

import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from examples.python.guestlist_client import SignedOut
from examples.tests.proxy import Fate
from tests.plugins.guestlist import PASSWORD
from tokens import flows
from tokens.models import IssuedToken

CLIENT = Path(__file__).parents[1] / "python"
WORKER = """
import sys
from pathlib import Path
from guestlist_client import GuestlistClient

client = GuestlistClient(sys.argv[1], Path(sys.argv[2]))
print("ready", flush=True)
input()
print(client.request("GET", "me").json()["username"])
"""


@pytest.fixture
def client(new_client, alice):
    client = new_client()
    client.log_in("alice", PASSWORD, "Backup script")
    return client


@pytest.fixture
def start_worker(network, store):
    """`start_worker()` is a process with the same file, which sends a request when told to `go`."""
    workers = []

    def start():
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, network.url, store.path],
            cwd=CLIENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        workers.append(worker)
        assert worker.stdout.readline() == "ready\n"
        return worker

    yield start
    for worker in workers:
        worker.kill()
        worker.communicate()


@pytest.fixture
def no_grace(settings):
    """A replaced refresh token is a reuse at once: nothing but the client's own care is left."""
    settings.REFRESH_GRACE = timedelta(0)


@pytest.fixture
def no_patience(monkeypatch):
    monkeypatch.setattr("examples.python.guestlist_client.RETRY_DELAYS", (0, 0, 0, 0))


def go(worker):
    worker.stdin.write("\n")
    worker.stdin.flush()


def device():
    return IssuedToken.objects.with_state().get()


def me(client):
    answer = client.request("GET", "me")
    assert answer.status_code == 200, answer.text
    return answer.json()["username"]


def test_log_in_use_and_log_out(client, store, network):
    assert me(client) == "alice"
    assert (device().name, device().generation) == ("Backup script", 1)

    client.log_out()

    assert device().revoked_reason == "logout"
    assert not store.path.exists()
    with pytest.raises(SignedOut) as refused:
        me(client)
    assert refused.value.code == "not_authenticated"


def test_pair_is_for_the_eyes_of_its_user_alone(client, store):
    assert store.path.stat().st_mode & 0o777 == 0o600


def test_wrong_password_keeps_the_pair(client, store):
    pair = store.read()

    with pytest.raises(httpx.HTTPStatusError, match="401"):
        client.log_in("alice", "not her password")

    assert store.read() == pair


def test_refreshes_before_the_access_token_expires(client, store, network):
    assert 200 < store.read()["refresh_at"] - time.time() < 250
    store.make_due()

    assert me(client) == "alice"

    assert network.statuses("refresh") == [200]
    assert network.statuses("me") == [200]
    assert device().generation == 2


def test_expired_access_token_is_refreshed_once_and_the_request_repeated(
    client, store, network, settings
):
    settings.ACCESS_TOKEN_LIFETIME = timedelta(0)
    client.log_in("alice", PASSWORD)
    settings.ACCESS_TOKEN_LIFETIME = timedelta(minutes=5)
    store.change(refresh_at=time.time() + 3600)  # a clock that was put back

    assert me(client) == "alice"

    assert network.statuses("me") == [401, 200]
    assert network.statuses("refresh") == [200]


def test_stays_signed_in_while_tokens_of_two_seconds_come_and_go(
    client, no_grace, settings, network
):
    settings.ACCESS_TOKEN_LIFETIME = timedelta(seconds=2)
    client.log_in("alice", PASSWORD)

    while len(network.statuses("refresh")) < 2:
        assert me(client) == "alice"

    assert set(network.statuses("refresh")) == {200}


# Sharing the file


def test_threads_refresh_once(client, store, new_client, no_grace):
    clients = [client, client, *(new_client() for _ in range(6))]
    barrier = threading.Barrier(len(clients))

    def use(client):
        barrier.wait()
        return me(client)

    store.make_due()
    with ThreadPoolExecutor(len(clients)) as pool:
        names = list(pool.map(use, clients))

    assert names == ["alice"] * 8
    assert (device().generation, device().state) == (2, "live")


def test_processes_refresh_once(client, store, start_worker, no_grace):
    workers = [start_worker() for _ in range(4)]
    store.make_due()
    for worker in workers:
        go(worker)

    names = [worker.stdout.read() for worker in workers]

    assert names == ["alice\n"] * 4
    assert (device().generation, device().state) == (2, "live")


def test_step_up_in_one_thread_signs_no_other_out(client, new_client, no_grace):
    """The former tokens end at once, whoever is about to send them."""
    others = [new_client() for _ in range(4)]
    done = threading.Event()

    def use(client):
        answers = [me(client)]
        while not done.is_set():
            answers.append(me(client))
        return set(answers)

    with ThreadPoolExecutor(len(others)) as pool:
        results = [pool.submit(use, other) for other in others]
        for _ in range(5):
            client.reauthenticate(PASSWORD)
        done.set()

    assert [result.result() for result in results] == [{"alice"}] * 4
    assert device().state == "live"


# Losses


def test_hundred_refreshes_survive_a_network_that_loses_one_answer_in_five(
    client, store, network, no_grace, no_patience
):
    dice = random.Random(5)
    fates = [Fate.LOST_AFTER] * 4 + [Fate.LOST_BEFORE] + [Fate.ANSWERED] * 15
    network.fate = lambda path: dice.choice(fates)
    tokens = {store.read()["refresh_token"]}

    for _ in range(100):
        store.make_due()
        with suppress(httpx.TransportError):  # of `me`: a lost refresh is not felt here
            me(client)
        tokens.add(store.read()["refresh_token"])

    assert len(tokens) == 101
    assert (device().generation, device().state) == (101, "live")
    assert len(network.statuses("refresh")) > 110
    assert set(network.statuses("refresh")) == {200}


def test_answer_lost_for_long_is_asked_for_again_by_the_next_request(
    client, store, network, age, no_patience
):
    network.fate = lambda path: Fate.LOST_AFTER
    store.make_due()
    with pytest.raises(httpx.TransportError):
        me(client)
    age(device(), days=2)

    network.fate = lambda path: Fate.ANSWERED

    assert me(client) == "alice"
    assert network.statuses("refresh") == [200] * 6
    assert (device().generation, device().state) == (2, "live")


def test_process_killed_while_it_refreshes_leaves_the_next_one_signed_in(
    client, store, network, start_worker, age
):
    network.fate = lambda path: Fate.HELD_AFTER
    store.make_due()
    worker = start_worker()
    go(worker)
    assert network.holds.wait(30)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert device().generation == 2
    age(device(), days=2)

    network.fate = lambda path: Fate.ANSWERED

    successor = start_worker()
    go(successor)
    assert successor.stdout.read() == "alice\n"
    assert network.statuses("refresh") == [200, 200]
    assert (device().generation, device().state) == (2, "live")


def test_gateway_error_is_no_refusal(client, store, network):
    fates = iter([Fate.UNAVAILABLE])
    network.fate = lambda path: next(fates, Fate.ANSWERED)
    store.make_due()

    assert me(client) == "alice"


@pytest.mark.parametrize("body", [b'{"message": "Unauthorized"}', b"<h1>401</h1>", b"[]", b""])
def test_gateway_that_answers_401_keeps_the_pair(client, store, network, no_patience, body):
    network.unauthorized = body
    network.fate = lambda path: Fate.UNAUTHORIZED
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        me(client)
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        client.log_out()
    store.make_due()
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        me(client)
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        client.reauthenticate(PASSWORD)

    network.fate = lambda path: Fate.ANSWERED

    assert me(client) == "alice"
    assert device().generation == 2


# Step-up and password


def test_step_up_lets_a_refused_request_pass(client, age):
    age(device(), hours=1)
    assert client.request("POST", "logout/others").json()["code"] == "reauthentication_required"

    client.reauthenticate(PASSWORD)

    assert client.request("POST", "logout/others").json() == {"revoked": 0}
    assert me(client) == "alice"


def test_wrong_password_at_step_up_signs_nobody_out(client):
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        client.reauthenticate("not her password")

    assert me(client) == "alice"


def test_step_up_with_an_expired_access_token(client, settings):
    settings.ACCESS_TOKEN_LIFETIME = timedelta(0)
    client.log_in("alice", PASSWORD)
    settings.ACCESS_TOKEN_LIFETIME = timedelta(minutes=5)

    client.reauthenticate(PASSWORD)

    assert me(client) == "alice"


def test_password_change_keeps_this_device(client):
    client.change_password(PASSWORD, "another horse, another battery")

    assert me(client) == "alice"


# Endings


def revoke(alice, note):
    flows.revoke_for_user(alice, alice.devices.all(), by=None, note=note)


def test_revoked_device_is_told_the_reason_and_the_note(client, store, alice):
    revoke(alice, "Call 555.")

    with pytest.raises(SignedOut) as refused:
        me(client)

    ended = refused.value
    assert (ended.code, ended.reason, ended.note) == ("device_revoked", "staff", "Call 555.")
    assert not store.path.exists()


def test_revoked_device_that_refreshes_is_told_too(client, store, alice):
    store.make_due()
    revoke(alice, "Call 555.")

    with pytest.raises(SignedOut) as refused:
        me(client)

    assert (refused.value.reason, refused.value.note) == ("staff", "Call 555.")
    assert not store.path.exists()


def test_deactivated_person_is_signed_out(client, alice):
    alice.is_active = False
    alice.save()

    with pytest.raises(SignedOut):
        me(client)


def test_logging_out_of_a_revoked_device_forgets_it(client, store, alice):
    revoke(alice, "")

    client.log_out()

    assert not store.path.exists()


def test_logout_that_was_not_answered_can_be_repeated(client, store, network):
    network.fate = lambda path: Fate.LOST_BEFORE
    with pytest.raises(httpx.TransportError):
        client.log_out()
    assert store.path.exists()
    network.fate = lambda path: Fate.ANSWERED

    client.log_out()

    assert device().revoked_reason == "logout"


def test_log_in_after_a_revocation_goes_on(client, alice):
    revoke(alice, "")
    with pytest.raises(SignedOut):
        me(client)

    client.log_in("alice", PASSWORD)

    assert me(client) == "alice"
