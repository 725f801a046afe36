"""Ending devices: by their holder, their owner or staff, and the purge of what ended."""

import logging
from collections import Counter
from collections.abc import Iterator

from django.db import transaction

from accounts.models import User
from accounts.text import clean_text
from tokens import notices
from tokens.flows.log import log_revocation
from tokens.models import DailyCount, IssuedToken, IssuedTokenQuerySet

logger = logging.getLogger(__name__)
NOTE_LENGTH = 500
# Devices. If more end at once nobody is mailed: a flood of mail comes late, and is taken for spam.
MAILED = 1000
# Devices that one request ends, so that none runs into a server's time limit.
PIECE = 10_000
Reason = IssuedToken.Reason


def log_out(device: IssuedToken) -> int:
    """End this device, as its holder."""
    return _end_own(device, Reason.LOGOUT)


def log_out_others(device: IssuedToken) -> int:
    """End the user's other live devices."""
    return _revoke_own(device.user, device.user.devices.exclude(pk=device.pk), Reason.USER)


def log_out_all(user: User) -> int:
    """End all the user's live devices."""
    return _revoke_own(user, user.devices.all(), Reason.USER)


def end_own_device(current: IssuedToken, device: IssuedToken) -> int:
    """End one device of the owner's list: this one as a logout, another one by name."""
    if device.pk == current.pk:
        return log_out(current)
    return _end_own(device, Reason.USER)


def end_by_mail(device: IssuedToken) -> int:
    """End one device, for whoever holds the link that was mailed about it."""
    return _end_own(device, Reason.USER)


def revoke_for_user(
    user: User, devices: IssuedTokenQuerySet, *, by: User | None, note: str = ""
) -> int:
    """End, as staff, those of the user's live devices that are in `devices`.

    The user row is locked first, so that a login falls wholly before or wholly after.
    """
    note = clean_text(note, NOTE_LENGTH)
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).filter(pk=user.pk).first()
        ended = devices.filter(user=user).live().revoke(reason=Reason.STAFF, by=by, note=note)
    log_revocation(ended, Reason.STAFF, user=user, by=by)
    if ended:
        notices.tell_of_revocation(user, count=ended, reason=Reason.STAFF, note=note)
    return ended


def revoke_in_batches(
    devices: IssuedTokenQuerySet,
    *,
    reason: str,
    by: User | None = None,
    note: str = "",
    tell: bool = True,
    size: int = 1000,
) -> Iterator[tuple[IssuedTokenQuerySet, int]]:
    """End the live devices in `devices`, batch by batch; yield each batch and how many it ended.

    Each batch is its own transaction, so no lock is held for long. With `tell` the people are
    mailed once all is done; without, they read the note at their next request.
    """
    note = clean_text(note, NOTE_LENGTH)
    owners: Counter[User] = Counter()
    for batch in devices.live().in_batches(size):
        if tell:
            owners.update(device.user for device in batch.live().select_related("user"))
        ended = batch.live().revoke(reason=reason, by=by, note=note)
        log_revocation(ended, reason, by=by)
        yield batch, ended
    for user, count in owners.items():
        notices.tell_of_revocation(user, count=count, reason=reason, note=note)


def revoke_inactive(user_ids: list[int], *, size: int = 10_000) -> None:
    """End the devices of those of the users who are not active, `size` users a statement: one
    statement takes at most 65,535 parameters."""
    ended = 0
    for start in range(0, len(user_ids), size):
        devices = IssuedToken.objects.filter(
            user_id__in=user_ids[start : start + size], user__is_active=False, revoked_at=None
        )
        ended += devices.revoke(reason=Reason.DEACTIVATED)
    if ended:
        log_revocation(ended, Reason.DEACTIVATED)


def purge(devices: IssuedTokenQuerySet, *, size: int = 5000) -> Iterator[int]:
    """Delete the devices past their retention, batch by batch; yield the size of each."""
    DailyCount.objects.recent()  # counts the days whose rows may go now
    for batch in devices.past_retention().in_batches(size):
        purged = batch.past_retention()._raw_delete(using=batch.db)
        logger.info("devices purged", extra={"count": purged})
        yield purged


def _end_own(device: IssuedToken, reason: str) -> int:
    """End one device in one statement: a login of the same moment is before it or after it."""
    devices = IssuedToken.objects.filter(pk=device.pk)
    ended = devices.live().revoke(reason=reason, by=device.user)
    log_revocation(ended, reason, user=device.user, by=device.user)
    return ended


def _revoke_own(user: User, devices: IssuedTokenQuerySet, reason: str) -> int:
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).filter(pk=user.pk).first()
        ended = devices.live().revoke(reason=reason, by=user)
    log_revocation(ended, reason, user=user, by=user)
    return ended
