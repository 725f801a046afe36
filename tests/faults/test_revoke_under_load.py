"""Devices are revoked one after the other under load: no request that starts later is accepted.

16 clients use 50 devices through nginx, while workers are replaced all the time.
"""

import json
import logging
import multiprocessing
import os
import re
import statistics
import time
from collections import Counter
from contextlib import ExitStack
from urllib.parse import urlencode

import pytest

from tests.faults.clients import Connection, use_devices
from tests.faults.poolers import pgbouncer
from tests.faults.servers import Servers
from tests.faults.sites import Site
from tests.faults.test_doctor import address

pytestmark = pytest.mark.faults
logger = logging.getLogger(__name__)

DEVICES, CLIENTS, PROCESSES = 50, 16, 2
REQUESTS = int(os.environ.get("REQUESTS", "100000"))  # that start after the revocation
EARLY = 5_000  # may be refused after the revocation, and before its answer arrived
PASSWORD = "four quiet herons at dawn"
ADD_DEVICES = f"""
import json
from datetime import timedelta
from accounts.models import User
from tokens import flows

made = []
for number in range({DEVICES}):
    user = User.objects.create_user(f"user{{number}}", f"user{{number}}@example.org")
    device, token = flows.issue_token(user, name="load", lasts=timedelta(days=1))
    made.append([str(device.pk), token])
print(json.dumps(made))
"""


@pytest.fixture(params=["none", "session", "transaction"])
def site(request, tmp_path):
    """A site that reaches its database by this pooler."""
    site = Site(tmp_path / "site", "")
    site.database = address(tmp_path, f"load_{os.urandom(3).hex()}")
    if site.is_sqlite and request.param != "none":
        pytest.skip("SQLite has no pooler")
    site.lay_out()
    with ExitStack() as stack:
        stack.callback(site.remove)
        if not site.is_sqlite:
            site.server(f'CREATE DATABASE "{site.name}"')
        site.set_up()
        if request.param != "none":
            pooler = stack.enter_context(pgbouncer(tmp_path, site.database, request.param))
            variables = {"DATABASE_URL": pooler.url, "DATABASE_POOLER": request.param}
            site.environment |= variables
        site.pooler = request.param
        yield site


@pytest.fixture
def servers(site):
    servers = Servers(site, workers=2 if site.is_sqlite else 4, max_requests=2000)
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


# As if root had used a passkey on the devices. No authenticator runs here.
PASSKEY = """
from django.db.models.functions import Now
from tokens.models import IssuedToken
IssuedToken.objects.filter(user__username="root").update(passkey_at=Now(), passkey_vouched=True)
"""


class Staff:
    """root, with a browser and an API client."""

    def __init__(self, servers):
        self.servers, self.cookies = servers, {}
        self.connection = Connection(servers.port)
        body = {"username": "root", "password": PASSWORD}
        status, _, answer = servers.ask("POST", "/api/v1/login", body=body)
        assert status == 200, answer
        self.token = json.loads(answer)["access_token"]
        self.page("/login")
        status, page = self.page("/login?next=/admin/", username="root", password=PASSWORD)
        assert status == 302, page
        servers.site.manage("shell", "-c", PASSKEY)

    def page(self, path, **form):
        """Status and content of a page, or of the answer to its form."""
        if form:
            form["csrfmiddlewaretoken"] = self.cookies["__Host-csrftoken"]
        content = urlencode(form)
        lines = [f"{'POST' if form else 'GET'} {path} HTTP/1.1", "Host: example.org"]
        lines += ["Accept: text/html", "Referer: https://example.org/"]
        lines.append("Cookie: " + "; ".join(f"{k}={v}" for k, v in self.cookies.items()))
        if form:
            lines.append("Content-Type: application/x-www-form-urlencoded")
            lines.append(f"Content-Length: {len(content)}")
        status, headers, body = self.connection.ask(
            ("\r\n".join([*lines, "", ""]) + content).encode()
        )
        for cookie in headers["set-cookie"]:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return status, body.decode()

    def revoke_by_admin(self, number, device):
        path = f"/admin/tokens/issuedtoken/{device}/revoke/"
        status, page = self.page(path)
        assert status == 200, page
        shown = re.search(r'name="shown" value="([^"]*)"', page)[1]
        status, page = self.page(path, confirmed="yes", shown=shown, note="Lost.")
        assert status == 302, page

    def revoke_by_api(self, number, device):
        path = f"/api/v1/users/user{number}/devices/{device}/revoke"
        status, _, answer = self.servers.ask("POST", path, self.token, {})
        assert (status, json.loads(answer)) == (200, {"revoked": 1})

    def revoke_by_command(self, number, device):
        said = self.servers.site.manage("revoke_devices", f"--user=user{number}")
        assert "Revoked 1 live device." in said


def test_no_request_that_starts_after_a_revocation_is_accepted(site, servers, request):
    devices = json.loads(site.manage("shell", "-c", ADD_DEVICES).splitlines()[-1])
    staff = Staff(servers)
    request.addfinalizer(staff.connection.close)
    ways = [staff.revoke_by_admin, staff.revoke_by_api, staff.revoke_by_command]
    pids, memory, revoked = set(), [], []
    with Clients(servers, [token for _, token in devices]) as clients:
        time.sleep(10)
        memory.append(servers.memory())
        began = time.monotonic()
        for number, (device, _) in enumerate(devices):
            pids.update(servers.workers())
            ways[number % len(ways)](number, device)
            revoked.append(time.monotonic())
            clients.ended.value = number + 1
            time.sleep(1)
        while clients.is_short_of(REQUESTS):
            pids.update(servers.workers())
            time.sleep(1)
        took = time.monotonic() - began
        memory.append(servers.memory())
    seen = clients.seen
    late = [start - revoked[n] for one in seen for start, n in one.accepted if start > revoked[n]]
    after = sum(start > revoked[n] for one in seen for start, n in one.refused)
    early = sum(start <= revoked[n] for one in seen for start, n in one.refused)
    answers = sum((one.answers for one in seen), Counter())
    logger.info(
        "%s: %d requests in %d s, %d workers; of %d that started after the revocation was answered,"
        " %d were accepted; %d were refused before its answer arrived; memory %s, then %s MB; %s",
        site.pooler if not site.is_sqlite else "SQLite",
        *(answers.total(), took, len(pids), after + len(late), len(late), early),
        *(memory[0], memory[1], dict(answers)),
    )
    tell_times(sorted(one for part in seen for one in part.times))
    assert late == []
    assert after >= REQUESTS
    assert set(answers) <= {(200, None), (401, "device_revoked"), (503, "unavailable")}


def tell_times(times):
    for name, part in (("first", times[: len(times) // 10]), ("last", times[-len(times) // 10 :])):
        cuts = statistics.quantiles([took * 1000 for _, took in part], n=100)
        logger.info("%s tenth: p50 %.0f ms, p99 %.0f ms", name, cuts[49], cuts[98])


class Clients:
    """Processes of clients, until the end of the block. Then `seen` has what they were answered."""

    def __init__(self, servers, tokens):
        context = multiprocessing.get_context("spawn")
        self.stop, self.results = context.Event(), context.Queue()
        self.ended, self.refused = context.Value("i", 0), context.Value("i", 0)
        arguments = (servers.port, tokens, self.ended, self.refused, CLIENTS // PROCESSES)
        self.processes = [
            context.Process(target=use_devices, args=(*arguments, self.stop, self.results))
            for _ in range(PROCESSES)
        ]

    def __enter__(self):
        for process in self.processes:
            process.start()
        return self

    def is_short_of(self, count):
        """Whether fewer requests were refused, not counting those before the answer arrived."""
        assert all(process.is_alive() for process in self.processes)
        return self.refused.value < count + EARLY

    def __exit__(self, *exception):
        self.stop.set()
        if exception[0] is None:
            self.seen = [self.results.get(timeout=120) for _ in self.processes]
        for process in self.processes:
            process.join(timeout=60)
            process.kill()
