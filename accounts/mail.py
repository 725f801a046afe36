"""Mail to people. It is queued in the transaction that causes it, so a commit never loses a mail.

The command `send_mails` sends what is queued. No request waits for the mail server, and response
time does not reveal whether a mail was sent (ASVS 6.3.8).
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.conf import settings
from django.core.mail.backends import console
from django.db import transaction

from accounts.delivery import deliver
from accounts.letters import Facts, state_of
from accounts.models import QueuedMail, User
from accounts.sealing import seal

_is_silent: ContextVar[bool] = ContextVar("is_silent", default=False)


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


def send_mail(user: User, kind: str, facts: Facts) -> None:
    """Queue a mail to the verified address that the user has when it is sent.

    A user without a verified address gets none. A user without a primary key stands for an address
    that no account has: that mail is queued alike, and goes nowhere.
    """
    send_mails(kind, [(user, facts)])


def send_mails(kind: str, people: Iterable[tuple[User, Facts]]) -> None:
    """Queue a mail of this kind to each of the people, by one statement. As `send_mail()`."""
    _queue(
        [
            _queued(user, kind, facts)
            for user, facts in people
            if user.pk is None or user.email_verified_at
        ]
    )


def send_mail_to(address: str, user: User, kind: str, facts: Facts | None = None) -> None:
    """Queue a mail about the user to an address that need not be theirs when it is sent.

    The address is encrypted until then.
    """
    mail = _queued(user, kind, facts or {})
    mail.sealed_address = seal(address, mail.address_use)
    _queue([mail])


@contextmanager
def silence() -> Iterator[None]:
    """Send no mail from within the block."""
    token = _is_silent.set(True)
    try:
        yield
    finally:
        _is_silent.reset(token)


def _queued(user: User, kind: str, facts: Facts) -> QueuedMail:
    return QueuedMail(
        kind=kind,
        person_id=user.pk,
        username=user.username,
        facts=facts,
        state=state_of(user),
    )


def _queue(mails: list[QueuedMail]) -> None:
    if not mails or _is_silent.get():
        return
    queued = QueuedMail.objects.bulk_create(mails)
    if settings.SEND_MAILS_AT_ONCE:
        transaction.on_commit(lambda: deliver(mail.pk for mail in queued), robust=True)
