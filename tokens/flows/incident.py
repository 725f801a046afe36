"""Ends the devices of many people: counts them, notes the newest, and ends them in batches.

The API, the admin and the command all use this, so each of them ends only devices that it counted.
A person who signs in again meanwhile stays signed in.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from accounts.models import User
from accounts.text import clean_text
from accounts.throttling import forget_networks
from tokens import notices
from tokens.flows.log import log_revocation
from tokens.models import NOTE_LENGTH, IssuedToken, IssuedTokenQuerySet

# Devices. If more end, no mail is sent: so many mails would arrive late and be taken for spam.
MAX_MAILED = 1000
# Devices that one request ends, so that it stays within a server's time limit.
PIECE_SIZE = 10_000
# Devices that one transaction ends, so that no lock is held for long.
BATCH_SIZE = 1000


@dataclass(frozen=True, kw_only=True)
class Found:
    """A count of live devices: how many, of how many people, and when the newest signed in.

    If `newest` is None, devices that sign in after the count are found as well.
    """

    devices: int
    people: int = 0
    newest: datetime | None = None

    @property
    def is_mailed(self) -> bool:
        """Whether the people get a mail. Otherwise they read the note at their next request."""
        return self.devices <= MAX_MAILED


def find(devices: IssuedTokenQuerySet) -> Found:
    """Count the live devices in `devices`."""
    return Found(**devices.live().summary())


def end(
    devices: IssuedTokenQuerySet,
    found: Found,
    *,
    by: User | None = None,
    note: str = "",
    reason: str = IssuedToken.Reason.INCIDENT,
    limit: int | None = None,
) -> Iterator[tuple[IssuedTokenQuerySet, int]]:
    """End those of the `devices` that were found and are still live, batch by batch.

    Yield each batch and how many of it ended. Stop after the batch that reaches `limit` devices.
    """
    note = clean_text(note, NOTE_LENGTH)
    total = 0
    for batch in left_of(devices, found).in_batches(BATCH_SIZE):
        with transaction.atomic():
            if found.is_mailed:
                ending = batch.live().select_related("user").order_by("-last_seen_at")
                notices.tell_of_incident(ending, by=by, note=note)
            ended = batch.live().revoke(reason=reason, by=by, note=note)
        log_revocation(ended, reason, by=by)
        forget_networks(*User.objects.filter(pk__in=batch.values("user")))
        yield batch, ended
        total += ended
        if limit is not None and total >= limit:
            break


def left_of(devices: IssuedTokenQuerySet, found: Found) -> IssuedTokenQuerySet:
    """The found devices that are still live."""
    live = devices.live()
    return live if found.newest is None else live.filter(created_at__lte=found.newest)
