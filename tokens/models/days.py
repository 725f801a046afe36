"""How many sign-ins and how many revocations each day had."""

from datetime import UTC, date, datetime, timedelta

from django.db import models
from django.db.models import Count
from django.db.models.functions import TruncDate

from tokens.models.devices import IssuedToken


class DailyCountManager(models.Manager["DailyCount"]):
    def recent(self, days: int = 30) -> list["DailyCount"]:
        """The counts of the last `days` days, the oldest first. The last one is today so far.

        A day that is over is counted once, and its row is kept.
        """
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
    """How many devices have the field `time` on each day (UTC), from the day `first` on."""
    start = datetime.combine(first, datetime.min.time(), UTC)
    devices = IssuedToken.objects.filter(**{f"{time}__gte": start}).order_by()
    return dict(devices.values_list(TruncDate(time)).annotate(count=Count("*")))


class DailyCount(models.Model):
    """The sign-ins and revocations of one day (UTC).

    The row of a day that is over is kept, because counting many millions of devices takes a while,
    and because a purge deletes devices.
    """

    day = models.DateField(primary_key=True)
    sign_ins = models.PositiveIntegerField()
    revocations = models.PositiveIntegerField()

    objects = DailyCountManager()

    class Meta:
        default_permissions = ()

    def __str__(self):
        return f"{self.day}: {self.sign_ins} sign-ins, {self.revocations} revocations"
