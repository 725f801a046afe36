"""Delivers queued mails: writes each, sends it, and decides what becomes of one that fails.

A mail is claimed before it is sent, and deleted after. So of several workers only one sends it, and
a worker that is killed loses none. The one mail that comes twice is a mail that the server took
while its worker died.
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from email.utils import parseaddr
from smtplib import SMTPDataError, SMTPException, SMTPRecipientsRefused, SMTPResponseException
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db import DatabaseError
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac

from accounts import throttling
from accounts.letters import Mail, Overtaken, write
from accounts.models import QueuedMail, User
from accounts.models.mails import MAX_ATTEMPTS
from accounts.sealing import Unreadable, unseal

logger = logging.getLogger(__name__)

AT_ONCE = 100  # mails that one connection to the server is for
SINGLE = 5  # mails of one kind to one person within an hour, before they are summed up
# These are counted where they are asked for, or come once only.
UNCOUNTED = {"password_reset", "account_deleted"}


def due_mails() -> list[int]:
    """The primary keys of up to AT_ONCE mails that are due."""
    return list(QueuedMail.objects.due().values_list("pk", flat=True)[:AT_ONCE])


def deliver(mails: Iterable[int], may_go_on: Callable[[], bool] = lambda: True) -> None:
    """Try the mails with these primary keys that no other worker has claimed.

    Ask before each whether to go on. They are sent over one connection, if the server permits.
    """
    server = get_connection()
    try:
        for pk in mails:
            if not may_go_on():
                break
            if QueuedMail.objects.filter(pk=pk).claim():
                _deliver(pk, server)
    finally:
        _hang_up(server)


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


def _deliver(pk: int, server: Any) -> None:
    """Send the mail that was claimed, and delete it."""
    queued = QueuedMail.objects.select_related("person").filter(pk=pk).first()
    if queued is None:
        return
    try:
        _send(queued, server)
    except Overtaken as reason:
        if queued.person_id:
            logger.warning("mail not sent", extra={**_named(queued), "why": str(reason)})
    except DatabaseError:
        raise
    except Exception as error:
        _hang_up(server)
        _keep(queued, error)
        return
    else:
        logger.info("mail sent", extra=_named(queued))
    QueuedMail.objects.filter(pk=pk).delete()


def _send(queued: QueuedMail, server: Any) -> None:
    """Write the mail and send it. Raise Overtaken if it must not be sent.

    It is marked as automatic (RFC 3834), so that no out-of-office answer comes back. Each attempt
    has the same Message-ID, by which programs recognise a mail that comes twice.
    """
    mail = _mail(queued)
    letter = write(mail, _count(queued, mail))
    _, _, domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")
    key = salted_hmac("accounts.delivery", f"{queued.pk} {queued.happened_at}").hexdigest()
    headers = {"Auto-Submitted": "auto-generated", "Message-ID": f"<{key}@{domain}>"}
    message = EmailMultiAlternatives(letter.subject, letter.text, to=[mail.to], headers=headers)
    message.attach_alternative(letter.html, "text/html")
    server.open()  # and leave it open for the next mail
    server.send_messages([message])


def _mail(queued: QueuedMail) -> Mail:
    """The mail with its person and address of now. Raise Overtaken or Unreadable."""
    user = queued.person
    if user is None:
        if queued.kind != "account_deleted":
            raise Overtaken("the account is gone")
        user = User(pk=queued.person_id)
    if queued.sealed_address:
        to = unseal(queued.sealed_address, queued.address_use)
    elif user.email_verified_at and user.email:
        to = user.email
    else:
        raise Overtaken("the address is not verified")
    return Mail(
        kind=queued.kind,
        user=user,
        username=queued.username,
        to=to,
        facts={"at": queued.happened_at.isoformat(), **queued.facts},
        state=bytes(queued.state),
        happened_at=queued.happened_at,
    )


def _count(queued: QueuedMail, mail: Mail) -> str:
    """Count the mail. Return what it says about others of its kind, or raise Overtaken.

    It is counted once, however often it is tried.
    """
    if queued.kind in UNCOUNTED:
        return ""
    if queued.number is None:
        queued.number = _number(mail)
    more = "" if mail.kind == "verify_email" and queued.number else sum_up(queued.number)
    if more is None:
        raise Overtaken("too many")
    return more


def _number(mail: Mail) -> int:
    """Its number within the hour, 0 for too many. A link to confirm an address is number 1.

    A stranger may have named that address, so these are counted by address and by account.
    """
    if mail.kind == "verify_email":
        return int(throttling.may_prove(mail.user, mail.to))
    return throttling.count_mail(mail.user, mail.kind)


def _keep(queued: QueuedMail, error: Exception) -> None:
    """Keep a mail that failed for its next attempt, or give it up. Another worker may have it."""
    values: dict[str, Any] = {"error": _describe(error), "number": queued.number}
    is_given_up = _is_final(error) or queued.attempts >= MAX_ATTEMPTS
    if is_given_up:
        values["given_up_at"] = Now()
    else:
        values["not_before"] = Now() + queued.pause
    QueuedMail.objects.filter(pk=queued.pk, attempts=queued.attempts).update(**values)
    is_expected = isinstance(error, OSError | ValueError | Unreadable)
    trace = None if is_expected or 1 < queued.attempts < MAX_ATTEMPTS else error
    details = {**_named(queued), "error": values["error"], "attempts": queued.attempts}
    if is_given_up:
        logger.error("mail given up", exc_info=trace, extra=details)
    else:
        logger.warning("mail not sent", exc_info=trace, extra=details)


def _is_final(error: Exception) -> bool:
    """Whether another attempt would fail too: the server refuses this recipient or this mail.

    A server that refuses the sender or the login refuses every mail, until somebody mends that.
    """
    if isinstance(error, SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    if isinstance(error, SMTPDataError):
        return error.smtp_code >= 500
    return isinstance(error, ValueError | Unreadable)  # a malformed address


def _describe(error: Exception) -> str:
    """What failed, without the server's words: these often repeat the address."""
    name = type(error).__name__
    if isinstance(error, SMTPRecipientsRefused):
        return f"{name} {min(code for code, _ in error.recipients.values())}"
    if isinstance(error, SMTPResponseException):
        return f"{name} {error.smtp_code}"
    if isinstance(error, OSError) and not isinstance(error, SMTPException):
        return f"{name}: {error}"[:200]
    return name


def _named(queued: QueuedMail) -> dict[str, Any]:
    """The fields of each log line about the mail."""
    return {"mail": queued.pk, "template": queued.kind, "user": queued.person_id}


def _hang_up(server: Any) -> None:
    with suppress(OSError):
        server.close()
