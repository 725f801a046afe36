from datetime import datetime, timedelta

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models.primary import ReadsPrimary


class ThrottleQuerySet(ReadsPrimary, models.QuerySet["Throttle"]):
    def locked(self) -> "ThrottleQuerySet":
        """Rows that refuse the next attempt now."""
        return self.timed().filter(locked_until__gt=Now())

    def timed(self) -> "ThrottleQuerySet":
        """Add the database's time as `now`."""
        return self.annotate(now=Now())

    def hold(self) -> "ThrottleQuerySet":
        """Return the same rows. A change locks them first, so it needs a transaction.

        All code locks rows in this order, so that no two transactions wait for each other.
        """
        order = self.select_for_update().order_by("-subject", "-address", "-kind")
        return self.model.objects.filter(pk__in=order.values("pk"))


class Throttle(models.Model):
    """How many attempts of a kind were made on one account or device, from one network, or both.

    The subject and the network are HMACs, so a stolen table does not show whose attempts they were.
    A row is forgotten at `expires_at`, unless a later attempt moves that time.
    """

    class Kind(models.TextChoices):
        PAIR = "login_pair", "signing in to an account from a network"
        ADDRESS = "login_address", "signing in from a network"
        ACCOUNT = "login_account", "signing in to an account"
        PASSWORD = "password", "the password on a signed-in device"
        SIGNUP = "signup", "signing up, and new names, from a network"
        RESET = "reset", "reset links to an account"
        RESET_ADDRESS = "reset_address", "reset links from a network"
        MAIL = "mail", "mails to a person or an address"
        KNOWN = "known", "an account from a network where its password was given"

    kind = models.CharField(max_length=13, choices=Kind)
    subject = models.BinaryField(max_length=32, default=b"")
    address = models.BinaryField(max_length=32, default=b"", db_index=True)
    count = models.PositiveIntegerField("tries", default=0)
    # How many of `count` are still being tested.
    undecided = models.PositiveIntegerField(default=0)
    counted_at = models.DateTimeField("last try", default=timezone.now)
    locked_until = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(default=timezone.now, db_index=True)

    objects = ThrottleQuerySet.as_manager()

    # Set by `timed()`.
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
        """How long attempts are refused from now on; zero without a lock. Needs `timed()`."""
        return max((self.locked_until or self.now) - self.now, timedelta(0))

    def is_locked(self) -> bool:
        return bool(self.wait)
