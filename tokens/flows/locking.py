"""The lock on a user's row. Each flow that adds a device, or ends several, holds it.

So two such flows never overlap for one user. The lock is `no_key`, because `revoked_by` refers to
users: otherwise two members of staff who revoke each other's devices would wait for each other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import router, transaction
from django.db.models.functions import Now

from accounts import compiled
from accounts.compiled import Parameter
from accounts.models import User
from tokens.flows.refusals import Refused
from tokens.models import IssuedToken


@contextmanager
def locked(user: User) -> Iterator[None]:
    """A transaction that holds the lock on the user's row."""
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).filter(pk=user.pk).first()
        yield


@contextmanager
def locked_on(device: IssuedToken) -> Iterator[None]:
    """The same for an act of the device's user on this device.

    Raise Refused if the account has changed, or the device has ended, since the device was read.
    """
    with transaction.atomic():
        lock_verified(device.user)
        read = {"hash": device.hash, "passkey_vouched": device.passkey_vouched}
        if not IssuedToken.objects.filter(revoked_at=None, **read).exists():
            raise Refused("token_invalid")
        yield


def lock_verified(user: User) -> datetime:
    """Lock the user's row and return the time of the database. Call this in a transaction.

    The user gets the flags of the locked row. Raise Refused if the account was deactivated, or its
    password changed, since it was verified.
    """
    return _verify(user, compiled.select(router.db_for_write(User), _active_user))


def lock_login(user: User) -> datetime:
    """Do what `lock_verified()` does, by the UPDATE that sets `last_login` to that time."""
    alias = router.db_for_write(User)
    return _verify(user, compiled.update_returning(alias, _logged_in, _last_login))


def _verify(user: User, statement: compiled.Statement) -> datetime:
    rows = statement.fetch(pk=user.pk)
    if not rows:
        raise Refused("user_inactive")
    [(password_changed_at, user.is_staff, user.is_superuser, now)] = rows
    if password_changed_at != user.password_changed_at:
        raise Refused("password_changed")
    return now


def _active_user() -> Any:
    users = User.objects.select_for_update(no_key=True).filter(pk=Parameter("pk"), is_active=True)
    return users.values_list("password_changed_at", "is_staff", "is_superuser", Now())


def _logged_in() -> Any:
    users = User.objects.filter(pk=Parameter("pk"), is_active=True)
    return users.values_list("password_changed_at", "is_staff", "is_superuser", "last_login")


def _last_login() -> dict[str, Any]:
    return {"last_login": Now()}
