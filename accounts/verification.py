"""E-mail addresses: a signed link proves that the person reads them.

The link carries the user, the address to prove and the address of that moment. It is good for a
day. One that changes the address is good only until the address, or the password, changes:
whoever reads the mail of an address that was left cannot take the account back with it.
"""

from django.conf import settings
from django.core import signing
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from accounts.mail import send_mail
from accounts.models import User

SALT = "accounts.verification"
MAX_AGE = 24 * 60 * 60  # seconds; NIST SP 800-63B allows a mailed code a day


class LinkRefused(Exception):
    """The link is not ours, too old, or overtaken. The message is for the person."""


def send_verification(user: User, email: str) -> None:
    """Mail a link that proves `email`; the old address is told of a change."""
    claims = {"user": user.pk, "from": user.email, "to": email, "since": _last_change(user)}
    token = signing.dumps(claims, salt=SALT)
    url = settings.SITE_URL + reverse("verify_email", args=[token])
    link = ("Confirm your email address", url)
    send_mail(email, "Confirm your email address", "verify_email", {"user": user}, link=link)
    if email != user.email:
        context = {"user": user, "email": email}
        send_mail(user.email, "Your email address is to change", "email_change", context)


def tell_of_new_names(user: User, address: str) -> None:
    """Tell the person, where they read mail until now, what their account is called from now on."""
    send_mail(address, "Your account has a new name or address", "new_names", {"user": user})


def verify_email(token: str) -> User:
    """Make the address of the link the user's verified one. Raise LinkRefused."""
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
    if user.email == claims["to"]:
        return True
    return user.email == claims["from"] and claims["since"] == _last_change(user)


def _last_change(user: User) -> str:
    """The last change of the password or of the address, as text to compare."""
    times = (user.password_changed_at, user.email_verified_at)
    return " ".join(time.isoformat() for time in times if time)


def read_link(token: str) -> dict[str, str]:
    """What the link says: `user`, `from`, `to`. Raise LinkRefused."""
    try:
        return signing.loads(token, salt=SALT, max_age=MAX_AGE)
    except signing.BadSignature:
        raise LinkRefused("This link is not valid, or older than a day.") from None
