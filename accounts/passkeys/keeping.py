"""The passkeys of people: adding, removing and using them. No HTTP."""

import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import IntegrityError
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
from accounts.models import Passkey, PasskeyQuerySet, User
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
from accounts.passkeys.vouching import NOTHING, Voucher, check_voucher, locked, spend
from accounts.text import clean_text

logger = logging.getLogger(__name__)

MAX_PASSKEYS = 20  # of a person


@dataclass(frozen=True)
class GivenPasskey:
    """The answer of a passkey at a sign-in, which is not verified yet, and what it was made for."""

    answer: Answer = field(repr=False)
    purpose: Purpose

    def spend(self) -> User:
        """The user of the passkey, with the passkey as `user.passkey`. Raise PasskeyRefused."""
        use = verify(self.answer, self.purpose)
        use.spend()
        use.passkey.user.passkey = use.passkey
        return use.passkey.user


def creation_options(user: User, purpose: Purpose, voucher: Voucher = NOTHING) -> dict[str, Any]:
    """WebAuthn's options for a new passkey of the user, as JSON. `purpose` is of `registration()`.

    Raise PasskeyRefused, or TooManyAttempts after too many wrong recovery codes on the device.
    """
    _require_may_add(user, voucher)
    check_voucher(user, voucher, device=purpose.place)
    entity = PublicKeyCredentialUserEntity(
        name=user.username, display_name=user.username, id=handle_of(user)
    )
    options, _ = relying_party().register_begin(
        entity,
        _described(_staying(user, voucher)),
        resident_key_requirement=ResidentKeyRequirement.REQUIRED,
        user_verification=VERIFIED,
        challenge=purpose.challenge(),
    )
    return dict(options.public_key)


def register(
    user: User,
    answer: Answer,
    purpose: Purpose,
    name: str,
    *,
    device: object,
    origin: Facts,
    voucher: Voucher = NOTHING,
) -> Passkey:
    """Add the passkey that answers the options, and mail the person. Raise PasskeyRefused.

    `device` is the primary key of the device, and `origin` what a mail says about it. The caller
    has called `check_voucher()`.
    """
    made_at, passkey = created(answer, purpose)
    passkey.user, passkey.name = user, _name_from(name)
    act = "one was added with a recovery code" if voucher.code else "one was added"
    try:
        with locked(user) as owner:
            _require_may_add(owner, voucher)
            _require_recent(made_at, owner)
            passkey.vouched = spend(owner, voucher, origin)
            passkey.save(force_insert=True)
            _tell(passkey, act, "passkey_added", device, origin)
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
    with locked(passkey.user):
        if not Passkey.objects.filter(pk=passkey.pk).delete()[0]:
            return
        _tell(passkey, "one was removed", "passkey_removed", device, origin)


def request_options(purpose: Purpose, user: User | None = None) -> dict[str, Any]:
    """WebAuthn's options to use a passkey, as JSON: one of the user, or of anybody."""
    options, _ = relying_party().authenticate_begin(
        _described(user.passkeys.all()) if user else None,
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


def check(user: User, answer: Answer, *, device: object) -> Passkey | None:
    """The passkey of the user that was used on that device, or None. Raise TooManyAttempts.

    Attempts are counted like passwords on the device.
    """
    with throttling.on_device(device) as attempt:
        try:
            use = verify(answer, step_up(device), user)
            use.spend()
        except PasskeyRefused:
            logger.info("passkey refused", extra={"user": user.pk, "device": str(device)})
        else:
            attempt.succeed()
    return use.passkey if attempt.has_succeeded else None


def step_up_options(user: User, device: object) -> dict[str, Any]:
    """WebAuthn's options for `check()`, as JSON. Raise PasskeyRefused if the user has none."""
    options = request_options(step_up(device), user)
    if not options.get("allowCredentials"):
        raise PasskeyRefused("You have no passkey here. Give your password.")
    return options


def _name_from(text: str) -> str:
    return clean_text(text, NAME_LENGTH) or "Passkey"


def _described(held: PasskeyQuerySet) -> list[PublicKeyCredentialDescriptor]:
    credentials = held.values_list("credential", flat=True)
    return [PublicKeyCredentialDescriptor(type=TYPE, id=bytes(one)) for one in credentials]


def _staying(user: User, voucher: Voucher) -> PasskeyQuerySet:
    """The passkeys that stay next to a new one. A link replaces those that do not count."""
    return user.passkeys.filter(vouched=True) if voucher.link else user.passkeys.all()


def _require_may_add(user: User | None, voucher: Voucher) -> None:
    if user is None or not user.is_active or user.email_verified_at is None:
        raise PasskeyRefused("Confirm your email address first, then add a passkey.")
    if _staying(user, voucher).count() >= MAX_PASSKEYS:
        raise PasskeyRefused(f"You have {MAX_PASSKEYS} passkeys. Remove one first.")


def _tell(passkey: Passkey, act: str, kind: str, device: object, origin: Facts) -> None:
    """Note the act in the history, and mail the person."""
    log_passkey(passkey.user, act, device=device)
    send_mail(passkey.user, kind, {**origin, "passkey": passkey.name})


def _log_fields(passkey: Passkey) -> dict[str, Any]:
    return {"user": passkey.user_id, "passkey": str(passkey.pk)}


def _require_recent(made_at: datetime, row: Any) -> None:
    """Refuse a challenge that is too old, by the clock of the database."""
    if not -MAX_SKEW <= row.now - made_at <= MAX_AGE:
        raise PasskeyRefused("That took too long. Try it once more.")


paths.update(dict.fromkeys(["passkey_added", "passkey_removed"], lambda mail: reverse("passkeys")))
