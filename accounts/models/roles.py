from typing import Any

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import models, router, transaction
from django.dispatch import receiver

from accounts import compiled
from accounts.built_in_roles import BUILT_IN
from accounts.log import log_committed
from accounts.models.primary import ReadsPrimary
from accounts.text import validate_printable


class RoleQuerySet(ReadsPrimary, models.QuerySet):
    def update(self, **kwargs):
        """Update, but raise ValidationError for a new name of a built-in role."""
        if "name" in kwargs and self.filter(name__in=BUILT_IN).exists():
            raise ValidationError("A built-in role keeps its name.")
        if "name" not in kwargs:
            return super().update(**kwargs)
        with transaction.atomic(using=self.db):
            former = dict(self.values_list("pk", "name"))
            updated = super().update(**kwargs)
            for role in self.model._default_manager.using(self.db).filter(pk__in=former):
                _log_name(role, former[role.pk], self.db)
        return updated

    update.alters_data = True  # type: ignore[attr-defined]


class Role(models.Model):
    """A named set of permissions. The built-in roles `admin` and `support` keep their names."""

    name = models.SlugField(
        max_length=50,
        unique=True,
        error_messages={"unique": "A role with that name already exists."},
    )
    description = models.CharField(max_length=200, blank=True, validators=[validate_printable])
    permissions = models.ManyToManyField(Permission, blank=True, related_name="roles")

    objects = RoleQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name

    def save(self, *args, **kwargs):
        former = self._check_name()
        super().save(*args, **kwargs)
        _log_name(self, former, kwargs.get("using"))

    def clean(self):
        self._check_name()

    def _check_name(self) -> str:
        """The stored name, "" for a new role. Raise ValidationError for one that must stay."""
        stored = Role.objects.filter(pk=self.pk).first()
        if stored and stored.is_built_in and self.name != stored.name:
            raise ValidationError(f"The role {stored} is built in and keeps its name.")
        return stored.name if stored else ""

    @property
    def is_built_in(self) -> bool:
        return self.name in BUILT_IN

    def permission_labels(self) -> set[str]:
        """The role's permissions as "app.codename". Prefetched permissions cost no query."""
        return {label_of(permission) for permission in self.permissions.all()}

    def refusal(self) -> str:
        """What to tell a user who may not give or manage it. The role is the subject before it."""
        if self.permission_labels():
            return "has permissions that you do not have."
        return "has no permission, so only people who hold it and superusers manage it."


def label_of(permission: Permission) -> str:
    """The permission as "app.codename". Its content type comes from Django's cache."""
    content_type = ContentType.objects.get_for_id(permission.content_type_id)
    return f"{content_type.app_label}.{permission.codename}"


@receiver(models.signals.pre_delete, sender=Role)
def keep_built_in_roles(instance, **kwargs):
    """Refuse to delete a built-in role. Raise ProtectedError.

    The signal also comes when a queryset or the admin deletes it.
    """
    if instance.is_built_in:
        raise models.ProtectedError(f"The role {instance} is built in.", {instance})


def _log_name(role: Any, former: str, using: str | None) -> None:
    names = {"role": role.pk, "role_name": role.name}
    if not former:
        log_committed("role created", using, **names)
    elif former != role.name:
        log_committed("role renamed", using, former_name=former, **names)


def role_names(user: Any) -> list[str]:
    """The names of the user's roles, in order. Prefetched roles cost no query."""
    if "roles" in getattr(user, "_prefetched_objects_cache", ()):
        return [role.name for role in user.roles.all()]
    statement = compiled.select(router.db_for_write(Role), _names)
    return [name for [name] in statement.fetch(user=user.pk)]


def _names() -> Any:
    return Role.objects.filter(users=compiled.Parameter("user")).values_list("name")
