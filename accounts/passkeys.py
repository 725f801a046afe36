"""Passkeys: the ceremonies of WebAuthn Level 3, by python-fido2. No HTTP.

The server stores nothing between the two halves of a ceremony. A challenge is signed, and holds the
time when it was made. Its signature names the purpose and the place that it is for, for example one
device. An answer is good once: its use moves the times in the row of the passkey.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from django.conf import settings
from django.core import signing
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.urls import reverse
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
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialParameters,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from accounts import throttling
from accounts.history import log_passkey
from accounts.letters import Facts, paths
from accounts.mail import send_mail
from accounts.models import Passkey, User
from accounts.models.passkeys import CREDENTIAL_LENGTH, NAME_LENGTH
from accounts.text import clean_text

logger = logging.getLogger(__name__)

MAX_AGE = timedelta(minutes=5)  # of a challenge
MAX_SKEW = timedelta(minutes=1)  # of the clocks of this host and the database
MAX_PASSKEYS = 20  # of a person
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


@dataclass(frozen=True)
class GivenPasskey:
    """The answer of a passkey at a sign-in, which is not verified yet, and what it was made for."""

    answer: Answer
    purpose: Purpose

    def spend(self) -> User:
        """The user of the passkey, with the passkey as `user.passkey`. Raise PasskeyRefused."""
        use = verify(self.answer, self.purpose)
        use.spend()
        use.passkey.user.passkey = use.passkey
        return use.passkey.user


def rp_id() -> str | None:
    """The host that passkeys belong to (RP ID). None for an IP address, which cannot have any."""
    host = urlsplit(settings.SITE_URL).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return host or None
    return None


def creation_options(user: User, purpose: Purpose) -> dict[str, Any]:
    """WebAuthn's options for a new passkey of the user, as JSON. Raise PasskeyRefused."""
    _require_may_add(user)
    entity = PublicKeyCredentialUserEntity(
        name=user.username, display_name=user.username, id=_handle_of(user)
    )
    options, _ = _server().register_begin(
        entity,
        _held_by(user),
        resident_key_requirement=ResidentKeyRequirement.REQUIRED,
        user_verification=VERIFIED,
        challenge=purpose.challenge(),
    )
    return dict(options.public_key)


def register(
    user: User, answer: Answer, purpose: Purpose, name: str, *, device: object, origin: Facts
) -> Passkey:
    """Add the passkey that answers the options, and mail the person. Raise PasskeyRefused.

    `device` is the primary key of the device, and `origin` what a mail says about it.
    """
    made_at, passkey = _created(answer, purpose)
    passkey.user, passkey.name = user, clean_text(name, NAME_LENGTH) or "Passkey"
    try:
        with transaction.atomic():
            owner = _lock(user)
            _require_may_add(owner)
            _require_recent(made_at, owner)
            passkey.save(force_insert=True)
            _tell(passkey, "added", device, origin)
    except IntegrityError:
        raise PasskeyRefused("This passkey is here already.") from None
    logger.info("passkey added", extra=_log_fields(passkey))
    return passkey


def remove(passkey: Passkey, *, device: object, origin: Facts) -> None:
    """Remove the passkey of the person on this device. Once it is gone, this does nothing.

    A sign-in with it comes wholly before or after, because both lock the user's row.
    """
    with transaction.atomic():
        _lock(passkey.user)
        if not Passkey.objects.filter(pk=passkey.pk).delete()[0]:
            return
        _tell(passkey, "removed", device, origin)


def request_options(purpose: Purpose, user: User | None = None) -> dict[str, Any]:
    """WebAuthn's options to use a passkey, as JSON: one of the user, or of anybody."""
    options, _ = _server().authenticate_begin(
        _held_by(user) if user else None,
        user_verification=VERIFIED,
        challenge=purpose.challenge(),
    )
    return dict(options.public_key)


def verify(answer: Answer, purpose: Purpose, user: User | None = None) -> Use:
    """Check the answer of a passkey of this user, or of anybody. Raise PasskeyRefused.

    The caller then spends what this returns.
    """
    credential = _credential_in(answer)
    passkey = (
        Passkey.objects.select_related("user")
        .annotate(now=Now())
        .filter(credential=credential, user__is_active=True)
        .first()
    )
    if passkey is None:
        raise PasskeyRefused("This passkey does not belong to an account here.")
    if user is not None and passkey.user_id != user.pk:
        raise PasskeyRefused("This passkey belongs to another account.")
    use = _asserted(answer, purpose, passkey)
    _require_recent(use.challenged_at, passkey)
    return use


def check(user: User, answer: Answer, *, device: object) -> bool:
    """Whether this is a passkey of the user, used on that device. Raise TooManyAttempts.

    Attempts are counted like passwords on the device.
    """
    with throttling.on_device(device) as attempt:
        try:
            verify(answer, step_up(device), user).spend()
        except PasskeyRefused:
            logger.info("passkey refused", extra={"user": user.pk, "device": str(device)})
        else:
            attempt.succeed()
    return attempt.has_succeeded


def step_up_options(user: User, device: object) -> dict[str, Any]:
    """WebAuthn's options for `check()`, as JSON. Raise PasskeyRefused if the user has none."""
    options = request_options(step_up(device), user)
    if not options.get("allowCredentials"):
        raise PasskeyRefused("You have no passkey here. Give your password.")
    return options


def _server() -> Fido2Server:
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


def _handle_of(user: User) -> bytes:
    """The user handle (WebAuthn, section 5.4.3), by which an authenticator tells accounts apart."""
    return str(user.pk).encode()


def _held_by(user: User) -> list[PublicKeyCredentialDescriptor]:
    held = user.passkeys.values_list("credential", flat=True)
    return [PublicKeyCredentialDescriptor(type=TYPE, id=bytes(credential)) for credential in held]


def _require_may_add(user: User | None) -> None:
    if user is None or not user.is_active or user.email_verified_at is None:
        raise PasskeyRefused("Confirm your email address first, then add a passkey.")
    if user.passkeys.count() >= MAX_PASSKEYS:
        raise PasskeyRefused(f"You have {MAX_PASSKEYS} passkeys. Remove one first.")


def _lock(user: User) -> Any:
    """The user's row, locked, with the time of the database as `now`. None if it is gone."""
    rows = User.objects.select_for_update(no_key=True).annotate(now=Now())
    return rows.filter(pk=user.pk).first()


def _tell(passkey: Passkey, what: str, device: object, origin: Facts) -> None:
    """Note in the history, and mail the person, that the passkey was "added" or "removed"."""
    log_passkey(passkey.user, what, device)
    send_mail(passkey.user, f"passkey_{what}", {**origin, "passkey": passkey.name})


def _log_fields(passkey: Passkey) -> dict[str, Any]:
    return {"user": passkey.user_id, "passkey": str(passkey.pk)}


def _created(answer: Answer, purpose: Purpose) -> tuple[datetime, Passkey]:
    """When the challenge was made, and the new passkey of nobody yet. Raise PasskeyRefused."""
    server = _server()
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
    except Exception as error:  # as in `_asserted()`
        raise PasskeyRefused from error
    return made_at, Passkey(credential=made.credential_id, public_key=key, counter=data.counter)


def _asserted(answer: Answer, purpose: Purpose, passkey: Passkey) -> Use:
    server = _server()
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


def _credential_in(answer: Answer) -> bytes:
    try:
        return bytes(websafe_decode(_read(answer)["rawId"]))
    except Exception as error:  # as in `_asserted()`
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
    handle = _handle_of(user)
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


def _require_recent(made_at: datetime, row: Any) -> None:
    """Refuse a challenge that is too old, by the clock of the database."""
    if not -MAX_SKEW <= row.now - made_at <= MAX_AGE:
        raise PasskeyRefused("That took too long. Try it once more.")


paths.update(dict.fromkeys(["passkey_added", "passkey_removed"], lambda mail: reverse("passkeys")))
