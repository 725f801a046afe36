"""Step-up and password change. Both give the same device a new handle."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F

from accounts.models import Passkey, User
from tokens import notices, signing
from tokens.flows.locking import lock_verified
from tokens.flows.log import log, log_revocation
from tokens.flows.refusals import Refused
from tokens.models import IssuedToken

Reason = IssuedToken.Reason


def reauthenticate(device: IssuedToken, user: User, passkey: Passkey | None = None) -> str:
    """Make the device fresh. The caller has just verified the user's password, or passkey, on it.

    Return its new handle. The old tokens, or the old cookie, end at once. Raise Refused if the
    account has changed, or the device has ended, since then.
    """
    with transaction.atomic():
        if passkey:
            return renew_by_passkey(device, user, passkey)
        handle = _renew(device, lock_verified(user))
    log("password given again", device)
    return handle


def renew_by_passkey(device: IssuedToken, user: User, passkey: Passkey) -> str:
    """Do the same for a passkey that was just used. Call this in a transaction.

    A script's device never counts for staff, also if a person uses their passkey on it. Raise
    Refused if the passkey was removed since then, too.
    """
    now = lock_verified(user)
    if not user.passkeys.filter(pk=passkey.pk).exists():
        raise Refused("token_invalid")
    vouched = passkey.vouched and device.method != IssuedToken.Method.TOKEN
    handle = _renew(device, now, passkey_at=now, passkey_vouched=vouched)
    user.acts_at, user.proven_at = now, now if vouched else None
    user.was_held_back = False
    log("passkey used again", device)
    return handle


def change_password(user: User, device: IssuedToken) -> str:
    """Save the user's new password and end all other devices. Return the new handle of this one.

    The caller has verified the current password and called `set_password()`, but not `save()`.
    Raise Refused if the account has changed, or the device has ended, since then.
    """
    with transaction.atomic():
        now = lock_verified(user)
        others = user.devices.filter(revoked_at=None).exclude(pk=device.pk)
        ended = others.revoke(reason=Reason.PASSWORD, by=user)
        user.save(update_fields=["password"])
        handle = _renew(device, now, password_epoch=user.password_changed_at)
        notices.tell_of_password_change(user, notices.origin_of(device))
    log_revocation(ended, Reason.PASSWORD, user=user, by=user)
    return handle


def reset_password(user: User, origin: dict[str, Any]) -> None:
    """Save the new password that the user gave by a mailed link, which ends all their devices.

    `origin` are the facts of the request, for the mail. The caller has called `set_password()`, but
    not `save()`. Raise Refused if the account has changed, or was deleted, since it was read.
    """
    with transaction.atomic():
        lock_verified(user)
        user.save(update_fields=["password"])
        notices.tell_of_password_change(user, origin, is_reset=True)


def _renew(device: IssuedToken, now: datetime, **changes: Any) -> str:
    """Give the device a new handle and a new generation, and make it fresh from `now` on.

    The database adds 1 to the generation in the row, because the device may have been refreshed
    since it was read. Raise Refused if the device was revoked or renewed meanwhile.
    """
    handle = signing.new_handle()
    values: dict[str, Any] = {
        "hash": signing.hash_handle(handle),
        "generation": F("generation") + 1,
        "rotated_at": now,
        "confirmed": False,
        "attempt_hash": None,
        "authenticated_at": now,
        "authenticated_ip": device.presented_ip,
        **changes,
    }
    same = IssuedToken.objects.filter(hash=device.hash, revoked_at=None)
    if not same.update(**values):
        raise Refused("token_invalid")
    device.refresh_from_db(using=same.db, fields=[*values])
    device.presented_generation, device.now = device.generation, now
    return handle
