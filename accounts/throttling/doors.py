"""The doors where attempts are counted: signing in, a password, a sign-up, a reset, a mail."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from accounts.models import Throttle, User
from accounts.throttling.counting import Attempt, begin, testing
from accounts.throttling.limits import TooManyAttempts
from accounts.throttling.subjects import (
    Key,
    hash_network,
    subject_of_device,
    subject_of_name,
    subject_of_unknown,
    subject_of_user,
)

logger = logging.getLogger(__name__)
Kind = Throttle.Kind


@contextmanager
def log_in(name: str, user: User | None, address: str) -> Iterator[Attempt]:
    """Count an attempt to log in by `name`. Raise TooManyAttempts.

    `user` is the account of this name, or None if the name is unknown. The attempt is counted by
    the name as typed and by the account. So an account has one limit for both its names, username
    and email address. An unknown name gets a count in place of the account's, so that both cost
    the same (ASVS 6.3.8).
    """
    account = subject_of_user(user) if user else subject_of_unknown(name)
    network = hash_network(address)
    keys = [Key(Kind.ADDRESS, address=network)] if network else []
    for subject in (subject_of_name(name), account):
        keys += [Key(Kind.PAIR, subject, network), Key(Kind.ACCOUNT, subject)]
    with testing(*keys) as attempt:
        yield attempt


def check_password(user: User, password: str, *, device: object) -> bool:
    """Whether this is the user's password, given on a signed-in device. Raise TooManyAttempts.

    `device` is the primary key of that device. Each device has its own count, so a lock on signing
    in does not affect it. A thief who holds the device's token cannot guess forever either.
    """
    with testing(Key(Kind.PASSWORD, subject_of_device(device))) as attempt:
        if user.check_password(password):
            attempt.succeed()
    if not attempt.has_succeeded:
        logger.info("password refused", extra={"user": user.pk, "device": str(device)})
    return attempt.has_succeeded


def count_signup(address: str) -> None:
    """Count a sign-up, or a new name. Raise TooManyAttempts after too many from the network.

    They are limited because each answer tells whether a name is taken.
    """
    _count_address(Kind.SIGNUP, address)


def count_reset_request(address: str) -> None:
    """Count a request for a reset link. Raise TooManyAttempts after too many from the network."""
    _count_address(Kind.RESET_ADDRESS, address)


def count_reset_mail(user: User | None, email: str) -> None:
    """Count a reset link to this user, or to an unknown address. Raise TooManyAttempts."""
    subject = subject_of_user(user) if user else subject_of_unknown(email)
    begin(Key(Kind.RESET, subject)).fail()


def may_mail(email: str) -> bool:
    """Whether one more mail may go to the address.

    Mails to an address are counted until an account has verified it, because its owner may have
    nothing to do with this site.
    """
    verified = User.objects.with_email(email).filter(email_verified_at__isnull=False)
    if verified.exists() or not email:
        return bool(email)
    try:
        begin(Key(Kind.MAIL, subject_of_name(email))).fail()
    except TooManyAttempts:
        return False
    return True


def _count_address(kind: str, address: str) -> None:
    """Count an attempt from the network of this address. Without a valid address count nothing."""
    network = hash_network(address)
    if network:
        begin(Key(kind, address=network)).fail()
