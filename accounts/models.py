import logging
from datetime import datetime, timedelta

from django.contrib.auth.models import AbstractUser, Permission, UserManager
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models, transaction
from django.db.models.functions import Lower, Now
from django.dispatch import receiver
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts.roles import BUILT_IN
from accounts.signals import users_deactivated
from accounts.validators import validate_printable

logger = logging.getLogger(__name__)

# ASCII, because "without regard to case" means the same on every database for no other letters,
# and because no two of these look alike.
USERNAME = r"[A-Za-z0-9_.+-]+"

# Sorts after every character of a name or an address.
LAST = "\U0010ffff"


class BytewiseLower(Lower):
    """`field__lower`, compared byte by byte and not as a language would: only so does a range of
    an index hold the texts with a common start, whatever the collation of the database. SQLite
    does so by itself."""

    def as_postgresql(self, compiler, connection, **context):
        return self.as_sql(
            compiler, connection, template='%(function)s(%(expressions)s) COLLATE "C"', **context
        )


models.CharField.register_lookup(BytewiseLower)
models.EmailField.register_lookup(BytewiseLower)


class RoleQuerySet(models.QuerySet):
    def update(self, **kwargs):
        """Update as ever, but for the name of a built-in role. Raise ValidationError."""
        if "name" in kwargs and self.filter(name__in=BUILT_IN).exists():
            raise ValidationError("A built-in role keeps its name.")
        return super().update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined]


class Role(models.Model):
    """A named set of permissions. `admin` and `support` are built in: they keep their names."""

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
        self.clean()
        super().save(*args, **kwargs)

    def clean(self):
        stored = Role.objects.filter(pk=self.pk).first()
        if stored and stored.is_built_in and self.name != stored.name:
            raise ValidationError(f"The role {stored} is built in and keeps its name.")

    @property
    def is_built_in(self) -> bool:
        return self.name in BUILT_IN

    def permission_labels(self) -> set[str]:
        """The role's permissions as "app.codename", prefetched ones without a query."""
        return {_label(permission) for permission in self.permissions.all()}


def _label(permission: Permission) -> str:
    """The permission as "app.codename", its content type from Django's cache of them."""
    content_type = ContentType.objects.get_for_id(permission.content_type_id)
    return f"{content_type.app_label}.{permission.codename}"


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


class ThrottleQuerySet(models.QuerySet["Throttle"]):
    def locked(self) -> "ThrottleQuerySet":
        """Those that refuse the next try."""
        return self.timed().filter(locked_until__gt=Now())

    def timed(self) -> "ThrottleQuerySet":
        """With the database's `now`, to reckon with."""
        return self.annotate(now=Now())

    def hold(self) -> "ThrottleQuerySet":
        """These rows, to be changed in a transaction, in which they are locked in one order
        everywhere, so that no two transactions wait for each other."""
        order = self.select_for_update().order_by("-subject", "-address", "-kind")
        return self.model.objects.filter(pk__in=order.values("pk"))

    def withdraw(self) -> None:
        """Take back one try that is not decided yet."""
        self.filter(undecided__gt=0).update(
            count=models.F("count") - 1, undecided=models.F("undecided") - 1, locked_until=None
        )

    withdraw.alters_data = True  # type: ignore[attr-defined]

    def delete_stale(self, size: int) -> None:
        """Delete at most `size` counts that are past their time and that nobody is at."""
        stale = self.filter(expires_at__lt=Now()).select_for_update(skip_locked=True)
        self.filter(pk__in=stale.values("pk")[:size]).delete()

    delete_stale.alters_data = True  # type: ignore[attr-defined]


class Throttle(models.Model):
    """How many tries of a kind were made on one account or device, from one network, or both.

    The subject and the network are HMACs: the table says who was tried to nobody who has only the
    table. A row without a later try is forgotten at `expires_at`.
    """

    class Kind(models.TextChoices):
        PAIR = "login_pair", "signing in to an account from a network"
        ADDRESS = "login_address", "signing in from a network"
        ACCOUNT = "login_account", "signing in to an account"
        PASSWORD = "password", "the password on a signed-in device"
        SIGNUP = "signup", "signing up, and new names, from a network"
        RESET = "reset", "reset links to an account"
        RESET_ADDRESS = "reset_address", "reset links from a network"
        MAIL = "mail", "mails to an address that is not verified"

    kind = models.CharField(max_length=13, choices=Kind)
    subject = models.BinaryField(max_length=32, default=b"")
    address = models.BinaryField(max_length=32, default=b"", db_index=True)
    count = models.PositiveIntegerField("tries", default=0)
    # Of these, how many are being tested at this moment.
    undecided = models.PositiveIntegerField(default=0)
    counted_at = models.DateTimeField("last try", default=timezone.now)
    locked_until = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(default=timezone.now, db_index=True)

    objects = ThrottleQuerySet.as_manager()

    # From `timed()`.
    now: datetime

    class Meta:
        default_permissions = ("view",)
        permissions = [("lift_throttle", "Can lift throttle")]
        constraints = [
            models.UniqueConstraint(
                fields=["subject", "address", "kind"], name="throttle_counts_once"
            )
        ]

    def __str__(self):
        return f"{self.count} tries: {self.get_kind_display()}"

    @property
    def wait(self) -> timedelta:
        """How long the next try is refused."""
        return max((self.locked_until or self.now) - self.now, timedelta(0))

    def is_locked(self) -> bool:
        return bool(self.wait)


@receiver(models.signals.pre_delete, sender=Role)
def keep_built_in_roles(instance, **kwargs):
    """Hear every way of deletion: `Role.delete()`, a queryset, the admin."""
    if instance.is_built_in:
        raise models.ProtectedError(f"The role {instance} is built in.", {instance})
