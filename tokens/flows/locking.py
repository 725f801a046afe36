from datetime import datetime
from typing import Any

from django.db import router
from django.db.models.functions import Now

from accounts import compiled
from accounts.compiled import Parameter
from accounts.models import User
from tokens.flows.refusals import Refused


def lock(user: User) -> datetime:
    """Lock the user's row and return the database's time.

    Every flow that adds devices of a user or ends several locks this row, so that each falls
    wholly before or after the other. `no_key`, because `revoked_by` refers to staff: those who
    revoke each other at once would wait for each other. Raise Refused if the account is not what
    was verified.
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
