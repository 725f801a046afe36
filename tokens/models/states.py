"""The four states of a device, and the questions about them."""

from datetime import timedelta
from functools import reduce
from operator import or_
from typing import Any, Self, TypeVar

from django.conf import settings
from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce, Least, Now

from accounts.models.primary import ReadsPrimary

D = TypeVar("D", bound=models.Model)


class State(models.TextChoices):
    LIVE = "live"
    IDLE = "idle"
    EXPIRED = "expired"
    REVOKED = "revoked"


# What ends devices by the state of their user, with the reason. A device is in the first one whose
# condition holds. The flags at sign-in are compared with False: None counts as the flags of today.
ENDED_BY_USER = {
    "deactivated": Q(user__is_active=False),
    # Written as < or >, not !=: for != PostgreSQL underestimates the live rows and sorts them all.
    "password": Q(password_epoch__lt=F("user__password_changed_at"))
    | Q(password_epoch__gt=F("user__password_changed_at")),
    "rights": Q(was_staff=False, user__is_staff=True)
    | Q(was_superuser=False, user__is_superuser=True),
}

# The one definition of the states. A device is in the first state whose condition holds. If none
# holds, it is live. The time is the database's, so hosts with different clocks agree.
ENDED = {
    State.REVOKED: reduce(or_, ENDED_BY_USER.values(), Q(revoked_at__isnull=False)),
    State.EXPIRED: Q(expires_at__lte=Now()),
    State.IDLE: Q(idle_at__lte=Now()),
}


class DevicesByState(ReadsPrimary, models.QuerySet[D]):
    """Questions about the states of devices, and about their end."""

    def with_state(self) -> Self:
        """Devices with their `user`, their `state`, and `now`, the time of the database."""
        # Plain values: for members of an enum, the drivers would look up a type in each request.
        whens = [When(condition, then=Value(state.value)) for state, condition in ENDED.items()]
        state = Case(*whens, default=Value(State.LIVE.value))
        return self.select_related("user").annotate(state=state, now=Now())

    def in_state(self, state: str) -> Self:
        """Devices in one of the four states."""
        devices = self
        for ended, condition in ENDED.items():
            if ended == state:
                return devices.filter(condition)
            devices = devices.exclude(condition)
        return devices

    def live(self) -> Self:
        return self.in_state(State.LIVE)

    def ended_since(self, time: Any) -> Self:
        """Devices that were live at `time` and have ended since, the latest end first."""
        end = Coalesce("revoked_at", Least(Coalesce("idle_at", "expires_at"), "expires_at"))
        ended = self.with_state().annotate(ended_at=end).filter(ended_at__gte=time)
        return ended.exclude(pk__in=self.live().values("pk")).order_by("-ended_at")

    def unended(self) -> Self:
        """Devices that are live by their own row. Their user is not looked at."""
        is_used = Q(idle_at=None) | Q(idle_at__gt=Now())
        return self.filter(is_used, revoked_at=None, expires_at__gt=Now())

    def never_used(self) -> Self:
        """Devices that made no request after their sign-in."""
        return self.filter(generation=1, confirmed=False)

    def past_retention(self, by: timedelta = timedelta()) -> Self:
        """Devices that were revoked or expired more than DEVICE_RETENTION plus `by` ago."""
        limit = Now() - (settings.DEVICE_RETENTION + by)
        return self.filter(Q(revoked_at__lt=limit) | Q(expires_at__lt=limit))

    def to_forget(self) -> Self:
        """Devices that ended more than FORGET_AFTER ago and still say exactly where they were."""
        limit = Now() - settings.FORGET_AFTER
        ended = Q(revoked_at__lt=limit) | Q(expires_at__lt=limit) | Q(idle_at__lt=limit)
        return self.filter(ended, forgotten_at=None)

    def of_kind(self, kind: str) -> Self:
        return self.filter(kind=kind)
