"""No mail is lost: real servers, workers and signals, and a mail server with faults.

`--junitxml=report.xml -o junit_family=xunit1` writes the figures into a report.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from django.db.models.functions import Now
from django.utils import timezone

from accounts.mail import send_mails
from accounts.models import QueuedMail, User
from config.tests.processes import BASE_DIR, database_url
from tests.plugins.guestlist import NEW_PASSWORD
from tests.plugins.smtp import MailServer
from tokens import flows
from tokens.client import Client
from tokens.keys import generate_signing_key

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

MAILS = 60
BETWEEN = 6  # mails that are sent between two signals
LONGEST_STOP = 10  # seconds


@pytest.fixture(autouse=True)
def mails_wait(settings):
    settings.SEND_MAILS_AT_ONCE = False


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def mail_port():
    return free_port()


@pytest.fixture
def web_port():
    return free_port()


@pytest.fixture
def server(mail_port):
    with MailServer(mail_port).running() as server:
        yield server


class Processes:
    """The processes of a site: its server and its workers. Each is its own group."""

    def __init__(self, environment):
        self.environment = environment
        self.started = []

    def start(self, *command):
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=BASE_DIR,
            env=self.environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.started.append(process)
        return process

    def start_worker(self):
        return self.start("manage.py", "send_mails")

    def start_server(self, port):
        bind = f"--bind=127.0.0.1:{port}"
        server = self.start("-m", "gunicorn", "config.wsgi", "--workers=2", "--threads=4", bind)
        wait_until(lambda: answers(port))
        return server

    def run(self, *arguments):
        """Run a command to its end. Return the seconds that it took."""
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=BASE_DIR,
            env=self.environment,
            check=True,
            capture_output=True,
        )
        return time.monotonic() - began

    def stop(self, process, number):
        """Send the signal, SIGKILL to the whole group. Return the seconds until it is gone."""
        began = time.monotonic()
        (os.killpg if number == signal.SIGKILL else os.kill)(process.pid, number)
        process.wait(timeout=LONGEST_STOP)
        return time.monotonic() - began


@pytest.fixture
def processes(mail_port, db):
    processes = Processes(
        {
            **os.environ,
            "JWT_SIGNING_KEYS": json.dumps({"keys": [generate_signing_key()]}),
            "SITE_URL": "http://127.0.0.1",
            "ALLOWED_HOSTS": "127.0.0.1",
            "SIGNUPS_PER_HOUR": "10000",
            "DATABASE_URL": database_url(),
            "EMAIL_URL": f"smtp://127.0.0.1:{mail_port}",
        }
    )
    yield processes
    for process in processes.started:
        if process.poll() is None:
            processes.stop(process, signal.SIGKILL)


def answers(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def wait_until(condition, seconds=90):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def is_empty():
    return not QueuedMail.objects.exists()


def end_leases():
    QueuedMail.objects.update(not_before=Now())


def make_people(count):
    return User.objects.bulk_create(
        User(
            username=f"person{number}",
            email=f"person{number}@example.org",
            email_verified_at=timezone.now(),
        )
        for number in range(count)
    )


def queue_mails(count=MAILS):
    """A mail to each of so many people. Return their addresses."""
    people = make_people(count)
    send_mails("password_reset", [(user, {"devices": []}) for user in people])
    return {user.email for user in people}


def sign_up(port, number):
    """Return the address, or None without an answer, and the seconds that it took."""
    email, began = f"new{number}@example.org", time.monotonic()
    body = {"username": f"new{number}", "email": email, "password": NEW_PASSWORD}
    try:
        answer = httpx.post(f"http://127.0.0.1:{port}/api/v1/signup", json=body, timeout=60)
        came = answer.status_code == 201
    except httpx.TransportError:
        came = False
    return email if came else None, time.monotonic() - began


def sign_up_all(port, numbers):
    with ThreadPoolExecutor(4) as pool:
        answered = list(pool.map(lambda number: sign_up(port, number), numbers))
    return {email for email, _ in answered if email}, max(took for _, took in answered)


def assert_sent(server, due, *, again=0):
    """Each mail that was due came, and at most `again` of all came once more."""
    came = Counter(to for to, _ in server.received)
    assert due <= set(came)
    assert sum(came.values()) - len(came) <= again
    return sum(came.values()) - len(came)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_web_server_that_ends_loses_no_mail(processes, server, web_port, number, record_property):
    """The mail server hangs all the time, and no request waits for it."""
    server.fault = "hangs at connection"
    web = processes.start_server(web_port)
    due, slowest = sign_up_all(web_port, range(20))
    assert len(due) == 20
    with ThreadPoolExecutor(1) as pool:
        more = pool.submit(sign_up_all, web_port, range(20, 40))
        time.sleep(0.5)
        took = processes.stop(web, number)
        due |= more.result()[0]
    web = processes.start_server(web_port)
    due |= sign_up_all(web_port, range(40, MAILS))[0]
    processes.stop(web, signal.SIGKILL)

    server.mend()
    processes.run("send_mails", "--once")

    assert_sent(server, due)
    record_property("due", len(due))
    record_property("slowest request", round(slowest, 2))
    record_property("stopped after", round(took, 1))


def interrupt(processes, server, number):
    """Send the signal to a worker each time that it has sent some mails, until all are sent.

    Return how often, and the longest time until it was gone.
    """
    server.delay, times, longest = 0.05, 0, 0.0
    while not is_empty():
        worker, before = processes.start_worker(), len(server.received)
        wait_until(lambda: len(server.received) >= before + BETWEEN or is_empty())  # noqa: B023
        times, longest = times + 1, max(longest, processes.stop(worker, number))
        end_leases()
    return times, longest


def test_worker_that_is_killed_loses_no_mail(processes, server, record_property):
    """What comes twice, the server had taken when the worker was killed."""
    due = queue_mails()

    times, _ = interrupt(processes, server, signal.SIGKILL)

    again = assert_sent(server, due, again=times)
    ids = Counter(re.search("Message-ID: (.*)", content)[1] for _, content in server.received)
    assert sum(count - 1 for count in ids.values()) == again
    record_property("killed", times)
    record_property("sent again", again)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_worker_that_is_stopped_sends_each_mail_once(processes, server, number, record_property):
    due = queue_mails()

    times, longest = interrupt(processes, server, number)

    assert_sent(server, due)
    record_property("stopped", times)
    record_property("longest stop", round(longest, 1))


@pytest.mark.parametrize("fault", ["hangs at connection", "hangs at content"])
def test_worker_stops_while_the_mail_server_hangs(processes, server, fault, record_property):
    due = queue_mails()
    server.fault = fault
    worker = processes.start_worker()
    wait_until(lambda: server.sessions)
    time.sleep(0.5)

    took = processes.stop(worker, signal.SIGTERM)

    assert worker.returncode == 0
    server.mend()
    end_leases()
    processes.run("send_mails", "--once")
    assert_sent(server, due)
    record_property("stopped after", round(took, 1))


def test_mail_server_that_refuses_and_comes_back_is_sent_all(processes, mail_port, record_property):
    due = queue_mails()
    worker = processes.start_worker()
    wait_until(lambda: not QueuedMail.objects.filter(attempts=0).exists())

    with MailServer(mail_port).running() as server:
        began = time.monotonic()
        wait_until(is_empty)
        record_property("all sent after", round(time.monotonic() - began))
        processes.stop(worker, signal.SIGTERM)
        assert_sent(server, due)


def test_several_workers_send_each_mail_once(processes, server):
    due = queue_mails()

    workers = [processes.start_worker() for _ in range(3)]
    wait_until(is_empty)
    for worker in workers:
        processes.stop(worker, signal.SIGTERM)

    assert_sent(server, due)


def test_end_of_a_thousand_devices_waits_for_no_mail(processes, server, record_property):
    people = make_people(1000)
    for user in people:
        flows.log_in(user, Client(ip_address="192.0.2.1", user_agent="curl/8.16.0"))
    server.fault = "hangs at connection"

    record_property("revoke_devices", round(processes.run("revoke_devices", "--all"), 1))

    assert QueuedMail.objects.count() == 1000
    server.mend()
    record_property("send_mails", round(processes.run("send_mails", "--once"), 1))
    assert_sent(server, {user.email for user in people})
