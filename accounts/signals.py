"""What accounts tells the layers above it, which it does not import."""

from django.dispatch import Signal

# Sent inside the transaction that deactivated them. Argument: user_ids, a list.
users_deactivated = Signal()
