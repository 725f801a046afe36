"""The questions about devices, and their end."""

import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from django.db.models import Count, Max, Q
from django.db.models.functions import Now

from accounts.models import User
from tokens.models.states import DevicesByState

BATCHES_AHEAD = 20  # batches whose keys are read with one query


class IssuedTokenQuerySet(DevicesByState[Any]):
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
        method: str | None = None,
        role: str | None = None,
        not_seen_since: datetime | None = None,
    ) -> "IssuedTokenQuerySet":
        """Devices that meet all given conditions. Without a condition, all devices.

        `network` holds the address of the sign-in or the last address. `client` is the program
        ("Firefox"), `method` what the person signed in by, and `role` the name of a role of theirs.
        `os` and `client` ignore case.
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
        if method is not None:
            devices = devices.filter(method=method)
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
        return self.model.objects.filter(pk__in=self.values("pk"), revoked_at=None).update(
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
                yield self.model.objects.filter(pk__in=keys[start : start + size])
            after = keys[-1]
