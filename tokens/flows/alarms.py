"""Alarms: signs of theft, which are noted on the row of the device and end nothing by themselves.

A reuse has its alarm in `rotation`, because there it ends the device.
"""

import logging
from typing import Any

from tokens.client import Client, is_near
from tokens.models import IssuedToken
from tokens.user_agents import client_name, parse_family

logger = logging.getLogger(__name__)
Alarm = IssuedToken.Alarm


def other_client(device: IssuedToken, client: Client) -> dict[str, Any]:
    """The values of an alarm if the cookie of this device comes from another client: {} if not.

    Another client is another family: Firefox, then curl. A new version is the same. The header is
    compared as text first, because parsing it is slow. One alarm is kept for each device.
    """
    if client.user_agent == device.user_agent or device.alarm or not device.browser:
        return {}
    if parse_family(client.user_agent) == device.browser:
        return {}
    return {
        "alarm": Alarm.CLIENT,
        "alarm_at": device.now,
        "alarm_ip": client.ip_address,
        "alarm_client": client_name(client.user_agent),
    }


def is_mailed(former_ip: str | None, client: Client) -> bool:
    """Whether the owner is told of the alarm: if the network is another one too.

    Downloads, media players and the like honestly come with names of their own, from the network
    where the device was last seen.
    """
    return former_ip != client.ip_address and not is_near(former_ip, client.ip_address)


def log_alarm(device: IssuedToken, former_ip: str | None, client: Client) -> None:
    details = {
        "device": str(device.pk),
        "user": device.user_id,
        "first_ip": former_ip,
        "first_user_agent": device.user_agent,
        "second_ip": client.ip_address,
        "second_user_agent": client.user_agent,
    }
    logger.warning("device came with another client", extra=details)
