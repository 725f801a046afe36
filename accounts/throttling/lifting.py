from django.db.models import Q

from accounts.models import Throttle, ThrottleQuerySet, User
from accounts.throttling.subjects import (
    hash_network,
    subject_of_device,
    subject_of_name,
    subject_of_user,
)


def lift(throttles: ThrottleQuerySet) -> int:
    """Forget these counts, and so end the locks. Return how many there were."""
    lifted, _ = throttles.hold().delete()
    return lifted


def of_user(user: User) -> ThrottleQuerySet:
    """What is counted on the account, by its id and by its names."""
    return Throttle.objects.filter(subject__in=_subjects(user))


def of_superusers() -> ThrottleQuerySet:
    """What is counted on the accounts of superusers and on their devices."""
    subjects: list[bytes] = []
    for user in User.objects.filter(is_superuser=True):
        subjects += _subjects(user)
        subjects += map(subject_of_device, user.devices.values_list("pk", flat=True))
    return Throttle.objects.filter(subject__in=subjects)


def search(term: str) -> ThrottleQuerySet:
    """What is counted on a username, an e-mail address, a device id or a network address."""
    found = Q(subject__in=[subject_of_name(term), subject_of_device(term.lower())])
    user = User.objects.with_login(term).first()
    throttles = Throttle.objects.filter(found)
    if user is not None:
        throttles |= of_user(user)
    network = hash_network(term)
    return throttles | Throttle.objects.filter(address=network) if network else throttles


def _subjects(user: User) -> list[bytes]:
    return [
        subject_of_user(user),
        subject_of_name(user.username),
        subject_of_name(user.email),
    ]
