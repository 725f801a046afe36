"""Signals that accounts sends to the apps above it, because it does not import them."""

from django.db import transaction
from django.dispatch import Signal

# Sent inside the transaction that wrote `is_active`. Argument: user_ids, a list. Some of the users
# may still be active, so a receiver looks at the rows.
users_deactivated = Signal()

# Sent after the commit that changed passwords, or that may have made users staff or superusers.
# Argument: user_ids, a list.
users_changed = Signal()


def send_changed(user_ids: list[int], *, using: str | None) -> None:
    """Send `users_changed` once the transaction commits. An error of a receiver undoes nothing."""
    # Not a partial: Django logs the name of a function that fails, and a partial has none.
    transaction.on_commit(
        lambda: users_changed.send(None, user_ids=user_ids), using=using, robust=True
    )
