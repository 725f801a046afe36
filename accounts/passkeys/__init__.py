"""Passkeys: WebAuthn credentials of people, to sign in with and to prove who one is.

`ceremonies` checks the bytes, `keeping` adds, removes and uses the rows, and `vouching` says which
of them count for staff.
"""

from accounts.passkeys.ceremonies import (
    MAX_ANSWER,
    REFUSED,
    Answer,
    PasskeyRefused,
    Purpose,
    login,
    registration,
    rp_id,
    step_up,
)
from accounts.passkeys.keeping import (
    MAX_PASSKEYS,
    GivenPasskey,
    check,
    creation_options,
    register,
    remove,
    rename,
    request_options,
    step_up_options,
    verify,
)
from accounts.passkeys.vouching import (
    BAD_LINK,
    CODES,
    NEEDED,
    Voucher,
    check_voucher,
    is_good_link,
    is_needed,
    make_codes,
    make_link,
    reset,
    without_passkey,
)

__all__ = [
    "BAD_LINK",
    "CODES",
    "MAX_ANSWER",
    "MAX_PASSKEYS",
    "NEEDED",
    "REFUSED",
    "Answer",
    "GivenPasskey",
    "PasskeyRefused",
    "Purpose",
    "Voucher",
    "check",
    "check_voucher",
    "creation_options",
    "is_good_link",
    "is_needed",
    "login",
    "make_codes",
    "make_link",
    "register",
    "registration",
    "remove",
    "rename",
    "request_options",
    "reset",
    "rp_id",
    "step_up",
    "step_up_options",
    "verify",
    "without_passkey",
]
