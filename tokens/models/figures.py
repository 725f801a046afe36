"""Counts that take too long for a request: the purge takes them; pages and metrics read them."""

from datetime import timedelta
from typing import Any

from django.db import models, transaction
from django.db.models.functions import Now

from accounts.models.primary import ReadsPrimary


class FigureQuerySet(ReadsPrimary, models.QuerySet[Any]):
    def replace(self, values: dict[str, int]) -> None:
        """Keep these values by name, with the time of the database, and no others."""
        # In the order of the names, so that two purges do not wait for each other.
        figures: list[Any] = [
            Figure(name=name, value=values[name], taken_at=Now()) for name in sorted(values)
        ]
        with transaction.atomic(using=self.db):
            self.bulk_create(
                figures,
                update_conflicts=True,
                unique_fields=["name"],
                update_fields=["value", "taken_at"],
            )
            self.exclude(name__in=[*values, Figure.AHEAD]).delete()

    def count_ahead(self) -> None:
        """Count a refresh token ahead of its device, at most one in a second.

        After a restore thousands of clients may come at once, and would wait for this one row.
        """
        rows = self.filter(name=Figure.AHEAD)
        due = rows.filter(taken_at__lt=Now() - timedelta(seconds=1))
        if not due.update(value=models.F("value") + 1, taken_at=Now()):
            first: Any = Figure(name=Figure.AHEAD, value=1, taken_at=Now())
            self.bulk_create([first], ignore_conflicts=True)

    def ahead(self) -> "Figure | None":
        """The sign that an older database was restored, and that `after_restore` has not run."""
        return self.filter(name=Figure.AHEAD).first()


class Figure(models.Model):
    """One count of the last purge. `taken_at` is the same for all, and tells when it ended.

    The names are LIVE, `devices_past_retention`, and OF_KEY followed by the `kid` of a signing key:
    the live devices that were last issued tokens under it.

    AHEAD is not counted by the purge. It is there from the first refresh token that is ahead of its
    device until `after_restore` has run. Then `taken_at` is the time of the last such token.
    """

    LIVE = "live_devices"
    AHEAD = "refresh_tokens_ahead"
    OF_KEY = "live_devices_of_key:"

    name = models.CharField(max_length=100, primary_key=True)
    value = models.BigIntegerField()
    taken_at = models.DateTimeField()

    objects = FigureQuerySet.as_manager()

    class Meta:
        default_permissions = ()

    def __str__(self):
        return f"{self.name}: {self.value}"
