"""The passkeys of people: adding, removing and using them. No HTTP."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.urls import reverse
from fido2.webauthn import (
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialUserEntity,
    ResidentKeyRequirement,
)

from accounts import throttling
from accounts.history import log_passkey
from accounts.letters import Facts, paths
from accounts.mail import send_mail
from accounts.models import Passkey, User
from accounts.models.passkeys import NAME_LENGTH
from accounts.passkeys.ceremonies import (
    MAX_AGE,
    MAX_SKEW,
    TYPE,
    VERIFIED,
    Answer,
    PasskeyRefused,
    Purpose,
    Use,
    asserted,
    created,
    credential_in,
    handle_of,
    relying_party,
    step_up,
)
from accounts.text import clean_text

logger = logging.getLogger(__name__)

MAX_PASSKEYS = 20  # of a person


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


def creation_options(user: User, purpose: Purpose) -> dict[str, Any]:
    """WebAuthn's options for a new passkey of the user, as JSON. Raise PasskeyRefused."""
    _require_may_add(user)
    entity = PublicKeyCredentialUserEntity(
        name=user.username, display_name=user.username, id=handle_of(user)
    )
    options, _ = relying_party().register_begin(
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
    made_at, passkey = created(answer, purpose)
    passkey.user, passkey.name = user, _name_from(name)
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


def rename(passkey: Passkey, name: str) -> None:
    """Give the passkey another name, or "Passkey" for none. Once it is gone, its row stays so."""
    passkey.name = _name_from(name)
    Passkey.objects.filter(pk=passkey.pk).update(name=passkey.name)


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
    options, _ = relying_party().authenticate_begin(
        _held_by(user) if user else None,
        user_verification=VERIFIED,
        challenge=purpose.challenge(),
    )
    return dict(options.public_key)


def verify(answer: Answer, purpose: Purpose, user: User | None = None) -> Use:
    """Check the answer of a passkey of this user, or of anybody. Raise PasskeyRefused.

    The caller then spends what this returns.
    """
    credential = credential_in(answer)
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
    use = asserted(answer, purpose, passkey)
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


def _name_from(text: str) -> str:
    return clean_text(text, NAME_LENGTH) or "Passkey"


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


def _require_recent(made_at: datetime, row: Any) -> None:
    """Refuse a challenge that is too old, by the clock of the database."""
    if not -MAX_SKEW <= row.now - made_at <= MAX_AGE:
        raise PasskeyRefused("That took too long. Try it once more.")


paths.update(dict.fromkeys(["passkey_added", "passkey_removed"], lambda mail: reverse("passkeys")))
