"""Email addresses in the queue of mails, encrypted under SECRET_KEY.

A mail to an address that is no account's own needs the address until it is sent. A copy of the
database alone shows none.
"""

import base64

from cryptography.fernet import Fernet, InvalidToken
from django.utils.crypto import salted_hmac

SALT = "accounts.sealing"


class Unreadable(Exception):
    """The address was sealed under another SECRET_KEY."""


def seal(address: str) -> str:
    return _fernet().encrypt(address.encode()).decode()


def unseal(sealed: str) -> str:
    """Return the address. Raise Unreadable."""
    try:
        return _fernet().decrypt(sealed).decode()
    except InvalidToken:
        raise Unreadable("SECRET_KEY has changed") from None


def _fernet() -> Fernet:
    """Fernet (AES-128-CBC and HMAC-SHA256). SECRET_KEY and SALT make its key."""
    key = salted_hmac(SALT, "", algorithm="sha256").digest()
    return Fernet(base64.urlsafe_b64encode(key))
