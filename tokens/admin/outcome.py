"""What came of a revocation: the sentences for staff, and the lines in the history."""

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.http import HttpRequest
from django.utils.html import format_html

from tokens.admin.display import already
from tokens.admin.orders import Order
from tokens.models import IssuedTokenQuerySet

NOT_TICKED = "Nothing was revoked: this is the device you use now, and its box was not ticked."
MAX_LOGGED = 1000  # devices on which a note that came too late is kept


def tell(request: HttpRequest, order: Order, ended: int) -> None:
    """Say how many devices ended. If some had ended meanwhile, say who ended the last of them.

    The note is kept in the history of those.
    """
    if ended:
        word = "device was" if ended == 1 else "devices were"
        messages.success(request, f"{ended:,} {word} revoked.")
    missing = order.shown.found.devices - ended
    if missing > 0:
        _tell_missing(request, order, missing, ended)
    elif not ended:
        messages.warning(request, NOT_TICKED)


def log_revoked(request: HttpRequest, devices: IssuedTokenQuerySet, note: str) -> None:
    """Add a line to the history of each of the devices that this member of staff ended."""
    _log(request, devices.filter(revoked_by=request.user), f"Revoked: {note}")


def _tell_missing(request: HttpRequest, order: Order, missing: int, ended: int) -> None:
    gone = order.ended_meanwhile()
    by_others = gone.exclude(revoked_by=request.user, revoked_note=order.note)
    _log(request, by_others[:MAX_LOGGED], f"Had ended already. Second note: {order.note}")
    last = by_others.first() or (None if ended else gone.first())
    if last is None:
        if not ended:
            messages.info(request, "Nothing was left to revoke.")
        return
    text = already(last, request.user)
    if missing > 1:
        text = format_html("{} of them had ended. The last one: {}", f"{missing:,}", text)
    messages.warning(request, text)


def _log(request: HttpRequest, devices: IssuedTokenQuerySet, message: str) -> None:
    LogEntry.objects.log_actions(request.user.pk, devices, CHANGE, change_message=message)
