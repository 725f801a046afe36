"""The device: its row, and how long it lasts."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from tokens.models.queries import IssuedTokenQuerySet
from tokens.places import are_near
from tokens.user_agents import CLIENT_LENGTH, USER_AGENT_LENGTH, DeviceType, device_label

NAME_LENGTH = 64  # characters of the name that a person gives a device
NOTE_LENGTH = 500  # characters of the note that staff leave


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
        REPLACED = "replaced", "replaced by a new sign-in in the same browser"
        INCIDENT = "incident", "revoked in an incident"
        RIGHTS = "rights", "the account may do more since"
        RECOVERY = "recovery", "a recovery code was used"

    class Method(models.TextChoices):
        """What its person proved who they are with at the sign-in."""

        PASSWORD = "password", "password"
        PASSKEY = "passkey", "passkey"
        TOKEN = "token", "issued on the server"

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
    # The method of the sign-in; "" for one before there were passkeys.
    method = models.CharField(
        "signed in by", max_length=8, choices=Method, blank=True, default="", db_default=""
    )
    passkey_at = models.DateTimeField("passkey last used", null=True)
    # Whether that passkey counts for staff, see `Passkey.vouched`.
    passkey_vouched = models.BooleanField(default=False, db_default=False)
    # A password or a passkey.
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

    # A sign of theft, and its other side. `alarm_client` is the User-Agent of the other side of a
    # reuse, and the name of another client.
    alarm = models.CharField(max_length=8, choices=Alarm, blank=True, default="", db_default="")
    alarm_at = models.DateTimeField(null=True)
    alarm_ip = models.GenericIPAddressField(null=True)
    alarm_client = models.CharField(max_length=USER_AGENT_LENGTH, blank=True)

    # Requests that a revoked device made after its end, counted at most once a minute.
    refused_count = models.PositiveIntegerField(default=0)
    refused_at = models.DateTimeField(null=True)
    refused_ip = models.GenericIPAddressField(null=True)

    # From this time on each address in the row is the first one of its network (see `network_of`),
    # and each user agent is its label.
    forgotten_at = models.DateTimeField("addresses forgotten", null=True)

    objects = IssuedTokenQuerySet.as_manager()

    # Set by `with_state()`.
    state: str
    now: datetime
    # The address of the request, and the generation of its token. For a browser that is the
    # device's own generation.
    presented_generation: int | None = None
    presented_ip: str | None = None

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
            models.Index(fields=["method", "created_at", "id"], name="device_method"),
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
        if self.was_staff is False and self.user.is_staff:
            return self.Reason.RIGHTS
        if self.was_superuser is False and self.user.is_superuser:
            return self.Reason.RIGHTS
        return ""

    def is_fresh(self) -> bool:
        """Whether the password was given on this device within STEP_UP_MAX_AGE.

        The request must have come with the newest token as well, and from the network or country
        where the password was given. No query is made: `now` is the time of the database when the
        device was read.
        """
        return (
            self.authenticated_at is not None
            and self.now - self.authenticated_at < settings.STEP_UP_MAX_AGE
            and self.presented_generation == self.generation
            and are_near(self.authenticated_ip, self.presented_ip)
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
