"""Known networks: from there, the account's password was given in the last 30 days.

Strangers fill the count of an account. It holds up nobody who comes from a network that is known
for the account: there the counts of the pair and of the network go on alone. A marker is a row of
the table of counts. Its subject holds the time of the last password change, so that every change
of the password makes all networks unknown.
"""

from datetime import timedelta

from django.db.models.functions import Now

from accounts.models import Throttle, User
from accounts.throttling.subjects import Key, hash_text

KNOWN_FOR = timedelta(days=30)
RENEWED_AFTER = timedelta(days=1)  # so that a login from a known network seldom writes a marker
KIND = Throttle.Kind.KNOWN


def marker_of(user: User, network: bytes) -> Key:
    """The key of the row that makes this network known for the account."""
    return Key(KIND, _subject_of(user), network)


def mark(marker: Key) -> None:
    """Make the network known from now on. Call this in the transaction of the success."""
    row = Throttle(
        kind=KIND,
        subject=marker.subject,
        address=marker.address,
        counted_at=Now(),
        expires_at=Now() + KNOWN_FOR,
    )
    Throttle.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["subject", "address", "kind"],
        update_fields=["counted_at", "expires_at"],
    )


def forget_networks(*users: User) -> None:
    """Make all networks unknown for these accounts, because one of their devices may be stolen."""
    Throttle.objects.filter(kind=KIND, subject__in=map(_subject_of, users)).delete()


def forget_all_networks() -> int:
    """Make all networks unknown for every account. Return how many were known."""
    return Throttle.objects.filter(kind=KIND).delete()[0]


def _subject_of(user: User) -> bytes:
    return hash_text("known", f"{user.pk} {user.password_changed_at.isoformat()}")
