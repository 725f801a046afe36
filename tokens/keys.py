"""Signing keys: JSON Web Keys (RFC 7517) to a key ring. No database, no settings."""

import contextlib
import json
import os
import re
import secrets
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jwt
from django.core.exceptions import ImproperlyConfigured
from jwt.utils import base64url_decode, base64url_encode

# One key type for each algorithm. RSA and ECDSA are left out on purpose: the first is deprecated
# for signatures by ASVS 5.0 appendix C, the second signs at random, and a repeated refresh must
# answer the same bytes.
KEY_TYPES = {"HS256": "oct", "EdDSA": "OKP"}
MIN_SECRET_BYTES = 32  # RFC 7518, section 3.2
KID = re.compile(r"[ -~]{1,64}")

ACCESS = "at+jwt"  # RFC 9068
REFRESH = "rt+jwt"


@dataclass(frozen=True)
class SigningKey:
    """One key with its one algorithm, and the header segment of each token type it signs."""

    kid: str
    alg: str
    algorithm: jwt.algorithms.Algorithm = field(repr=False)
    key: Any = field(repr=False)
    can_sign: bool = True

    def header(self, typ: str) -> str:
        header = {"alg": self.alg, "kid": self.kid, "typ": typ}
        return base64url_encode(json.dumps(header, separators=(",", ":")).encode()).decode()

    def sign(self, message: bytes) -> bytes:
        return self.algorithm.sign(message, self.key)

    def verify(self, message: bytes, signature: bytes) -> bool:
        return self.algorithm.verify(message, self.key, signature)


class KeyRing:
    """The first key signs, all verify.

    `headers` holds every header segment that the ring writes, and to which key and token type
    it belongs. A token with any other header was not signed here.
    """

    def __init__(self, jwks: list[dict[str, Any]]) -> None:
        """Raise ImproperlyConfigured, without the key, unless every JWK is usable and unique."""
        keys = [read_key(jwk, position) for position, jwk in enumerate(jwks, 1)]
        if not keys:
            raise ImproperlyConfigured("JWT_SIGNING_KEYS must hold at least one key")
        if not keys[0].can_sign:
            raise ImproperlyConfigured("JWT_SIGNING_KEYS: key 1 signs and has no private part")
        if len({key.kid for key in keys}) < len(keys):
            raise ImproperlyConfigured("JWT_SIGNING_KEYS: two keys share a kid")
        self.signing_key = keys[0]
        self.headers = {key.header(typ): (key, typ) for key in keys for typ in (ACCESS, REFRESH)}


def read_key(jwk: Any, position: int) -> SigningKey:
    """The JWK, the `position`th of its set, as a signing key.

    PyJWT's own messages repeat the whole JWK, secret included, so none of them is passed on.
    """
    where = f"JWT_SIGNING_KEYS: key {position}"
    if not isinstance(jwk, dict):
        raise ImproperlyConfigured(f"{where} is not a JSON object")
    alg, kid = jwk.get("alg"), jwk.get("kid")
    if not isinstance(kid, str) or not KID.fullmatch(kid):
        raise ImproperlyConfigured(f"{where} needs a kid of 1 to 64 printable ASCII characters")
    if not isinstance(alg, str) or alg not in KEY_TYPES or jwk.get("kty") != KEY_TYPES[alg]:
        raise ImproperlyConfigured(f"{where} must be HS256 (kty oct) or EdDSA (kty OKP)")
    if alg == "HS256" and _secret_length(jwk) < MIN_SECRET_BYTES:
        raise ImproperlyConfigured(f"{where} is shorter than {MIN_SECRET_BYTES} bytes")
    if alg == "EdDSA" and jwk.get("crv") != "Ed25519":
        raise ImproperlyConfigured(f"{where} must be on the curve Ed25519")
    try:
        key = jwt.PyJWK(jwk)
        prepared = key.Algorithm.prepare_key(key.key)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise ImproperlyConfigured(f"{where} is not a valid {alg} key") from None
    can_sign = alg == "HS256" or "d" in jwk
    return SigningKey(kid=kid, alg=alg, algorithm=key.Algorithm, key=prepared, can_sign=can_sign)


def generate_signing_key(alg: str = "HS256") -> dict[str, str]:
    """A new private JWK for `alg`, with a random kid."""
    kid = secrets.token_hex(8)
    if alg == "HS256":
        secret = base64url_encode(secrets.token_bytes(MIN_SECRET_BYTES)).decode()
        return {"kty": "oct", "alg": alg, "kid": kid, "k": secret}
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    jwk = jwt.algorithms.OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate(), as_dict=True)
    return {"kty": "OKP", "alg": alg, "kid": kid, "crv": "Ed25519", "x": jwk["x"], "d": jwk["d"]}


@dataclass(frozen=True)
class DevelopmentKeys:
    """Keys made at the first start with DEBUG on, kept in `path`, readable by its owner alone."""

    path: Path

    @property
    def secret_key(self) -> str:
        return self._content["SECRET_KEY"]

    @property
    def signing_keys(self) -> str:
        return json.dumps(self._content["JWT_SIGNING_KEYS"])

    @cached_property
    def _content(self) -> dict[str, Any]:
        if not self.path.exists():
            self._create()
        try:
            return json.loads(self.path.read_text())
        except ValueError:
            raise ImproperlyConfigured(f"{self.path} is damaged. Delete it.") from None

    def _create(self) -> None:
        """Write the file whole and then link it, so that two first starts agree on one."""
        content = {
            "SECRET_KEY": secrets.token_urlsafe(64),
            "JWT_SIGNING_KEYS": {"keys": [generate_signing_key()]},
        }
        draft = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(content, file)
        with contextlib.suppress(FileExistsError):
            os.link(draft, self.path)
        draft.unlink()


def read_signing_keys(
    value: str, path: Path | None, development: DevelopmentKeys | None
) -> list[dict[str, Any]]:
    """The keys of the JWK Set in `value`, else in the file `path`, else the development keys."""
    if path is not None and not value:
        try:
            value = path.read_text()
        except OSError as error:
            raise ImproperlyConfigured(f"JWT_SIGNING_KEYS_FILE: {error}") from None
    if not value and development:
        value = development.signing_keys
    if not value:
        raise ImproperlyConfigured(
            "JWT_SIGNING_KEYS (or JWT_SIGNING_KEYS_FILE) must hold a JWK Set. Make a key with: "
            "DEBUG=true python manage.py generate_signing_key"
        )
    try:
        keys = json.loads(value)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        keys = None
    if not isinstance(keys, list):
        raise ImproperlyConfigured('JWT_SIGNING_KEYS is not a JWK Set: {"keys": [...]}')
    return keys


def _secret_length(jwk: dict[str, Any]) -> int:
    try:
        return len(base64url_decode(jwk["k"]))
    except (KeyError, ValueError, TypeError, AttributeError):
        return 0
