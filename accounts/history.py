"""The history of the admin: what the API does to users and roles, and people to their own names."""

import re
from datetime import datetime
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import CharField, Model, Q
from django.db.models.functions import Cast

from accounts.models import User
from accounts.permissions import credential_of

# What `log_new_name()` writes. The admin's own entries are JSON, so none of them begins like this.
NEW_NAME = "Changed the "
PASSKEYS = re.compile(f"{NEW_NAME}passkeys: one was (added|removed)")
# Entries of people about their own names and passkeys. They are deleted with the account; all
# others stay.
OF_OWN_NAMES = Q(
    content_type__app_label=User._meta.app_label,
    content_type__model=User._meta.model_name,
    object_id=Cast("user_id", CharField()),
    change_message__startswith=NEW_NAME,
)


def log_act(request, item: Model, action: int, message: str) -> None:
    """Write an act of the API on `item` into its history: who, what, and from which device.

    `action` is one of Django's flags. Call it before a deletion, in the transaction of the act.
    """
    _write(request.user, item, action, f"{message} By the API", credential_of(request).pk)


def log_new_name(user: User, what: str, device: object) -> None:
    """Write that the person changed their own username or email address."""
    _write(user, user, CHANGE, f"{NEW_NAME}{what}", device)


def log_passkey(user: User, what: str, device: object) -> None:
    """Write that the person "added" or "removed" a passkey of their own."""
    _write(user, user, CHANGE, f"{NEW_NAME}passkeys: one was {what}", device)


def new_names(user: User, limit: int) -> list[tuple[datetime, str]]:
    """The last changes of the user's names and passkeys: when, and what, in words for the user."""
    entries = LogEntry.objects.filter(
        content_type__app_label=User._meta.app_label,
        content_type__model=User._meta.model_name,
        object_id=str(user.pk),
        action_flag=CHANGE,
    )
    return [
        (entry.action_time, told)
        for entry in entries.order_by("-action_time")[:limit]
        for told in _told(entry, user)
    ]


def _told(entry: Any, user: User) -> list[str]:
    message = entry.get_change_message()
    if not message.startswith("Changed"):
        return []
    if passkeys := PASSKEYS.search(message):
        return [f"you {passkeys[1]} a passkey"]
    names = [name for name in ("username", "email address") if name in message.lower()]
    if entry.user_id != user.pk:
        return [f"our staff changed your {name}" for name in names]
    return [
        f"you {'changed your' if name == 'username' else 'asked for another'} {name}"
        for name in names
    ]


def _write(user: Any, item: Model, action: int, message: str, device: object) -> None:
    LogEntry.objects.log_actions(
        user.pk,
        [item],
        action,
        change_message=f"{message}, from device {device}.",
        single_object=True,
    )
