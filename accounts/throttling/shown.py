"""What the counts tell a person about their own account. They hold no names and no addresses."""

from collections.abc import Iterable
from datetime import datetime

from django.db.models.functions import Now

from accounts.models import Throttle, User
from accounts.throttling.subjects import subject_of_device, subject_of_user

Kind = Throttle.Kind
WRONG = (Kind.ACCOUNT, Kind.KNOWN, Kind.PASSWORD)


def wrong_passwords(
    user: User, devices: Iterable[object]
) -> list[tuple[datetime, int, str, object | None]]:
    """The wrong passwords since the last right one: the time of the last, how many, the kind.

    The last value is the device that they were given on, by its primary key, or None at sign-in.
    """
    subjects: dict[bytes, object | None] = {subject_of_device(device): device for device in devices}
    subjects[subject_of_user(user)] = None
    rows = Throttle.objects.filter(
        kind__in=WRONG, subject__in=subjects, address=b"", expires_at__gt=Now()
    )
    counted = ((row, row.count - row.undecided) for row in rows)
    return [
        (row.counted_at, wrong, row.kind, subjects[bytes(row.subject)])
        for row, wrong in counted
        if wrong > 0
    ]
