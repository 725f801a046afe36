"""The questions about people, and what a change of many of them sends."""

from functools import reduce
from operator import or_
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import Permission
from django.db import models, transaction
from django.utils import timezone

from accounts.built_in_roles import BUILT_IN, staff_permissions
from accounts.log import TELLING as LOGGED
from accounts.log import log_accounts
from accounts.lookups import BytewiseLower
from accounts.models.primary import ReadsPrimary
from accounts.models.roles import Role
from accounts.signals import send_changed, users_deactivated

# Columns whose change may end devices.
TELLING = frozenset({"password", "is_staff", "is_superuser"})

# Sorts after every character of a name or an address.
LAST = "\U0010ffff"
MAX_EMAIL_LENGTH = 254  # characters; usernames are shorter


class UserQuerySet(ReadsPrimary, models.QuerySet):
    def update(self, **kwargs):
        """Update, and stamp new passwords and addresses. Log it, and send the signals."""
        _stamp(kwargs)
        logged = [name for name in LOGGED if name in kwargs and kwargs[name] != models.F(name)]
        if not logged and not kwargs.keys() & TELLING:
            return super().update(**kwargs)
        with transaction.atomic(using=self.db):
            user_ids = list(self.values_list("pk", flat=True))
            updated = super().update(**kwargs)
            if logged:
                log_accounts(
                    self.model._default_manager.using(self.db),
                    user_ids,
                    "password changed" if "password_changed_at" in logged else "account changed",
                    logged,
                )
            if "is_active" in kwargs:
                users_deactivated.send(self.model, user_ids=user_ids)
            if kwargs.keys() & TELLING:
                send_changed(user_ids, using=self.db)
        return updated

    update.alters_data = True  # type: ignore[attr-defined]

    def with_login(self, identifier: str) -> "UserQuerySet":
        """The user who logs in with this username, or with this verified email address."""
        if "@" in identifier:
            return self.with_verified_email(identifier)
        return self.with_username(AbstractBaseUser.normalize_username(identifier))

    def with_username(self, username: str | models.Expression) -> "UserQuerySet":
        return self.filter(username__lower=_lower(username))

    def with_email(self, email: str | models.Expression) -> "UserQuerySet":
        return self.filter(email__lower=_lower(email))

    def with_verified_email(self, email: str | models.Expression) -> "UserQuerySet":
        return self.with_email(email).filter(email_verified_at__isnull=False)

    def superusers(self) -> "UserQuerySet":
        """Superusers who can use the admin."""
        return self.filter(is_superuser=True, is_active=True, is_staff=True)

    def of_staff(self) -> "UserQuerySet":
        """People who may use the admin, or hold a role or a permission that is for staff."""
        labels = [label.split(".") for label in staff_permissions()]
        named = [models.Q(content_type__app_label=app, codename=name) for app, name in labels]
        permissions = Permission.objects.filter(reduce(or_, named))
        roles = Role.objects.filter(
            models.Q(name__in=BUILT_IN) | models.Q(permissions__in=permissions)
        )
        conditions: list[dict[str, Any]] = [
            {"is_staff": True},
            {"is_superuser": True},
            {"roles__in": roles},
            {"user_permissions__in": permissions},
        ]
        # A union, so that each part uses its index. With OR, PostgreSQL reads all users.
        first, *others = [self.model._base_manager.filter(**one).values("pk") for one in conditions]
        return self.filter(pk__in=first.union(*others))

    def starting_with(self, text: str) -> "UserQuerySet":
        """Users whose username or email address starts with `text`; all users for an empty text."""
        if not _can_start_a_name(text):
            return self.none()
        return self.filter(_starts("username", text) | _starts("email", text))

    def first_starting_with(self, text: str, limit: int) -> tuple[list[int], bool]:
        """Return the ids of users whose username or email address starts with `text`.

        They are the first `limit` by username and the first `limit` by address. Also return whether
        there are more.
        """
        if not _can_start_a_name(text):
            return [], False
        found: list[int] = []
        more = False
        for field in ("username", "email"):
            users = self.filter(_starts(field, text)).order_by(BytewiseLower(field))
            keys = list(users.values_list("pk", flat=True)[: limit + 1])
            found += keys[:limit]
            more |= len(keys) > limit
        return found, more


def _stamp(values: dict) -> None:
    """Add the time to a new password, and to a new address that takes a verified one's place."""
    if "password" in values:
        values.setdefault("password_changed_at", timezone.now())
    if "email" in values:
        unverified = models.When(email_verified_at=None, then=None)
        stamp = models.Case(unverified, default=models.Value(timezone.now()))
        values.setdefault("email_verified_at", stamp)


def _lower(text: str | models.Expression) -> BytewiseLower:
    return BytewiseLower(models.Value(text) if isinstance(text, str) else text)


def _can_start_a_name(text: str) -> bool:
    """False for a text that is too long, or that holds a NUL, which PostgreSQL refuses."""
    return "\0" not in text and len(text) <= MAX_EMAIL_LENGTH


def _starts(field: str, text: str) -> models.Q:
    """The field starts with the text, without regard to case.

    Written as a range, so that the database uses the index on `lower()`.
    """
    low, high = (f"{field}__lower__gte", _lower(text)), (f"{field}__lower__lt", _lower(text + LAST))
    return models.Q(low, high)
