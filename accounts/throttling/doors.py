"""The doors where attempts are counted: signing in, a password, a sign-up, a reset, a mail."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from accounts.models import Throttle, User
from accounts.throttling.counting import Attempt, begin, trial
from accounts.throttling.known import marker_of
from accounts.throttling.limits import TooManyAttempts
from accounts.throttling.subjects import (
    Key,
    keys_of_networks,
    subject_of_device,
    subject_of_mails,
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

    From a network that is known for the account, the account's count stays out: it is of strangers,
    who must not lock the owner out of home. There at most 100 wrong passwords in a row are left.
    """
    account = subject_of_user(user) if user else subject_of_unknown(name)
    subjects = (subject_of_name(name), account)
    networks = keys_of_networks(Kind.ADDRESS, address)
    network = networks[0].address if networks else b""
    keys = networks + [Key(Kind.PAIR, subject, network) for subject in subjects]
    strangers = [Key(Kind.ACCOUNT, subject) for subject in subjects]
    marker = marker_of(user, network) if user and network else None
    at_known = [*keys, Key(Kind.KNOWN, account)] if marker else ()
    with trial(*keys, *strangers, marker=marker, at_known=at_known) as attempt:
        yield attempt


@contextmanager
def log_in_by_passkey(address: str) -> Iterator[Attempt | None]:
    """Count an attempt to log in by a passkey, by its network alone. Raise TooManyAttempts.

    A signature cannot be guessed, so there is no count of the account for strangers to fill.
    Without a valid address count nothing, and give None.
    """
    if keys := keys_of_networks(Kind.ADDRESS, address):
        with trial(*keys) as attempt:
            yield attempt
    else:
        yield None


def on_device(device: object) -> AbstractContextManager[Attempt]:
    """Count an attempt to prove who one is on a signed-in device. Raise TooManyAttempts.

    `device` is the primary key of that device. Each device has its own count, so a lock on signing
    in does not affect it. A thief who holds the device's token cannot guess forever either.
    """
    return trial(Key(Kind.PASSWORD, subject_of_device(device)))


def check_password(user: User, password: str, *, device: object) -> bool:
    """Whether this is the user's password, given on that device, as `on_device()` counts it."""
    with on_device(device) as attempt:
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


def count_mail(user: User, kind: str) -> int:
    """Count a mail of this kind to the user. Return its number within the hour, 0 for too many."""
    try:
        attempt = begin(Key(Kind.MAIL, subject_of_mails(user, kind)))
    except TooManyAttempts:
        return 0
    attempt.fail()
    return attempt.count


def may_prove(user: User, email: str) -> bool:
    """Whether one more link that proves this address may be mailed for the user.

    The owner of the address may have nothing to do with this site. So links are counted by the
    address, whoever asks for them, and by the account, whichever address it names.
    """
    try:
        begin(Key(Kind.MAIL, subject_of_name(email)), Key(Kind.MAIL, subject_of_user(user))).fail()
    except TooManyAttempts:
        return False
    return True


def _count_address(kind: str, address: str) -> None:
    """Count an attempt from the network of this address. Without a valid address count nothing."""
    if keys := keys_of_networks(kind, address):
        begin(*keys).fail()
