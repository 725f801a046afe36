"""Which signing keys the live devices need, reckoned from when each device last got its tokens.

A refresh token is signed with the key of the device's `rotated_at`, and so is the one token of a
script. An access token is signed with the key of its own moment, and lasts a little longer.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, DateTimeField, Q, Value
from django.db.models.functions import Now
from django.db.models.lookups import GreaterThan

from tokens import signing
from tokens.keys import ALWAYS, SigningKey, in_turns
from tokens.models import IssuedToken

# The upper bounds of ACCESS_TOKEN_LIFETIME and REFRESH_GRACE, whatever they were at that time.
LONGEST_ACCESS, LONGEST_GRACE = timedelta(minutes=15), timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class KeyUse:
    """How many live devices were last `issued` tokens under a key, and how many `need` the key.

    A device needs it while the device may hold a token of it. Both are None if another key has the
    same `use_from` and comes first: then nothing tells when this one signed.
    """

    key: SigningKey
    issued: int | None = None
    need: int | None = None


def count_by_key() -> tuple[list[KeyUse], int]:
    """The use of each key, in the order of the ring. One query, which counts all live devices.

    Second, how many devices got their tokens before the first `use_from`. They are counted for the
    oldest key too, but their key may be one that is not in the ring any more.
    """
    keys = signing.key_ring().keys
    # A public key has a turn here, because it may have signed before its private part was removed.
    turns = in_turns(sorted(keys, key=lambda key: not key.can_sign))
    devices = IssuedToken.objects.live().of_kind(IssuedToken.Kind.API)
    found = devices.aggregate(early=_count(rotated_at__lt=turns[0].use_from), **_counts(turns))
    uses = {
        key.kid: KeyUse(key=key, issued=found[f"issued{number}"], need=found[f"need{number}"])
        for number, key in enumerate(turns)
    }
    return [uses.get(key.kid, KeyUse(key=key)) for key in keys], found["early"]


def _counts(turns: list[SigningKey]) -> dict[str, Count]:
    starts = [ALWAYS, *(key.use_from for key in turns[1:])]
    counts = {}
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], None], strict=True)):
        issued = Q(rotated_at__gte=start)
        if end is not None:
            issued &= Q(rotated_at__lt=end)
        counts[f"issued{number}"] = _count(issued)
        counts[f"need{number}"] = _count(issued | _holds_older(end)) if end else _count(issued)
    return counts


def _holds_older(end: datetime) -> Q:
    """Devices that got tokens after `end`, and may still present one from before it.

    That is an access token until its own end, a refresh token within the grace, or one whose answer
    was lost, until it is as old as a device that is idle.
    """
    in_grace = Q(rotated_at__gt=Now() - LONGEST_GRACE)
    is_lost = Q(confirmed=False, attempt_hash__isnull=False)
    has_refresh = _is_within(settings.DEVICE_IDLE_TIMEOUT, end) & (in_grace | is_lost)
    has_token = _is_within(LONGEST_ACCESS, end) | has_refresh
    return Q(created_at__lt=end, rotated_at__gte=end) & has_token


def _is_within(length: timedelta, start: datetime) -> Q:
    """Whether less than `length` has passed since `start`."""
    return Q(GreaterThan(Value(start, DateTimeField()), Now() - length))


def _count(*conditions: Q, **values: Any) -> Count:
    return Count("pk", filter=Q(*conditions, **values))
