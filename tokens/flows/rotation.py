"""Refresh: decides whether a refresh token rotates, is answered again, or was reused."""

import logging
from hmac import compare_digest
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from accounts.compiled import Parameter
from accounts.throttling import forget_networks
from tokens import notices, signing
from tokens.client import Client
from tokens.flows.log import log
from tokens.flows.pairs import Pair, pair_of
from tokens.flows.refusals import Refused, find_holder, read_token, require_live
from tokens.flows.use import sign_of_life
from tokens.models import Figure, IssuedToken, IssuedTokenQuerySet
from tokens.statements import update_if
from tokens.stories import reuse_note

logger = logging.getLogger(__name__)
Reason = IssuedToken.Reason
MIN_ATTEMPT_LENGTH = 16  # characters of an Idempotency-Key


def refresh(refresh_token: str, client: Client, *, attempt: str | None = None) -> Pair:
    """The next pair of the device. If the last answer was lost, its current pair again.

    `attempt` is the client's Idempotency-Key. One under 16 characters counts as absent. One
    conditional UPDATE decides which request rotates, by the time of the database. At most two other
    queries run, and a repeated answer writes nothing.

    Raise Refused as `authenticate` does. A reuse ends the device and raises `refresh_invalid`.
    """
    claims = read_token(refresh_token, signing.REFRESH)
    device = _find_refreshable(claims, client)
    if claims.exp <= device.now.timestamp():
        raise Refused("token_expired")
    attempt_hash = _hash_attempt(attempt)
    while claims.gen == device.generation:
        if _rotate(device, client, attempt_hash):
            logger.debug("refresh token rotated")
            return pair_of(device, claims.sid)
        device = _find_refreshable(claims, client)
    if claims.gen == device.generation - 1 and _may_repeat(device, attempt_hash):
        _log_repeat(device, client)
        return pair_of(device, claims.sid)
    _revoke_for_reuse(device, client)
    raise Refused("refresh_invalid")


def _hash_attempt(attempt: str | None) -> bytes | None:
    """What the row keeps of an Idempotency-Key. None for one so short that it is easily guessed."""
    if attempt is None or len(attempt) < MIN_ATTEMPT_LENGTH:
        return None
    return signing.hash_handle(attempt)


def _find_refreshable(claims: signing.Claims, client: Client) -> IssuedToken:
    """The device of a refresh token. It is live, unless the token is so old that it is a reuse.

    After a restore from a backup, a token may be ahead of its row. Such a token is refused, and
    its device does not end.
    """
    device = find_holder(claims)
    if claims.gen > device.generation:
        log("refresh token ahead of its device", device)
        Figure.objects.count_ahead()
        raise Refused("token_invalid")
    if claims.gen >= device.generation - 1:
        require_live(device, client)
    return device


def _rotate(device: IssuedToken, client: Client, attempt_hash: bytes | None) -> bool:
    """Advance the generation, if no other request did and the device has not ended."""
    values = {
        **sign_of_life(device, client),
        "generation": device.generation + 1,
        "rotated_at": device.now,
        "rotated_ip": client.ip_address,
        "rotated_user_agent": client.user_agent,
        "confirmed": False,
        "attempt_hash": _kept(attempt_hash, device.attempt_hash),
    }
    return update_if(_not_rotated, device, values)


def _kept(attempt_hash: bytes | None, former: bytes | memoryview | None) -> bytes | None:
    """The hash to keep of this rotation's key, given what the row kept of the former one.

    A key that comes twice in a row is no key of one attempt. It is kept in a form that no request
    equals, and that shows it again the next time.
    """
    if attempt_hash is None or former is None:
        return attempt_hash
    spent = signing.hash_handle(attempt_hash.hex())
    return spent if bytes(former) in (attempt_hash, spent) else attempt_hash


def _not_rotated() -> IssuedTokenQuerySet:
    same = {"pk": Parameter("id"), "generation": Parameter("generation")}
    return IssuedToken.objects.unended().filter(**same)


def _may_repeat(device: IssuedToken, attempt_hash: bytes | None) -> bool:
    """Whether the previous refresh token may get the current pair again.

    Within REFRESH_GRACE it always may, because several tabs may refresh at once. After that, the
    answer must have been lost: no request has used the current generation. And the key must be that
    of the attempt that made this generation. A client without keys has the grace alone, because a
    thief without one would pass for it.
    """
    if device.now - device.rotated_at <= settings.REFRESH_GRACE:
        return True
    if device.confirmed or device.attempt_hash is None or attempt_hash is None:
        return False
    return compare_digest(device.attempt_hash, attempt_hash)


def _revoke_for_reuse(device: IssuedToken, client: Client) -> None:
    """End a device whose refresh token was reused, and keep who came second.

    `rotated_at`, `rotated_ip` and `rotated_user_agent` already hold who came first. The note names
    both clients, so that no list has to parse their user agents again. No other place learns of a
    reuse, so the log and the owner are told here.
    """
    with transaction.atomic():
        ended = IssuedToken.objects.filter(pk=device.pk, revoked_at=None).update(
            revoked_at=Now(),
            revoked_reason=Reason.REUSE,
            revoked_note=reuse_note(device, device.now, client.ip_address, client.user_agent),
            alarm=IssuedToken.Alarm.REUSE,
            alarm_at=Now(),
            alarm_ip=client.ip_address,
            alarm_client=client.user_agent,
        )
        if ended:
            notices.tell_of_reuse(device, client)
    if ended:
        logger.warning("refresh token reused", extra=_both_sides(device, client))
        forget_networks(device.user)


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
