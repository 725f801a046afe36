"""Ends the devices of one person, for that person or for staff, and purges what ended long ago."""

import logging
import uuid
from collections.abc import Collection, Iterator
from contextlib import nullcontext
from functools import reduce
from operator import or_

from accounts.models import User
from accounts.text import clean_text
from accounts.throttling import forget_networks
from tokens import notices
from tokens.flows.locking import locked
from tokens.flows.log import log_revocation
from tokens.models import NOTE_LENGTH, DailyCount, IssuedToken, IssuedTokenQuerySet
from tokens.models.states import ENDED_BY_USER

logger = logging.getLogger(__name__)
Reason = IssuedToken.Reason


def log_out(device: IssuedToken) -> int:
    """End this device, because its holder signs out. Return 1, or 0 if it was not live."""
    return _end_one(device, Reason.LOGOUT)


def log_out_others(device: IssuedToken, chosen: Collection[uuid.UUID] | None = None) -> int:
    """End the user's other live devices, or only those with a chosen id. Return how many."""
    others = device.user.devices.exclude(pk=device.pk)
    if chosen is not None:
        others = others.filter(pk__in=chosen)
    return _end(device.user, others, Reason.USER, by=device.user)


def log_out_all(user: User) -> int:
    """End all live devices of the user. Return how many."""
    return _end(user, user.devices.all(), Reason.USER, by=user)


def end_own_device(current: IssuedToken, device: IssuedToken) -> int:
    """End one device of the owner's list. For the current one this is a logout."""
    return log_out(current) if device.pk == current.pk else _end_one(device, Reason.USER)


def end_by_mail(device: IssuedToken) -> int:
    """End one device for the person who has the link that was mailed about it."""
    forget_networks(device.user)
    return _end_one(device, Reason.USER)


def revoke_for_user(
    user: User, devices: IssuedTokenQuerySet, *, by: User | None, note: str = ""
) -> int:
    """End, for staff, the user's live devices in `devices`. Return how many, and mail the user."""
    note = clean_text(note, NOTE_LENGTH)
    with locked(user):
        latest = devices.filter(user=user).live().order_by("-last_seen_at")
        shown = list(latest[: notices.LISTED])
        ended = _end(user, devices, Reason.STAFF, by=by, note=note, locks=False)
        if ended:
            notices.tell_of_revocation(user, shown, count=ended, by=by, note=note)
    if ended:
        forget_networks(user)
    return ended


def revoke_all(
    user: User, devices: IssuedTokenQuerySet, reason: str, *, by: User | None, note: str = ""
) -> int:
    """End the user's live devices in `devices`. Return how many. The caller holds the lock."""
    return _end(user, devices, reason, by=by, note=note, locks=False)


def revoke_inactive(user_ids: list[int], *, size: int = 10_000) -> None:
    """End the devices of the inactive users among these.

    Each statement is about `size` users, because a statement takes at most 65,535 parameters.
    """
    ended = 0
    for start in range(0, len(user_ids), size):
        devices = IssuedToken.objects.filter(
            user_id__in=user_ids[start : start + size], user__is_active=False, revoked_at=None
        )
        ended += devices.revoke(reason=Reason.DEACTIVATED)
    if ended:
        log_revocation(ended, Reason.DEACTIVATED)


def mark_ended(devices: IssuedTokenQuerySet) -> None:
    """Mark the rows of those that a change of their user has ended.

    They are refused without it. Marked rows show in every list when and why they ended.
    """
    for reason, condition in ENDED_BY_USER.items():
        ended = devices.filter(condition, revoked_at=None).revoke(reason=reason)
        if ended:
            log_revocation(ended, reason)


def purge(devices: IssuedTokenQuerySet, *, size: int = 5000) -> Iterator[int]:
    """Delete the devices past their retention, in batches. Yield the size of each batch.

    First mark those that have ended without a mark, for example by raw SQL.
    """
    ended_by_user = reduce(or_, ENDED_BY_USER.values())
    for batch in devices.filter(ended_by_user, revoked_at=None).in_batches(size):
        mark_ended(batch)
    DailyCount.objects.recent()  # counts the days first, because their rows may be deleted below
    for batch in devices.past_retention().in_batches(size):
        purged = batch.past_retention()._raw_delete(using=batch.db)
        logger.info("devices purged", extra={"count": purged})
        yield purged


def _end_one(device: IssuedToken, reason: str) -> int:
    """End one device. Return 1, or 0 if it was not live.

    This needs no lock: one statement falls wholly before or wholly after a login in any case.
    """
    devices = IssuedToken.objects.filter(pk=device.pk)
    return _end(device.user, devices, reason, by=device.user, locks=False)


def _end(
    user: User,
    devices: IssuedTokenQuerySet,
    reason: str,
    *,
    by: User | None,
    note: str = "",
    locks: bool = True,
) -> int:
    """End the user's live devices in `devices`. Return how many.

    With `locks`, the user's row is locked first, so that a login falls wholly before or after this.
    """
    with locked(user) if locks else nullcontext():
        ended = devices.filter(user=user).live().revoke(reason=reason, by=by, note=note)
    log_revocation(ended, reason, user=user, by=by)
    return ended
