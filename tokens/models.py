import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Case, Count, F, Max, Q, Value, When
from django.db.models.functions import Coalesce, Least, Now, TruncDate
from django.utils.timesince import timesince

from accounts.models import User
from tokens.client import DeviceType, client_name, device_label

BATCHES_AHEAD = 20


class State(models.TextChoices):
    LIVE = "live"
    IDLE = "idle"
    EXPIRED = "expired"
    REVOKED = "revoked"


# The one definition of the states: a device is in the first whose condition holds, else live.
# The clock is the database's, so that hosts whose clocks differ agree.
ENDED = {
    State.REVOKED: Q(revoked_at__isnull=False)
    | Q(user__is_active=False)
    # Not "different": PostgreSQL reckons that the opposite, two equal columns of a join, is rare,
    # and sorts all live devices to find the newest.
    | Q(password_epoch__lt=F("user__password_changed_at"))
    | Q(password_epoch__gt=F("user__password_changed_at")),
    State.EXPIRED: Q(expires_at__lte=Now()),
    State.IDLE: Q(idle_at__lte=Now()),
}


class IssuedTokenQuerySet(models.QuerySet["IssuedToken"]):
    def with_state(self) -> "IssuedTokenQuerySet":
        """Devices with their user, their `state`, and the database's `now` to reckon with."""
        # Values and not members of an enum, which the drivers would look up at each request.
        whens = [When(condition, then=Value(state.value)) for state, condition in ENDED.items()]
        state = Case(*whens, default=Value(State.LIVE.value))
        return self.select_related("user").annotate(state=state, now=Now())

    def in_state(self, state: str) -> "IssuedTokenQuerySet":
        """Devices in one of the four states."""
        devices = self
        for ended, condition in ENDED.items():
            if ended == state:
                return devices.filter(condition)
            devices = devices.exclude(condition)
        return devices

    def live(self) -> "IssuedTokenQuerySet":
        return self.in_state(State.LIVE)

    def ended_since(self, time: Any) -> "IssuedTokenQuerySet":
        """Devices that are live no more and were at `time`, the latest end first."""
        end = Coalesce("revoked_at", Least(Coalesce("idle_at", "expires_at"), "expires_at"))
        ended = self.with_state().annotate(ended_at=end).filter(ended_at__gte=time)
        return ended.exclude(pk__in=self.live().values("pk")).order_by("-ended_at")

    def touchable_by(self, user: User) -> "IssuedTokenQuerySet":
        """Devices that this member of staff may end: a superuser's only as a superuser."""
        return self if user.is_superuser else self.filter(user__is_superuser=False)

    def of_kind(self, kind: str) -> "IssuedTokenQuerySet":
        return self.filter(kind=kind)

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
        """Devices for which everything given holds; without anything, all.

        `network` is where they signed in from or were last seen, `client` the program ("Firefox")
        and `role` the name of one that their user has.
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
        """How many these are (`devices`, of how many `people`) and when the `newest` signed in."""
        return self.aggregate(
            devices=Count("pk"), people=Count("user", distinct=True), newest=Max("created_at")
        )

    def breakdown(self, largest: int = 5) -> dict[str, list[tuple[str, int]]]:
        """How many of these devices there are of each OS, client, kind and place: of each the
        `largest` groups, "" being what is unknown. One query."""
        names = ["os", "browser", "kind", "location"]
        counts: dict[str, Counter[str]] = {name: Counter() for name in names}
        for *values, count in self.order_by().values_list(*names).annotate(count=Count("pk")):
            for name, value in zip(names, values, strict=True):
                counts[name][value] += count
        return {name: counter.most_common(largest) for name, counter in counts.items()}

    def unended(self) -> "IssuedTokenQuerySet":
        """Devices that are live by their own row, whatever became of their user."""
        is_used = Q(idle_at=None) | Q(idle_at__gt=Now())
        return self.filter(is_used, revoked_at=None, expires_at__gt=Now())

    def never_used(self) -> "IssuedTokenQuerySet":
        """Devices that made no request since their sign-in."""
        return self.filter(generation=1, confirmed=False)

    def past_retention(self, by: timedelta = timedelta()) -> "IssuedTokenQuerySet":
        """Devices that ended long enough ago to be purged, or to have been since `by`."""
        limit = Now() - (settings.DEVICE_RETENTION + by)
        return self.filter(Q(revoked_at__lt=limit) | Q(expires_at__lt=limit))

    def revoke(self, *, reason: str, by: User | None = None, note: str = "") -> int:
        """End these devices, for good, in one UPDATE. Return how many it ended.

        One that was ended before keeps its time, its reason and its note, also when two
        revocations meet: the outer condition is looked at again once the row is free.
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
        """These devices in batches of `size`, in primary-key order.

        Found some batches ahead, since finding a few among many may take long; so whoever acts
        on a batch states its condition again. It may take its devices out of this queryset.
        """
        after = uuid.UUID(int=0)
        ordered = self.order_by("pk").values_list("pk", flat=True)
        while keys := list(ordered.filter(pk__gt=after)[: size * BATCHES_AHEAD]):
            for start in range(0, len(keys), size):
                yield IssuedToken.objects.filter(pk__in=keys[start : start + size])
            after = keys[-1]


class IssuedToken(models.Model):
    """A device: one signed-in place, ended once and never revived.

    The row keeps only the SHA-256 of the handle that the device holds, so no copy of the table
    signs anybody in.
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
    rotated_user_agent = models.CharField(max_length=512, blank=True)
    password_epoch = models.DateTimeField()

    name = models.CharField(max_length=64, blank=True)
    browser = models.CharField(max_length=64, blank=True)
    os = models.CharField("OS", max_length=64, blank=True)
    device_type = models.CharField(max_length=7, choices=DeviceType, default=DeviceType.UNKNOWN)
    user_agent = models.CharField(max_length=512, blank=True)

    ip_address = models.GenericIPAddressField("IP address", null=True, db_index=True)
    last_ip = models.GenericIPAddressField("last IP address", null=True)
    location = models.CharField("place", max_length=128, blank=True)

    created_at = models.DateTimeField("signed in")
    authenticated_at = models.DateTimeField("password last given", null=True)
    # Written while the device is in use: an index would cost a second write each time.
    last_seen_at = models.DateTimeField("last seen")
    idle_at = models.DateTimeField("idle from", null=True)
    expires_at = models.DateTimeField("ends", db_index=True)

    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    # The name outlives the account that it was.
    revoked_by_name = models.CharField("revoked by", max_length=150, blank=True)
    revoked_reason = models.CharField(max_length=11, choices=Reason, blank=True)
    revoked_note = models.CharField("note", max_length=500, blank=True)

    reuse_at = models.DateTimeField(null=True)
    reuse_ip = models.GenericIPAddressField(null=True)
    reuse_user_agent = models.CharField(max_length=512, blank=True)

    # Requests that a revoked device made after its end, counted at most once a minute.
    refused_count = models.PositiveIntegerField(default=0)
    refused_at = models.DateTimeField(null=True)
    refused_ip = models.GenericIPAddressField(null=True)

    objects = IssuedTokenQuerySet.as_manager()

    # From `with_state()`.
    state: str
    now: datetime
    # The generation of the token that a request came with; the device's own for a browser.
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
                fields=["-reuse_at"], name="device_reuse_at", condition=Q(reuse_at__isnull=False)
            ),
            # Moves only with the device, unlike the times, so its index is seldom written.
            models.Index(fields=["last_ip"], name="device_last_ip"),
            # One for each filter of the admin's list, in the list's order: otherwise the newest of
            # something rare is looked for among all. Read backwards, they grow at their end, which
            # keeps them small. Each costs a sign-in some 20 us.
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
        """The parsed client: "Firefox on Linux"."""
        return device_label(browser=self.browser, os=self.os, device_type=self.device_type)

    @property
    def ended_reason(self) -> str:
        """Why the device is revoked, "" if it is not."""
        if self.revoked_at:
            return self.revoked_reason
        if not self.user.is_active:
            return self.Reason.DEACTIVATED
        if self.password_epoch != self.user.password_changed_at:
            return self.Reason.PASSWORD
        return ""

    @property
    def ended_note(self) -> str:
        """What the person is told of the end: staff's note, or both sides of a reuse."""
        if self.revoked_reason != self.Reason.REUSE:
            return self.revoked_note
        first = _side(self.rotated_at, self.rotated_ip, self.rotated_user_agent)
        second = _side(self.reuse_at, self.reuse_ip, self.reuse_user_agent)
        return f"Used first {first}, then again {second}."

    @property
    def ended_text(self) -> str:
        """How the device ended, for the person: "revoked by staff"."""
        if self.state == State.REVOKED:
            return self.Reason(self.ended_reason).label
        return "not used for too long" if self.state == State.IDLE else "reached its end"

    @property
    def refused_text(self) -> str:
        """What came after the end: "refused 14 times since, last 3 minutes ago from ..."."""
        if not self.refused_at:
            return ""
        times = "once" if self.refused_count == 1 else f"{self.refused_count} times"
        ago = f"{timesince(self.refused_at, self.now, depth=1)} ago"
        last = "just now" if self.now - self.refused_at < timedelta(minutes=1) else ago
        return f"refused {times} since, last {last} from {self.refused_ip or 'somewhere'}"

    def is_fresh(self) -> bool:
        """Whether the password was given here lately, and the request came with the newest token.

        Asks nothing of the database; `now` is its clock at the time the device was read.
        """
        return (
            self.authenticated_at is not None
            and self.now - self.authenticated_at < settings.STEP_UP_MAX_AGE
            and self.presented_generation == self.generation
        )

    def idle_timeout(self) -> timedelta | None:
        """How long the device may be silent; None: for ever."""
        if self.idle_at is None:
            return None
        return idle_timeout(self.kind, self.user)


class DailyCountManager(models.Manager["DailyCount"]):
    def recent(self, days: int = 30) -> list["DailyCount"]:
        """The last `days` days, the last of them today so far. Days that are over are counted
        once and kept."""
        today = datetime.now(UTC).date()
        wanted = [today - timedelta(days=ago) for ago in reversed(range(days))]
        kept = {count.day: count for count in self.filter(day__gte=wanted[0], day__lt=today)}
        missing = [day for day in wanted if day not in kept]
        counts = [_count_by_day(time, missing[0]) for time in ("created_at", "revoked_at")]
        for day in missing:
            sign_ins, revocations = (by_day.get(day, 0) for by_day in counts)
            kept[day] = DailyCount(day=day, sign_ins=sign_ins, revocations=revocations)
        over = [kept[day] for day in missing if day < today]
        self.bulk_create(over, ignore_conflicts=True)
        return [kept[day] for day in wanted]


def _count_by_day(time: str, first: date) -> dict[date, int]:
    """How many devices have their `time` on each day (UTC), from the `first` on."""
    start = datetime.combine(first, datetime.min.time(), UTC)
    devices = IssuedToken.objects.filter(**{f"{time}__gte": start}).order_by()
    return dict(devices.values_list(TruncDate(time)).annotate(count=Count("*")))


class DailyCount(models.Model):
    """What happened on a day (UTC) that is over. Kept, because counting a month of many millions
    takes a while, and because a purge takes rows away."""

    day = models.DateField(primary_key=True)
    sign_ins = models.PositiveIntegerField()
    revocations = models.PositiveIntegerField()

    objects = DailyCountManager()

    class Meta:
        default_permissions = ()

    def __str__(self):
        return f"{self.day}: {self.sign_ins} sign-ins, {self.revocations} revocations"


def _side(time: datetime | None, ip_address: str | None, user_agent: str) -> str:
    at = f"on {time:%Y-%m-%d at %H:%M} UTC" if time else "at an unknown time"
    return f"{at} from {ip_address or 'an unknown address'} by {client_name(user_agent)}"


def idle_timeout(kind: str, user: Any) -> timedelta:
    """How long a device of this kind may be silent before it is idle."""
    if kind == IssuedToken.Kind.BROWSER and user.is_staff:
        return settings.STAFF_BROWSER_IDLE_TIMEOUT
    return settings.DEVICE_IDLE_TIMEOUT


def lifetime(kind: str, user: Any) -> timedelta:
    """How long a device of this kind lasts, whatever it does."""
    if kind == IssuedToken.Kind.BROWSER and user.is_staff:
        return settings.STAFF_BROWSER_LIFETIME
    return settings.DEVICE_LIFETIME
