"""Use: checks the credential of each request, and notes that its device was seen."""

from contextlib import nullcontext
from typing import Any

from django.db import router, transaction

from accounts.compiled import Parameter
from accounts.durability import without_disk
from tokens import notices, signing
from tokens.client import Client
from tokens.flows.alarms import is_mailed, log_alarm, other_client
from tokens.flows.refusals import (
    TOUCH_INTERVAL,
    Refused,
    find,
    find_holder,
    read_token,
    require_live,
)
from tokens.models import IssuedToken, IssuedTokenQuerySet
from tokens.places import locate
from tokens.statements import update_if

Kind = IssuedToken.Kind


def authenticate(access_token: str, client: Client) -> IssuedToken:
    """The live device of an access token, noted as seen. One query, and at most one update.

    Raise Refused: `token_invalid`, `token_expired`, `device_...`, `user_inactive` or
    `password_changed`.
    """
    claims = read_token(access_token, signing.ACCESS)
    device = find_holder(claims)
    if claims.exp <= device.now.timestamp():
        raise Refused("token_expired")
    if claims.gen > device.generation:
        raise Refused("token_invalid")
    require_live(device, client)
    if claims.gen < device.generation - 1:
        raise Refused("token_expired")
    device.presented_generation, device.presented_ip = claims.gen, client.ip_address
    _touch(device, client)
    return device


def authenticate_browser(handle: str, client: Client) -> IssuedToken:
    """The live device of a browser's handle, noted as seen. Raise Refused as `authenticate`."""
    device = find(handle, Kind.BROWSER)
    require_live(device, client)
    device.presented_generation, device.presented_ip = device.generation, client.ip_address
    alarm = other_client(device, client)
    if alarm:
        _raise_alarm(device, client, alarm)
    else:
        _touch(device, client)
    return device


def sign_of_life(device: IssuedToken, client: Client) -> dict[str, Any]:
    """The values that a request changes in the row of its device."""
    values: dict[str, Any] = {"last_seen_at": device.now}
    timeout = device.idle_timeout()
    if timeout is not None:
        values["idle_at"] = min(device.now + timeout, device.expires_at)
    if client.ip_address != device.last_ip:
        values |= {"last_ip": client.ip_address, "location": locate(client.ip_address)}
    return values


def _touch(device: IssuedToken, client: Client) -> None:
    """Note that the device was seen: once in each generation, then at most once in 60 s.

    The first one sets `confirmed`, unless the device has got a new generation since it was read. Of
    several later ones at the same time, only one is written. A revoked device is left as it is. On
    SQLite the later ones do not wait for the disk: a power cut may take the last of them.
    """
    confirms = not device.confirmed and device.presented_generation == device.generation
    if not confirms and device.now - device.last_seen_at < TOUCH_INTERVAL:
        return
    values = sign_of_life(device, client)
    if confirms:
        update_if(_same_generation, device, {**values, "confirmed": True})
        return
    with without_disk(router.db_for_write(IssuedToken)):
        update_if(_not_seen_since, device, values)


def _raise_alarm(device: IssuedToken, client: Client, alarm: dict[str, Any]) -> None:
    """Note the alarm, and that the device was seen. Of several at the same time, one is written."""
    former_ip = device.last_ip
    tells = is_mailed(former_ip, client)
    with transaction.atomic() if tells else nullcontext():
        noted = update_if(_not_alarmed, device, {**sign_of_life(device, client), **alarm})
        if noted and tells:
            notices.tell_of_other_client(device, former_ip, client)
    if noted:
        log_alarm(device, former_ip, client)


def _not_alarmed() -> IssuedTokenQuerySet:
    return _not_revoked().filter(alarm="")


def _same_generation() -> IssuedTokenQuerySet:
    return _not_revoked().filter(generation=Parameter("generation"))


def _not_seen_since() -> IssuedTokenQuerySet:
    return _not_revoked().filter(last_seen_at=Parameter("last_seen_at"))


def _not_revoked() -> IssuedTokenQuerySet:
    return IssuedToken.objects.filter(pk=Parameter("id"), revoked_at=None)
