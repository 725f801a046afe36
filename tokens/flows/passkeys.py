"""What a new passkey, and the loss of all, does to the devices of a person."""

from accounts import passkeys
from accounts.models import Passkey, User
from accounts.passkeys import Answer, PasskeyRefused, Voucher
from accounts.text import clean_text
from accounts.throttling import forget_networks
from tokens import notices
from tokens.flows.ending import revoke_all
from tokens.flows.locking import locked, locked_on
from tokens.flows.renewal import renew_by_passkey
from tokens.models import NOTE_LENGTH, IssuedToken

Reason = IssuedToken.Reason


def voucher_of(device: IssuedToken) -> Voucher:
    """What this device vouches for: a passkey of staff, if they used one there lately."""
    return Voucher(is_proven=not device.user.lacks_passkey())


def add_passkey(
    device: IssuedToken, answer: Answer, name: str, voucher: Voucher
) -> tuple[Passkey, str | None]:
    """Add a passkey of the person on this device. Raise PasskeyRefused, or TooManyAttempts.

    With a link or a recovery code, the new passkey counts as used on the device: it gets a new
    handle, which is returned too. A recovery code ends all other devices. Raise Refused if the
    account has changed, or the device has ended, meanwhile.
    """
    user = device.user
    passkeys.check_voucher(user, voucher, device=device.pk)
    with locked_on(device):
        passkey = passkeys.register(
            user,
            answer,
            passkeys.registration(device.pk),
            name,
            device=device.pk,
            origin=notices.origin_of(device),
            voucher=voucher,
        )
        if voucher.code:
            others = user.devices.exclude(pk=device.pk)
            revoke_all(user, others, Reason.RECOVERY, by=user)
        is_first = bool(voucher.link or voucher.code)
        handle = renew_by_passkey(device, user, passkey) if is_first else None
    if voucher.code:
        forget_networks(user)
    return passkey, handle


def remove_passkey(device: IssuedToken, passkey: Passkey) -> None:
    """Remove a passkey of the person on this device. Other devices need a passkey of staff again.

    Raise PasskeyRefused for one that counts for staff, on a device where they used none: a thief
    who has the password alone must not take it away. Raise Refused if the device has ended.
    """
    user = device.user
    if passkey.vouched and user.lacks_passkey() and passkeys.is_needed(user):
        raise PasskeyRefused("Use your passkey on this device first.")
    with locked_on(device):
        passkeys.remove(passkey, device=device.pk, origin=notices.origin_of(device))
        if passkey.vouched:
            others = user.devices.filter(revoked_at=None, passkey_vouched=True)
            others.exclude(pk=device.pk).update(passkey_vouched=False)


def make_codes(device: IssuedToken) -> list[str]:
    """New recovery codes of the person on this device. Raise Refused if the device has ended."""
    with locked_on(device):
        return passkeys.make_codes(device.user, device=device.pk, origin=notices.origin_of(device))


def reset_passkeys(
    user: User, *, by: User | None, note: str = "", device: IssuedToken | None = None
) -> tuple[int, int]:
    """Remove all passkeys and recovery codes of the user, and end their devices.

    Return how many passkeys and devices. `by` is the member of staff who does it on `device`, or
    None for the server.
    """
    note = clean_text(note, NOTE_LENGTH)
    with locked(user):
        removed = passkeys.reset(user, by=by, note=note, device=device and device.pk)
        ended = revoke_all(user, user.devices.all(), Reason.STAFF, by=by, note=note)
    forget_networks(user)
    return removed, ended
