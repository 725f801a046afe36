from datetime import timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db.models.functions import Now

from config.doctor.findings import ERROR, OK, WARNING, Finding
from tokens.models import Figure, IssuedToken
from tokens.models.states import ENDED_BY_USER

MAX_PURGE_DELAY = timedelta(days=2)  # the purge should run daily
MAX_COUNTED = 10_000  # devices


def purge() -> Finding:
    """Devices that should be gone, and when the purge ran last: it forgets and counts, too."""
    waiting = _count(IssuedToken.objects.past_retention(MAX_PURGE_DELAY))
    if waiting:
        message = f"Devices long past their retention: {waiting}."
        return Finding(WARNING, message, "Run purge_devices daily.")
    counted = Figure.objects.filter(name=Figure.LIVE)
    late = counted.filter(taken_at__lt=Now() - MAX_PURGE_DELAY).first()
    if late:
        message = f"It ended last on {late.taken_at:%Y-%m-%d}, so no addresses are forgotten."
        return Finding(WARNING, message, "Run purge_devices daily.")
    return Finding(OK, "No device is long past its retention.")


def restore() -> Finding:
    """Whether refresh tokens showed that an older database was restored."""
    ahead = Figure.objects.ahead()
    if ahead is None:
        return Finding(OK, "No sign of an older database.")
    return Finding(
        ERROR,
        f"Refresh tokens were ahead of their devices, last on {ahead.taken_at:%Y-%m-%d %H:%M} UTC: "
        "this database is older than they are, so what was revoked since may be back.",
        "Run after_restore. If no older database was restored, somebody may have your signing key.",
    )


def unmarked() -> Finding:
    """Devices that their user has ended, for example by raw SQL, and whose rows do not say so."""
    by_user = reduce(or_, ENDED_BY_USER.values())
    waiting = _count(IssuedToken.objects.unended().filter(by_user))
    if not waiting:
        return Finding(OK, "All are marked as ended.")
    return Finding(
        WARNING,
        f"They are refused, but lists show no end of them: {waiting}.",
        "Run purge_devices, which marks them. Change accounts in the admin, not by SQL.",
    )


def _count(devices: Any) -> str:
    """How many there are, up to MAX_COUNTED. "" for none."""
    count = devices[: MAX_COUNTED + 1].count()
    if count > MAX_COUNTED:
        return f"More than {MAX_COUNTED:,}"
    return f"{count:,}" if count else ""
