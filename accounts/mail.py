import logging
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.template.loader import render_to_string

logger = logging.getLogger(__name__)


def send_mail(to: str, subject: str, template: str, context: dict[str, Any]) -> None:
    """Send `mail/<template>.txt` once the transaction has committed.

    A mail server that is down costs the mail, which is logged, and nothing else.
    """
    body = render_to_string(f"mail/{template}.txt", {"site_url": settings.SITE_URL, **context})
    message = EmailMessage(f"Guestlist: {subject}", body, to=[to])
    transaction.on_commit(lambda: _send(message, template))


def _send(message: EmailMessage, template: str) -> None:
    try:
        message.send()
    except (OSError, SMTPException):
        logger.exception("mail not sent", extra={"template": template})
