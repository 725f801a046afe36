"""How many attempts of each kind are allowed, and the refusal of more."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from accounts.models import Throttle
from accounts.throttling.subjects import Key

logger = logging.getLogger(__name__)
Kind = Throttle.Kind
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MAX_DOUBLINGS = 16  # of a delay: a timedelta overflows after too many

# The words that follow "Too many" in the message to people.
TOO_MANY = {
    Kind.PAIR: "sign-in attempts",
    Kind.ADDRESS: "sign-in attempts",
    Kind.ACCOUNT: "sign-in attempts",
    Kind.PASSWORD: "wrong passwords",
    Kind.SIGNUP: "sign-ups and new names from your network",
    Kind.RESET: "requests for a reset link",
    Kind.RESET_ADDRESS: "requests for a reset link",
    Kind.MAIL: "mails",
    Kind.KNOWN: "sign-in attempts",
}


class TooManyAttempts(Exception):
    """An attempt is refused without a test. After `wait` seconds the next one is allowed.

    The message is for people.
    """

    def __init__(self, kind: str, wait: timedelta) -> None:
        self.wait = max(1, math.ceil(wait.total_seconds()))
        self.until = timezone.now() + timedelta(seconds=self.wait)
        super().__init__(f"Too many {TOO_MANY[Kind(kind)]}. Try again in {in_words(self.wait)}.")


@dataclass(frozen=True)
class Limit:
    """How many attempts are allowed in a window, which begins with the first attempt.

    Without a `delay`, the last allowed attempt locks until the window ends.

    With a `delay`, the count is forgotten only after a whole window without an attempt. The last
    allowed attempt, and each one after it, locks for a delay. The delay doubles up to `max_delay`.
    """

    attempts: int
    window: timedelta
    delay: timedelta | None = None
    max_delay: timedelta = HOUR

    def delay_after(self, count: int) -> timedelta:
        """The delay after this many attempts, which is `attempts` or more."""
        doublings = min(count - self.attempts, MAX_DOUBLINGS)
        return min((self.delay or self.window) * 2**doublings, self.max_delay)


def limit_of(key: Key) -> Limit:
    """The limit of this key, from the settings. A wide network may make ten times the attempts."""
    limit = LIMITS[key.kind]()
    return replace(limit, attempts=limit.attempts * 10) if key.wide else limit


# Each is made when it is asked for: settings may differ from test to test.
LIMITS: dict[str, Callable[[], Limit]] = {
    Kind.PAIR: lambda: Limit(
        settings.LOGIN_ATTEMPTS,
        settings.LOGIN_WINDOW,
        delay=settings.LOGIN_WINDOW,
        max_delay=settings.LOGIN_WINDOW,
    ),
    Kind.ADDRESS: lambda: Limit(settings.LOGIN_ATTEMPTS_PER_ADDRESS, settings.LOGIN_WINDOW),
    Kind.ACCOUNT: lambda: _delaying(settings.LOGIN_ATTEMPTS_PER_ACCOUNT),
    Kind.PASSWORD: lambda: _delaying(settings.LOGIN_ATTEMPTS),
    Kind.SIGNUP: lambda: Limit(settings.SIGNUPS_PER_HOUR, HOUR),
    Kind.RESET: lambda: Limit(settings.RESET_MAILS_PER_HOUR, HOUR),
    Kind.RESET_ADDRESS: lambda: Limit(settings.SIGNUPS_PER_HOUR, HOUR),
    Kind.MAIL: lambda: Limit(settings.MAILS_PER_HOUR, HOUR),
    # NIST SP 800-63B-4, section 3.2.2: at most 100 wrong passwords in a row.
    Kind.KNOWN: lambda: Limit(100, timedelta(days=30)),
}


def _delaying(attempts: int) -> Limit:
    return Limit(attempts, DAY, delay=settings.LOGIN_DELAY, max_delay=settings.LOGIN_MAX_DELAY)


def log_too_many() -> None:
    """Log a refusal on a page. The API's exception handler logs those of the API."""
    logger.info("request refused", extra={"status": 429, "code": "throttled"})


def in_words(seconds: int) -> str:
    """ "30 seconds", "1 minute", "11 minutes", rounded up."""
    if seconds < 60:
        return f"{seconds} second{'s' if seconds > 1 else ''}"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} minute{'s' if minutes > 1 else ''}"
