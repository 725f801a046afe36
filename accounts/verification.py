"""Verification of email addresses: a signed link proves that the person reads mail there.

The link carries the user, the address to prove, and the user's address at that moment. It is good
for a day. A link that changes the address ends earlier, when the address or the password changes.
So somebody who reads the mail of a former address cannot take the account back with an old link.
"""

from django.conf import settings
from django.core import signing
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from accounts.mail import send_mail
from accounts.models import User

SALT = "accounts.verification"
MAX_AGE = 24 * 60 * 60  # seconds; NIST SP 800-63B lets a mailed code be used for a day


class LinkRefused(Exception):
    """The link is not signed by this site, too old, or overtaken. The message is for the person."""


def send_verification(user: User, email: str) -> None:
    """Mail a link that proves `email`. If it is a new address, tell the old one of the change."""
    claims = {"user": user.pk, "from": user.email, "to": email, "since": _last_change(user)}
    token = signing.dumps(claims, salt=SALT)
    url = settings.SITE_URL + reverse("verify_email", args=[token])
    link = ("Confirm your email address", url)
    send_mail(email, "Confirm your email address", "verify_email", {"user": user}, link=link)
    if email != user.email:
        context = {"user": user, "email": email}
        send_mail(user.email, "Your email address is to change", "email_change", context)


def tell_of_new_names(user: User, address: str) -> None:
    """Mail the account's new username and email address to the address it had until now."""
    send_mail(address, "Your account has a new name or address", "new_names", {"user": user})


def verify_email(token: str) -> User:
    """Make the link's address the user's own and mark it as verified. Raise LinkRefused.

    Return the user.
    """
    claims = read_link(token)
    with transaction.atomic():
        user = User.objects.select_for_update().filter(pk=claims["user"], is_active=True).first()
        if user is None or not _still_counts(claims, user):
            raise LinkRefused("This link has been overtaken by a newer one.")
        if user.email == claims["to"] and user.email_verified_at:
            return user
        user.email = claims["to"]
        user.email_verified_at = timezone.now()
        try:
            with transaction.atomic():
                user.save(update_fields=["email", "email_verified_at"])
        except IntegrityError:
            raise LinkRefused("Somebody else has this email address by now.") from None
    return user


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
