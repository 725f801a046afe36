"""The ceremonies of WebAuthn Level 3, by python-fido2. Only `Use.spend()` asks the database.

The server stores nothing between the two halves of a ceremony. A challenge is signed, and holds the
time when it was made. Its signature names the purpose and the place that it is for, for example one
device. An answer is good once: its use moves the times in the row of the passkey.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from django.conf import settings
from django.core import signing
from django.utils import timezone
from django.utils.crypto import get_random_string
from fido2 import cbor
from fido2.cose import CoseKey
from fido2.server import Fido2Server
from fido2.utils import websafe_decode
from fido2.webauthn import (
    Aaguid,
    AttestedCredentialData,
    AuthenticationResponse,
    PublicKeyCredentialParameters,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    RegistrationResponse,
    UserVerificationRequirement,
)

from accounts.models import Passkey, User
from accounts.models.passkeys import CREDENTIAL_LENGTH

MAX_AGE = timedelta(minutes=5)  # of a challenge
MAX_SKEW = timedelta(minutes=1)  # of the clocks of this host and the database
MAX_ANSWER = 16 * 1024  # characters of an answer as JSON
MAX_KEY = 2 * 1024  # bytes; an RSA key of 4096 bits has 600
ALGORITHMS = [-7, -8, -257]  # ES256, EdDSA, RS256 (COSE)
TYPE = PublicKeyCredentialType.PUBLIC_KEY
VERIFIED = UserVerificationRequirement.REQUIRED

REFUSED = "This passkey was not accepted. Try it once more."

Answer = Mapping[str, Any] | str  # WebAuthn's JSON, read or not


class PasskeyRefused(Exception):
    """The answer of an authenticator is not accepted. The message is for the person."""

    def __init__(self, message: str = REFUSED) -> None:
        super().__init__(message)


@dataclass(frozen=True)
class Purpose:
    """What a challenge is for. `place` is where: a device, a sign-in page, or "" for anywhere."""

    act: str
    place: str = ""

    def challenge(self) -> bytes:
        made = [int(timezone.now().timestamp() * 1_000_000), get_random_string(22)]
        return signing.dumps(made, salt=self._salt()).encode()

    def made_at(self, challenge: bytes) -> datetime:
        """When this challenge was made. Raise BadSignature if it was not made for this."""
        microseconds, _ = signing.loads(challenge.decode(), salt=self._salt())
        return datetime.fromtimestamp(microseconds / 1_000_000, UTC)

    def _salt(self) -> str:
        return f"accounts.passkeys.{self.act} {self.place}"


def login(place: str = "") -> Purpose:
    return Purpose("login", place)


def step_up(device: object) -> Purpose:
    return Purpose("step-up", str(device))


def registration(device: object) -> Purpose:
    return Purpose("registration", str(device))


@dataclass(frozen=True)
class Use:
    """A verified answer of a passkey: whose it is, and what its use writes into the row."""

    passkey: Passkey
    counter: int
    challenged_at: datetime

    def spend(self) -> None:
        """Raise PasskeyRefused if the answer was used before, or the passkey is gone."""
        if not Passkey.objects.filter(pk=self.passkey.pk).spend(self.counter, self.challenged_at):
            raise PasskeyRefused


def rp_id() -> str | None:
    """The host that passkeys belong to (RP ID). None for an IP address, which cannot have any."""
    host = urlsplit(settings.SITE_URL).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return host or None
    return None


def relying_party() -> Fido2Server:
    host = rp_id()
    if host is None:
        raise PasskeyRefused("This site has no passkeys.")
    origins = {settings.SITE_URL, *settings.PASSKEY_ORIGINS}
    server = Fido2Server(
        PublicKeyCredentialRpEntity(name="Guestlist", id=host), verify_origin=origins.__contains__
    )
    server.timeout = int(MAX_AGE.total_seconds() * 1000)  # type: ignore[assignment]
    server.allowed_algorithms = [
        PublicKeyCredentialParameters(type=TYPE, alg=alg) for alg in ALGORITHMS
    ]
    return server


def handle_of(user: User) -> bytes:
    """The user handle (WebAuthn, section 5.4.3), by which an authenticator tells accounts apart."""
    return str(user.pk).encode()


def created(answer: Answer, purpose: Purpose) -> tuple[datetime, Passkey]:
    """When the challenge was made, and the new passkey of nobody yet. Raise PasskeyRefused."""
    server = relying_party()
    try:
        response = RegistrationResponse.from_dict(_read(answer))
        made_at = _check(response, purpose)
        data = server.register_complete(_state_of(response), response)
        made = data.credential_data
        if made is None or made.credential_id != response.raw_id:
            raise ValueError("credential id")
        if len(made.credential_id) > CREDENTIAL_LENGTH:
            raise ValueError("too long")
        _check_key(made.public_key)
        key = cbor.encode(dict(made.public_key))
    except Exception as error:  # as in `asserted()`
        raise PasskeyRefused from error
    return made_at, Passkey(credential=made.credential_id, public_key=key, counter=data.counter)


def asserted(answer: Answer, purpose: Purpose, passkey: Passkey) -> Use:
    server = relying_party()
    try:
        response = AuthenticationResponse.from_dict(_read(answer))
        made_at = _check(response, purpose)
        if response.response.user_handle not in _handles_for(purpose, passkey.user):
            raise ValueError("user handle")
        key = CoseKey.parse(cast(Any, cbor.decode(bytes(passkey.public_key))))
        held = AttestedCredentialData.create(Aaguid.NONE, bytes(passkey.credential), key)
        server.authenticate_complete(_state_of(response), [held], response)
    except Exception as error:
        # Bytes of strangers go through parsers of JSON, CBOR and keys. They fail in many ways, and
        # each way means the same here. No query runs inside.
        raise PasskeyRefused from error
    return Use(passkey, response.response.authenticator_data.counter, made_at)


def _read(answer: Answer) -> Any:
    if isinstance(answer, Mapping):
        return answer
    if len(answer) > MAX_ANSWER:
        raise ValueError("too long")
    return json.loads(answer)


def credential_in(answer: Answer) -> bytes:
    try:
        return bytes(websafe_decode(_read(answer)["rawId"]))
    except Exception as error:  # as in `asserted()`
        raise PasskeyRefused from error


def _check(response: Any, purpose: Purpose) -> datetime:
    """Check what python-fido2 does not: the challenge, and the frame of another site."""
    client_data = response.response.client_data
    if response.type != TYPE or client_data.cross_origin is not False:
        raise ValueError("type or frame")
    return purpose.made_at(client_data.challenge)


def _state_of(response: Any) -> dict[str, Any]:
    """What python-fido2 keeps between the halves. `_check()` has tested the challenge."""
    encoded = json.loads(response.response.client_data)["challenge"]
    return {"challenge": encoded, "user_verification": VERIFIED}


def _handles_for(purpose: Purpose, user: User) -> set[bytes | None]:
    """The user handles that may come. Where no name was given, it must (section 7.2, step 6)."""
    handle = handle_of(user)
    return {handle} if purpose.act == "login" else {handle, None}


def _check_key(key: CoseKey) -> None:
    """Refuse an algorithm that was not offered, and a key that cannot be read."""
    if key.ALGORITHM not in ALGORITHMS or len(cbor.encode(dict(key))) > MAX_KEY:
        raise ValueError("algorithm")
    try:
        key.verify(b"", b"")
    except InvalidSignature:
        return
    raise ValueError("key")
