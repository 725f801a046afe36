"""Signing keys: reads JSON Web Keys (RFC 7517) into a key ring. No database, no settings."""

import contextlib
import json
import os
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.exceptions import ImproperlyConfigured
from jwt.utils import base64url_decode, base64url_encode

# The key type (`kty`) of each algorithm. RSA is left out, because ASVS 5.0, appendix C, deprecates
# it for signatures. ECDSA is left out, because its signatures are random, and a repeated refresh
# must answer the same bytes.
KEY_TYPES = {"HS256": "oct", "EdDSA": "OKP"}
MIN_SECRET_BYTES = 32  # RFC 7518, section 3.2
MIN_DIFFERENT_BYTES = 16  # random keys have more
KID = re.compile(r"[ -~]{1,64}")
ALWAYS = datetime.min.replace(tzinfo=UTC)  # the `use_from` of a key without one

ACCESS = "at+jwt"  # RFC 9068
REFRESH = "rt+jwt"


@dataclass(frozen=True)
class SigningKey:
    """One key, with the one algorithm that it is used with.

    It signs from `use_from` on. If `can_sign` is false, it is a public key, which only verifies.
    `header` has the header segment of its tokens by their type: ACCESS or REFRESH.
    """

    kid: str
    alg: str
    header: dict[str, str] = field(repr=False)
    algorithm: jwt.algorithms.Algorithm = field(repr=False)
    key: Any = field(repr=False)
    can_sign: bool = True
    use_from: datetime = ALWAYS

    def sign(self, message: bytes) -> bytes:
        return self.algorithm.sign(message, self.key)

    def verify(self, message: bytes, signature: bytes) -> bool:
        return self.algorithm.verify(message, self.key, signature)


class KeyRing:
    """The keys of this site. All of them verify, and at each moment one of them signs.

    `headers` maps each header segment of the ring's tokens to its key and its token type. A token
    with any other header was not signed with these keys.
    """

    def __init__(self, jwks: list[dict[str, Any]]) -> None:
        """Read the JWKs. Raise ImproperlyConfigured if none is private, or if one is not usable.

        Each one needs a `kid` and a secret of its own. The message of the error holds no key.
        """
        self.keys = [read_key(jwk, position) for position, jwk in enumerate(jwks, 1)]
        if not self.keys:
            raise ImproperlyConfigured("JWT_SIGNING_KEYS must hold at least one key")
        signing = in_turns([key for key in self.keys if key.can_sign])
        if not signing:
            raise ImproperlyConfigured("JWT_SIGNING_KEYS holds no private key, so no key can sign")
        if len({key.kid for key in self.keys}) < len(self.keys):
            raise ImproperlyConfigured("JWT_SIGNING_KEYS: two keys share a kid")
        materials = [key_material(jwk) for jwk in jwks]
        if len(set().union(*materials)) < sum(map(len, materials)):
            raise ImproperlyConfigured("JWT_SIGNING_KEYS: two keys are the same under two kids")
        self.headers = {
            header: (key, typ) for key in self.keys for typ, header in key.header.items()
        }
        self._oldest, self._newest_first = signing[0], signing[::-1]

    def signing_key(self, moment: datetime) -> SigningKey:
        """The key that signs what is issued at this moment, by the clock of the database.

        It is the newest one whose `use_from` has come. Before the first `use_from` it is the oldest
        one: so no clock decides whether a site can sign at all.
        """
        for key in self._newest_first:
            if key.use_from <= moment:
                return key
        return self._oldest


def in_turns(keys: list[SigningKey]) -> list[SigningKey]:
    """The keys in the order in which they sign, the oldest first.

    Of keys with the same `use_from`, only the first one of the ring has a turn.
    """
    turns: dict[datetime, SigningKey] = {}
    for key in keys:
        turns.setdefault(key.use_from, key)
    return [turns[use_from] for use_from in sorted(turns)]


def read_key(jwk: Any, position: int) -> SigningKey:
    """The signing key of one JWK; `position` is its place in the set, from 1.

    Raise ImproperlyConfigured if it is not usable. PyJWT's own messages repeat the whole JWK with
    its secret, so none of them is passed on.
    """
    where = f"JWT_SIGNING_KEYS: key {position}"
    if not isinstance(jwk, dict):
        raise ImproperlyConfigured(f"{where} is not a JSON object")
    alg, kid = jwk.get("alg"), jwk.get("kid")
    if not isinstance(kid, str) or not KID.fullmatch(kid):
        raise ImproperlyConfigured(f"{where} needs a kid of 1 to 64 printable ASCII characters")
    if not isinstance(alg, str) or alg not in KEY_TYPES or jwk.get("kty") != KEY_TYPES[alg]:
        raise ImproperlyConfigured(f"{where} must be HS256 (kty oct) or EdDSA (kty OKP)")
    if alg == "HS256" and sum(map(len, key_material(jwk))) < MIN_SECRET_BYTES:
        raise ImproperlyConfigured(f"{where} is shorter than {MIN_SECRET_BYTES} bytes")
    if alg == "EdDSA" and jwk.get("crv") != "Ed25519":
        raise ImproperlyConfigured(f"{where} must be on the curve Ed25519")
    if any(len(set(part)) < MIN_DIFFERENT_BYTES for part in key_material(jwk)):
        raise ImproperlyConfigured(
            f"{where} can be guessed: it has fewer than {MIN_DIFFERENT_BYTES} different bytes"
        )
    try:
        key = jwt.PyJWK(jwk)
        prepared = key.Algorithm.prepare_key(key.key)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise ImproperlyConfigured(f"{where} is not a valid {alg} key") from None
    return SigningKey(
        kid=kid,
        alg=alg,
        header={typ: _header(alg, kid, typ) for typ in (ACCESS, REFRESH)},
        algorithm=key.Algorithm,
        key=prepared,
        can_sign=alg == "HS256" or "d" in jwk,
        use_from=_read_use_from(jwk, where),
    )


def _header(alg: str, kid: str, typ: str) -> str:
    header = {"alg": alg, "kid": kid, "typ": typ}
    return base64url_encode(json.dumps(header, separators=(",", ":")).encode()).decode()


def _read_use_from(jwk: dict[str, Any], where: str) -> datetime:
    """The moment from which the key signs, in UTC. `use_from` is our own member of a JWK."""
    if "use_from" not in jwk:
        return ALWAYS
    try:
        time = datetime.fromisoformat(jwk["use_from"])
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ImproperlyConfigured(
        f"{where} needs a use_from like 2026-01-31T18:30:00Z (ISO 8601 with a time zone), or none"
    )


def generate_signing_key(alg: str = "HS256") -> dict[str, str]:
    """A new private JWK for `alg` ("HS256" or "EdDSA"), with a random `kid`."""
    kid = secrets.token_hex(8)
    if alg == "HS256":
        secret = base64url_encode(secrets.token_bytes(MIN_SECRET_BYTES)).decode()
        return {"kty": "oct", "alg": alg, "kid": kid, "k": secret}
    jwk = jwt.algorithms.OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate(), as_dict=True)
    return {"kty": "OKP", "alg": alg, "kid": kid, "crv": "Ed25519", "x": jwk["x"], "d": jwk["d"]}


@dataclass(frozen=True)
class DevelopmentKeys:
    """The keys of a development server. The first start with DEBUG on makes them.

    They are kept in the file `path`, and only its owner may read it.
    """

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
        """Write the whole file under another name, then link it to `path`.

        When two processes make keys at the same time, the first link stays and both read that file.
        """
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
    """The JWKs of the first JWK Set there is: in `value`, in the file `path`, or of `development`.

    Raise ImproperlyConfigured if there is none, or if it cannot be read.
    """
    if path is not None and not value:
        try:
            value = path.read_text()
        except OSError as error:
            raise ImproperlyConfigured(f"JWT_SIGNING_KEYS_FILE: {error}") from None
        except ValueError:
            raise ImproperlyConfigured("JWT_SIGNING_KEYS_FILE is not a file of text") from None
        if not value.strip():
            raise ImproperlyConfigured(
                "JWT_SIGNING_KEYS_FILE is empty. Put the ring back that was in it before"
            )
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


def key_material(jwk: dict[str, Any]) -> set[bytes]:
    """The bytes of the secret and of the public parts of a JWK, without those that do not decode.

    The parts are `k` of a shared secret, `d` and `x` of a key pair.
    """
    material = set()
    for name in ("k",) if jwk.get("kty") == "oct" else ("d", "x"):
        with contextlib.suppress(KeyError, ValueError, TypeError, AttributeError):
            material.add(base64url_decode(jwk[name]))
    return material
