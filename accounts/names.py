"""Usernames and email addresses: whether they are free, and a change of one's own."""

from copy import copy

from django.db import DatabaseError, IntegrityError, transaction
from rest_framework.exceptions import NotAuthenticated

from accounts import throttling
from accounts.exceptions import EmailTaken, UsernameTaken
from accounts.history import log_new_name
from accounts.letters import Facts
from accounts.models import User
from accounts.verification import send_verification, tell_of_new_names


def change_names(
    user: User,
    *,
    username: str | None = None,
    email: str | None = None,
    address: str,
    device: object,
    origin: Facts,
) -> None:
    """Change the person's own username, and mail a link that changes their email address.

    The caller has just verified the password. None leaves a name as it is. An address that is not
    verified yet is mailed another link when it is given again. `address` is where the request comes
    from, `device` the primary key of its device, and `origin` what mails say about both.

    Raise TooManyAttempts, UsernameTaken, EmailTaken, or NotAuthenticated if the account is gone.
    """
    is_renamed, is_moved = username not in (None, user.username), email not in (None, user.email)
    if is_renamed or is_moved:
        throttling.count_signup(address)
    require_free(username=username, email=email, besides=user)
    if username is not None and is_renamed:
        _rename(user, username, device, origin)
    if email is not None and (is_moved or user.email_verified_at is None):
        with transaction.atomic():
            send_verification(user, email, origin)
            if is_moved:
                log_new_name(user, "email address, once its link is opened", device)


def require_free(
    *, username: str | None = None, email: str | None = None, besides: User | None = None
) -> None:
    """Raise UsernameTaken or EmailTaken (409) if an account other than `besides` has the name."""
    others = User.objects.exclude(pk=besides and besides.pk)
    if username is not None and others.with_login(username).exists():
        raise UsernameTaken
    if email is not None and others.with_verified_email(email).exists():
        raise EmailTaken


def save_unique(user: User, update_fields: list[str] | None = None) -> User:
    """Save the user. Raise UsernameTaken or EmailTaken if another request took the name first.

    Raise NotAuthenticated if the account was deleted meanwhile.
    """
    try:
        with transaction.atomic():
            user.save(update_fields=update_fields)
    except IntegrityError as error:
        # Only the first line, which names the constraint. PostgreSQL repeats the values in the next
        # one, and a value may hold "email".
        constraint = str(error).splitlines()[0]
        raise (EmailTaken if "email" in constraint else UsernameTaken) from None
    except DatabaseError:
        if User.objects.filter(pk=user.pk).exists():
            raise
        raise NotAuthenticated from None
    return user


def _rename(user: User, username: str, device: object, origin: Facts) -> None:
    former, user.username = copy(user), username
    with transaction.atomic():
        save_unique(user, update_fields=["username"])
        log_new_name(user, f"username from {former.username} to {username}", device)
        tell_of_new_names(former, user, origin)
