from typing import Any

from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import AbstractUser, Permission, UserManager
from django.core.validators import RegexValidator
from django.db import models, transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts.built_in_roles import ASKED_FOR
from accounts.log import log_account
from accounts.lookups import BytewiseLower
from accounts.models.authority import AuthorityOnDevice
from accounts.models.queries import UserQuerySet
from accounts.models.roles import Role, label_of
from accounts.signals import send_changed, users_deactivated
from accounts.text import validate_printable

# Only ASCII. Every database compares these letters without regard to case in the same way, and
# letters of other scripts could look like them.
# At least one letter or digit, because URLs fold `.` and `..` away.
USERNAME = r"[_.+-]*[A-Za-z0-9][A-Za-z0-9_.+-]*"


class GuestlistUserManager(UserManager.from_queryset(UserQuerySet)):  # type: ignore[misc]
    def get_by_natural_key(self, username):
        return self.with_username(username).get()

    def _create_user_object(self, username, email, password, **extra_fields):
        """Raise ValueError without an email address, as Django does without a username."""
        if not email:
            raise ValueError("The email address is missing.")
        return super()._create_user_object(username, email, password, **extra_fields)


class User(AuthorityOnDevice, AbstractUser):
    """A person.

    `password_changed_at` is the time of the last real password change. An upgrade of the hash does
    not move it. A device that signed in before this time is not live. `email_verified_at` is moved
    by each new address, so that it tells one verified address from the next.
    """

    username = models.CharField(
        max_length=150,
        unique=True,
        validators=[
            RegexValidator(
                rf"\A{USERNAME}\Z",
                "Use only A to Z, digits and . + - _, with at least one letter or digit.",
            )
        ],
        help_text="At most 150 letters from A to Z, digits and . + - _",
        error_messages={"unique": "That username is taken."},
    )
    email = models.EmailField("email address", validators=[validate_printable])
    email_verified_at = models.DateTimeField(null=True, blank=True, editable=False)
    password_changed_at = models.DateTimeField(default=timezone.now, editable=False)
    # How many failed before the password that logged in now. The backend sets it; it is not stored.
    wrong_passwords = 0
    # The attempt of that password, if it is decided with the new device. Not stored either.
    attempt: Any = None
    # The passkey that logged in now, if one did. Not stored.
    passkey: Any = None
    _password: str | None
    _own_hash = ""  # the last hash that `set_password()` made
    groups = None  # type: ignore[assignment]
    roles = models.ManyToManyField(Role, blank=True, related_name="users")

    objects = GuestlistUserManager()  # type: ignore[misc]

    class Meta:
        # For the admin's filters, which find few users among all. Only those few are in an index,
        # so all others cost nothing.
        indexes = [
            models.Index(fields=["username"], name="user_staff", condition=models.Q(is_staff=True)),
            models.Index(
                fields=["username"], name="user_superuser", condition=models.Q(is_superuser=True)
            ),
            models.Index(
                fields=["username"], name="user_inactive", condition=models.Q(is_active=False)
            ),
            models.Index(BytewiseLower("email"), name="user_email"),
        ]
        constraints = [
            models.UniqueConstraint(
                BytewiseLower("username"),
                name="username_unique_without_case",
                violation_error_message="That username is taken.",
            ),
            models.UniqueConstraint(
                BytewiseLower("email"),
                name="verified_email_unique",
                condition=models.Q(email_verified_at__isnull=False),
                violation_error_message="That email address is taken.",
            ),
        ]

    def save(self, *args, **kwargs):
        """Save, and stamp a real password change. Send `users_deactivated` for an inactive user.

        Raise ValidationError for a new user whose username the rules refuse.

        Django sets `_password` at a real change, and clears it before it saves an upgrade of the
        hash. A hash that was made elsewhere and then assigned is a real change too.
        """
        is_new = self._state.adding
        if is_new:
            User._meta.get_field("username").run_validators(self.username)
        fields = kwargs.get("update_fields")
        unsaved_password = None
        is_change = False
        if fields is not None and "password" not in fields:
            # Django clears `_password` at each save. This save does not write the password.
            unsaved_password, self._password = self._password, None
        elif self._password is not None or self._is_hash_assigned():
            self.password_changed_at = timezone.now()
            if fields is not None:
                kwargs["update_fields"] = {*fields, "password_changed_at"}
            is_change = not is_new
        if not is_new and self.email_verified_at and (fields is None or "email" in fields):
            self._stamp_email(kwargs)
        self._save_and_tell(args, kwargs, is_change=is_change)
        if unsaved_password is not None:
            self._password = unsaved_password

    def _save_and_tell(self, args: Any, kwargs: dict[str, Any], *, is_change: bool) -> None:
        """Save, log it, and send the signals. `is_change`: a stored account gets a new password."""
        using, is_new = kwargs.get("using"), self._state.adding
        fields = kwargs.get("update_fields")
        with transaction.atomic(using=using):
            super().save(*args, **kwargs)
            if not self.is_active:
                users_deactivated.send(type(self), user_ids=[self.pk])
            if is_change or (fields is None and (self.is_staff or self.is_superuser)):
                send_changed([self.pk], using=using)
            if not is_new:
                event = "password changed" if is_change else "account changed"
                log_account(self, event, using, fields)

    def _is_hash_assigned(self) -> bool:
        """Whether `password` holds a new hash that `set_password()` did not make."""
        if self._state.adding or constant_time_compare(self.password, self._own_hash):
            return False
        return not User.objects.filter(pk=self.pk, password=self.password).exists()

    def _stamp_email(self, kwargs: dict[str, Any]) -> None:
        """Stamp an address that code puts in the place of a verified one: it counts as verified."""
        stored = User.objects.filter(pk=self.pk, email_verified_at=self.email_verified_at)
        if stored.exclude(email=self.email).exists():
            self.email_verified_at = timezone.now()
            if kwargs.get("update_fields") is not None:
                kwargs["update_fields"] = {*kwargs["update_fields"], "email_verified_at"}

    def set_password(self, raw_password):
        super().set_password(raw_password)
        self._own_hash = self.password
        if raw_password is None:
            self.set_unusable_password()

    def set_unusable_password(self):
        """Take the password away. With `_password` set, `save()` stamps this as a real change."""
        super().set_unusable_password()
        self._password = ""

    def check_password(self, raw_password):
        return check_password(raw_password, self.password, self._upgrade_hash)

    def _upgrade_hash(self, raw_password: str) -> None:
        """Store a hash made by today's method in place of an older one.

        The row may hold another password by now, or be gone, because a hash takes time. Then this
        writes nothing.
        """
        upgraded = make_password(raw_password)
        same = User.objects.filter(pk=self.pk, password=self.password)
        if same.update(password=upgraded, password_changed_at=models.F("password_changed_at")):
            self.password = self._own_hash = upgraded

    def may_touch(self, other: "User") -> bool:
        """Whether this user may act on the other: only a superuser acts on a superuser."""
        return self.is_superuser or not other.is_superuser

    def may_edit(self, other: "User") -> bool:
        """Whether this user may edit the other: only if it holds nothing that this user lacks.

        Otherwise the editor could take that account over by giving it their own email address.
        What it holds are its permissions, and its roles without permissions.
        """
        if self.is_superuser:
            return True
        if not self.may_touch(other) or not other.held_permissions() <= self.get_all_permissions():
            return False
        bare = other.roles.filter(permissions=None)
        return not bare.exclude(pk__in=self.roles.values("pk")).exists()

    def held_permissions(self) -> set[str]:
        """The account's permissions, also while it is inactive, unlike `get_all_permissions()`."""
        held = models.Q(roles__users=self) | models.Q(user=self)
        return {label_of(permission) for permission in Permission.objects.filter(held).distinct()}

    def may_give(self, role: Role) -> bool:
        """Whether this user may give the role, and take it.

        A role's name is authority too, because code asks for it (`HasRole`). So this needs every
        permission of the role, and for a role without permissions it needs the role itself. A
        superuser may always.
        """
        if self.is_superuser:
            return True
        labels = role.permission_labels()
        if labels:
            return labels <= self.get_all_permissions()
        return self.roles.filter(pk=role.pk).exists()

    def may_manage(self, role: Role) -> bool:
        """Whether this user may edit, rename and delete the role.

        People who may give it may. A role that is no authority at all anybody may manage: it has
        no permissions, nobody has it, and no view asks for it.
        """
        if self.may_give(role):
            return True
        is_used = role.name in ASKED_FOR or role.users.exists()
        return not is_used and not role.permission_labels()

    def may_name_role(self, name: str) -> bool:
        """Whether this user may give a role this name. Only a superuser may, if views ask for it.

        A name that a role has is allowed here: it is the role's own, or it is refused as taken.
        """
        if self.is_superuser or name not in ASKED_FOR:
            return True
        return Role.objects.filter(name=name).exists()

    def is_of_staff(self) -> bool:
        """Whether the account holds something that is for staff, see `UserQuerySet.of_staff()`."""
        return User.objects.of_staff().filter(pk=self.pk).exists()

    def is_last_superuser(self) -> bool:
        """Whether this is the last superuser. Without one, no account could make another."""
        others = User.objects.superusers().exclude(pk=self.pk)
        return self.is_superuser and self.is_active and not others.exists()
