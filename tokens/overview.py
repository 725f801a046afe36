"""The figures about all devices on the admin's front page, from queries that stay cheap."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.utils import timezone

from accounts import passkeys
from accounts.models import PasskeyDeadline
from tokens import signing
from tokens.models import DailyCount, Figure, IssuedToken
from tokens.stories import address_text

logger = logging.getLogger(__name__)
MAX_AGE = 60  # seconds
SAMPLE_SIZE = 10_000  # devices; up to this many are counted one by one
ID_SPACE = 2**128
MAX_ALARMS = 5
MAX_NAMED = 10  # people of staff without a passkey
MAX_ALARM_AGE = timedelta(days=30)


@dataclass(frozen=True)
class Live:
    """Live devices by OS, the most frequent first. `estimated` if there are too many to count."""

    total: int
    by_os: list[tuple[str, int]]
    estimated: bool


def overview() -> dict[str, Any]:
    """All figures, at most MAX_AGE old. Without a cache, each call asks the database again."""
    found = _ask_cache(cache.get, "overview")
    if found is None:
        found = _overview()
        _ask_cache(cache.set, "overview", found, MAX_AGE)
    return found


def _ask_cache(ask: Callable[..., Any], *args: Any) -> Any:
    """What the cache answers. If it is unavailable: None, and a line in the log."""
    try:
        return ask(*args)
    except Exception:
        logger.exception("cache unavailable")
        return None


def _overview() -> dict[str, Any]:
    return {
        "live": live_by_os(),
        "days": DailyCount.objects.recent(),
        "keys": keys_of_devices(),
        "alarms": latest_alarms(),
        "ahead": Figure.objects.ahead(),
        "without_passkey": staff_without_passkey(),
    }


def staff_without_passkey() -> dict[str, Any] | None:
    """The first people of staff without a passkey, and whether there are `more`.

    `from` is None if they need it by now. None if all of them have one, or need none.
    """
    if not settings.STAFF_NEEDS_PASSKEY:
        return None
    people = list(passkeys.without_passkey().values("pk", "username")[: MAX_NAMED + 1])
    if not people:
        return None
    return {
        "from": PasskeyDeadline.objects.coming(),
        "people": people[:MAX_NAMED],
        "more": len(people) > MAX_NAMED,
    }


def latest_alarms() -> list[dict[str, Any]]:
    """The latest reuses. Only what the page shows of them, so that no hash gets into the cache."""
    alarms = IssuedToken.objects.filter(alarm_at__gt=timezone.now() - MAX_ALARM_AGE)
    alarms = alarms.exclude(alarm=IssuedToken.Alarm.CLIENT).select_related("user")
    return [
        {
            "pk": device.pk,
            "user__username": device.user.username,
            "user__email": device.user.email,
            "alarm_at": device.alarm_at,
            "alarm_ip": address_text(device, device.alarm_ip),
        }
        for device in alarms.order_by("-alarm_at")[:MAX_ALARMS]
    ]


def live_by_os() -> Live:
    """Count the live devices of each OS, or estimate them if there are over SAMPLE_SIZE devices.

    Ids are random, so the devices with the lowest ids are a fair sample. The share of the id space
    that they take up tells how many devices there are in all. With 10,000 devices in the sample,
    the standard error of the estimate of all devices is 1 %, on either database.
    """
    beyond = IssuedToken.objects.order_by("pk").values_list("pk", flat=True)[SAMPLE_SIZE:].first()
    devices = IssuedToken.objects.live()
    scale = 1.0
    if beyond is not None:
        devices = devices.filter(pk__lt=beyond)
        scale = ID_SPACE / beyond.int
    # Counted in Python, because for a GROUP BY SQLite would read the whole index on the OS.
    counts = Counter(devices.order_by().values_list("os", flat=True))
    by_os = [(os, _rounded(count * scale)) for os, count in counts.most_common()]
    return Live(_rounded(counts.total() * scale), by_os, estimated=beyond is not None)


def keys_of_devices() -> list[dict[str, Any]]:
    """The signing keys, with the live devices that the last purge counted for each.

    Empty if the ring has one key, which all devices need.
    """
    ring, now = signing.key_ring(), timezone.now()
    if len(ring.keys) == 1:
        return []
    figures = {figure.name: figure for figure in Figure.objects.all()}
    return [
        {
            "kid": key.kid,
            "figure": figures.get(f"{Figure.OF_KEY}{key.kid}"),
            "signs": key is ring.signing_key(now),
            "signs_from": key.use_from if key.use_from > now else None,
        }
        for key in ring.keys
    ]


def _rounded(number: float) -> int:
    """The number; above SAMPLE_SIZE with three digits, because the rest of an estimate is noise."""
    return round(number) if number <= SAMPLE_SIZE else int(float(f"{number:.3g}"))
