"""The acts of the API on users and roles, in the same history as those of the admin."""

from django.contrib.admin.models import LogEntry
from django.db.models import Model

from accounts.permissions import credential_of


def log_act(request, item: Model, action: int, message: str) -> None:
    """Write an act of the API on `item` into its history: who, what, and from which device.

    `action` is one of Django's flags. Call it before a deletion, in the transaction of the act.
    """
    LogEntry.objects.log_actions(
        request.user.pk,
        [item],
        action,
        change_message=f"{message} By the API, from device {credential_of(request).pk}.",
        single_object=True,
    )
