import logging
from collections.abc import Iterator
from contextlib import contextmanager

from accounts.models import Throttle, User
from accounts.throttling.counting import Attempt, _begin, _testing
from accounts.throttling.limits import TooManyAttempts
from accounts.throttling.subjects import (
    Key,
    canonical,
    hash_network,
    hash_text,
    subject_of_device,
    subject_of_name,
    subject_of_user,
)

logger = logging.getLogger(__name__)
Kind = Throttle.Kind


@contextmanager
def sign_in(name: str, user: User | None, address: str) -> Iterator[Attempt]:
    """Count a try to sign in by `name`, which is the user's, or nobody's. Raise TooManyAttempts.

    Refusals are told by the name as typed and the network alone. Whoever is locked out by one
    name and goes on by the other is counted as the same account, and their try is blind: a
    refusal that could be seen would tell which address belongs to which username, and so whether
    there is such an account.
    """
    typed, network = subject_of_name(name), hash_network(address)
    account = subject_of_user(user) if user else hash_text("nobody", canonical(name))
    told = [Key(Kind.PAIR, typed, network), Key(Kind.ACCOUNT, typed)]
    if network:
        told.append(Key(Kind.ADDRESS, address=network))
    untold = [Key(Kind.PAIR, account, network), Key(Kind.ACCOUNT, account)]
    with _testing(_begin(told, untold)) as attempt:
        yield attempt


def check_password(user: User, password: str, *, device: object) -> bool:
    """Whether it is the user's, asked on a device that is signed in. Raise TooManyAttempts.

    The device has a count of its own: no lock on signing in reaches it, and whoever has stolen
    its token cannot guess for ever.
    """
    key = Key(Kind.PASSWORD, subject_of_device(device))
    with _testing(_begin([key])) as attempt:
        if user.check_password(password):
            attempt.succeed()
    if not attempt.has_succeeded:
        logger.info("password refused", extra={"user": user.pk, "device": str(device)})
    return attempt.has_succeeded


def count_signup(address: str) -> None:
    """Raise TooManyAttempts if the network has asked too often for a name: the answer tells
    whether somebody has it."""
    _count_address(Kind.SIGNUP, address)


def count_reset_request(address: str) -> None:
    """Raise TooManyAttempts if the network has asked for too many links."""
    _count_address(Kind.RESET_ADDRESS, address)


def count_reset_mail(user: User | None, email: str) -> None:
    """Raise TooManyAttempts if the user of that address, or nobody, was mailed too many links."""
    subject = subject_of_user(user) if user else hash_text("nobody", canonical(email))
    _begin([Key(Kind.RESET, subject)]).fail()


def may_mail(email: str) -> bool:
    """Whether one more mail may go to the address. One that nobody has verified may be that of
    somebody who never heard of this site, so mails to it are counted."""
    verified = User.objects.with_email(email).filter(email_verified_at__isnull=False)
    if verified.exists() or not email:
        return bool(email)
    try:
        _begin([Key(Kind.MAIL, subject_of_name(email))]).fail()
    except TooManyAttempts:
        return False
    return True


def _count_address(kind: str, address: str) -> None:
    network = hash_network(address)
    if network:
        _begin([Key(kind, address=network)]).fail()
