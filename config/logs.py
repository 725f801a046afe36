"""Log lines as JSON: what happened, who did it, when (UTC) and from where.

Each record is one line, also if a text in it has line breaks (ASVS 16.4.1). The line of a request
names its address, method, id and route, and also its device and user once they are known. It names
the route and not the path, because the path of a mailed link holds a token.
"""

import json
import logging
import threading
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import log

# The request that is being answered; None outside of requests.
current_request: ContextVar[HttpRequest | None] = ContextVar("current_request", default=None)

# The attributes that every record has. All others were given as `extra`.
STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "request", "status_code"}


# Lines that everybody can cause, as often as they like: of requests that Django refuses, of a pool
# whose database does not answer, and these events.
LOUD_LOGGERS = ("django.security.", "psycopg.pool")
UNAVAILABLE = ("unavailable", "not ready", "cache unavailable")
LINES_A_MINUTE = 10
REPORTING = "error report"  # the name of each thread
MAX_EVENT = 200  # characters
MAX_REPORTS = 20  # that are sent at the same time


class SparingFilter(logging.Filter):
    """Keeps a flood of requests from being a flood of log.

    A line that everybody can cause is short and has no traceback. Of one kind there are at most
    LINES_A_MINUTE. The first line after a minute with more says how many were left out. Django's
    own line about a 503 is dropped, because the project logs its cause.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.minutes: dict[str, tuple[int, int]] = {}  # the minute, and how many lines were in it

    def filter(self, record):
        if record.name == "django.request" and getattr(record, "status_code", 0) == 503:
            return False
        is_loud = record.name.startswith(LOUD_LOGGERS)
        if not is_loud and record.msg not in UNAVAILABLE:
            return True
        _shorten(record)
        left_out = self._count(record.name if is_loud else record.msg)
        if left_out:
            record.left_out = left_out
        return left_out is not None

    def _count(self, kind: str) -> int | None:
        """How many lines of this kind were left out before this one; None if it is one of them."""
        now = int(time.monotonic()) // 60
        with self.lock:
            minute, count = self.minutes.get(kind, (now, 0))
            left_out = max(count - LINES_A_MINUTE, 0) if minute < now else 0
            count = count + 1 if minute == now else 1
            self.minutes[kind] = (now, count)
        return left_out if count <= LINES_A_MINUTE else None


class AdminEmailHandler(log.AdminEmailHandler):
    """Django's reports to ADMINS, each sent by a thread: a request never waits for the mail server.

    At most MAX_REPORTS are under way at the same time. What is beyond that is in the log alone.
    """

    places = threading.BoundedSemaphore(MAX_REPORTS)

    def emit(self, record):
        if settings.ADMINS:  # Django asks this only of its own class
            super().emit(record)

    def send_mail(self, subject, message, *args, **kwargs):
        if self.places.acquire(blocking=False):
            report = partial(self._send, subject, message, *args, **kwargs)
            threading.Thread(target=report, name=REPORTING, daemon=True).start()

    def _send(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().send_mail(*args, **kwargs)
        finally:
            self.places.release()


class JSONFormatter(logging.Formatter):
    def format(self, record):
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _event(record),
            **_where(current_request.get()),
            **{name: value for name, value in vars(record).items() if name not in STANDARD},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _shorten(record: logging.LogRecord) -> None:
    record.msg, record.args = _event(record)[:MAX_EVENT], ()
    if record.exc_info and record.exc_info[0]:
        record.error = record.exc_info[0].__name__
    record.exc_info = record.exc_text = None


def _event(record: logging.LogRecord) -> str:
    """What happened. The path is cut off where Django ends a message about a request with it."""
    words = record.getMessage()
    if record.name in ("django.request", "django.security.csrf") and record.args:
        return words.removesuffix(f": {tuple(record.args)[-1]}")
    return words


def _where(request: HttpRequest | None) -> dict[str, Any]:
    """Where the request comes from, and who sent it.

    Who sent it is in `request.logged_as`, once the app that knows has set it. So a line costs no
    query.
    """
    if request is None:
        return {}
    match = request.resolver_match
    known = {
        "ip": request.META.get("REMOTE_ADDR") or None,
        "method": request.method,
        "request_id": getattr(request, "id", None),
        "route": match and match.route,
    }
    return known | getattr(request, "logged_as", {})
