"""A process with one contender in it, which works when it is asked to.

All contenders are ready at once and take turns, so that a busy moment of the machine meets all of
them. Everything is made ready before it is timed.
"""

import cProfile
import json
import os
import pstats
import statistics
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from functools import partial
from io import BytesIO
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.contenders import CONTENDERS, PASSWORD, Pair, Post

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
WARM_UP = {"authenticate": 10, "request": 10, "login": 2, "refresh": 2, "devices": 5}
BATCHES = {"authenticate": 100, "request": 50, "login": 20, "refresh": 20, "devices": 20}


class Worker:
    """Starts the process. `worker.ask("method", ...)` calls the method of the Desk in it."""

    def __init__(self, contender: str, database_url: str) -> None:
        context = get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(contender, database_url, other), daemon=True
        )
        self._process.start()

    def ask(self, method: str, *args: Any) -> Any:
        self._connection.send((method, args))
        answer, error = self._connection.recv()
        if error:
            raise RuntimeError(error)
        return answer

    def close(self) -> None:
        self._connection.send(None)
        self._process.join()


def _serve(contender: str, database_url: str, connection: Connection) -> None:
    os.environ |= {"CONTENDER": contender, "DATABASE_URL": database_url}
    desk = Desk(contender)
    while (question := connection.recv()) is not None:
        method, args = question
        answer: tuple[Any, str | None]
        try:
            answer = getattr(desk, method)(*args), None
        except Exception:
            answer = None, f"{contender}: {traceback.format_exc()}"
        connection.send(answer)


class Desk:
    """What a contender can be asked to do, in its own process."""

    def __init__(self, name: str) -> None:
        from django.utils import timezone

        from benchmarks.wsgi import application

        self.contender = CONTENDERS[name]
        self.application = application
        self.people: dict[str, str] = {}  # the id of each user in the sample, by username
        self.pairs: dict[str, Pair] = {}  # for requests; never ended or refreshed
        self.spare: dict[str, Pair] = {}  # to be refreshed
        self.turn = count()
        self.began = timezone.now()
        self._leave_devices_to_guestlist()

    def _leave_devices_to_guestlist(self) -> None:
        """Keep a peer's login from adding a device."""
        from django.contrib.auth.signals import user_logged_in, user_logged_out

        from tokens import receivers

        if self.contender.name != "guestlist":
            user_logged_in.disconnect(receivers.add_browser_device)
            user_logged_out.disconnect(receivers.revoke_browser_device)

    # What stands in the database

    def migrate(self) -> None:
        from django.core.management import call_command

        call_command("migrate", verbosity=0)

    def fill(self, users: int, devices: int) -> None:
        from benchmarks import population

        population.fill(users=users, devices=devices)

    def fill_peer(self, each: int) -> None:
        from benchmarks import peers

        self.contender.prepare()
        peers.fill(self.contender.rows, each)

    def settle(self) -> None:
        from benchmarks import peers

        peers.settle()

    def choose(self, size: int) -> list[str]:
        """Give `size` users from all over the table a password, and return their names."""
        from django.contrib.auth.hashers import make_password

        from accounts.models import User
        from benchmarks.population import COLLECTOR

        users = User.objects.filter(is_superuser=False, is_active=True).exclude(username=COLLECTOR)
        ids = list(users.order_by("id").values_list("id", flat=True))
        chosen = User.objects.filter(id__in=ids[:: max(1, len(ids) // size)][:size])
        chosen.update(password=make_password(PASSWORD))
        return list(chosen.values_list("username", flat=True))

    def describe(self) -> tuple[str, int, dict[str, int]]:
        """The name of the database, its number of devices, and the sizes of `sizes.of`."""
        from django.db import connection

        from benchmarks import sizes
        from tokens.models import IssuedToken

        return connection.display_name, IssuedToken.objects.count(), sizes.of(IssuedToken)

    def forget(self) -> None:
        """Delete the devices that the sample has signed in on since this process began."""
        from tokens.models import IssuedToken

        added = IssuedToken.objects.filter(created_at__gte=self.began)
        added.filter(user__in=map(int, self.people.values())).delete()

    def sign_in(self, usernames: list[str]) -> None:
        """Sign each in. Check that their token lets them in, and that a forged one is refused."""
        from accounts.models import User

        ids = User.objects.filter(username__in=usernames).values_list("username", "id")
        self.people = {username: str(id) for username, id in ids}
        for username in usernames:
            self.pairs[username] = self._log_in(username)
            assert self._who(self.pairs[username]) == self.people[username]
        access = self.pairs[usernames[0]].access
        forged = access[:-8] + ("00000000" if access[-8:] != "00000000" else "11111111")
        assert self._who(Pair(forged)) is None

    def headers(self) -> list[dict[str, str]]:
        return [self.contender.headers(pair) for pair in self.pairs.values()]

    # What is measured

    def time(self, what: str) -> float:
        """Seconds for one call of a batch."""
        calls = self._calls(what, WARM_UP[what] + BATCHES[what])
        for call in calls[: WARM_UP[what]]:
            call()
        start = time.perf_counter()
        for call in calls[WARM_UP[what] :]:
            call()
        return (time.perf_counter() - start) / BATCHES[what]

    def count(self, what: str) -> tuple[int, int]:
        """The Python function calls and the statements of one call, as the median of five."""
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        self.time(what)
        counts = []
        for counted, profiled in zip(self._calls(what, 5), self._calls(what, 5), strict=True):
            with CaptureQueriesContext(connection) as captured:
                counted()
            statements = len(captured)  # the next request forgets them
            profile = cProfile.Profile()
            profile.runcall(profiled)
            total = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
            counts.append((total, statements))
        each = zip(*counts, strict=True)
        total, statements = (int(statistics.median(found)) for found in each)
        return total, statements

    def _calls(self, what: str, size: int) -> list[Callable[[], Any]]:
        usernames = list(self.pairs)
        chosen = [usernames[next(self.turn) % len(usernames)] for _ in range(size)]
        return [getattr(self, f"_{what}")(username) for username in chosen]

    def _authenticate(self, username: str) -> Callable[[], Any]:
        from django.utils.module_loading import import_string
        from rest_framework.request import Request

        request = Request(_request(self._to_who(self.pairs[username])))
        return partial(import_string(self.contender.authentication)().authenticate, request)

    def _request(self, username: str) -> Callable[[], Any]:
        return self._ready(self._to_who(self.pairs[username]))

    def _devices(self, username: str) -> Callable[[], Any]:
        headers = self.contender.headers(self.pairs[username])
        return self._ready(Post("/api/v1/devices", {}, headers, method="GET"))

    def _login(self, username: str) -> Callable[[], Any]:
        call = self._ready(self.contender.login(username))
        return lambda: self._keep(username, call())

    def _refresh(self, username: str) -> Callable[[], Any]:
        if username not in self.spare:
            self.spare[username] = self._log_in(username)
        call = self._ready(self.contender.refresh(self.spare[username]))
        return lambda: self._keep(username, call())

    def _keep(self, username: str, answer: bytes) -> None:
        self.spare[username] = self._read(answer, self.spare.get(username))

    def _read(self, answer: bytes, former: Pair | None = None) -> Pair:
        pair = self.contender.pair(json.loads(answer))
        if former and not pair.refresh:  # without rotation the answer has none
            return Pair(pair.access, former.refresh)
        return pair

    # What the checks know

    def check(self, username: str) -> dict[str, bool]:
        """Whether the next request with the access token is refused, after each of these events."""
        from accounts.models import User

        first, second = self._log_in(username), self._log_in(username)
        assert self._who(first) == self._who(second)
        self.contender.end(first, self._send)
        ended, stays = self._who(first) is None, self._who(second) is not None
        found = {"at sign-out": ended, "at sign-out of one device alone": ended and stays}
        third = self._log_in(username)
        User.objects.filter(username=username).update(is_active=False)
        found["at deactivation"] = self._who(third) is None
        User.objects.filter(username=username).update(is_active=True)
        return found

    # Requests

    def _log_in(self, username: str) -> Pair:
        return self._read(self._send(self.contender.login(username)))

    def _who(self, pair: Pair) -> str | None:
        """The id of the user whose request it is, or None when it is refused."""
        status, answer = self._answer(_request(self._to_who(pair)).environ)
        return json.loads(answer)["user"] if status == 200 else None

    def _to_who(self, pair: Pair) -> Post:
        return Post("/who", {}, self.contender.headers(pair), method="GET")

    def _send(self, post: Post) -> bytes:
        status, answer = self._answer(_request(post).environ)
        assert status < 300 or (post.method == "DELETE" and status == 401), (post, status, answer)
        return answer

    def _ready(self, post: Post) -> Callable[[], bytes]:
        """A call that sends the request, which is made now."""
        environ = _request(post).environ

        def call() -> bytes:
            status, answer = self._answer(environ)
            assert status == 200, (post, status, answer)
            return answer

        return call

    def _answer(self, environ: dict[str, Any]) -> tuple[int, bytes]:
        """Through Django's handler, as a server calls it."""
        statuses: list[str] = []

        def start(status: str, headers: Any, error: Any = None) -> Any:
            statuses.append(status)

        with closing(self.application(environ, start)) as response:
            answer = b"".join(response)
        return int(statuses[0].split()[0]), answer


def _request(post: Post) -> Any:
    from django.test import RequestFactory
    from django.utils.http import urlencode

    body, kind = json.dumps(post.data), "application/json"
    if post.as_form:
        body, kind = urlencode(post.data), "application/x-www-form-urlencoded"
    if post.method == "GET":
        body = ""
    headers = {"User-Agent": FIREFOX, "Accept": "application/json", **post.headers}
    request = RequestFactory().generic(post.method, post.path, body, kind, headers=headers)
    request.environ["wsgi.input"] = BytesIO(body.encode())
    return request
