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
    subject_of_nobody,
    subject_of_user,
)

logger = logging.getLogger(__name__)
Kind = Throttle.Kind


@contextmanager
def log_in(name: str, user: User | None, address: str) -> Iterator[Attempt]:
    """Count an attempt to log in by `name`, which is the user's, or unknown (None).

    It is counted by the name as typed and by the account: the two names of an account, username
    and email address, share the account's limit. An unknown name has a count in place of the
    account's, so that both cost the same (ASVS 6.3.8). Raise TooManyAttempts.
    """
    account = subject_of_user(user) if user else subject_of_nobody(name)
    network = hash_network(address)
    keys = [Key(Kind.ADDRESS, address=network)] if network else []
    for subject in (subject_of_name(name), account):
        keys += [Key(Kind.PAIR, subject, network), Key(Kind.ACCOUNT, subject)]
    with testing(*keys) as attempt:
        yield attempt


def check_password(user: User, password: str, *, device: object) -> bool:
    """Whether it is the user's password, asked on a signed-in device. Raise TooManyAttempts.

    `device` is its key. Each device has its own count: no lock on signing in reaches it, and a
    thief who holds its token cannot guess forever.
    """
    with testing(Key(Kind.PASSWORD, subject_of_device(device))) as attempt:
        if user.check_password(password):
            attempt.succeed()
    if not attempt.has_succeeded:
        logger.info("password refused", extra={"user": user.pk, "device": str(device)})
    return attempt.has_succeeded


def count_signup(address: str) -> None:
    """Raise TooManyAttempts if the network asked for too many names: each answer tells whether a
    name is taken."""
    _count_address(Kind.SIGNUP, address)


def count_reset_request(address: str) -> None:
    """Raise TooManyAttempts if the network has asked for too many links."""
    _count_address(Kind.RESET_ADDRESS, address)


def count_reset_mail(user: User | None, email: str) -> None:
    """Raise TooManyAttempts if too many links went to this user, or to an unknown address."""
    subject = subject_of_user(user) if user else subject_of_nobody(email)
    begin(Key(Kind.RESET, subject)).fail()


def may_mail(email: str) -> bool:
    """Whether one more mail may go to the address.

    Mails to an address that no account has verified are counted: its owner may never have heard
    of this site.
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
    network = hash_network(address)
    if network:
        begin(Key(kind, address=network)).fail()
