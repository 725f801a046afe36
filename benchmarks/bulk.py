"""What others notice while 100,000 devices are revoked and a million purged.

DATABASE_URL=postgres://.../guestlist_10m python -m benchmarks.bulk --write

Two other processes sign in and make requests, before and meanwhile. At the end the revoked devices
are live again and the devices that signed in for it are deleted. The purged ones stay deleted.
"""

import argparse
import logging
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import cycle, pairwise
from multiprocessing.synchronize import Event
from typing import Any

from benchmarks import documents
from benchmarks.environment import set_up

SECTION = "bulk"
BEFORE = 20  # seconds
PURGED = 1_000_000
NOTE = "benchmarks.bulk"
BYSTANDERS = [f"bystander{n}" for n in range(200)]  # each may sign in 60 times in an hour

Timings = list[tuple[float, float]]  # when each call ended, on the monotonic clock, and its length


def sign_in() -> Callable[[], Any]:
    """A call that logs in and out again, without the password: the database's part of it."""
    from tokens import flows
    from tokens.client import Client

    users, client = cycle(_bystanders()), Client(ip_address="127.0.0.1")
    return lambda: flows.log_out(flows.log_in(next(users), client).device)


def request() -> Callable[[], Any]:
    """A call that opens /api/v1/me as an API client does."""
    from django.test import Client as Browser

    from tokens import flows
    from tokens.client import Client

    user = _bystanders()[0]
    token = flows.log_in(user, Client(ip_address="127.0.0.1")).access_token
    browser = Browser(headers={"authorization": f"Bearer {token}"})

    def call() -> None:
        assert browser.get("/api/v1/me").status_code == 200

    return call


def _bystanders() -> list[Any]:
    from accounts.models import User

    return list(User.objects.filter(username__in=BYSTANDERS))


def repeat(prepare: Callable[[], Callable[[], Any]], stop: Event, found: Any) -> None:
    """In a process of its own: call until told to stop, then hand over the time of each call."""
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


def revoke() -> Iterator[int]:
    """End every live device of the crowded network, as the admin's incident page would."""
    from benchmarks.population import CROWDED_NETWORK
    from tokens.client import parse_network
    from tokens.flows import incident
    from tokens.models import IssuedToken

    devices = IssuedToken.objects.matching(network=parse_network(CROWDED_NETWORK))
    for _, ended in incident.end(devices, incident.find(devices), note=NOTE):
        yield ended


def purge() -> Iterator[int]:
    """Delete what is past its retention, as `purge_devices` would."""
    from tokens import flows
    from tokens.models import IssuedToken

    yield from flows.purge(IssuedToken.objects.all())


def shorten_retention() -> None:
    """Set the longest retention, in whole days, that lets PURGED devices go."""
    from django.conf import settings

    from tokens.models import IssuedToken

    while IssuedToken.objects.past_retention().count() < PURGED and settings.DEVICE_RETENTION:
        settings.DEVICE_RETENTION -= timedelta(days=1)


def restore() -> None:
    """Put the database back as it was filled, except for what was purged."""
    from accounts.models import User
    from tokens.models import IssuedToken

    IssuedToken.objects.filter(revoked_reason="incident", revoked_note=NOTE).update(
        revoked_at=None, revoked_reason="", revoked_note=""
    )
    User.objects.filter(username__in=BYSTANDERS).delete()


def measure(act: Callable[[], Iterator[int]], done: str) -> str:
    """The cost of the act in two sentences, and what the others noticed as a table."""
    from accounts.models import User

    for name in BYSTANDERS:
        User.objects.create_user(name, f"{name}@example.org")
    found: dict[str, Timings] = {}
    try:
        with bystanders(found):
            time.sleep(BEFORE)
            memory, ends, total = peak_memory(), [time.monotonic()], 0
            for count in act():
                total += count
                ends.append(time.monotonic())
            grown = peak_memory() - memory
    finally:
        restore()
    batches = [end - start for start, end in pairwise(ends)]
    text = (
        f"{total:,} devices {done} in {ends[-1] - ends[0]:.0f} s, in {len(batches)} batches, the"
        f" longest of which took {max(batches):.2f} s and the median one"
        f" {statistics.median(batches):.3f} s. The process grew by {grown:.0f} MB.\n\n"
        "| | calls | median, ms | 99 of 100, ms | worst, ms |\n|---|---|---|---|---|\n"
    )
    for name, timings in found.items():
        text += row(name, "before", [length for at, length in timings if at < ends[0]])
        text += row(name, "meanwhile", [length for at, length in timings if at >= ends[0]])
    return text


def peak_memory() -> float:
    """Of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def row(name: str, when: str, lengths: list[float]) -> str:
    milliseconds = sorted(length * 1000 for length in lengths)
    median, worst = statistics.median(milliseconds), milliseconds[-1]
    late = milliseconds[int(len(milliseconds) * 0.99)]
    count = len(milliseconds)
    return f"| {name}, {when} | {count} | {median:.1f} | {late:.1f} | {worst:.0f} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a large revocation and a large purge.")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    options = parser.parse_args()
    set_up()
    logging.disable(logging.INFO)
    parts = [f"Measured on {documents.today()}: {documents.machine()}.", measure(revoke, "revoked")]
    shorten_retention()
    parts.append(measure(purge, "purged"))
    text = "\n\n".join(parts)
    print(text)
    if options.write:
        documents.write(SECTION, text)


if __name__ == "__main__":
    main()
