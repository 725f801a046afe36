"""The pair of an `api` device: its access token and its refresh token."""

from dataclasses import dataclass

from django.conf import settings

from tokens import signing
from tokens.models import IssuedToken


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The tokens that an `api` device gets. The access token ends after `expires_in` seconds."""

    device: IssuedToken
    access_token: str
    refresh_token: str
    expires_in: int

    def __repr__(self) -> str:
        return f"<Pair of {self.device.pk}>"


def pair_of(device: IssuedToken, handle: str) -> Pair:
    """The pair of an `api` device for its current generation. `handle` is the device's own."""
    lasts = int(settings.ACCESS_TOKEN_LIFETIME.total_seconds())
    return Pair(
        device=device,
        access_token=access_token_of(device, handle, lasts),
        refresh_token=refresh_token_of(device, handle),
        expires_in=lasts,
    )


def access_token_of(device: IssuedToken, handle: str, lasts: int) -> str:
    """An access token of the current generation that is valid for `lasts` seconds."""
    return signing.sign_access_token(
        sub=str(device.user_id),
        sid=handle,
        gen=device.generation,
        lifetime=lasts,
        moment=device.now,
    )


def refresh_token_of(device: IssuedToken, handle: str) -> str:
    """The refresh token of the current generation.

    It is made of the row and the handle alone, so the same one can be made again.
    """
    return signing.sign_refresh_token(
        sub=str(device.user_id),
        sid=handle,
        gen=device.generation,
        moment=device.rotated_at,
        end=min(device.rotated_at + settings.DEVICE_IDLE_TIMEOUT, device.expires_at),
    )
