"""Verification of email addresses: a signed link proves that the person reads mail there.

The link counts in a browser that is signed in to the account, or with the account's password.
Otherwise a stranger could name somebody else's address, and its owner would confirm the stranger's
account with one click.

The link carries the user, the address to prove, and the user's address at that moment. It is good
for a day. A link that changes the address ends earlier, when the address or the password changes.
So somebody who reads the mail of a former address cannot take the account back with an old link.
"""

import logging
from copy import copy

from django.core import signing
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from accounts.letters import Facts, Mail, Overtaken, masked, paths
from accounts.mail import send_mail_to
from accounts.models import User

logger = logging.getLogger(__name__)

SALT = "accounts.verification"
MAX_AGE = 24 * 60 * 60  # seconds; NIST SP 800-63B lets a mailed code be used for a day
OVERTAKEN = "This link has been overtaken by a newer one."


class LinkRefused(Exception):
    """The link is not signed by this site, too old, or overtaken. The message is for the person."""


def send_verification(user: User, email: str, origin: Facts | None = None) -> None:
    """Mail a link that proves `email`. Tell the verified address that it takes the place of.

    `origin` are the facts about where the change comes from. A stranger may have named `email`. So
    that mail holds no word that the user chose. A limited number of them go to the address, and as
    many from the account.
    """
    send_mail_to(email, user, "verify_email")
    if email != user.email and user.email_verified_at:
        facts = {**(origin or {}), "email": masked(email)}
        send_mail_to(user.email, user, "email_change", facts)


def tell_of_new_names(former: User, user: User, origin: Facts) -> None:
    """Mail the account's new username and email address to the verified one it had until now."""
    facts = dict(origin)
    if user.username != former.username:
        facts |= {"former_username": former.username, "username": user.username}
    if user.email != former.email:
        facts["email"] = masked(user.email)
    if former.email_verified_at:
        send_mail_to(former.email, former, "new_names", facts)


def verify_email(token: str) -> User:
    """Make the link's address the user's own and mark it as verified. Raise LinkRefused.

    Return the user. The caller knows that the person is the user. Accounts that named the address
    without proving it lose it, and their account page says so.
    """
    claims = read_link(token)
    with transaction.atomic():
        user = User.objects.select_for_update().filter(pk=claims["user"], is_active=True).first()
        if user is None or not _still_counts(claims, user):
            raise LinkRefused(OVERTAKEN)
        if user.email == claims["to"] and user.email_verified_at:
            return user
        former = copy(user)
        user.email = claims["to"]
        user.email_verified_at = timezone.now()
        try:
            with transaction.atomic():
                user.save(update_fields=["email", "email_verified_at"])
        except IntegrityError:
            raise LinkRefused("Somebody else has this email address by now.") from None
        if user.email != former.email:
            tell_of_new_names(former, user, {"by": "the link that we mailed to the new address"})
    end_other_claims(user)
    return user


def find_claimant(token: str) -> User:
    """The active user who asked for the link. Raise LinkRefused."""
    user = User.objects.filter(pk=read_link(token)["user"], is_active=True).first()
    if user is None:
        raise LinkRefused(OVERTAKEN)
    return user


def end_other_claims(user: User) -> None:
    """Take the user's verified address from other accounts, none of which has verified it.

    Call it outside the transaction that verified it, so that no two verifications wait for each
    other.
    """
    others = User.objects.with_email(user.email).filter(email_verified_at=None)
    ended = others.exclude(pk=user.pk).update(email="")
    if ended:
        logger.info("unverified address taken", extra={"user": user.pk, "count": ended})


def _still_counts(claims: dict[str, str], user: User) -> bool:
    """Whether it proves the user's present address, or nothing changed since it was mailed."""
    if user.email == claims["to"]:
        return True
    return user.email == claims["from"] and claims["since"] == _last_change(user)


def _last_change(user: User) -> str:
    """The times of the last changes of password and address, as text to compare."""
    times = (user.password_changed_at, user.email_verified_at)
    return " ".join(time.isoformat() for time in times if time)


def read_link(token: str) -> dict[str, str]:
    """Return the claims of the link: `user`, `from`, `to`, `since`. Raise LinkRefused."""
    try:
        return signing.loads(token, salt=SALT, max_age=MAX_AGE)
    except signing.BadSignature:
        raise LinkRefused("This link is not valid, or older than a day.") from None


def _path_to_verify(mail: Mail) -> str:
    user = mail.user
    if mail.to != user.email and mail.is_overtaken():
        raise Overtaken("overtaken")
    claims = {"user": user.pk, "from": user.email, "to": mail.to, "since": _last_change(user)}
    return reverse("verify_email", args=[signing.dumps(claims, salt=SALT)])


def _path_to_mend(mail: Mail) -> str:
    """A reset, unless the mail goes to an address that the account has left."""
    return "" if mail.kind == "new_names" and "email" in mail.facts else reverse("password_reset")


paths.update(
    verify_email=_path_to_verify,
    email_change=_path_to_mend,
    new_names=_path_to_mend,
)
