"""What a contender is asked to do, in a process of its own.

Everything is made ready before it is timed.
"""

import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from io import BytesIO
from itertools import count
from typing import Any

from benchmarks.contenders import CONTENDERS, PASSWORD, STOCK, Pair, Post
from benchmarks.observing import Counts, observe

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
BATCHES = {"authenticate": 100, "request": 50, "me": 30, "devices": 20}
BATCH, WARM_UP = 10, 3  # calls in a turn of everything else, and before those that are timed
ELSEWHERE = "198.51.100.7"  # a network from which strangers try to sign in


class Desk:
    """What a contender can be asked to do, in its own process."""

    def __init__(self, name: str) -> None:
        from django.utils import timezone

        from benchmarks.wsgi import application

        self.contender = CONTENDERS[name.removesuffix(STOCK)]
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
        batch = BATCHES.get(what, BATCH)
        calls = self._calls(what, WARM_UP + batch)
        for call in calls[:WARM_UP]:
            call()
        start = time.perf_counter()
        for call in calls[WARM_UP:]:
            call()
        return (time.perf_counter() - start) / batch

    def count(self, what: str) -> Counts:
        """What a call does once everybody in the sample has made one."""
        for call in self._calls(what, len(self.pairs)):
            call()
        return observe(partial(self._calls, what))

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

    def _me(self, username: str) -> Callable[[], Any]:
        return self._get(self.contender.profile, username)

    def _devices(self, username: str) -> Callable[[], Any]:
        return self._get("/api/v1/devices", username)

    def _get(self, path: str, username: str) -> Callable[[], Any]:
        headers = self.contender.headers(self.pairs[username])
        return self._ready(Post(path, {}, headers, method="GET"))

    def _login(self, username: str, address: str = "127.0.0.1") -> Callable[[], Any]:
        call = self._ready(replace(self.contender.login(username), address=address))
        return lambda: self._keep(username, call())

    def _login_among_strangers(self, username: str) -> Callable[[], Any]:
        """From a network from which a stranger has failed a moment ago."""
        if not next(self.turn) % 10:  # seldom enough for the limit of the network
            self._answer(_request(self._wrong_login(ELSEWHERE)).environ)
        return self._login(username, ELSEWHERE)

    def _login_at_the_limit(self, username: str) -> Callable[[], Any]:
        """Of somebody who has as many devices as they may."""
        from django.conf import settings

        from accounts.models import User
        from tokens import flows
        from tokens.client import Client

        user = User.objects.get(username=username)
        if self.contender.name == "guestlist":
            for _ in range(settings.MAX_DEVICES_PER_USER - user.devices.live().count()):
                flows.log_in(user, Client(ip_address="127.0.0.1", user_agent=FIREFOX))
        return self._login(username)

    def _wrong_password(self, username: str) -> Callable[[], Any]:
        """By a name and from a network that have not failed before."""
        number = next(self.turn)
        return self._ready(self._wrong_login(f"10.{number // 250}.{number % 250}.1"), status=401)

    def _wrong_login(self, address: str) -> Post:
        return replace(self.contender.login(f"stranger{next(self.turn)}"), address=address)

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

    def _ready(self, post: Post, status: int = 200) -> Callable[[], bytes]:
        """A call that sends the request, which is made now, and expects this status."""
        environ = _request(post).environ

        def call() -> bytes:
            answered, answer = self._answer(environ)
            assert answered == status, (post, answered, answer)
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
    request = RequestFactory(REMOTE_ADDR=post.address).generic(
        post.method, post.path, body, kind, headers=headers
    )
    request.environ["wsgi.input"] = BytesIO(body.encode())
    return request
