"""The lines of the log about what accounts may do. `after_restore` reads them again.

Each line is logged once its transaction commits, so the log tells nothing that was undone. A line
names accounts and roles by their ids, and holds no name that a stranger chose, no address and no
secret.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import models, transaction

logger = logging.getLogger(__name__)

# What the columns of a user say about access. A line has those that were written. The times tell
# one password, and one verified address, from the next.
TELLING = ("is_active", "is_staff", "is_superuser", "password_changed_at", "email_verified_at")
AT_ONCE = 1000  # ids in a line: some collectors cut a line at 16 KB


def log_committed(event: str, using: str | None, **details: Any) -> None:
    transaction.on_commit(
        lambda: logger.info(event, extra=details),  # Django names what fails: not a partial
        using=using,
        robust=True,
    )


def log_account(user: Any, event: str, using: str | None, fields: Iterable[str] | None) -> None:
    """Log those of the telling columns that a save wrote. `fields` None means all."""
    told = {
        name: _plain(getattr(user, name)) for name in TELLING if fields is None or name in fields
    }
    if told:
        log_committed(event, using, user=user.pk, **told)


def log_accounts(users: models.QuerySet, ids: list[int], event: str, fields: list[str]) -> None:
    """Log what these columns of many users hold by now: one line for all who hold the same."""
    for start in range(0, len(ids), AT_ONCE):
        alike: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        found = users.filter(pk__in=ids[start : start + AT_ONCE])
        for pk, *values in found.order_by("pk").values_list("pk", *fields):
            alike[tuple(map(_plain, values))].append(pk)
        for values, pks in alike.items():
            told = dict(zip(fields, values, strict=True))
            log_committed(event, users.db, users=pks, **told)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
