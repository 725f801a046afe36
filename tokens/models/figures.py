"""Counts that take too long for a request: the purge takes them; pages and metrics read them."""

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
            self.exclude(name__in=values).delete()


class Figure(models.Model):
    """One count of the last purge. `taken_at` is the same for all, and tells when it ended.

    The names are `live_devices`, `devices_past_retention`, and OF_KEY followed by the `kid` of a
    signing key: the live devices that were last issued tokens under it.
    """

    OF_KEY = "live_devices_of_key:"

    name = models.CharField(max_length=100, primary_key=True)
    value = models.BigIntegerField()
    taken_at = models.DateTimeField()

    objects = FigureQuerySet.as_manager()

    class Meta:
        default_permissions = ()

    def __str__(self):
        return f"{self.name}: {self.value}"
