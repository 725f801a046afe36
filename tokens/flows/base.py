"""What the flows share: refusals, the lock on a user, pairs of tokens, the log."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import router
from django.db.models import F
from django.db.models.functions import Now

from accounts import compiled
from accounts.compiled import Parameter
from accounts.models import User
from tokens import signing
from tokens.client import Client, locate
from tokens.compiled import find_device
from tokens.models import IssuedToken, State

logger = logging.getLogger(__name__)
TOUCH_INTERVAL = timedelta(seconds=60)
Reason = IssuedToken.Reason


class Refused(Exception):
    """A credential that is not accepted. `code` is a word of the HTTP contract; a revoked device
    gives its `reason` and the `note` that staff left for the person."""

    def __init__(self, code: str, *, reason: str = "", note: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason
        self.note = note


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What an `api` device gets to hold. `expires_in` is of the access token, in seconds."""

    device: IssuedToken
    access_token: str
    refresh_token: str
    expires_in: int

    def __repr__(self) -> str:
        return f"<Pair of {self.device.pk}>"


def pair_of(device: IssuedToken, handle: str) -> Pair:
    """The pair of an `api` device for its handle, at its current generation."""
    lasts = int(settings.ACCESS_TOKEN_LIFETIME.total_seconds())
    return Pair(
        device=device,
        access_token=access_token_of(device, handle, lasts),
        refresh_token=refresh_token_of(device, handle),
        expires_in=lasts,
    )


def access_token_of(device: IssuedToken, handle: str, lasts: int) -> str:
    return signing.sign_access_token(
        sub=str(device.user_id), sid=handle, gen=device.generation, lifetime=lasts
    )


def refresh_token_of(device: IssuedToken, handle: str) -> str:
    """The refresh token of the current generation, from the row and the handle alone."""
    ends = min(device.rotated_at + settings.DEVICE_IDLE_TIMEOUT, device.expires_at)
    return signing.sign_refresh_token(
        sub=str(device.user_id),
        sid=handle,
        gen=device.generation,
        iat=int(device.rotated_at.timestamp()),
        exp=int(ends.timestamp()),
    )


def lock(user: User) -> datetime:
    """Lock the user's row and return the database's time.

    Every flow that adds devices of a user or ends several locks this row, so that each falls
    wholly before or after the other. `no_key`, because `revoked_by` refers to staff: those who
    revoke each other at once would wait for each other. Raise Refused if the account is not what
    was verified.
    """
    rows = compiled.select(router.db_for_write(User), _active_user).fetch(pk=user.pk)
    if not rows:
        raise Refused("user_inactive")
    [(password_changed_at, now)] = rows
    if password_changed_at != user.password_changed_at:
        raise Refused("password_changed")
    return now


def _active_user() -> Any:
    users = User.objects.select_for_update(no_key=True).filter(pk=Parameter("pk"), is_active=True)
    return users.values_list("password_changed_at", Now())


def find(handle: str, kind: str) -> IssuedToken:
    """The device that holds this handle, in the one query of a request."""
    device = find_device(signing.hash_handle(handle))
    if device is None or device.kind != kind:
        raise Refused("token_invalid")
    return device


def require_live(device: IssuedToken, client: Client) -> None:
    """Raise Refused, with why, unless the device is live. A revoked one counts the refusal."""
    if device.state == State.LIVE:
        return
    if device.revoked_at:
        _count_refusal(device, client)
    if device.ended_reason == Reason.PASSWORD:
        raise Refused("password_changed")
    if device.ended_reason == Reason.DEACTIVATED and not device.user.is_active:
        raise Refused("user_inactive")
    if device.revoked_at:
        raise Refused("device_revoked", reason=device.revoked_reason, note=device.revoked_note)
    raise Refused(f"device_{device.state}")


def _count_refusal(device: IssuedToken, client: Client) -> None:
    """Note that a revoked device still tries, with at most one write in 60 s."""
    if device.refused_at and device.now - device.refused_at < TOUCH_INTERVAL:
        return
    IssuedToken.objects.filter(pk=device.pk, refused_at=device.refused_at).update(
        refused_count=F("refused_count") + 1, refused_at=device.now, refused_ip=client.ip_address
    )


def sign_of_life(device: IssuedToken, client: Client) -> dict[str, Any]:
    """What a request changes in the row of its device."""
    values: dict[str, Any] = {"last_seen_at": device.now}
    timeout = device.idle_timeout()
    if timeout is not None:
        values["idle_at"] = min(device.now + timeout, device.expires_at)
    if client.ip_address != device.last_ip:
        values |= {"last_ip": client.ip_address, "location": locate(client.ip_address)}
    return values


def assign(device: IssuedToken, values: dict[str, Any]) -> None:
    """Bring the instance up to what an UPDATE made of its row."""
    for field, value in values.items():
        setattr(device, field, value)


def log(event: str, device: IssuedToken) -> None:
    details = {"device": str(device.pk), "user": device.user_id, "kind": device.kind}
    logger.info(event, extra=details)


def log_revocation(
    ended: int, reason: str, *, user: User | None = None, by: User | None = None
) -> None:
    details = {"count": ended, "reason": reason, "user": user and user.pk, "by": by and by.pk}
    logger.info("devices revoked", extra=details)
