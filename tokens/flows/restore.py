"""After a restore: ends all devices, and what else an older copy brings back of access.

The copy knows nothing of the devices that were revoked, and of what was taken from accounts, since
it was made. The log does, see `accounts.restore`. Each step may run twice, and the sign that
`after_restore` is due goes last: so if this is interrupted, it is run again.
"""

from collections.abc import Iterator
from datetime import datetime

from django.contrib.admin.models import LogEntry
from django.db.models import Max
from django.db.models.functions import Now

from accounts.models import QueuedMail
from accounts.models.mails import QueuedMailQuerySet
from accounts.throttling import forget_all_networks
from tokens.flows.log import log_revocation
from tokens.models import Figure, IssuedToken, IssuedTokenQuerySet

REASON = IssuedToken.Reason.INCIDENT
NOTE = "This site was restored from an older copy. Please sign in again."
HELD = "held by after_restore"
BATCH_SIZE = 5000


def devices_to_end() -> IssuedTokenQuerySet:
    """All devices that have not ended by now. Who signs in later stays signed in.

    A clock may have been ahead when the copy was made. So the newest row counts, and not the time.
    """
    newest = IssuedToken.objects.aggregate(at=Max("created_at"))["at"]
    return IssuedToken.objects.unended().filter(created_at__lte=newest or Now())


def end_devices(devices: IssuedTokenQuerySet) -> Iterator[int]:
    """End these devices, batch by batch. Yield how many each batch ended."""
    for batch in devices.in_batches(BATCH_SIZE):
        ended = batch.unended().revoke(reason=REASON, note=NOTE)
        log_revocation(ended, REASON)
        yield ended


def hold_mails() -> int:
    """Hold the mails that waited in the copy: most of them were sent since. Return how many."""
    return mails_to_hold().hold(HELD)


def mails_to_hold() -> QueuedMailQuerySet:
    """All that wait, but not those that an earlier run has queued."""
    return QueuedMail.objects.waiting().exclude(kind="password_needed")


def finish() -> None:
    """Forget the known networks, which may be a thief's, and the sign that a restore was made."""
    forget_all_networks()
    Figure.objects.filter(name=Figure.AHEAD).delete()


def last_known() -> datetime | None:
    """The time of the newest thing that the database knows: a sign-in, an end, an act of staff."""
    times = (
        IssuedToken.objects.aggregate(at=Max("created_at"))["at"],
        IssuedToken.objects.aggregate(at=Max("revoked_at"))["at"],
        LogEntry.objects.order_by("-pk").values_list("action_time", flat=True).first(),
    )
    return max(filter(None, times), default=None)
