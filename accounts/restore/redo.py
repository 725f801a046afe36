"""Takes away again, from an older copy of the accounts, what the log says was taken.

What was given since the copy is not given again, and what the copy lacks stays away. So this may
run twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, router, transaction

from accounts.built_in_roles import BUILT_IN
from accounts.mail import send_mail
from accounts.models import Passkey, RecoveryCode, Role, User
from accounts.models.roles import label_of
from accounts.restore.words import FLAGS, Account, RoleWords, Words

LOST = {"is_active": "deactivated", "is_staff": "no staff", "is_superuser": "no superuser"}
ROUNDED = timedelta(milliseconds=1)  # the log, and some copies, have no microseconds
AT_ONCE = 500  # accounts that are read with one query


@dataclass
class Change:
    """What is taken from an account or a role. `by_hand` is what staff have to do."""

    who: str  # "account" or "role"
    key: int
    name: str
    taken: list[str] = field(default_factory=list)
    by_hand: str = ""


def redo(words: Words, *, dry_run: bool) -> Iterator[Change]:
    """Take away again what the log says was taken. Yield what changes, one by one."""
    yield from _redo_roles(words, dry_run)
    keys = sorted(words.accounts)
    for start in range(0, len(keys), AT_ONCE):
        for user in User.objects.filter(pk__in=keys[start : start + AT_ONCE]).order_by("pk"):
            with transaction.atomic():
                change = _redo_account(user, words.accounts[user.pk], words, dry_run)
            if change.taken:
                yield change
    removed = Passkey.objects.filter(pk__in=words.passkeys).order_by("user_id", "pk")
    for passkey in removed.select_related("user"):
        yield Change("account", passkey.user_id, passkey.user.username, ["a passkey"])
        if not dry_run:
            passkey.delete()
    yield from _redo_codes(words, dry_run)


def _redo_codes(words: Words, dry_run: bool) -> Iterator[Change]:
    """Delete the recovery codes of people who used or made some since: a used one is good once."""
    stale = RecoveryCode.objects.filter(user_id__in=words.codes)
    for user in User.objects.filter(pk__in=stale.values("user")).order_by("pk"):
        yield Change("account", user.pk, user.username, ["the recovery codes"])
        if not dry_run:
            user.recovery_codes.all().delete()


def advance_keys(words: Words) -> None:
    """Let no new account or role get an id that the log names.

    Other programs may have kept data under the id of an account that is gone.
    """
    model: Any
    for model, top in words.top.items():
        if top:
            _advance(connections[router.db_for_write(model)], model._meta.db_table, top)


def _advance(database: Any, table: str, top: int) -> None:
    with database.cursor() as cursor:
        if database.vendor == "sqlite":
            cursor.execute(
                "UPDATE sqlite_sequence SET seq = max(seq, %s) WHERE name = %s", [top, table]
            )
        else:
            cursor.execute(
                "SELECT setval(keys, greatest(%s, coalesce(pg_sequence_last_value(keys), 1)))"
                " FROM (SELECT pg_get_serial_sequence(%s, 'id')::regclass AS keys) AS named",
                [top, table],
            )


def _redo_roles(words: Words, dry_run: bool) -> Iterator[Change]:
    for role in Role.objects.filter(pk__in=list(words.roles)).order_by("pk"):
        told = words.roles[role.pk]
        if told.names and role.name not in told.names:
            continue  # another role has this id by now
        change = Change("role", role.pk, role.name)
        with transaction.atomic():
            if told.is_deleted and role.name not in BUILT_IN:
                change.taken.append("deleted")
                if not dry_run:
                    role.delete()
            else:
                _rename(role, told, change, dry_run)
                _take_permissions(role.permissions, told.permissions, None, change, dry_run)
        if change.taken or change.by_hand:
            yield change


def _rename(role: Role, told: RoleWords, change: Change, dry_run: bool) -> None:
    """Give the role its last name. Views may ask for the former one."""
    name = told.names[-1] if told.names else role.name
    if name == role.name:
        return
    if Role.objects.filter(name=name).exists():
        change.by_hand = f"rename it to {name}, which another role is called now"
        return
    change.taken.append(f"renamed to {name}")
    if not dry_run:
        role.name = name
        role.save()


def _redo_account(user: User, account: Account, words: Words, dry_run: bool) -> Change:
    """Take from the account what the log says it lost since it was made."""
    change = Change("account", user.pk, user.username)
    told = {name: word for name, word in account.columns.items() if _is_about(user, word[0])}
    lost = [name for name in FLAGS if getattr(user, name) and not told.get(name, (0, True))[1]]
    change.taken += [LOST[name] for name in lost]
    if user.is_active and account.deleted_at and _is_about(user, account.deleted_at):
        lost = ["is_active", *lost]
        change.taken.append("deactivated, because it was deleted")
    for name in lost:
        setattr(user, name, False)
    lost += _take_password(user, told, change) + _take_address(user, told, change)
    if lost and not dry_run:
        user.save(update_fields=lost)
    _take_roles(user, account, words, change, dry_run)
    _take_permissions(user.user_permissions, account.permissions, user, change, dry_run)
    _ask_for_password(user, lost, change, dry_run)
    return change


def _take_password(user: User, told: dict[str, Any], change: Change) -> list[str]:
    """An older password than the last one. The columns to save."""
    if "password_changed_at" not in told:
        return []
    if told["password_changed_at"][1] <= user.password_changed_at + ROUNDED:
        return []
    change.taken.append("the former password")
    user.set_unusable_password()
    return ["password"]


def _take_address(user: User, told: dict[str, Any], change: Change) -> list[str]:
    """An address that was verified before the last one. The columns to save.

    It may have been given up because somebody else reads its mail, and would get the reset link.
    An unverified one gets no link, so it may stay.
    """
    if user.email_verified_at is None or "email_verified_at" not in told:
        return []
    time, verified_at = told["email_verified_at"]
    if (verified_at or time) <= user.email_verified_at + ROUNDED:
        return []
    change.taken.append("the former email address")
    user.email, user.email_verified_at = "", None
    return ["email", "email_verified_at"]


def _take_roles(user: User, account: Account, words: Words, change: Change, dry_run: bool) -> None:
    lost = [key for key, (time, holds) in account.roles.items() if _counts(time, holds, user)]
    for role in user.roles.filter(pk__in=lost) if lost else ():
        told = words.roles.get(role.pk, RoleWords())
        if told.is_deleted or (told.names and role.name not in told.names):
            continue
        change.taken.append(f"the role {role.name}")
        if not dry_run:
            user.roles.remove(role)


def _take_permissions(
    held: Any, told: dict[str, Any], user: User | None, change: Change, dry_run: bool
) -> None:
    lost = {label for label, (time, holds) in told.items() if _counts(time, holds, user)}
    for permission in held.all() if lost else ():
        if label_of(permission) in lost:
            change.taken.append(f"the permission {label_of(permission)}")
            if not dry_run:
                held.remove(permission)


def _counts(time: datetime, holds: bool, user: User | None) -> bool:
    """Whether a line of this time says that something was lost, and by this user."""
    return not holds and (user is None or _is_about(user, time))


def _is_about(user: User, time: datetime) -> bool:
    """Whether a line of this time is about this user, and not about a former one of the same id."""
    return time + ROUNDED >= user.date_joined


def _ask_for_password(user: User, lost: list[str], change: Change, dry_run: bool) -> None:
    """Mail somebody whose password is gone. Without a verified address, staff have to help."""
    if not user.is_active or not {"password", "email"} & set(lost):
        return
    if user.email_verified_at is None:
        change.by_hand = "ask for an email address, and set it in the admin"
    elif not dry_run:
        send_mail(user, "password_needed", {})
