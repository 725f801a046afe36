"""Login: adds a device for an API client, for a browser, or for a script."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from accounts.models import User
from accounts.text import clean_text
from tokens import notices, signing
from tokens.client import Client
from tokens.flows.locking import lock_verified
from tokens.flows.log import log, log_revocation
from tokens.flows.pairs import Pair, access_token_of, pair_of
from tokens.models import NAME_LENGTH, IssuedToken, State, idle_timeout, lifetime
from tokens.places import locate
from tokens.statements import count_live
from tokens.user_agents import DeviceType, parse_user_agent

Kind = IssuedToken.Kind
Reason = IssuedToken.Reason


def log_in(user: User, client: Client, *, name: str = "") -> Pair:
    """Log the user in on a new `api` device. The caller has just verified the password.

    Raise Refused if the account has changed since then.
    """
    handle = signing.new_handle()
    with transaction.atomic():
        now = lock_verified(user)
        device = _add_device(user, Kind.API, handle, client, now, name=name)
        User.objects.filter(pk=user.pk).update(last_login=now)
    _report_login(device)
    return pair_of(device, handle)


def log_in_browser(user: User, client: Client, former_handle: str | None) -> str:
    """Log the user in on a new `browser` device, and return its handle.

    The device that this browser held before ends, even if it was another user's. Raise Refused if
    the account has changed since its password was verified.
    """
    handle = signing.new_handle()
    with transaction.atomic():
        now = lock_verified(user)
        if former_handle:
            former = IssuedToken.objects.filter(hash=signing.hash_handle(former_handle))
            ended = former.live().of_kind(Kind.BROWSER).revoke(reason=Reason.REPLACED)
            log_revocation(ended, Reason.REPLACED, by=user)
        device = _add_device(user, Kind.BROWSER, handle, client, now)
    _report_login(device)
    return handle


def issue_token(user: User, *, name: str, lasts: timedelta) -> tuple[IssuedToken, str]:
    """Add a device for a script. Return it, and its one access token.

    Both last for `lasts`. The device has no refresh token, is never idle, and is never fresh. Raise
    Refused if the account is deactivated.
    """
    handle = signing.new_handle()
    with transaction.atomic():
        now = lock_verified(user)
        device = _add_device(user, Kind.API, handle, Client(ip_address=None), now, name=name)
        device.device_type = DeviceType.SCRIPT
        device.authenticated_at = device.idle_at = None
        device.expires_at = now + lasts
        device.save(update_fields=["device_type", "authenticated_at", "idle_at", "expires_at"])
    log("token issued", device)
    return device, access_token_of(device, handle, int(lasts.total_seconds()))


def _add_device(
    user: User, kind: str, handle: str, client: Client, now: datetime, *, name: str = ""
) -> IssuedToken:
    """Make room under MAX_DEVICES_PER_USER, then insert a live device."""
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
    """End as many devices as it takes for one more to fit under the limit.

    Devices that were never used after their sign-in end first, the oldest of them first. After
    them, the least recently seen devices end.
    """
    excess = count_live(user.pk) - settings.MAX_DEVICES_PER_USER + 1
    if excess > 0:
        live = user.devices.live()
        unused = live.never_used().order_by("created_at").values_list("pk", flat=True)
        by_use = live.order_by("last_seen_at").values_list("pk", flat=True)
        first = list(dict.fromkeys([*unused, *by_use]))[:excess]
        ended = user.devices.filter(pk__in=first).revoke(reason=Reason.LIMIT)
        log_revocation(ended, Reason.LIMIT, user=user)
        notices.tell_of_revocation(user, count=ended, reason=Reason.LIMIT)


def _report_login(device: IssuedToken) -> None:
    log("signed in", device)
    notices.tell_of_login(device)
