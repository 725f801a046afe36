"""What lets a member of staff add a passkey that counts for staff: never a password alone.

The first passkey needs a link from a superuser or from the server, and one after a loss needs a
recovery code. Each other needs a device where such a passkey was used. No HTTP.
"""

import base64
import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.urls import reverse

from accounts import throttling
from accounts.history import last_passkey_act, log_passkey
from accounts.letters import Facts, Mail, by_staff, paths
from accounts.log import log_committed
from accounts.mail import send_mail, send_mails
from accounts.models import Passkey, RecoveryCode, User, UserQuerySet
from accounts.passkeys.ceremonies import PasskeyRefused

LINK_LASTS = timedelta(days=1)
LINK_SALT = "accounts.passkeys.link"
CODES = 10  # recovery codes that a person gets at once
# Random bytes of a code. From 112 bits on, a plain hash is enough (ASVS 6.5.2).
CODE_SIZE = 15
GROUP = 4  # characters of a code between two hyphens

NEEDED = (
    "Use a passkey on this device first, then add another. If you have none yet, ask a superuser "
    "for a link. If you lost yours, use a recovery code."
)
BAD_LINK = "This link has ended, or is for another account. Ask a superuser for a new one."
BAD_CODE = "This is not one of your recovery codes, or it was used before."


@dataclass(frozen=True)
class Voucher:
    """What is shown for a passkey that counts for staff.

    `is_proven`: such a passkey was used on this device lately.
    """

    is_proven: bool = False
    link: str = field(default="", repr=False)
    code: str = field(default="", repr=False)


NOTHING = Voucher()


def is_needed(user: User) -> bool:
    """Whether this person adds passkeys with a voucher alone, because they are of staff."""
    return settings.STAFF_NEEDS_PASSKEY and user.is_of_staff()


def without_passkey() -> UserQuerySet:
    """Active people of staff who have no passkey that counts for staff."""
    theirs = Passkey.objects.filter(user=OuterRef("pk"), vouched=True)
    return User.objects.of_staff().filter(~Exists(theirs), is_active=True).order_by("pk")


def check_voucher(user: User, voucher: Voucher, *, device: object) -> None:
    """Raise PasskeyRefused if the user may not add a passkey with it, or TooManyAttempts.

    Wrong codes are counted like wrong passwords on the device, so call this outside transactions.
    """
    if voucher.code:
        with throttling.on_device(device) as attempt:
            if user.recovery_codes.filter(hash=_hash(voucher.code)).exists():
                attempt.succeed()
        if not attempt.has_succeeded:
            raise PasskeyRefused(BAD_CODE)
    elif voucher.link:
        if not is_good_link(user, voucher.link):
            raise PasskeyRefused(BAD_LINK)
    elif not voucher.is_proven and is_needed(user):
        raise PasskeyRefused(NEEDED)


def spend(user: User, voucher: Voucher, origin: Facts) -> bool:
    """Use up the voucher for a new passkey. Return whether the passkey counts for staff.

    `origin` is for the mail about a recovery code. The caller holds the lock on the user. Raise
    PasskeyRefused if the voucher has ended meanwhile.
    """
    if voucher.code:
        if not user.recovery_codes.spend(_hash(voucher.code)):
            raise PasskeyRefused(BAD_CODE)
        _log_codes(user)
        send_mail(user, "recovery_code", {**origin, "left": user.recovery_codes.count()})
    elif voucher.link:
        if not is_good_link(user, voucher.link):
            raise PasskeyRefused(BAD_LINK)
        # They were added with a password alone, perhaps by a thief.
        user.passkeys.filter(vouched=False).delete()
    elif not voucher.is_proven and is_needed(user):
        raise PasskeyRefused(NEEDED)
    return bool(voucher.is_proven or voucher.link or voucher.code)


def make_codes(user: User, *, device: object, origin: Facts) -> list[str]:
    """Ten new recovery codes, in place of the old ones. They are shown to the person once."""
    codes = [_write(secrets.token_bytes(CODE_SIZE)) for _ in range(CODES)]
    with locked(user):
        user.recovery_codes.all().delete()
        RecoveryCode.objects.bulk_create(
            [RecoveryCode(user=user, hash=_hash(code)) for code in codes]
        )
        _log_codes(user)
        log_passkey(user, "recovery codes were made", device=device)
        send_mail(user, "recovery_codes", origin)
    return codes


def make_link(user: User, *, by: User | None, device: object = None) -> str:
    """The URL with which this member of staff adds their first passkey, within a day.

    It counts once, for this account, on a device that is signed in to it. A newer link, a new
    passkey or a reset ends it. All superusers get a mail. Without `by` it is made on the server.
    """
    with locked(user):
        log_passkey(user, "a link for the first one was made", by=by, device=device)
        token = signing.dumps([user.pk, last_passkey_act(user)], salt=LINK_SALT)
        facts = {"account": user.username, "id": user.pk, **_by(by)}
        send_mails("passkey_link", [(other, facts) for other in User.objects.superusers()])
    return settings.SITE_URL + reverse("passkey_first", args=[token])


def is_good_link(user: User, token: str) -> bool:
    """Whether this is the last link for the user, and they have no passkey that counts by now."""
    try:
        made_for = signing.loads(token, salt=LINK_SALT, max_age=LINK_LASTS)
    except (signing.BadSignature, UnicodeEncodeError):  # which surrogates raise
        return False
    has_one = user.passkeys.filter(vouched=True).exists()
    return made_for == [user.pk, last_passkey_act(user)] and not has_one


def reset(user: User, *, by: User | None, note: str = "", device: object = None) -> int:
    """Remove all passkeys and recovery codes of the user, and mail them. Return how many passkeys.

    The caller holds the lock on the user, and ends their devices. Without `by` it is done on the
    server.
    """
    removed = user.passkeys.count()
    user.passkeys.all().delete()
    user.recovery_codes.all().delete()
    _log_codes(user)
    log_passkey(user, "all were removed", by=by, device=device, note=note)
    told = {"note": note} if note else {}
    send_mail(user, "passkeys_reset", {**_by(by), **told})
    return removed


@contextmanager
def locked(user: User) -> Iterator[Any]:
    """A transaction with the user's row locked: the row, with the database's time as `now`.

    None if the user is gone.
    """
    with transaction.atomic():
        rows = User.objects.select_for_update(no_key=True).annotate(now=Now())
        yield rows.filter(pk=user.pk).first()


def _write(random: bytes) -> str:
    text = base64.b32encode(random).decode()
    return "-".join(text[start : start + GROUP] for start in range(0, len(text), GROUP))


def _hash(code: str) -> bytes:
    """The hash of a code as people type it: in any case, with or without hyphens and spaces."""
    return hashlib.sha256("".join(filter(str.isalnum, code)).upper().encode()).digest()


def _log_codes(user: User) -> None:
    """Log that codes were made or used up, because an older copy would bring used ones back."""
    log_committed("recovery codes changed", None, user=user.pk)


def _by(staff: User | None) -> Facts:
    return by_staff(staff) if staff else {"by": "somebody with access to the server"}


def _path_to_account(mail: Mail) -> str:
    return reverse("admin:accounts_user_change", args=[mail.facts["id"]])


paths.update(dict.fromkeys(["recovery_code", "recovery_codes"], lambda mail: reverse("passkeys")))
paths.update(passkeys_reset=lambda mail: reverse("password_reset"), passkey_link=_path_to_account)
