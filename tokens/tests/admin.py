"""Devices in the admin, as tests make, find and revoke them."""

import uuid
from datetime import timedelta

from django.utils import timezone

from accounts.tests.admin import hidden, url_of
from tests.plugins.guestlist import PASSWORD
from tokens.models import IssuedToken

DEVICES = "/admin/tokens/issuedtoken/"


def make_devices(user, count, **fields):
    now = timezone.now()
    fields = {
        "kind": "api",
        "rotated_at": now,
        "password_epoch": user.password_changed_at,
        "created_at": now,
        "last_seen_at": now,
        "expires_at": now + timedelta(days=30),
        **fields,
    }
    devices = [IssuedToken(user=user, hash=uuid.uuid4().bytes * 2, **fields) for _ in range(count)]
    return IssuedToken.objects.bulk_create(devices, batch_size=500)


def listed(page, query=""):
    """The devices that the list shows, newest first."""
    answer = page.get(DEVICES + query)
    assert answer.status_code == 200
    return list(answer.context["cl"].result_list)


def select(page, devices, query="", **extra):
    """Choose the action on some rows; the answer is the confirmation page."""
    data = {"action": "revoke_selected", "_selected_action": [device.pk for device in devices]}
    return page.post(DEVICES + query, data | extra)


def confirm(page, asked, **typed):
    """Press the button of the confirmation page, with a note."""
    request = asked.request
    url = request["PATH_INFO"] + ("?" + request["QUERY_STRING"]).rstrip("?")
    return page.post(url, {"note": "A note."} | hidden(asked) | {"confirmed": "yes"} | typed)


def revoke_by_page(page, device, **typed):
    return confirm(page, page.get(url_of(device, "revoke")), **typed)


def revoke_by_action(page, device, **typed):
    return confirm(page, select(page, [device]), **typed)


def revoke_by_user(page, device, **typed):
    return confirm(page, page.get(url_of(device.user, "revoke")), **typed)


WAYS = [revoke_by_page, revoke_by_action, revoke_by_user]


def live(*users):
    return IssuedToken.objects.live().filter(user__in=users).count()


def export(staff, kind, devices=(), query="", **extra):
    data = {"action": f"export_{kind}", "_selected_action": [str(device.pk) for device in devices]}
    data["current_password"] = PASSWORD
    answer = staff.post(DEVICES + query, {**data, **extra})
    assert answer.status_code == 200
    assert answer.streaming
    assert answer.headers["Content-Disposition"] == f'attachment; filename="devices.{kind}"'
    return b"".join(answer.streaming_content).decode("utf-8-sig")
