"""Mail to people. It is sent after the commit, in the background, as plain text and HTML."""

import logging
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends import console, smtp
from django.db import transaction
from django.template.loader import render_to_string

from accounts import throttling

logger = logging.getLogger(__name__)

SEND_DELAY = 0.5  # seconds
_is_silent: ContextVar[bool] = ContextVar("is_silent", default=False)
_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mail")


class BackgroundSMTPBackend(smtp.EmailBackend):
    """Django's SMTP in a thread of its own, so that no request waits for the mail server.

    Sending starts after SEND_DELAY, when the request has been answered. So response time does not
    reveal whether a mail was sent (ASVS 6.3.8).
    """

    def send_messages(self, email_messages):
        _worker.submit(self.send_at, time.monotonic() + SEND_DELAY, list(email_messages))
        return len(email_messages)

    def send_at(self, moment: float, messages: list[EmailMultiAlternatives]) -> None:
        """Wait until `moment` of the monotonic clock, then send.

        Every error is logged here, because no caller sees it.
        """
        time.sleep(max(0, moment - time.monotonic()))
        try:
            super().send_messages(messages)
        except Exception:
            logger.exception("mail not sent")


class ConsoleBackend(console.EmailBackend):
    """Django's console mail on standard error, because standard output belongs to the command."""

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
    """Mail the paragraphs of `mail/<template>.txt`, then the link, given as a text and a URL.

    The mail is sent after the transaction commits. An unverified address gets a limited number of
    mails. A mail beyond that limit is logged and lost, like any mail that the server refuses. Only
    the link is clickable, because the name of a device may be text of an attacker.
    """
    if _is_silent.get():
        return
    context = {"site_url": settings.SITE_URL, **context}
    body = str(render_to_string(f"mail/{template}.txt", context)).strip()
    text = f"{body}\n\n{link[0]}:\n{link[1]}\n" if link else f"{body}\n"
    message = EmailMultiAlternatives(f"Guestlist: {subject}", text, to=[to])
    html = render_to_string("mail/base.html", {"subject": subject, "body": body, "link": link})
    message.attach_alternative(html, "text/html")
    transaction.on_commit(lambda: _deliver(message, template))


@contextmanager
def silence() -> Iterator[None]:
    """Send no mail from within the block."""
    token = _is_silent.set(True)
    try:
        yield
    finally:
        _is_silent.reset(token)


def _deliver(message: EmailMultiAlternatives, template: str) -> None:
    """Send the message, unless its address has had too many mails or is empty."""
    to = message.to[0]
    if not throttling.may_mail(to):
        if to:
            logger.warning("mail not sent", extra={"template": template, "why": "too many"})
        return
    try:
        message.send()
    except (OSError, ValueError):  # of the server; of a malformed address
        logger.exception("mail not sent", extra={"template": template})
