"""Signals that accounts sends to the apps above it, because it does not import them."""

from django.dispatch import Signal

# Sent inside the transaction that wrote `is_active`. Argument: user_ids, a list. Some of the users
# may still be active, so a receiver looks at the rows.
users_deactivated = Signal()
