"""Measures how soon a revoked device is refused, through the front door. Writes one device."""

import http.client
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address

from django.conf import settings
from django.core.management.base import CommandError

from accounts.models import User
from config.doctor.findings import ERROR, OK, WARNING, Finding
from config.doctor.front_door import TIMEOUT, FrontDoor, ask, claim
from tokens import flows
from tokens.client import is_trusted
from tokens.models import IssuedToken
from tokens.stories import REFUSALS

NAME = "doctor --revocation"
NOTE = "doctor made this device to measure how soon it is refused, and ended it."
LASTS = timedelta(minutes=5)  # it ends by itself, should doctor be killed
CONNECTIONS = 16
REFUSED = 200  # requests
PATIENCE = 20  # seconds for each of the two phases
MADE_UP = "192.0.2.1"  # RFC 5737: nobody's address


@dataclass
class Trial:
    """A device that doctor made, with its access token."""

    device: IssuedToken
    token: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}

    def revoke(self) -> int:
        """End it, in the one UPDATE with which staff end a device, and mail nobody."""
        devices = IssuedToken.objects.filter(pk=self.device.pk)
        return devices.revoke(reason=IssuedToken.Reason.STAFF, note=NOTE)


@contextmanager
def trial(user: User) -> Iterator[Trial]:
    """A device of the user, which has ended after the block. Raise CommandError.

    At the limit of devices it is refused, because it would end another one.
    """
    if user.devices.live().count() >= settings.MAX_DEVICES_PER_USER:
        raise CommandError(f"{user} has MAX_DEVICES_PER_USER devices: one more would end another.")
    try:
        device, token = flows.issue_token(user, name=NAME, lasts=LASTS)
    except flows.Refused as refusal:
        raise CommandError(f"No device for {user}. {REFUSALS[refusal.code]}") from None
    made = Trial(device, token)
    try:
        yield made
    finally:
        made.revoke()


def address(door: FrontDoor, made: Trial) -> Finding:
    """The address that the server notes for this machine, which claims to have another one."""
    with closing(door.connect_privately()) as connection:
        answer = ask(connection, "/api/v1/me", made.headers | claim("X-Forwarded-For", MADE_UP))
    if answer.status != 200:
        hint = "See the lines of url. The server needs this SITE_URL, DATABASE_URL and these keys."
        return Finding(ERROR, f"A new device is answered {answer.status}.", hint)
    seen = IssuedToken.objects.values_list("last_ip", flat=True).get(pk=made.device.pk)
    own = door.own_address.removeprefix("::ffff:")
    if seen in (None, MADE_UP):
        return _not_seen(seen, own)
    if seen == own:
        return _own(own)
    if is_trusted(seen, settings.TRUSTED_PROXIES):
        hint = "Let the proxy send X-Forwarded-For."
        return Finding(ERROR, f"The server saw {seen}, a proxy of TRUSTED_PROXIES.", hint)
    message = f"The server saw {seen}, and this machine has {own}."
    if ip_address(seen).is_global:
        return Finding(OK, message)
    return Finding(WARNING, message, "If that is a proxy, name it in TRUSTED_PROXIES.")


def _own(address: str) -> Finding:
    """What it means that the server saw the address that this machine has, or a proxy on it."""
    message = f"The server saw {address}, which is the address of this machine"
    if ip_address(address).is_loopback or is_trusted(address, settings.TRUSTED_PROXIES):
        hint = (
            "If one stands in front, name it in TRUSTED_PROXIES, and let it send X-Forwarded-For. "
            "To be sure, ask from another machine."
        )
        return Finding(WARNING, f"{message}, or of a proxy on it.", hint)
    return Finding(OK, f"{message}.")


def _not_seen(seen: str | None, own: str) -> Finding:
    """What it means that the server saw no address, or the one that is made up."""
    if seen is None:
        hint = "Let the server listen on TCP: a Unix socket has no address."
        return Finding(ERROR, "The server saw no address.", hint)
    if is_trusted(own, settings.TRUSTED_PROXIES):
        message = f"The server believes {own}, because it is a trusted proxy."
        return Finding(OK, message, "From another machine, doctor tells what clients can claim.")
    hint = (
        "Name only proxies in TRUSTED_PROXIES. Let them add to X-Forwarded-For, and drop headers "
        "with underscores."
    )
    return Finding(ERROR, "A client that claims another address is believed.", hint)


def refusals(door: FrontDoor, made: Trial) -> Finding:
    """Use the device on many connections, revoke it, and time the refusals.

    A request that starts after the revocation has been committed must be refused.
    """
    clients = Clients(door, made.headers)
    with clients.at_work():
        clients.wait_until(lambda: clients.all_accepted() or len(clients.answers) >= REFUSED)
        if not clients.all_accepted():
            statuses = dict(clients.statuses())
            message = f"Requests before the revocation were answered, by status: {statuses}."
            return Finding(ERROR, message, "0 is no answer. See the lines of url, and the log.")
        made.revoke()
        clients.revoked_at = time.monotonic()
        clients.wait_until(lambda: len(clients.refused) >= REFUSED)
    return _judge(clients, clients.revoked_at)


def _judge(clients: "Clients", revoked_at: float) -> Finding:
    late = [one for one in clients.answers if one.status == 200 and one.started > revoked_at]
    refused = [1000 * (ended - revoked_at) for ended in sorted(clients.refused)[:REFUSED]]
    others = {
        status: count for status, count in clients.statuses().items() if status not in (200, 401)
    }
    figures = {
        "connections": CONNECTIONS,
        "accepted_before": sum(one.status == 200 for one in clients.answers) - len(late),
        "accepted_after": len(late),
        "refused": len(refused),
        "other_answers": sum(others.values()),
        "first_refusal_ms": round(refused[0], 1) if refused else 0.0,
        "last_refusal_ms": round(refused[-1], 1) if refused else 0.0,
    }
    message = (
        "{refused} requests over {connections} connections were refused, the first "
        "{first_refusal_ms} ms and the last {last_refusal_ms} ms after the revocation. "
        "{accepted_after} that started after it were accepted. "
    ).format(**figures) + f"The device {NAME!r} has ended."
    if late:
        hint = "Does the server use this database, and does a proxy keep answers?"
        return Finding(ERROR, message, hint, figures)
    if len(refused) < REFUSED:
        hint = f"Other answers, by status (0: none): {others}. A proxy may limit requests."
        return Finding(ERROR, message, hint, figures)
    return Finding(OK, message, figures=figures)


@dataclass(frozen=True)
class Timed:
    """An answer, and when its request started. The status is 0 without an answer."""

    started: float
    status: int


class Clients:
    """Threads that send a request again and again, each on a connection of its own."""

    def __init__(self, door: FrontDoor, headers: dict[str, str]) -> None:
        self.door = door
        self.headers = headers
        self.answers: list[Timed] = []
        self.revoked_at = math.inf
        self.refused: list[float] = []  # when requests were, that started after the revocation
        self.accepted: set[int] = set()  # the clients that were answered 200
        self.ended = threading.Event()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=self._work, args=[number], daemon=True)
            for number in range(CONNECTIONS)
        ]
        try:
            for thread in threads:
                thread.start()
            yield
        finally:
            self.ended.set()
            deadline = time.monotonic() + TIMEOUT
            for thread in threads:
                thread.join(max(0, deadline - time.monotonic()))

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait until it holds, PATIENCE at most."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not condition():
            self.ended.wait(0.005)

    def all_accepted(self) -> bool:
        return len(self.accepted) == CONNECTIONS

    def statuses(self) -> Counter[int]:
        return Counter(one.status for one in list(self.answers))

    def _work(self, number: int) -> None:
        connection = None
        while not self.ended.is_set():
            started = time.monotonic()
            try:
                connection = connection or self.door.connect_privately()
                status = ask(connection, "/api/v1/me", self.headers).status
            except (OSError, http.client.HTTPException, ValueError):
                connection, status = None, 0
            self.answers.append(Timed(started, status))
            if status == 200:
                self.accepted.add(number)
            elif status != 401:
                self.ended.wait(0.05)
            elif started > self.revoked_at:
                self.refused.append(time.monotonic())
        if connection:
            connection.close()
