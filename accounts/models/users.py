import logging

from django.contrib.auth.models import AbstractUser, Permission, UserManager
from django.core.validators import RegexValidator
from django.db import models, transaction
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts.lookups import BytewiseLower
from accounts.models.roles import Role, _label
from accounts.signals import users_deactivated
from accounts.text import validate_printable

logger = logging.getLogger(__name__)

# ASCII, because "without regard to case" means the same on every database for no other letters,
# and because no two of these look alike.
USERNAME = r"[A-Za-z0-9_.+-]+"

# Sorts after every character of a name or an address.
LAST = "\U0010ffff"


class UserQuerySet(models.QuerySet):
    def update(self, **kwargs):
        """Update as ever, stamp new passwords, and tell of the users it left inactive."""
        if "password" in kwargs:
            kwargs.setdefault("password_changed_at", timezone.now())
        if "is_active" not in kwargs:
            return super().update(**kwargs)
        with transaction.atomic(using=self.db):
            user_ids = list(self.values_list("pk", flat=True))
            updated = super().update(**kwargs)
            users_deactivated.send(self.model, user_ids=user_ids)
        return updated

    update.alters_data = True  # type: ignore[attr-defined]

    def with_login(self, identifier: str) -> "UserQuerySet":
        """The user who logs in by this username, or by this e-mail address once verified."""
        if "@" in identifier:
            return self.with_email(identifier).filter(email_verified_at__isnull=False)
        username = User.normalize_username(identifier)
        return self.filter(username__lower=Lower(models.Value(username)))

    def with_email(self, email: str) -> "UserQuerySet":
        return self.filter(email__lower=Lower(models.Value(email)))

    def superusers(self) -> "UserQuerySet":
        """Superusers who can use the admin."""
        return self.filter(is_superuser=True, is_active=True, is_staff=True)

    def starting_with(self, text: str) -> "UserQuerySet":
        """Users whose username or e-mail address starts with `text`; all for an empty text."""
        if "\0" in text or len(text) > 254:
            # No name and no address, and PostgreSQL has no text with a NUL.
            return self.none()
        return self.filter(_starts("username", text) | _starts("email", text))

    def first_starting_with(self, text: str, limit: int) -> tuple[list[int], bool]:
        """The keys of the first users whose username, and of the first whose e-mail address,
        starts with `text`, `limit` of each; and whether there are more."""
        if "\0" in text or len(text) > 254:
            return [], False
        found: list[int] = []
        more = False
        for field in ("username", "email"):
            users = self.filter(_starts(field, text)).order_by(BytewiseLower(field))
            keys = list(users.values_list("pk", flat=True)[: limit + 1])
            found += keys[:limit]
            more |= len(keys) > limit
        return found, more


def _starts(field: str, text: str) -> models.Q:
    """The field starts with the text, without regard to case: a range of the index on `lower()`."""
    low, high = Lower(models.Value(text)), Lower(models.Value(text + LAST))
    return models.Q((f"{field}__lower__gte", low), (f"{field}__lower__lt", high))


class GuestlistUserManager(UserManager.from_queryset(UserQuerySet)):  # type: ignore[misc]
    def get_by_natural_key(self, username):
        return self.get(username__lower=Lower(models.Value(username)))


class User(AbstractUser):
    """A person. `password_changed_at` moves with every real password change, never with a mere
    upgrade of the hash; a device signed in before it is not live.
    """

    username = models.CharField(
        max_length=150,
        unique=True,
        validators=[
            RegexValidator(rf"\A{USERNAME}\Z", "Use letters from A to Z, digits and . + - _ only.")
        ],
        help_text="At most 150 letters from A to Z, digits and . + - _",
        error_messages={"unique": "That username is taken."},
    )
    email = models.EmailField("email address", validators=[validate_printable])
    email_verified_at = models.DateTimeField(null=True, blank=True, editable=False)
    password_changed_at = models.DateTimeField(default=timezone.now, editable=False)
    # How many were tried before the one that signs in now, as the backend counted them.
    wrong_passwords = 0
    _password: str | None
    _own_hash = ""  # which `set_password()` made
    groups = None  # type: ignore[assignment]
    roles = models.ManyToManyField(Role, blank=True, related_name="users")

    objects = GuestlistUserManager()  # type: ignore[misc]

    class Meta:
        # The admin's filters for the few, who would be looked for among all. They cost nobody else.
        indexes = [
            models.Index(fields=["username"], name="user_staff", condition=models.Q(is_staff=True)),
            models.Index(
                fields=["username"], name="user_superuser", condition=models.Q(is_superuser=True)
            ),
            models.Index(
                fields=["username"], name="user_inactive", condition=models.Q(is_active=False)
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                BytewiseLower("username"),
                name="username_unique_without_case",
                violation_error_message="That username is taken.",
            ),
            models.UniqueConstraint(
                BytewiseLower("email"),
                name="email_unique_without_case",
                violation_error_message="That email address is taken.",
            ),
        ]

    def save(self, *args, **kwargs):
        """Stamp a real password change, and tell of a deactivation.

        The raw password is still held at this point of a real change, and no longer at a hash
        upgrade. A hash that was made elsewhere and assigned is a change as well.
        """
        fields = kwargs.get("update_fields")
        unsaved_password = None
        is_change = False
        if fields is not None and "password" not in fields:
            unsaved_password, self._password = self._password, None
        elif self._password is not None or self._is_hash_assigned():
            self.password_changed_at = timezone.now()
            if fields is not None:
                kwargs["update_fields"] = {*fields, "password_changed_at"}
            is_change = not self._state.adding
        with transaction.atomic(using=kwargs.get("using")):
            super().save(*args, **kwargs)
            if not self.is_active:
                users_deactivated.send(type(self), user_ids=[self.pk])
        if is_change:
            logger.info("password changed", extra={"user": self.pk})
        if unsaved_password is not None:
            self._password = unsaved_password

    def _is_hash_assigned(self) -> bool:
        """Whether `password` holds a hash that is new and was made elsewhere."""
        if self._state.adding or constant_time_compare(self.password, self._own_hash):
            return False
        return not User.objects.filter(pk=self.pk, password=self.password).exists()

    def set_password(self, raw_password):
        super().set_password(raw_password)
        self._own_hash = self.password
        if raw_password is None:
            self.set_unusable_password()

    def set_unusable_password(self):
        """Take the password away, which is a change of it."""
        super().set_unusable_password()
        self._password = ""

    def has_role(self, name: str) -> bool:
        """Ask the database, so that a lost role counts at once."""
        return self.is_active and self.roles.filter(name=name).exists()

    def may_touch(self, other: "User") -> bool:
        """Only a superuser touches a superuser."""
        return self.is_superuser or not other.is_superuser

    def may_edit(self, other: "User") -> bool:
        """Nobody edits an account that may do more: its new e-mail address could be their own."""
        if self.is_superuser:
            return True
        return self.may_touch(other) and other.held_permissions() <= self.get_all_permissions()

    def held_permissions(self) -> set[str]:
        """What the account may do once it is active, unlike `get_all_permissions()`."""
        held = models.Q(roles__users=self) | models.Q(user=self)
        return {_label(permission) for permission in Permission.objects.filter(held).distinct()}

    def may_give(self, role: Role) -> bool:
        """Nobody gives a role with a permission they do not have."""
        return self.is_superuser or role.permission_labels() <= self.get_all_permissions()

    def is_last_superuser(self) -> bool:
        """Whether removing this superuser would leave nobody who could make another."""
        others = User.objects.superusers().exclude(pk=self.pk)
        return self.is_superuser and self.is_active and not others.exists()
