"""Forgets where ended devices were: an address becomes its network, a user agent its label.

Places stay, and so do names and times. So lists and stories go on to say what happened, while a
copy of the database does not say where exactly people were weeks ago.
"""

import logging
import re
from collections.abc import Iterator
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from accounts.compiled import Parameter
from tokens.client import network_of, parse_address
from tokens.models import NOTE_LENGTH, IssuedToken, IssuedTokenQuerySet
from tokens.statements import update_if
from tokens.stories import ended_note
from tokens.user_agents import client_name

logger = logging.getLogger(__name__)
ADDRESSES = (
    "ip_address",
    "last_ip",
    "rotated_ip",
    "authenticated_ip",
    "alarm_ip",
    "refused_ip",
)
LIKE_AN_ADDRESS = re.compile(r"[0-9A-Fa-f]*[.:][0-9A-Fa-f.:]*[0-9A-Fa-f:]")


def forget(devices: IssuedTokenQuerySet, *, size: int = 1000) -> Iterator[int]:
    """Forget the devices that ended more than FORGET_AFTER ago. Yield the size of each batch.

    Nothing brings back what was forgotten. A device is forgotten once.
    """
    for batch in devices.to_forget().in_batches(size):
        known = list(batch.to_forget().annotate(now=Now()).order_by("pk"))
        values = [_without_traces(device) for device in known]  # slow, so before the transaction
        with transaction.atomic(using=batch.db):
            forgotten = sum(map(update_if, [_not_forgotten] * len(known), known, values))
        logger.info("devices forgotten", extra={"count": forgotten})
        yield forgotten


def _not_forgotten() -> IssuedTokenQuerySet:
    return IssuedToken.objects.filter(pk=Parameter("id"), forgotten_at=None)


def _without_traces(device: IssuedToken) -> dict[str, Any]:
    """The values of the row that take the place of exact ones.

    The note about a reuse names two addresses. It is written by the project, and all others by
    staff for the person, who may have read them: they stay.
    """
    values: dict[str, Any] = {
        name: address and str(network_of(address).network_address)
        for name, address in ((name, getattr(device, name)) for name in ADDRESSES)
    }
    values["user_agent"] = device.user_agent and device.label
    values["rotated_user_agent"] = _label(device, device.rotated_user_agent)
    if device.revoked_reason == IssuedToken.Reason.REUSE:
        note = LIKE_AN_ADDRESS.sub(_network_in, ended_note(device))
        values["revoked_note"] = note[:NOTE_LENGTH]
    if device.alarm == IssuedToken.Alarm.REUSE:
        values["alarm_client"] = _label(device, device.alarm_client)
    return {**values, "forgotten_at": device.now}


def _label(device: IssuedToken, user_agent: str) -> str:
    """The label of a user agent of this row. "" stays "", because it says that there was none."""
    if user_agent == device.user_agent:
        return user_agent and device.label
    return user_agent and client_name(user_agent)


def _network_in(match: re.Match[str]) -> str:
    """The network of a text that is an address; any other text as it is."""
    address = parse_address(match[0])
    return str(network_of(str(address))) if address else match[0]
