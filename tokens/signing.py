"""Signs JWTs, verifies them, and reads what they say. No database, and no clock.

A token is accepted if three things hold (RFC 7515, 7519, 8725). Its header is, byte for byte, one
that the key ring writes. Its signature verifies. Each claim is there once, with the right type.

Before the signature is verified, only the header is used: it is looked up to find the key.

The times of a token are made from the database's time, and the flows compare them with it. So hosts
whose clocks differ accept each other's tokens.
"""

import binascii
import functools
import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from tokens.keys import ACCESS, REFRESH, KeyRing

MAX_LENGTH = 4096  # characters of a token
MAX_INTEGER = 2**53  # RFC 7493: JSON libraries may read a larger number differently
HANDLE = re.compile(r"[A-Za-z0-9_-]{43}")
TO_URL, FROM_URL = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_", b"+/")
CLAIM_TYPES = {
    "iss": str,
    "aud": str,
    "sub": str,
    "sid": str,
    "gen": int,
    "jti": str,
    "iat": int,
    "exp": int,
    "nbf": int,  # 0 if it is left out, as in all tokens that are made here
}


class InvalidToken(Exception):
    """The token was not signed here, is malformed, or has another type than the one asked for.

    The message is for developers. No client sees it.
    """


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says.

    `sub` is the id of the user, `sid` the handle of the device, and `gen` its generation. The token
    is good from `nbf` on and before `exp`, in seconds since the epoch, by the database's time.
    """

    sub: str
    sid: str = field(repr=False)
    gen: int
    exp: int
    nbf: int


def new_handle() -> str:
    """256 random bits, as 43 base64url characters (ASVS 7.2.3)."""
    return secrets.token_urlsafe(32)


def hash_handle(handle: str) -> bytes:
    """The SHA-256 of a handle, which is all that the database stores of it.

    A handle has 256 random bits, so its hash needs no salt (ASVS 6.5.2).
    """
    return hashlib.sha256(handle.encode()).digest()


def sign_access_token(*, sub: str, sid: str, gen: int, lifetime: int, moment: datetime) -> str:
    """An access token that is valid for `lifetime` seconds from `moment`, the database's time.

    `moment` also chooses the key.
    """
    jti, iat = secrets.token_urlsafe(16), int(moment.timestamp())
    return _sign(ACCESS, moment, sub=sub, sid=sid, gen=gen, jti=jti, iat=iat, exp=iat + lifetime)


def sign_refresh_token(*, sub: str, sid: str, gen: int, moment: datetime, end: datetime) -> str:
    """The refresh token of a generation that was made at `moment`. It is valid until `end`.

    The same arguments give the same bytes, so a repeated refresh can answer the same token again.
    This holds also when another key has begun to sign since: `moment` chooses the key.
    """
    jti = _encode(hashlib.sha256(f"{sid}.{gen}".encode()).digest()[:16])
    iat, exp = int(moment.timestamp()), int(end.timestamp())
    return _sign(REFRESH, moment, sub=sub, sid=sid, gen=gen, jti=jti, iat=iat, exp=exp)


def verify(token: str, typ: str) -> Claims:
    """The claims of a token of type `typ` (ACCESS, REFRESH). Raise InvalidToken.

    The caller compares `nbf` and `exp` with the time of the database.
    """
    if len(token) > MAX_LENGTH:
        raise InvalidToken("too long")
    message, _, signature = token.rpartition(".")
    header, _, payload = message.partition(".")
    key, header_typ = key_ring().headers.get(header, (None, None))
    if key is None or header_typ != typ:
        raise InvalidToken("a header of no key here")
    content, seal = _decode(payload), _decode(signature)
    if not key.verify(message.encode(), seal):
        raise InvalidToken("bad signature")
    return _read_claims(content)


@functools.cache
def key_ring() -> KeyRing:
    """The keys of the settings, read once in each process."""
    return KeyRing(settings.JWT_SIGNING_KEYS)


def _forget_key_ring(setting: str, **kwargs: Any) -> None:
    """Read the keys again after a test has changed the setting."""
    if setting == "JWT_SIGNING_KEYS":
        key_ring.cache_clear()


setting_changed.connect(_forget_key_ring)


def _sign(typ: str, moment: datetime, **claims: str | int) -> str:
    claims = {"iss": settings.JWT_ISSUER, "aud": settings.JWT_AUDIENCE, **claims}
    key = key_ring().signing_key(moment)
    payload = _encode(json.dumps(claims, separators=(",", ":")).encode())
    message = f"{key.header[typ]}.{payload}"
    return f"{message}.{_encode(key.sign(message.encode()))}"


def _read_claims(payload: bytes) -> Claims:
    """The claims of a payload whose signature is verified. Raise InvalidToken."""
    try:
        claims = STRICT_JSON.decode(payload.decode("utf-8"))
    except (ValueError, RecursionError):
        raise InvalidToken("the payload is not JSON with unique members") from None
    if not isinstance(claims, dict):
        raise InvalidToken("the payload is not an object")
    claims = {"nbf": 0, **claims}
    for name, kind in CLAIM_TYPES.items():
        # The exact type: to isinstance(), the JSON value true is an int.
        if name not in claims or type(claims[name]) is not kind:
            raise InvalidToken(f"{name} is missing or of another type")
        if kind is int and not 0 <= claims[name] <= MAX_INTEGER:
            raise InvalidToken(f"{name} is out of range")
    if claims["iss"] != settings.JWT_ISSUER or claims["aud"] != settings.JWT_AUDIENCE:
        raise InvalidToken("another issuer or audience")
    if not HANDLE.fullmatch(claims["sid"]):
        raise InvalidToken("sid is not a handle")
    return Claims(claims["sub"], claims["sid"], claims["gen"], claims["exp"], claims["nbf"])


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("duplicate member")
    return members


STRICT_JSON = json.JSONDecoder(object_pairs_hook=_unique_members)


def _encode(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).translate(TO_URL).rstrip(b"=").decode()


def _decode(segment: str) -> bytes:
    """The bytes of a base64url segment. Raise InvalidToken if it is empty or malformed.

    Several texts decode to the same bytes. Only the one that `_encode` writes is accepted.
    """
    try:
        data = binascii.a2b_base64(segment.encode().translate(FROM_URL) + b"==")
    except ValueError:
        raise InvalidToken("a segment is not base64url") from None
    if not data or _encode(data) != segment:
        raise InvalidToken("a segment is empty or not in canonical spelling")
    return data
