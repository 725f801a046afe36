"""How staff find counts and lift their locks."""

from collections.abc import Iterable

from django.db.models import Q

from accounts.models import Throttle, ThrottleQuerySet, User
from accounts.throttling.subjects import (
    keys_of_networks,
    subject_of_device,
    subject_of_name,
    subject_of_unknown,
    subject_of_user,
)


def lift(throttles: ThrottleQuerySet) -> int:
    """Delete these counts, and so end their locks. Return how many counts there were."""
    lifted, _ = throttles.hold().delete()
    return lifted


def of_user(user: User) -> ThrottleQuerySet:
    """The counts on the account: by its id, by its username and by its email address."""
    return Throttle.objects.filter(subject__in=_subjects(user))


def of_superusers(devices: Iterable[object] = ()) -> ThrottleQuerySet:
    """The counts on the accounts of superusers, and on their devices (primary keys)."""
    subjects = [subject_of_device(device) for device in devices]
    for user in User.objects.filter(is_superuser=True):
        subjects += _subjects(user)
    return Throttle.objects.filter(subject__in=subjects)


def search(term: str) -> ThrottleQuerySet:
    """The counts on a username, an email address, a device id or a network address."""
    subjects = [subject_of_name(term), subject_of_unknown(term), subject_of_device(term.lower())]
    found = Q(subject__in=subjects)
    user = User.objects.with_login(term).first()
    throttles = Throttle.objects.filter(found)
    if user is not None:
        throttles |= of_user(user)
    networks = [key.address for key in keys_of_networks("", term)]
    return throttles | Throttle.objects.filter(address__in=networks) if networks else throttles


def _subjects(user: User) -> list[bytes]:
    return [
        subject_of_user(user),
        subject_of_name(user.username),
        subject_of_name(user.email),
    ]
