"""Mail to people: after the commit, in the background, as plain text and HTML."""

import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends import console, smtp
from django.db import transaction
from django.template.loader import render_to_string

logger = logging.getLogger(__name__)

_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mail")


class BackgroundSMTPBackend(smtp.EmailBackend):
    """Django's SMTP in a thread of its own, so that no request waits for the mail server."""

    def send_messages(self, email_messages):
        _worker.submit(self.send_now, list(email_messages))
        return len(email_messages)

    def send_now(self, messages: list[EmailMultiAlternatives]) -> None:
        """Send, and log whatever goes wrong: nobody else hears of it."""
        try:
            super().send_messages(messages)
        except Exception:
            logger.exception("mail not sent")


class ConsoleBackend(console.EmailBackend):
    """Django's console mail on standard error: standard output belongs to the command."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.stream = sys.stderr


def send_mail(
    to: str,
    subject: str,
    template: str,
    context: dict[str, Any],
    *,
    link: tuple[str, str] | None = None,
) -> None:
    """Mail the paragraphs of `mail/<template>.txt`, then the link, a text and a URL.

    Sent once the transaction has committed. A mail server that is down costs the mail, which is
    logged, and nothing else. Nothing but the link is made clickable: names of devices are words
    of whoever signed in.
    """
    context = {"site_url": settings.SITE_URL, **context}
    body = str(render_to_string(f"mail/{template}.txt", context)).strip()
    text = f"{body}\n\n{link[0]}:\n{link[1]}\n" if link else f"{body}\n"
    message = EmailMultiAlternatives(f"Guestlist: {subject}", text, to=[to])
    html = render_to_string("mail/base.html", {"subject": subject, "body": body, "link": link})
    message.attach_alternative(html, "text/html")
    transaction.on_commit(lambda: _deliver(message, template))


def _deliver(message: EmailMultiAlternatives, template: str) -> None:
    try:
        message.send()
    except (OSError, SMTPException, ValueError):  # the last for an address that is none
        logger.exception("mail not sent", extra={"template": template})
