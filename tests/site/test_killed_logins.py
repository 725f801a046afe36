"""A process is killed between the count of its sign-ins and their decision."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import connection

from accounts.models import Throttle, User
from accounts.throttling.counting import MAX_TEST_TIME
from tests.plugins.guestlist import PASSWORD

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.no_cover]

# So many sign-ins at once, with the right password.
LOGINS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from tests.site.racer import set_up, post
set_up()
count, password = int(sys.argv[1]), sys.argv[2]
with ThreadPoolExecutor(count) as threads:
    body = {"username": "alice", "password": password}
    list(threads.map(lambda _: list(post("login", body)), range(count)))
"""


@pytest.fixture
def kill_logins(alice):
    """`kill_logins(3)` begins three sign-ins of alice, and kills them when they are counted.

    Their hash takes for ever meanwhile: it is one with more rounds than can be computed.
    """

    def kill(count):
        password = make_password(PASSWORD)
        endless = re.sub(r",t=\d+,", ",t=4000000000,", password)
        User.objects.filter(pk=alice.pk).update(password=endless)
        environment = os.environ | {"RACE_DATABASE": str(connection.settings_dict["NAME"])}
        process = subprocess.Popen(
            [sys.executable, "-c", LOGINS, str(count), PASSWORD],
            cwd=settings.BASE_DIR,
            env=environment,
        )
        while counts() != {(count, count)}:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        User.objects.filter(pk=alice.pk).update(password=password)

    return kill


def counts():
    rows = Throttle.objects.filter(kind="login_pair")
    return set(rows.values_list("count", "undecided"))


def test_killed_sign_ins_below_the_limit_cost_nothing(alice, api, kill_logins):
    kill_logins(settings.LOGIN_ATTEMPTS - 1)
    assert not alice.devices.exists()

    assert api().post("login", {"username": "alice", "password": PASSWORD}).status_code == 200
    assert not counts()
    assert alice.devices.count() == 1


def test_killed_sign_ins_at_the_limit_cost_one_wait(alice, api, kill_logins, age_counts):
    kill_logins(settings.LOGIN_ATTEMPTS)
    assert not alice.devices.exists()

    age_counts(MAX_TEST_TIME)  # they count as wrong once their hash has had time
    refused = api().post("login", {"username": "alice", "password": PASSWORD})
    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= settings.LOGIN_WINDOW.total_seconds()
    age_counts(settings.LOGIN_WINDOW)
    assert api().post("login", {"username": "alice", "password": PASSWORD}).status_code == 200
    assert not counts()


@pytest.fixture
def age_counts():
    """`age_counts(delta)` moves all times of the counts so far into the past."""

    def age(delta):
        for row in Throttle.objects.all():
            for name in ("counted_at", "locked_until", "expires_at"):
                value = getattr(row, name)
                setattr(row, name, value and value - delta)
            row.save()

    return age
