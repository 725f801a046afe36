"""Login: adds a device for an API client, for a browser, or for a script."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from operator import attrgetter

from django.conf import settings
from django.db import router, transaction

from accounts import throttling
from accounts.compiled import Parameter
from accounts.inserting import insert
from accounts.models import Throttle, User
from accounts.text import clean_text
from accounts.throttling import TooManyAttempts
from tokens import notices, signing
from tokens.client import Client, is_near
from tokens.flows.locking import lock_login, lock_verified
from tokens.flows.log import log, log_revocation
from tokens.flows.pairs import Pair, access_token_of, pair_of
from tokens.flows.refusals import Refused
from tokens.models import (
    NAME_LENGTH,
    IssuedToken,
    IssuedTokenQuerySet,
    State,
    idle_timeout,
    lifetime,
)
from tokens.places import locate
from tokens.statements import HOUR, DevicesOf, Others, look_at_devices, update_if
from tokens.user_agents import DeviceType, parse_user_agent

MAX_LOGINS_PER_HOUR = 60  # of one account; scripts use `issue_token` instead
Kind = IssuedToken.Kind
Method = IssuedToken.Method
Reason = IssuedToken.Reason


def log_in(user: User, client: Client, *, name: str = "") -> Pair:
    """Log the user in on a new `api` device. The caller has just verified the password.

    Raise Refused if the account has changed since then.
    """
    handle = signing.new_handle()
    with _logging_in(user) as now:
        device, others = _add_device(user, Kind.API, handle, client, now, name=name)
        notices.tell_of_login(device, others)
    log("signed in", device)
    return pair_of(device, handle)


def log_in_browser(
    user: User, client: Client, former_handle: str | None, *, at_most: timedelta | None = None
) -> str:
    """Log the user in on a new `browser` device, and return its handle.

    The device lasts for `at_most`, for example on a shared computer, and never longer than usual.
    The device that this browser held before ends, even if it was another user's. Raise Refused if
    the account has changed since its password was verified.
    """
    handle = signing.new_handle()
    with _logging_in(user) as now:
        if former_handle:
            former = IssuedToken.objects.filter(hash=signing.hash_handle(former_handle))
            ended = former.live().of_kind(Kind.BROWSER).revoke(reason=Reason.REPLACED)
            log_revocation(ended, Reason.REPLACED, by=user)
        device, others = _add_device(user, Kind.BROWSER, handle, client, now, at_most=at_most)
        notices.tell_of_login(device, others)
    # For the rest of the request.
    user.acts_at, user.proven_at = now, now if device.passkey_vouched else None
    log("signed in", device)
    return handle


def issue_token(user: User, *, name: str, lasts: timedelta) -> tuple[IssuedToken, str]:
    """Add a device for a script. Return it, and its one access token.

    Both last for `lasts`. The device has no refresh token, is never idle, and is never fresh. Raise
    Refused if the account is deactivated.
    """
    handle = signing.new_handle()
    with transaction.atomic():
        now = lock_verified(user)
        client = Client(ip_address=None)
        device, _ = _add_device(user, Kind.API, handle, client, now, name=name, is_limited=False)
        device.device_type = DeviceType.SCRIPT
        device.method = Method.TOKEN.value
        device.authenticated_at = device.idle_at = None
        device.expires_at = now + lasts
        device.save(
            update_fields=["device_type", "method", "authenticated_at", "idle_at", "expires_at"]
        )
    log("token issued", device)
    return device, access_token_of(device, handle, int(lasts.total_seconds()))


@contextmanager
def _logging_in(user: User) -> Iterator[datetime]:
    """The transaction of a login, at this time of the database. The user's attempt succeeds in it.

    Raise Refused if the account has changed since its password was verified, or its passkey was
    removed.
    """
    attempt, user.attempt = user.attempt, None
    with throttling.deciding(attempt):
        now = lock_login(user)
        if user.passkey and not user.passkeys.filter(pk=user.passkey.pk).exists():
            raise Refused("passkey_removed")
        yield now


def _add_device(
    user: User,
    kind: str,
    handle: str,
    client: Client,
    now: datetime,
    *,
    name: str = "",
    at_most: timedelta | None = None,
    is_limited: bool = True,
) -> tuple[IssuedToken, Others]:
    """Insert a live device, and make room for it under MAX_DEVICES_PER_USER.

    Return it, and what the others of the user were before.

    Raise TooManyAttempts if the user has signed in too often in the last hour.
    """
    device = _new_device(user, kind, handle, client, now, at_most=at_most)
    device.name = clean_text(name, NAME_LENGTH)
    others = look_at_devices(user.pk, device.browser, device.os)
    if is_limited and others.first_recent and others.recent >= MAX_LOGINS_PER_HOUR:
        raise TooManyAttempts(Throttle.Kind.ACCOUNT, others.first_recent + HOUR - now)
    excess = others.live - settings.MAX_DEVICES_PER_USER + 1
    if excess > 0:
        _make_room(device, others.live, excess)
    insert(router.db_for_write(IssuedToken), device)
    device.now, device.state = now, State.LIVE
    return device, others


def _new_device(
    user: User,
    kind: str,
    handle: str,
    client: Client,
    now: datetime,
    *,
    at_most: timedelta | None,
) -> IssuedToken:
    """The device of this sign-in, not saved."""
    agent = parse_user_agent(client.user_agent)
    longest = lifetime(kind, user)
    expires_at = now + (min(longest, at_most) if at_most else longest)
    return IssuedToken(
        user=user,
        kind=kind,
        hash=signing.hash_handle(handle),
        rotated_at=now,
        password_epoch=user.password_changed_at,
        browser=agent.browser,
        os=agent.os,
        device_type=agent.device_type,
        user_agent=client.user_agent,
        ip_address=client.ip_address,
        last_ip=client.ip_address,
        location=locate(client.ip_address),
        created_at=now,
        method=Method.PASSKEY.value if user.passkey else Method.PASSWORD.value,
        passkey_at=now if user.passkey else None,
        passkey_vouched=bool(user.passkey and user.passkey.vouched),
        authenticated_at=now,
        authenticated_ip=client.ip_address,
        last_seen_at=now,
        idle_at=min(now + idle_timeout(kind, user), expires_at),
        expires_at=expires_at,
        was_staff=user.is_staff,
        was_superuser=user.is_superuser,
    )


def _make_room(new: IssuedToken, live: int, excess: int) -> None:
    """End `excess` of the `live` devices of the user, to make room for the new one.

    Devices of the same client and network end first, the least recently seen of them first: so a
    script that signs in again and again ends its own. Then those end that were never used after
    their sign-in, then the least recently seen.
    """
    devices = DevicesOf(new.user_id, State.LIVE, None)[0:live]
    ending = sorted(devices, key=lambda device: _worth(device, new))[:excess]
    revoked = {"revoked_at": new.created_at, "revoked_reason": Reason.LIMIT.value}
    in_order = sorted(ending, key=attrgetter("id"))  # as all code that ends several
    ended = sum([update_if(_not_revoked, device, revoked) for device in in_order])
    log_revocation(ended, Reason.LIMIT, user=new.user)
    notices.tell_of_limit(new.user, ending)


def _not_revoked() -> IssuedTokenQuerySet:
    return IssuedToken.objects.filter(id=Parameter("id"), revoked_at=None)


def _worth(device: IssuedToken, new: IssuedToken) -> tuple[bool, bool, datetime]:
    """Sorts the devices that are missed least to the front."""
    is_same_client = (device.browser, device.os) == (new.browser, new.os)
    is_own = is_same_client and any(
        is_near(ip, new.ip_address) for ip in (device.ip_address, device.last_ip)
    )
    is_used = device.confirmed or device.generation > 1
    return not is_own, is_used, device.last_seen_at
