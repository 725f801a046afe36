"""The password hash, and a limit on how many are computed at once."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import BoundedSemaphore

from django.conf import settings
from django.contrib.auth import hashers

logger = logging.getLogger(__name__)
MAX_WAIT = 3  # seconds for a free place


class Busy(Exception):
    """No place to compute a hash became free within MAX_WAIT."""


class Argon2PasswordHasher(hashers.Argon2PasswordHasher):
    """Argon2id with the parameters of the OWASP Password Storage Cheat Sheet (19 MiB, t=2, p=1).

    A process computes at most MAX_CONCURRENT_HASHES at once. So a flood of sign-ins leaves memory
    and processors to the devices that are signed in. A hash that gets no place raises Busy.
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
    """Hold one of the places for computing a hash. Raise Busy."""
    if not places().acquire(blocking=False):
        logger.debug("waiting to hash a password")
        if not places().acquire(timeout=MAX_WAIT):
            raise Busy
    try:
        yield
    finally:
        places().release()


@cache
def places() -> BoundedSemaphore:
    """The semaphore that counts the free places of this process."""
    return BoundedSemaphore(settings.MAX_CONCURRENT_HASHES)
