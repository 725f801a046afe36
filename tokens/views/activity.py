"""What happened to one's account, from its devices, the history and the counts of attempts."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db.models.functions import Now
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views import View

from accounts import throttling
from accounts.history import new_names
from accounts.models import User
from tokens import stories
from tokens.models import IssuedToken

MAX_EVENTS = 50


class Event(NamedTuple):
    """Something that happened, on a device or not, with more words about it."""

    time: datetime
    what: str
    device: IssuedToken | None = None
    more: tuple[str, ...] = ()


@method_decorator(login_required, name="dispatch")
class ActivityView(View):
    def get(self, request):
        events = sorted(events_of(request.user), key=lambda event: event.time, reverse=True)
        context = {
            "events": events[:MAX_EVENTS],
            "retention": stories.in_words(settings.DEVICE_RETENTION),
        }
        return render(request, "accounts/activity.html", context)


def events_of(user: User) -> Iterator[Event]:
    """The events of the account, not sorted. The newest MAX_EVENTS of each kind are among them."""
    devices = user.devices.with_state().order_by("-created_at")[:MAX_EVENTS]
    ended = user.devices.ended_since(Now() - settings.DEVICE_RETENTION)[:MAX_EVENTS]
    shown = {device.pk: device for device in [*devices, *ended]}
    for device in shown.values():
        for time, what, *more in stories.owner_events(device):
            if time:
                yield Event(time, what, device, tuple(filter(None, more)))
    for time, count, kind, pk in throttling.wrong_passwords(user, shown):
        yield Event(time, stories.wrong_text(kind, count), shown.get(pk))
    for time, what in new_names(user, MAX_EVENTS):
        yield Event(time, what)
    yield from _events_of_row(user)


def _events_of_row(user: User) -> Iterator[Event]:
    """What the row of the user knows: the sign-up, the last new password and confirmed address."""
    yield Event(user.date_joined, "account made")
    if user.email_verified_at:
        yield Event(user.email_verified_at, f"email address {user.email} confirmed")
    if user.password_changed_at - user.date_joined > stories.MOMENT:
        yield Event(user.password_changed_at, "password changed")
