"""Finds the device of a credential, and says why a credential is refused."""

from datetime import timedelta

from django.db.models import F

from tokens import signing
from tokens.client import Client, network_of
from tokens.models import IssuedToken, State
from tokens.statements import find_device

TOUCH_INTERVAL = timedelta(seconds=60)  # between two writes that only note a request
Reason = IssuedToken.Reason


class Refused(Exception):
    """A credential is not accepted, and `code` says why, as in the answers of the API.

    For a revoked device, `reason` says why it ended, and `note` is what staff wrote for the person.
    """

    def __init__(self, code: str, *, reason: str = "", note: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason
        self.note = note


def read_token(token: str, typ: str) -> signing.Claims:
    """The claims of a token of this type. Raise Refused `token_invalid` if it is not ours."""
    try:
        return signing.verify(token, typ)
    except signing.InvalidToken:
        raise Refused("token_invalid") from None


def find_holder(claims: signing.Claims) -> IssuedToken:
    """The `api` device of a token, live or not, and whether or not the token is past its `exp`.

    One query, which also tells the time. Raise Refused `token_invalid` if there is no such device,
    if it is another user's, or before `nbf`.
    """
    device = find(claims.sid, IssuedToken.Kind.API)
    if claims.sub != str(device.user_id) or claims.nbf > device.now.timestamp():
        raise Refused("token_invalid")
    return device


def find(handle: str, kind: str) -> IssuedToken:
    """The device of this kind that holds this handle, live or not. One query.

    Raise Refused `token_invalid` if there is none.
    """
    device = find_device(signing.hash_handle(handle))
    if device is None or device.kind != kind:
        raise Refused("token_invalid")
    return device


def require_live(device: IssuedToken, client: Client) -> None:
    """Raise Refused, with the reason, unless the device is live. Count it if it was revoked."""
    if device.state == State.LIVE:
        return
    if device.revoked_at:
        _count_refusal(device, client)
    if device.ended_reason == Reason.PASSWORD:
        raise Refused("password_changed")
    if device.ended_reason == Reason.DEACTIVATED and not device.user.is_active:
        raise Refused("user_inactive")
    if device.state == State.REVOKED:
        # The note of a reuse says where both sides are, and this may be the thief.
        note = "" if device.revoked_reason == Reason.REUSE else device.revoked_note
        raise Refused("device_revoked", reason=device.ended_reason, note=note)
    raise Refused(f"device_{device.state}")


def _count_refusal(device: IssuedToken, client: Client) -> None:
    """Count a request of a revoked device, with at most one write in 60 s."""
    if device.refused_at and device.now - device.refused_at < TOUCH_INTERVAL:
        return
    address = client.ip_address
    if address and device.forgotten_at:
        address = str(network_of(address).network_address)
    same = {"refused_at": device.refused_at, "forgotten_at": device.forgotten_at}
    IssuedToken.objects.filter(pk=device.pk, **same).update(
        refused_count=F("refused_count") + 1, refused_at=device.now, refused_ip=address
    )
