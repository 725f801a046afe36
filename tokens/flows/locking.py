"""The lock on a user's row: each flow that adds devices, or ends several, holds it.

So each such flow falls wholly before or wholly after another one. The lock is `no_key`, because
`revoked_by` refers to users: staff who revoke each other at the same moment would otherwise wait
for each other.
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


@contextmanager
def locked(user: User) -> Iterator[None]:
    """A transaction that holds the user's row."""
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).filter(pk=user.pk).first()
        yield


def lock_verified(user: User) -> datetime:
    """Lock the user's row, in a transaction, and return the database's time.

    Raise Refused if the account is no longer as it was when its password was verified.
    """
    rows = compiled.select(router.db_for_write(User), _active_user).fetch(pk=user.pk)
    if not rows:
        raise Refused("user_inactive")
    [(password_changed_at, now)] = rows
    if password_changed_at != user.password_changed_at:
        raise Refused("password_changed")
    return now


def _active_user() -> Any:
    users = User.objects.select_for_update(no_key=True).filter(pk=Parameter("pk"), is_active=True)
    return users.values_list("password_changed_at", Now())
