"""Passkeys: WebAuthn credentials of people, to sign in with and to prove who one is.

`ceremonies` checks the bytes, and `keeping` adds, removes and uses the rows.
"""

from accounts.passkeys.ceremonies import (
    MAX_ANSWER,
    REFUSED,
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

__all__ = [
    "MAX_ANSWER",
    "MAX_PASSKEYS",
    "REFUSED",
    "GivenPasskey",
    "PasskeyRefused",
    "Purpose",
    "check",
    "creation_options",
    "login",
    "register",
    "registration",
    "remove",
    "rename",
    "request_options",
    "rp_id",
    "step_up",
    "step_up_options",
    "verify",
]
