"""What Prometheus is told of: events, which the log has anyway, and how long requests take.

It is imported only if METRICS_PORT is set. The apps know nothing of it: they log what they decide,
and Counting counts the lines. So commands, which log in processes of their own, are not counted.

Several processes count together in the directory that PROMETHEUS_MULTIPROC_DIR names. Each has a
number there while it lives, and so its own files. When it dies, its counts stay, and the process
that gets the number next goes on from them. So there are as many files as processes.
"""

import fcntl
import logging
import os
from collections.abc import Callable
from functools import cache
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import IO, Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware
from prometheus_client import CollectorRegistry, Counter, Histogram, values

from tokens.models import IssuedToken

logger = logging.getLogger(__name__)
DIRECTORY = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
APPS = ("accounts", "config", "tokens")
FILE_SIZE = 1 << 16  # bytes; the library's own, enough for several hundred series
_held: list[IO[str]] = []  # the locks of this process


@cache
def _number(process: int) -> str:
    """A number in DIRECTORY that no other process has. It is free again when this process ends."""
    for number in count():
        lock = Path(DIRECTORY or "", f"{number}.lock").open("w")  # noqa: SIM115 -- it is held open
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _held.append(lock)
        for kind in ("counter", "histogram"):
            _allocate(Path(DIRECTORY or "", f"{kind}_{number}.db"))
        return str(number)
    raise AssertionError


def _allocate(file: Path) -> None:
    """Make a file of full size. A disk that is full later would end the process at a write to it.

    It appears at once, so that no scrape reads half of it.
    """
    if not file.exists():
        new = file.with_suffix(".new")
        new.write_bytes(bytes(FILE_SIZE))
        new.rename(file)


def _value_class() -> type:
    """Where the values of this process are: in DIRECTORY, or in its memory."""
    if DIRECTORY is None:
        return values.MutexValue
    try:
        return values.MultiProcessValue(lambda: _number(os.getpid()))
    except OSError:
        logger.exception("metrics of this process not shared")
        return values.MutexValue


values.ValueClass = _value_class()
IS_SHARED = values.ValueClass is not values.MutexValue
REGISTRY = CollectorRegistry()


def _counter(name: str, about: str, *labels: str) -> Counter:
    return Counter(f"guestlist_{name}", about, labels, registry=REGISTRY)


SIGN_INS = _counter("sign_ins", "Devices added by a sign-in.", "kind")
REFUSED_SIGN_INS = _counter("sign_ins_refused", "Wrong names or passwords.")
REFUSALS = _counter("refusals", "Requests answered 401, 403 or 429, and ended browsers.", "code")
REFRESHES = _counter("refreshes", "Pairs answered to a refresh token.", "result")
AHEAD = _counter("refresh_tokens_ahead", "Refresh tokens that their device has not reached.")
ALARMS = _counter("alarms", "Signs of theft on a device.", "kind")
REVOCATIONS = _counter("revocations", "Devices ended before their time.", "reason")
LOCKS = _counter("locks", "Accounts or addresses locked after wrong passwords.", "kind")
HASH_WAITS = _counter("hash_waits", "Passwords that waited for a place to be hashed.")
UNAVAILABLE = _counter("unavailable", "Requests answered 503, by the error behind it.", "error")
RESPONSES = _counter("responses", "Requests answered.", "status")
DURATIONS = Histogram(
    "guestlist_request_seconds",
    "Time to make an answer.",
    ["group"],
    buckets=(0.01, 0.05, 0.25, 1, 5),
    registry=REGISTRY,
)
GROUPS = {
    group: DURATIONS.labels(group)
    for group in ("sign_in", "refresh", "api", "admin", "static", "page")
}
# A series that is there from the start has its first event counted by PromQL's increase().
STARTED = [
    *(SIGN_INS.labels(kind) for kind in IssuedToken.Kind.values),
    *(ALARMS.labels(kind) for kind in IssuedToken.Alarm.values),
    *(REVOCATIONS.labels(reason) for reason in IssuedToken.Reason.values),
    *(REFRESHES.labels(result) for result in ("rotated", "answered_again")),
    RESPONSES.labels(503),
]
SIGN_IN_PATHS = {"/login", "/admin/login/", "/api/v1/login"}
AREAS = (("/api/", "api"), ("/admin/", "admin"), ("/static/", "static"))

# What a line of the log counts. Labels are words of the project, never something that was sent.
EVENTS: dict[str, Callable[[Any], object]] = {
    "signed in": lambda line: SIGN_INS.labels(line.kind).inc(),
    "login refused": lambda line: REFUSED_SIGN_INS.inc(),
    "request refused": lambda line: REFUSALS.labels(line.code).inc(),
    "refresh token rotated": lambda line: REFRESHES.labels("rotated").inc(),
    "refresh answered again": lambda line: REFRESHES.labels("answered_again").inc(),
    "refresh token ahead of its device": lambda line: AHEAD.inc(),
    "refresh token reused": lambda line: _count_reuse(),
    "device came with another client": lambda line: ALARMS.labels("client").inc(),
    "devices revoked": lambda line: REVOCATIONS.labels(line.reason).inc(line.count),
    "locked": lambda line: LOCKS.labels(line.kind).inc(),
    "waiting to hash a password": lambda line: HASH_WAITS.inc(),
    "unavailable": lambda line: UNAVAILABLE.labels(line.error).inc(),
}


class Counting(logging.Handler):
    def emit(self, record):
        try:
            EVENTS.get(str(record.msg), bool)(record)
        except Exception:  # a line of another app may look like one of ours
            self.handleError(record)


def _count_reuse() -> None:
    ALARMS.labels("reuse").inc()
    REVOCATIONS.labels("reuse").inc()


def count_events() -> None:
    """Count the lines of the apps from now on, also those that are too everyday to be printed."""
    for app in APPS:
        logging.getLogger(app).setLevel(logging.DEBUG)
        logging.getLogger(app).addHandler(Counting())
    for handler in logging.getLogger().handlers:
        handler.addFilter(is_printed)


def is_printed(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.INFO or record.name.partition(".")[0] not in APPS


@sync_and_async_middleware
def measure(get_response):
    """A middleware that measures and counts what is answered."""
    if not iscoroutinefunction(get_response):

        def middleware(request):
            began = perf_counter()
            response = get_response(request)
            _observe(request, response, began)
            return response

        return middleware

    async def async_middleware(request):
        began = perf_counter()
        response = await get_response(request)
        _observe(request, response, began)
        return response

    return async_middleware


def _observe(request: HttpRequest, response: HttpResponse, began: float) -> None:
    GROUPS[_group(request.path)].observe(perf_counter() - began)
    RESPONSES.labels(response.status_code).inc()


def _group(path: str) -> str:
    if path in SIGN_IN_PATHS:
        return "sign_in"
    if path == "/api/v1/refresh":
        return "refresh"
    return next((group for area, group in AREAS if path.startswith(area)), "page")
