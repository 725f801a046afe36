"""What the admin's front page tells of all devices, from queries that stay cheap."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.cache import cache
from django.utils import timezone

from tokens.models import DailyCount, IssuedToken

logger = logging.getLogger(__name__)
MAX_AGE = 60  # seconds
SAMPLE_SIZE = 10_000  # devices; up to so many are counted one by one
ID_SPACE = 2**128
MAX_ALARMS = 5
ALARMED_FOR = timedelta(days=30)


@dataclass(frozen=True)
class Live:
    """Live devices by OS, most first. `estimated` where there are too many to count."""

    total: int
    by_os: list[tuple[str, int]]
    estimated: bool


def overview() -> dict[str, Any]:
    """The whole overview, at most a minute old. A cache that is gone costs the queries alone."""
    found = _ask_cache(cache.get, "overview")
    if found is None:
        found = _overview()
        _ask_cache(cache.set, "overview", found, MAX_AGE)
    return found


def _ask_cache(ask: Callable[..., Any], *args: Any) -> Any:
    """What the cache answers, None when it is gone."""
    try:
        return ask(*args)
    except Exception:
        logger.exception("cache unavailable")
        return None


def _overview() -> dict[str, Any]:
    alarms = IssuedToken.objects.filter(reuse_at__gt=timezone.now() - ALARMED_FOR)
    return {
        "live": live_by_os(),
        "days": DailyCount.objects.recent(),
        # Values, and no more than are shown: a cache is no place for hashes.
        "alarms": list(
            alarms.order_by("-reuse_at").values("pk", "user__username", "reuse_at", "reuse_ip")[
                :MAX_ALARMS
            ]
        ),
    }


def live_by_os() -> Live:
    """How many devices are live, of each OS.

    Ids are random, so the devices with the lowest ones are a fair sample, and how much of the
    space of ids they take up says how many there are in all. With 10,000 in the sample the
    estimate of all devices is right to 1 % (one standard error), on either database.
    """
    beyond = IssuedToken.objects.order_by("pk").values_list("pk", flat=True)[SAMPLE_SIZE:].first()
    devices = IssuedToken.objects.live()
    scale = 1.0
    if beyond is not None:
        devices = devices.filter(pk__lt=beyond)
        scale = ID_SPACE / beyond.int
    # Counted here: to group by OS, SQLite would read the index on it from end to end.
    counts = Counter(devices.order_by().values_list("os", flat=True))
    by_os = [(os, _rounded(count * scale)) for os, count in counts.most_common()]
    return Live(_rounded(counts.total() * scale), by_os, estimated=beyond is not None)


def _rounded(number: float) -> int:
    """Three digits: the rest of an estimate is noise. Exact where none is made."""
    return round(number) if number <= SAMPLE_SIZE else int(float(f"{number:.3g}"))
