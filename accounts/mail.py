"""Mail to people. It is written and sent after the commit, in the background."""

import logging
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from email.utils import make_msgid, parseaddr
from functools import partial

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends import console, smtp
from django.db import transaction
from django.utils import timezone

from accounts import throttling
from accounts.letters import Facts, Mail, write
from accounts.models import User

logger = logging.getLogger(__name__)

SEND_DELAY = 0.5  # seconds
SINGLE = 5  # mails of one kind to one person within an hour, before they are summed up
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
    """Django's console mail as text alone, for people to read.

    It goes to standard error, because standard output belongs to the command.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.stream = sys.stderr

    def write_message(self, message):
        message.alternatives = []
        super().write_message(message)


def send_mail(user: User, kind: str, facts: Facts, *, is_counted: bool = True) -> None:
    """Mail the user at their verified address, after the transaction commits.

    Without a verified address nothing is sent. If the facts do not say when (`at`), it is now.
    Mails of one kind are counted and summed up. Without `is_counted` the caller has counted it.
    """
    if _is_silent.get():
        return
    to = user.email if user.email_verified_at else ""
    mail = Mail(kind, user, to, {"at": timezone.now().isoformat(), **facts})
    transaction.on_commit(partial(_deliver, mail, is_counted))


def send_proof(user: User, email: str, kind: str) -> None:
    """Mail a link to an address that the user has to prove, after the transaction commits.

    A stranger may have named that address. So the mail holds no word that the user chose, and a
    limited number of mails go to the address, and as many from the account.
    """
    transaction.on_commit(partial(_deliver_proof, Mail(kind, user, email)))


@contextmanager
def silence() -> Iterator[None]:
    """Send no mail from within the block."""
    token = _is_silent.set(True)
    try:
        yield
    finally:
        _is_silent.reset(token)


def sum_up(number: int) -> str | None:
    """What the mail with this number of its kind within the hour says about the others.

    It is "" if there is nothing to say, and None if the mail is not sent. The first SINGLE mails
    are sent, then one each time that the number has doubled, then the last one that the limit
    allows.
    """
    limit = settings.MAILS_PER_HOUR
    sent = {*range(1, SINGLE + 1), *(SINGLE * 2**power for power in range(1, 9)), limit}
    if number not in sent:
        return None
    unsent = number - 1 - max((one for one in sent if one < number), default=0)
    said = ""
    if unsent:
        said = (
            f"Mails like this one were due {number} times within an hour. {unsent} were not sent. "
        )
    if number == limit:
        return f"{said}There will be no more of them within that hour."
    return f"{said}From now on, not each of them is sent." if number >= SINGLE else said


def _deliver(mail: Mail, is_counted: bool) -> None:
    more: str | None = ""
    if mail.to and is_counted:
        number = throttling.count_mail(mail.user, mail.kind)
        more = sum_up(number) if number else None
    if more is None:
        _log_too_many(mail)
    else:
        _send(mail, more)


def _deliver_proof(mail: Mail) -> None:
    if throttling.may_prove(mail.user, mail.to):
        _send(mail)
    else:
        _log_too_many(mail)


def _send(mail: Mail, more: str = "") -> None:
    """Write the mail and send it. Without an address it is written and not sent.

    It is marked as automatic (RFC 3834), so that no out-of-office answer comes back.
    """
    letter = write(mail, more)
    _, _, domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")
    headers = {"Auto-Submitted": "auto-generated", "Message-ID": make_msgid(domain=domain)}
    message = EmailMultiAlternatives(letter.subject, letter.text, to=[mail.to], headers=headers)
    message.attach_alternative(letter.html, "text/html")
    try:
        if mail.to:
            message.send()
    except (OSError, ValueError):  # of the server; of a malformed address
        logger.exception("mail not sent", extra={"template": mail.kind})


def _log_too_many(mail: Mail) -> None:
    logger.warning("mail not sent", extra={"template": mail.kind, "why": "too many"})
