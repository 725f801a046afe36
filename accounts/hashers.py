from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import BoundedSemaphore

from django.conf import settings
from django.contrib.auth import hashers

PATIENCE = 3  # seconds


class Busy(Exception):
    """So many passwords are being hashed that this one found no place in time."""


class Argon2PasswordHasher(hashers.Argon2PasswordHasher):
    """Argon2id with the parameters of the OWASP Password Storage Cheat Sheet (19 MiB, t=2, p=1).

    At most MAX_CONCURRENT_HASHES are computed at once in a process, so that a flood of sign-ins
    leaves memory and processors to the devices that are signed in. Raise Busy.
    """

    time_cost = 2
    memory_cost = 19456
    parallelism = 1

    def encode(self, password, salt):
        with place():
            return super().encode(password, salt)

    def verify(self, password, encoded):
        with place():
            return super().verify(password, encoded)


@contextmanager
def place() -> Iterator[None]:
    """Hold one of the places to compute a hash in."""
    if not places().acquire(timeout=PATIENCE):
        raise Busy
    try:
        yield
    finally:
        places().release()


@cache
def places() -> BoundedSemaphore:
    return BoundedSemaphore(settings.MAX_CONCURRENT_HASHES)
