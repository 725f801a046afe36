"""What others notice while 100,000 devices are revoked: sign-ins and requests in two processes
beside it, before and during.

DATABASE_URL=postgres://.../guestlist_10m python -m benchmarks.revoke

The devices are live again when it ends, and whoever signed in for it is gone.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from typing import Any

from benchmarks.environment import set_up

BEFORE = 20  # seconds
NOTE = "benchmarks.revoke"
BYSTANDER = "bystander"

Timings = list[tuple[float, float]]  # when each call ended, on the monotonic clock, and its length


def sign_in() -> Callable[[], Any]:
    """A call that signs in, and out again: the database's part of it, without the password."""
    from accounts.models import User
    from tokens import flows
    from tokens.client import Client

    user, client = User.objects.get(username=BYSTANDER), Client(ip_address="127.0.0.1")
    return lambda: flows.log_out(flows.log_in(user, client).device)


def request() -> Callable[[], Any]:
    """A call that opens /api/v1/me as an API client does."""
    from django.test import Client as Browser

    from accounts.models import User
    from tokens import flows
    from tokens.client import Client

    user = User.objects.get(username=BYSTANDER)
    token = flows.log_in(user, Client(ip_address="127.0.0.1")).access_token
    browser = Browser(headers={"authorization": f"Bearer {token}"})

    def call() -> None:
        assert browser.get("/api/v1/me").status_code == 200

    return call


def repeat(prepare: Callable[[], Callable[[], Any]], stop: Event, found: Any) -> None:
    """In a process of its own: call until told to stop, then hand over how long each call took."""
    from django.db import connection

    connection.connect()
    call, timings = prepare(), list[tuple[float, float]]()
    while not stop.is_set():
        start = time.monotonic()
        call()
        timings.append((time.monotonic(), time.monotonic() - start))
        time.sleep(0.005)
    found.put((prepare.__name__.replace("_", "-"), timings))


@contextmanager
def bystanders(found: dict[str, Timings]) -> Iterator[None]:
    """Two processes that sign in and make requests for the length of the block."""
    from django.db import connection

    connection.close()
    fork = multiprocessing.get_context("fork")
    stop, queue = fork.Event(), fork.Queue()
    workers = [fork.Process(target=repeat, args=(call, stop, queue)) for call in (sign_in, request)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        stop.set()
        found.update(queue.get(timeout=60) for _ in workers)
        for worker in workers:
            worker.join()


def revoke() -> int:
    """End every live device of the crowded network, as the admin's incident page would."""
    from benchmarks.population import CROWDED_NETWORK
    from tokens import flows
    from tokens.models import IssuedToken

    devices = IssuedToken.objects.filter(ip_address__within=CROWDED_NETWORK)
    reason = IssuedToken.Reason.INCIDENT
    batches = flows.revoke_in_batches(devices, reason=reason, note=NOTE, tell=False)
    return sum(ended for _, ended in batches)


def restore() -> None:
    """Leave the database as it was filled."""
    from accounts.models import User
    from tokens.models import IssuedToken

    IssuedToken.objects.filter(revoked_reason="incident", revoked_note=NOTE).update(
        revoked_at=None, revoked_reason="", revoked_note=""
    )
    User.objects.filter(username=BYSTANDER).delete()


def row(name: str, when: str, lengths: list[float]) -> str:
    milliseconds = sorted(length * 1000 for length in lengths)
    median, worst = statistics.median(milliseconds), milliseconds[-1]
    late = milliseconds[int(len(milliseconds) * 0.99)]
    count = len(milliseconds)
    return f"| {name}, {when} | {count} | {median:.1f} | {late:.1f} | {worst:.0f} |"


def main() -> None:
    set_up()
    import logging

    from accounts.models import User

    logging.disable(logging.INFO)
    User.objects.create_user(BYSTANDER, f"{BYSTANDER}@example.org")
    found: dict[str, Timings] = {}
    try:
        with bystanders(found):
            time.sleep(BEFORE)
            start = time.monotonic()
            ended = revoke()
            length = time.monotonic() - start
    finally:
        restore()
    print(f"{ended} devices revoked in {length:.1f} s\n")
    print("| | calls | median, ms | 99 of 100, ms | worst, ms |\n|---|---|---|---|---|")
    for name, timings in found.items():
        print(row(name, "before", [length for at, length in timings if at < start]))
        print(row(name, "meanwhile", [length for at, length in timings if at >= start]))


if __name__ == "__main__":
    main()
