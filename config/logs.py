"""Log lines as JSON: what happened, who did it, when (UTC) and from where.

Each record is one line, also if a text in it has line breaks (ASVS 16.4.1). The line of a request
names its address, method, id and route, and also its device and user once they are known. It names
the route and not the path, because the path of a mailed link holds a token.
"""

import json
import logging
import threading
import time
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import make_msgid, parseaddr
from functools import partial
from itertools import islice
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.http import HttpRequest

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
REPORTS_AN_HOUR = 20
MAX_CAUSES = 10  # of an error, in a report


class Bound:
    """Lets `limit` lines of each kind pass in each `period` of seconds, and counts the others."""

    def __init__(self, limit: int, period: int) -> None:
        self.limit, self.period = limit, period
        self.lock = threading.Lock()
        self.counts: dict[str, tuple[int, int]] = {}  # by kind: the period, and the lines in it

    def left_out(self, kind: str) -> int | None:
        """How many lines of this kind were left out before this one; None if it is one of them."""
        now = int(time.monotonic()) // self.period
        with self.lock:
            period, count = self.counts.get(kind, (now, 0))
            left_out = max(count - self.limit, 0) if period < now else 0
            count = count + 1 if period == now else 1
            self.counts[kind] = (now, count)
        return left_out if count <= self.limit else None


class SparingFilter(logging.Filter):
    """Keeps a flood of requests from being a flood of log.

    A line that everybody can cause is short and has no traceback. Of one kind there are at most
    LINES_A_MINUTE. The first line after a minute with more says how many were left out. Django's
    own line about a 503 is dropped, because the project logs its cause.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bound = Bound(LINES_A_MINUTE, 60)

    def filter(self, record):
        if record.name == "django.request" and getattr(record, "status_code", 0) == 503:
            return False
        is_loud = record.name.startswith(LOUD_LOGGERS)
        if not is_loud and record.msg not in UNAVAILABLE:
            return True
        _shorten(record)
        left_out = self.bound.left_out(record.name if is_loud else record.msg)
        if left_out:
            record.left_out = left_out
        return left_out is not None


class AdminEmailHandler(logging.Handler):
    """Reports errors of requests to ADMINS. A thread sends each: no request waits for mail.

    A process sends at most REPORTS_AN_HOUR. A report says where the error was, by the lines of
    code. It has nothing that a request sent and no setting, as Django's reports do, and not the
    text of the error, which may repeat them. The log has that text.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bound = Bound(REPORTS_AN_HOUR, 3600)

    def emit(self, record):
        left_out = self.bound.left_out("") if settings.ADMINS else None
        if left_out is not None:
            mail = partial(_mail_admins, _report(record, left_out))
            threading.Thread(target=mail, name=REPORTING, daemon=True).start()


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


def _report(record: logging.LogRecord, left_out: int) -> str:
    where = _where(current_request.get())
    known = {name: where.get(name) for name in ("request_id", "method", "route")}
    lines = [_event(record), *(f"{name}: {value}" for name, value in known.items() if value)]
    if record.exc_info:
        lines += ["", *reversed([*islice(_causes(record.exc_info[1]), MAX_CAUSES)])]
    if left_out:
        lines.append(f"{left_out} reports of the hour before were not sent.")
    return "\n".join([*lines, "", "The log has the text of the error, under its request_id."])


def _causes(error: BaseException | None) -> Iterator[str]:
    """The lines of code and the type of the error, and then of each error behind it."""
    while error is not None:
        code = "".join(traceback.format_tb(error.__traceback__))
        yield f"{code}{type(error).__module__}.{type(error).__qualname__}\n"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _mail_admins(report: str) -> None:
    subject = f"Guestlist: {report.splitlines()[0]}"
    to = [address for _, address in settings.ADMINS]
    _, _, domain = parseaddr(settings.SERVER_EMAIL)[1].rpartition("@")
    headers = {"Auto-Submitted": "auto-generated", "Message-ID": make_msgid(domain=domain)}
    mail = EmailMessage(subject, report, settings.SERVER_EMAIL, to, headers=headers)
    mail.send(fail_silently=True)


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
