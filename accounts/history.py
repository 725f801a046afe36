"""The history of the admin: what the API does to users and roles, and people to their own names."""

from datetime import datetime
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import CharField, Model, Q, QuerySet
from django.db.models.functions import Cast

from accounts.models import User
from accounts.permissions import credential_of

# What `log_new_name()` writes. The admin's own entries are JSON, so none of them begins like this.
NEW_NAME = "Changed the "
PASSKEYS = f"{NEW_NAME}passkeys: "
REMOVED = "one was removed"
# What `log_passkey()` writes, and how the person reads it.
PASSKEY_ACTS = {
    "one was added": "you added a passkey",
    "one was added with a recovery code": "you added a passkey with a recovery code",
    REMOVED: "you removed a passkey",
    "recovery codes were made": "you made recovery codes",
    "a link for the first one was made": "our staff made a link for your first passkey",
    "all were removed": "our staff removed your passkeys",
}
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


def log_passkey(
    user: User, what: str, *, device: object, by: User | None = None, note: str = ""
) -> None:
    """Write an act on the user's passkeys, one of PASSKEY_ACTS, of `by` or of the person.

    Without `device` it was done on the server.
    """
    noted = f", with the note “{note}”" if note else ""
    _write(by or user, user, CHANGE, f"{PASSKEYS}{what}{noted}", device)


def last_passkey_act(user: User) -> int:
    """The id of the last entry about the user's passkeys, or 0. One that was removed is passed by.

    A link for a first passkey ends with the next such act. A thief with the password can remove a
    passkey that does not count, and must not end the link by it.
    """
    acts = _about(user).filter(change_message__startswith=PASSKEYS)
    acts = acts.exclude(change_message__startswith=f"{PASSKEYS}{REMOVED}")
    return acts.order_by("-pk").values_list("pk", flat=True).first() or 0


def new_names(user: User, limit: int) -> list[tuple[datetime, str]]:
    """The last changes of the user's names and passkeys: when, and what, in words for the user."""
    return [
        (entry.action_time, told)
        for entry in _about(user).order_by("-action_time")[:limit]
        for told in _told(entry, user)
    ]


def _about(user: User) -> QuerySet[LogEntry]:
    """The changes of the user."""
    return LogEntry.objects.filter(
        content_type__app_label=User._meta.app_label,
        content_type__model=User._meta.model_name,
        object_id=str(user.pk),
        action_flag=CHANGE,
    )


def _told(entry: Any, user: User) -> list[str]:
    message = entry.get_change_message()
    if not message.startswith("Changed"):
        return []
    if message.startswith(PASSKEYS):
        return [PASSKEY_ACTS[message.removeprefix(PASSKEYS).partition(",")[0]]]
    names = [name for name in ("username", "email address") if name in message.lower()]
    if entry.user_id != user.pk:
        return [f"our staff changed your {name}" for name in names]
    return [
        f"you {'changed your' if name == 'username' else 'asked for another'} {name}"
        for name in names
    ]


def _write(user: Any, item: Model, action: int, message: str, device: object) -> None:
    where = f"from device {device}" if device else "on the server"
    LogEntry.objects.log_actions(
        user.pk, [item], action, change_message=f"{message}, {where}.", single_object=True
    )
