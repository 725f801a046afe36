"""What the log says about devices: the fields of each line, and the lines of the flows."""

import logging
from typing import Any

from accounts.models import User
from tokens.models import IssuedToken

logger = logging.getLogger(__name__)


def log_fields(device: IssuedToken) -> dict[str, Any]:
    """The fields of each log line of a request: the device that made it, and its user."""
    return {"by_user": device.user_id, "by_device": str(device.pk)}


def log(event: str, device: IssuedToken) -> None:
    details = {"device": str(device.pk), "user": device.user_id, "kind": device.kind}
    logger.info(event, extra=details)


def log_revocation(
    ended: int, reason: str, *, user: User | None = None, by: User | None = None
) -> None:
    details = {"count": ended, "reason": reason, "user": user and user.pk, "by": by and by.pk}
    logger.info("devices revoked", extra=details)
