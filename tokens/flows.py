"""What happens to devices. The only place that joins a signature to a row.

Plain values in, plain values out, no HTTP. No password is hashed here: callers verify it first
and hand over the user they verified, so that no lock is held while Argon2 works.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User
from tokens import signing
from tokens.client import Client, clean_text, locate, parse_user_agent
from tokens.models import IssuedToken, IssuedTokenQuerySet, State, idle_timeout, lifetime

logger = logging.getLogger(__name__)

TOUCH_INTERVAL = timedelta(seconds=60)
NAME_LENGTH = 64
NOTE_LENGTH = 500

Kind = IssuedToken.Kind
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


# Signing in


def log_in(user: User, client: Client, *, name: str = "") -> Pair:
    """Sign the user, whose password was just verified, in on a new `api` device.

    Raise Refused if the account changed since it was verified.
    """
    handle = signing.new_handle()
    with transaction.atomic():
        now = _lock(user)
        device = _add_device(user, Kind.API, handle, client, now, name=name)
        User.objects.filter(pk=user.pk).update(last_login=now)
    _log("signed in", device)
    return pair_of(device, handle)


def sign_in_browser(user: User, client: Client, former_handle: str | None) -> str:
    """Sign the user in on a new `browser` device and return its handle.

    The device that this browser held before, whoever its user, is replaced.
    """
    handle = signing.new_handle()
    with transaction.atomic():
        now = _lock(user)
        if former_handle:
            former = IssuedToken.objects.filter(hash=signing.hash_handle(former_handle))
            former.live().of_kind(Kind.BROWSER).revoke(reason=Reason.REPLACED)
        device = _add_device(user, Kind.BROWSER, handle, client, now)
    _log("signed in", device)
    return handle


def issue_token(user: User, *, name: str, lasts: timedelta) -> tuple[IssuedToken, str]:
    """A device for a script, and its one access token, which lasts as long as the device.

    It has no refresh token, is never idle, and never fresh.
    """
    handle = signing.new_handle()
    with transaction.atomic():
        now = _lock(user)
        device = _add_device(user, Kind.API, handle, Client(ip_address=None), now, name=name)
        device.authenticated_at = device.idle_at = None
        device.expires_at = now + lasts
        device.save(update_fields=["authenticated_at", "idle_at", "expires_at"])
    _log("token issued", device)
    return device, _access_token(device, handle, int(lasts.total_seconds()))


# Use


def authenticate(access_token: str, client: Client) -> IssuedToken:
    """The live device of an access token, noted as seen. One query, at most one update.

    Raise Refused: `token_invalid`, `token_expired`, `device_...`, `user_inactive` or
    `password_changed`.
    """
    try:
        claims = signing.verify(access_token, signing.ACCESS)
    except signing.InvalidToken:
        raise Refused("token_invalid") from None
    except signing.ExpiredToken:
        raise Refused("token_expired") from None
    device = _find(claims.sid, Kind.API)
    if claims.sub != str(device.user_id) or claims.gen > device.generation:
        raise Refused("token_invalid")
    _require_live(device)
    if claims.gen < device.generation - 1:
        raise Refused("token_expired")
    device.presented_generation = claims.gen
    _touch(device, client)
    return device


def authenticate_browser(handle: str, client: Client) -> IssuedToken:
    """The live device of a browser's handle, noted as seen. Raise Refused as `authenticate`."""
    device = _find(handle, Kind.BROWSER)
    _require_live(device)
    device.presented_generation = device.generation
    _touch(device, client)
    return device


# Refresh


def refresh(refresh_token: str, client: Client, *, attempt: str | None = None) -> Pair:
    """The next pair of the device, or its current one again for an answer that was lost.

    `attempt` is the caller's Idempotency-Key. One conditional UPDATE on the database's clock
    decides who rotates; at most two queries stand beside it, and a repeated answer writes
    nothing. Raise Refused as `authenticate`, or `refresh_invalid` after a reuse, which has ended
    the device by then.
    """
    claims, is_past_exp = _read_refresh_token(refresh_token)
    device = _find_refreshable(claims)
    if is_past_exp:
        raise Refused("token_expired")
    attempt_hash = None if attempt is None else signing.hash_handle(attempt)
    while claims.gen == device.generation:
        if _rotate(device, client, attempt_hash):
            return pair_of(device, claims.sid)
        device = _find_refreshable(claims)
    if claims.gen == device.generation - 1 and _may_repeat(device, attempt_hash):
        _log_repeat(device, client)
        return pair_of(device, claims.sid)
    _revoke_for_reuse(device, client)
    raise Refused("refresh_invalid")


# Step-up and password


def reauthenticate(device: IssuedToken, user: User) -> str:
    """Make the device fresh, the user's password having just been verified on it.

    Return its new handle: the old tokens, or the old cookie, end at once. Raise Refused if the
    account or the device ended meanwhile.
    """
    with transaction.atomic():
        return _renew(device, _lock(user))


def change_password(user: User, device: IssuedToken) -> str:
    """Save the new password of `user`, end every other device, and return the new handle of this
    one.

    `user` has had `set_password()` called, after the current password was verified, and is not
    saved. Raise Refused if the account or the device ended meanwhile.
    """
    with transaction.atomic():
        now = _lock(user)
        others = user.devices.filter(revoked_at=None).exclude(pk=device.pk)
        others.revoke(reason=Reason.PASSWORD, by=user)
        user.save(update_fields=["password"])
        handle = _renew(device, now, password_epoch=user.password_changed_at)
    _log("password changed", device)
    return handle


def pair_of(device: IssuedToken, handle: str) -> Pair:
    """The pair of an `api` device for its handle, at its current generation."""
    lasts = int(settings.ACCESS_TOKEN_LIFETIME.total_seconds())
    return Pair(
        device=device,
        access_token=_access_token(device, handle, lasts),
        refresh_token=_refresh_token(device, handle),
        expires_in=lasts,
    )


# Ending


def log_out(device: IssuedToken) -> int:
    """End this device, as its holder."""
    return _revoke_own(device.user, IssuedToken.objects.filter(pk=device.pk), Reason.LOGOUT)


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
    return _revoke_own(device.user, IssuedToken.objects.filter(pk=device.pk), Reason.USER)


def revoke_for_user(
    user: User, devices: IssuedTokenQuerySet, *, by: User | None, note: str = ""
) -> int:
    """End, as staff, those of the user's live devices that are in `devices`.

    The user row is locked first, so that a login falls wholly before or wholly after.
    """
    note = clean_text(note, NOTE_LENGTH)
    with transaction.atomic():
        User.objects.select_for_update().filter(pk=user.pk).first()
        ended = devices.filter(user=user).live().revoke(reason=Reason.STAFF, by=by, note=note)
    _log_revocation(ended, Reason.STAFF, user=user, by=by)
    return ended


def revoke_in_batches(
    devices: IssuedTokenQuerySet,
    *,
    reason: str,
    by: User | None = None,
    note: str = "",
    size: int = 1000,
) -> Iterator[tuple[IssuedTokenQuerySet, int]]:
    """End the live devices in `devices`, batch by batch; yield each batch and how many it ended.

    Each batch is its own transaction, so no lock is held for long.
    """
    note = clean_text(note, NOTE_LENGTH)
    for batch in devices.live().in_batches(size):
        ended = batch.live().revoke(reason=reason, by=by, note=note)
        _log_revocation(ended, reason, by=by)
        yield batch, ended


def purge(devices: IssuedTokenQuerySet, *, size: int = 5000) -> Iterator[int]:
    """Delete the devices past their retention, batch by batch; yield the size of each."""
    for batch in devices.past_retention().in_batches(size):
        yield batch.past_retention()._raw_delete(using=batch.db)


# Private


def _lock(user: User) -> datetime:
    """Lock the user's row and return the database's time.

    Every flow that adds or ends devices of a user passes here, so that each falls wholly before
    or after the other. Raise Refused if the account is not what was verified.
    """
    locked = User.objects.select_for_update().annotate(now=Now()).filter(pk=user.pk).first()
    if locked is None or not locked.is_active:
        raise Refused("user_inactive")
    if locked.password_changed_at != user.password_changed_at:
        raise Refused("password_changed")
    return locked.now


def _add_device(
    user: User, kind: str, handle: str, client: Client, now: datetime, *, name: str = ""
) -> IssuedToken:
    """Insert a live device, after making room for it under MAX_DEVICES_PER_USER."""
    _make_room(user)
    agent = parse_user_agent(client.user_agent)
    expires_at = now + lifetime(kind, user)
    device = IssuedToken(
        user=user,
        kind=kind,
        hash=signing.hash_handle(handle),
        rotated_at=now,
        password_epoch=user.password_changed_at,
        name=clean_text(name, NAME_LENGTH),
        browser=agent.browser,
        os=agent.os,
        device_type=agent.device_type,
        user_agent=client.user_agent,
        ip_address=client.ip_address,
        last_ip=client.ip_address,
        location=locate(client.ip_address),
        created_at=now,
        authenticated_at=now,
        last_seen_at=now,
        idle_at=min(now + idle_timeout(kind, user), expires_at),
        expires_at=expires_at,
    )
    device.save(force_insert=True)
    device.now, device.state = now, State.LIVE
    return device


def _make_room(user: User) -> None:
    """Revoke what exceeds the limit once one more is added: first the devices never used since
    their sign-in, then the least recently seen."""
    live = user.devices.live()
    excess = live.count() - settings.MAX_DEVICES_PER_USER + 1
    if excess > 0:
        unused = live.never_used().order_by("created_at").values_list("pk", flat=True)
        by_use = live.order_by("last_seen_at").values_list("pk", flat=True)
        first = list(dict.fromkeys([*unused, *by_use]))[:excess]
        user.devices.filter(pk__in=first).revoke(reason=Reason.LIMIT)


def _find(handle: str, kind: str) -> IssuedToken:
    """The device that holds this handle, in the one query of a request."""
    device = IssuedToken.objects.with_state().filter(hash=signing.hash_handle(handle)).first()
    if device is None or device.kind != kind:
        raise Refused("token_invalid")
    return device


def _require_live(device: IssuedToken) -> None:
    if device.state == State.LIVE:
        return
    if device.revoked_at:
        raise Refused("device_revoked", reason=device.revoked_reason, note=device.revoked_note)
    if device.ended_reason == Reason.DEACTIVATED:
        raise Refused("user_inactive")
    if device.ended_reason == Reason.PASSWORD:
        raise Refused("password_changed")
    raise Refused(f"device_{device.state}")


def _touch(device: IssuedToken, client: Client) -> None:
    """Note that the device was seen: once for each generation, then at most once in 60 s.

    The conditions let one of several requests at once write, never revive a revoked device, and
    never confirm a later generation than the one presented.
    """
    confirms = not device.confirmed and device.presented_generation == device.generation
    if not confirms and device.now - device.last_seen_at < TOUCH_INTERVAL:
        return
    seen = _seen(device, client)
    row = IssuedToken.objects.filter(pk=device.pk, revoked_at=None)
    if confirms:
        row = row.filter(generation=device.generation)
        seen["confirmed"] = True
    else:
        row = row.filter(last_seen_at=device.last_seen_at)
    row.update(**seen)
    _set(device, seen)


def _seen(device: IssuedToken, client: Client) -> dict[str, Any]:
    """What a sign of life changes in the row."""
    seen: dict[str, Any] = {"last_seen_at": device.now}
    timeout = device.idle_timeout()
    if timeout is not None:
        seen["idle_at"] = min(device.now + timeout, device.expires_at)
    if client.ip_address != device.last_ip:
        seen |= {"last_ip": client.ip_address, "location": locate(client.ip_address)}
    return seen


def _set(device: IssuedToken, values: dict[str, Any]) -> None:
    for field, value in values.items():
        setattr(device, field, value)


def _read_refresh_token(token: str) -> tuple[signing.Claims, bool]:
    """The claims of a refresh token, and whether it is past its `exp`."""
    try:
        return signing.verify(token, signing.REFRESH), False
    except signing.ExpiredToken as expired:
        return expired.claims, True
    except signing.InvalidToken:
        raise Refused("token_invalid") from None


def _find_refreshable(claims: signing.Claims) -> IssuedToken:
    """The device of a refresh token; a live one if the generation is one that may refresh.

    A token ahead of its row, as a restored backup of the database makes them, is refused and
    ends nothing.
    """
    device = _find(claims.sid, Kind.API)
    if claims.sub != str(device.user_id):
        raise Refused("token_invalid")
    if claims.gen > device.generation:
        _log("refresh token ahead of its device", device)
        raise Refused("token_invalid")
    if claims.gen >= device.generation - 1:
        _require_live(device)
    return device


def _rotate(device: IssuedToken, client: Client, attempt_hash: bytes | None) -> bool:
    """Advance the generation, if nobody did before and the device is not ended."""
    values = {
        **_seen(device, client),
        "generation": device.generation + 1,
        "rotated_at": device.now,
        "rotated_ip": client.ip_address,
        "rotated_user_agent": client.user_agent,
        "confirmed": False,
        "attempt_hash": attempt_hash,
    }
    same = IssuedToken.objects.filter(
        Q(idle_at=None) | Q(idle_at__gt=Now()),
        pk=device.pk,
        generation=device.generation,
        revoked_at=None,
        expires_at__gt=Now(),
    )
    if not same.update(**values):
        return False
    _set(device, values)
    return True


def _may_repeat(device: IssuedToken, attempt_hash: bytes | None) -> bool:
    """Whether the previous refresh token may have the current pair again.

    Within the grace always: several tabs refresh at once. Later only while nobody has used the
    current generation, which says that its answer was lost, and only for the attempt that asked
    for it.
    """
    if device.now - device.rotated_at <= settings.REFRESH_GRACE:
        return True
    return not device.confirmed and device.attempt_hash == attempt_hash


def _revoke_for_reuse(device: IssuedToken, client: Client) -> None:
    """End a device whose refresh token came back, and keep who came second.

    Who came first stands in `rotated_at`, `rotated_ip` and `rotated_user_agent`. This is the one
    place that knows of a reuse: whoever is to be told is told here.
    """
    ended = IssuedToken.objects.filter(pk=device.pk, revoked_at=None).update(
        revoked_at=Now(),
        revoked_reason=Reason.REUSE,
        reuse_at=Now(),
        reuse_ip=client.ip_address,
        reuse_user_agent=client.user_agent,
    )
    if ended:
        logger.warning("refresh token reused", extra=_both_sides(device, client))


def _log_repeat(device: IssuedToken, client: Client) -> None:
    logger.info("refresh answered again", extra=_both_sides(device, client))


def _both_sides(device: IssuedToken, client: Client) -> dict[str, Any]:
    return {
        "device": str(device.pk),
        "user": device.user_id,
        "first_at": device.rotated_at.isoformat(),
        "first_ip": device.rotated_ip,
        "first_user_agent": device.rotated_user_agent,
        "second_at": device.now.isoformat(),
        "second_ip": client.ip_address,
        "second_user_agent": client.user_agent,
    }


def _renew(device: IssuedToken, now: datetime, **changes: datetime) -> str:
    """Give the device a new handle and a new generation, fresh from now."""
    handle = signing.new_handle()
    values: dict[str, Any] = {
        "hash": signing.hash_handle(handle),
        "generation": device.generation + 1,
        "rotated_at": now,
        "confirmed": False,
        "attempt_hash": None,
        "authenticated_at": now,
        **changes,
    }
    same = IssuedToken.objects.filter(pk=device.pk, hash=device.hash, revoked_at=None)
    if not same.update(**values):
        raise Refused("token_invalid")
    _set(device, values)
    device.presented_generation = device.generation
    return handle


def _access_token(device: IssuedToken, handle: str, lasts: int) -> str:
    return signing.sign_access_token(
        sub=str(device.user_id), sid=handle, gen=device.generation, lifetime=lasts
    )


def _refresh_token(device: IssuedToken, handle: str) -> str:
    """The refresh token of the current generation, from the row and the handle alone."""
    ends = min(device.rotated_at + settings.DEVICE_IDLE_TIMEOUT, device.expires_at)
    return signing.sign_refresh_token(
        sub=str(device.user_id),
        sid=handle,
        gen=device.generation,
        iat=int(device.rotated_at.timestamp()),
        exp=int(ends.timestamp()),
    )


def _revoke_own(user: User, devices: IssuedTokenQuerySet, reason: str) -> int:
    with transaction.atomic():
        User.objects.select_for_update().filter(pk=user.pk).first()
        ended = devices.live().revoke(reason=reason, by=user)
    _log_revocation(ended, reason, user=user, by=user)
    return ended


def _log(event: str, device: IssuedToken) -> None:
    details = {"device": str(device.pk), "user": device.user_id, "kind": device.kind}
    logger.info("%s: device %s", event, device.pk, extra=details)


def _log_revocation(
    ended: int, reason: str, *, user: User | None = None, by: User | None = None
) -> None:
    details = {"reason": reason, "user": user and user.pk, "by": by and by.pk}
    logger.info("%d devices revoked: %s", ended, reason, extra=details)
