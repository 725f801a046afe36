"""Email addresses in the queue of mails, encrypted under SECRET_KEY.

A mail to an address that is no account's own needs the address until it is sent. A copy of the
database alone shows none. Each mail has a key of its own `use`, its kind and its person: a sealed
address that somebody copies into another row does not open there, so no link goes to it.
"""

import base64

from cryptography.fernet import Fernet, InvalidToken
from django.utils.crypto import salted_hmac

SALT = "accounts.sealing"


class Unreadable(Exception):
    """The address was sealed under another SECRET_KEY, or for another use."""


def seal(address: str, use: str) -> str:
    return _fernet(use).encrypt(address.encode()).decode()


def unseal(sealed: str, use: str) -> str:
    """Return the address. Raise Unreadable."""
    try:
        return _fernet(use).decrypt(sealed).decode()
    except InvalidToken:
        raise Unreadable from None


def _fernet(use: str) -> Fernet:
    """Fernet (AES-128-CBC and HMAC-SHA256). SECRET_KEY, SALT and `use` make its key."""
    key = salted_hmac(SALT, use, algorithm="sha256").digest()
    return Fernet(base64.urlsafe_b64encode(key))
