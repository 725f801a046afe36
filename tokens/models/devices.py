"""The device: its row, the questions about rows, and how long it lasts."""

import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Count, Max, Q
from django.db.models.functions import Now

from accounts.models import User
from tokens.models.states import DevicesByState
from tokens.user_agents import CLIENT_LENGTH, USER_AGENT_LENGTH, DeviceType, device_label

NAME_LENGTH = 64  # characters of the name that a person gives a device
NOTE_LENGTH = 500  # characters of the note that staff leave
BATCHES_AHEAD = 20  # batches whose keys are read with one query


class IssuedTokenQuerySet(DevicesByState["IssuedToken"]):
    def touchable_by(self, user: User) -> "IssuedTokenQuerySet":
        """Devices that this member of staff may end. Only superusers end those of superusers."""
        return self if user.is_superuser else self.filter(user__is_superuser=False)

    def matching(
        self,
        *,
        user: User | None = None,
        network: IPv4Network | IPv6Network | None = None,
        signed_in_after: datetime | None = None,
        signed_in_before: datetime | None = None,
        os: str | None = None,
        client: str | None = None,
        role: str | None = None,
        not_seen_since: datetime | None = None,
    ) -> "IssuedTokenQuerySet":
        """Devices that meet all given conditions. Without a condition, all devices.

        `network` holds the address of the sign-in or the last address. `client` is the program
        ("Firefox"), and `role` the name of a role of the user. `os` and `client` ignore case.
        """
        devices = self
        if user is not None:
            devices = devices.filter(user=user)
        if network is not None:
            devices = devices.filter(Q(ip_address__within=network) | Q(last_ip__within=network))
        if signed_in_after is not None:
            devices = devices.filter(created_at__gte=signed_in_after)
        if signed_in_before is not None:
            devices = devices.filter(created_at__lt=signed_in_before)
        if os is not None:
            devices = devices.filter(os__iexact=os)
        if client is not None:
            devices = devices.filter(browser__iexact=client)
        if role is not None:
            devices = devices.filter(user__in=User.objects.filter(roles__name=role))
        if not_seen_since is not None:
            devices = devices.filter(last_seen_at__lte=not_seen_since)
        return devices

    def summary(self) -> dict[str, Any]:
        """How many `devices` of how many `people` these are, and when the `newest` signed in."""
        return self.aggregate(
            devices=Count("pk"), people=Count("user", distinct=True), newest=Max("created_at")
        )

    def breakdown(self, largest: int = 5) -> dict[str, list[tuple[str, int]]]:
        """The `largest` groups of these devices by OS, client, kind and place, with one query.

        Each group is a value and its count. The value "" means unknown.
        """
        names = ["os", "browser", "kind", "location"]
        counts: dict[str, Counter[str]] = {name: Counter() for name in names}
        for *values, count in self.order_by().values_list(*names).annotate(count=Count("pk")):
            for name, value in zip(names, values, strict=True):
                counts[name][value] += count
        return {name: counter.most_common(largest) for name, counter in counts.items()}

    def revoke(self, *, reason: str, by: User | None = None, note: str = "") -> int:
        """End these devices forever, in one UPDATE. Return how many it ended.

        A device that was revoked before keeps its time, reason and note. This also holds if two
        revocations meet: the database checks the outer condition again when it gets the row's lock.
        """
        return IssuedToken.objects.filter(pk__in=self.values("pk"), revoked_at=None).update(
            revoked_at=Now(),
            revoked_reason=reason,
            revoked_by=by,
            revoked_by_name=by.get_username() if by else "",
            revoked_note=note,
        )

    revoke.alters_data = True  # type: ignore[attr-defined]

    def in_batches(self, size: int) -> Iterator["IssuedTokenQuerySet"]:
        """These devices in batches of `size`, in the order of their keys.

        The keys are read several batches ahead, because finding few devices among many is slow.
        So a batch may be stale: repeat the condition in the UPDATE. The devices of a batch may
        leave this queryset before the next one is taken.
        """
        after = uuid.UUID(int=0)
        ordered = self.order_by("pk").values_list("pk", flat=True)
        while keys := list(ordered.filter(pk__gt=after)[: size * BATCHES_AHEAD]):
            for start in range(0, len(keys), size):
                yield IssuedToken.objects.filter(pk__in=keys[start : start + size])
            after = keys[-1]


class IssuedToken(models.Model):
    """A device: one signed-in place. It ends once and is never revived.

    The device holds its handle, and the row only the SHA-256 of it. So a copy of the table signs in
    no one.
    """

    class Kind(models.TextChoices):
        API = "api", "API"
        BROWSER = "browser", "browser"

    class Reason(models.TextChoices):
        LOGOUT = "logout", "signed out"
        USER = "user", "signed out by its owner"
        STAFF = "staff", "revoked by staff"
        REUSE = "reuse", "its refresh token was used twice"
        PASSWORD = "password", "the password was changed"
        DEACTIVATED = "deactivated", "the account was deactivated"
        LIMIT = "limit", "too many devices"
        REPLACED = "replaced", "signed in again in the same browser"
        INCIDENT = "incident", "revoked in an incident"
        RIGHTS = "rights", "the account may do more since"

    class Alarm(models.TextChoices):
        """A sign of theft: what the other side did."""

        REUSE = "reuse", "its refresh token was used twice"
        CLIENT = "client", "its cookie came from another client"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="devices"
    )
    kind = models.CharField(max_length=7, choices=Kind)
    hash = models.BinaryField(max_length=32, unique=True)

    generation = models.PositiveIntegerField(default=1)
    rotated_at = models.DateTimeField()
    confirmed = models.BooleanField(default=False)
    attempt_hash = models.BinaryField(max_length=32, null=True)
    rotated_ip = models.GenericIPAddressField(null=True)
    rotated_user_agent = models.CharField(max_length=USER_AGENT_LENGTH, blank=True)
    password_epoch = models.DateTimeField()

    name = models.CharField(max_length=NAME_LENGTH, blank=True)
    browser = models.CharField(max_length=CLIENT_LENGTH, blank=True)
    os = models.CharField("OS", max_length=CLIENT_LENGTH, blank=True)
    device_type = models.CharField(max_length=7, choices=DeviceType, default=DeviceType.UNKNOWN)
    user_agent = models.CharField(max_length=USER_AGENT_LENGTH, blank=True)

    ip_address = models.GenericIPAddressField("IP address", null=True, db_index=True)
    last_ip = models.GenericIPAddressField("last IP address", null=True)
    location = models.CharField("place", max_length=128, blank=True)

    created_at = models.DateTimeField("signed in")
    authenticated_at = models.DateTimeField("password last given", null=True)
    authenticated_ip = models.GenericIPAddressField("where the password was last given", null=True)
    # The next two have no index: they are written while the device is used, and an index would be
    # a second write each time.
    last_seen_at = models.DateTimeField("last seen")
    idle_at = models.DateTimeField("idle from", null=True)
    expires_at = models.DateTimeField("ends", db_index=True)

    # The flags of the user at sign-in. None counts as the flags of today.
    was_staff = models.BooleanField(null=True)
    was_superuser = models.BooleanField(null=True)

    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    # A copy of the name, which stays when the account is deleted.
    revoked_by_name = models.CharField("revoked by", max_length=150, blank=True)
    revoked_reason = models.CharField(max_length=11, choices=Reason, blank=True)
    revoked_note = models.CharField("note", max_length=NOTE_LENGTH, blank=True)

    # A sign of theft, and its other side. The User-Agent of the other side is `alarm_client`.
    alarm = models.CharField(max_length=8, choices=Alarm, blank=True, default="", db_default="")
    alarm_at = models.DateTimeField(null=True)
    alarm_ip = models.GenericIPAddressField(null=True)
    alarm_client = models.CharField(max_length=USER_AGENT_LENGTH, blank=True)

    # Requests that a revoked device made after its end, counted at most once a minute.
    refused_count = models.PositiveIntegerField(default=0)
    refused_at = models.DateTimeField(null=True)
    refused_ip = models.GenericIPAddressField(null=True)

    objects = IssuedTokenQuerySet.as_manager()

    # Set by `with_state()`.
    state: str
    now: datetime
    # The generation of the token in the request. For a browser it is the device's own generation.
    presented_generation: int | None = None

    class Meta:
        verbose_name = "device"
        default_permissions = ("view", "change", "delete")
        permissions = [("revoke_issuedtoken", "Can revoke device")]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="device_newest_first"),
            models.Index(
                fields=["revoked_at"],
                name="device_revoked_at",
                condition=Q(revoked_at__isnull=False),
            ),
            models.Index(
                fields=["-alarm_at"], name="device_alarm_at", condition=Q(alarm_at__isnull=False)
            ),
            # The address changes when the device moves, so this index is seldom written.
            models.Index(fields=["last_ip"], name="device_last_ip"),
            # One index for each filter of the admin's list. Without it, the newest devices of a
            # rare kind would be searched among all devices. The list reads the index backwards, so
            # that new rows are added at its end, which keeps it small. Each index costs a sign-in
            # about 20 us.
            models.Index(fields=["kind", "created_at", "id"], name="device_kind"),
            models.Index(fields=["os", "created_at", "id"], name="device_os"),
            models.Index(
                fields=["revoked_reason", "created_at", "id"],
                name="device_revoked_reason",
                condition=Q(revoked_at__isnull=False),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(revoked_at__isnull=True, revoked_reason="")
                | Q(revoked_at__isnull=False) & ~Q(revoked_reason=""),
                name="device_revoked_with_reason",
            ),
            models.CheckConstraint(
                condition=Q(kind="api") | Q(kind="browser"), name="device_kind_known"
            ),
        ]

    def __str__(self):
        return f"{self.name} ({self.label})" if self.name else self.label

    @property
    def label(self) -> str:
        """The name of the client and what it runs on: "Firefox on Linux"."""
        return device_label(browser=self.browser, os=self.os, device_type=self.device_type)

    @property
    def ended_reason(self) -> str:
        """Why the device is revoked, by its own row or by its user. "" if it is not."""
        if self.revoked_at:
            return self.revoked_reason
        if not self.user.is_active:
            return self.Reason.DEACTIVATED
        if self.password_epoch != self.user.password_changed_at:
            return self.Reason.PASSWORD
        return ""

    def is_fresh(self) -> bool:
        """Whether the password was given on this device within STEP_UP_MAX_AGE.

        The request must have come with the newest token as well. No query is made: `now` is the
        time of the database when the device was read.
        """
        return (
            self.authenticated_at is not None
            and self.now - self.authenticated_at < settings.STEP_UP_MAX_AGE
            and self.presented_generation == self.generation
        )

    def idle_timeout(self) -> timedelta | None:
        """How long the device may be silent. None means forever."""
        if self.idle_at is None:
            return None
        return idle_timeout(self.kind, self.user)


def idle_timeout(kind: str, user: Any) -> timedelta:
    """How long a device of this kind may be silent before it is idle."""
    if kind == IssuedToken.Kind.BROWSER and user.is_staff:
        return settings.STAFF_BROWSER_IDLE_TIMEOUT
    return settings.DEVICE_IDLE_TIMEOUT


def lifetime(kind: str, user: Any) -> timedelta:
    """How long a device of this kind lasts, however much it is used."""
    if kind == IssuedToken.Kind.BROWSER and user.is_staff:
        return settings.STAFF_BROWSER_LIFETIME
    return settings.DEVICE_LIFETIME
