"""Log lines as JSON: what happened, who did it, when (UTC) and from where.

Each record is one line, also if a text in it has line breaks (ASVS 16.4.1). The line of a request
names its address, method and route, and also its device and user once they are known. It names the
route and not the path, because the path of a mailed link holds a token.
"""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest

# The request that is being answered; None outside of requests.
current_request: ContextVar[HttpRequest | None] = ContextVar("current_request", default=None)

# The attributes that every record has. All others were given as `extra`.
STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "request", "status_code"}


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
        "route": match and match.route,
    }
    return known | getattr(request, "logged_as", {})
