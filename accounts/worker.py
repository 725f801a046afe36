"""The worker that sends queued mails until it is stopped."""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, close_old_connections, connections

from accounts.delivery import deliver, due_mails
from accounts.models import QueuedMail
from accounts.models.mails import LEASE

logger = logging.getLogger(__name__)

# Seconds.
POLL = 2  # between two looks at an empty queue
PURGE = 3600  # between two purges
GRACE = 5  # for the mail that is being sent when the worker is told to stop
PATIENCE = LEASE.total_seconds() - 60  # for one mail; then another worker may have it


class Worker(threading.Thread):
    """Sends what is due. With `once` it ends when nothing more is due.

    It is a thread of its own, so that a process whose mail server hangs can end all the same. The
    lease of the mail that it leaves behind runs out, and the mail is tried again.
    """

    def __init__(self, *, once: bool) -> None:
        super().__init__(name="mail", daemon=True)
        self.once = once
        self.stopping = threading.Event()
        self.error: Exception | None = None
        self.seen_at = time.monotonic()
        self.purged_at: float | None = None
        self.is_cut_off = False  # from the database

    def run(self):
        try:
            while self._may_go_on():
                if not self._work() and self.once:
                    break
        except Exception as error:
            self.error = error
        finally:
            connections.close_all()

    def is_stuck(self) -> bool:
        """Whether one mail takes so long that another worker will soon try it."""
        return time.monotonic() - self.seen_at > PATIENCE

    def _work(self) -> bool:
        """Send what is due, once. If nothing is due, wait, and return False."""
        close_old_connections()
        try:
            self._purge()
            mails = due_mails()
            deliver(mails, self._may_go_on)
        except DatabaseError as error:
            if self.once:
                raise
            if not self.is_cut_off:
                logger.error("mail queue unavailable", extra={"error": type(error).__name__})
            mails, self.is_cut_off = [], True
        else:
            self.is_cut_off = False
        if not mails and not self.once:
            self.stopping.wait(POLL)
        return bool(mails)

    def _purge(self) -> None:
        now = time.monotonic()
        if self.purged_at is not None and now - self.purged_at < PURGE:
            return
        self.purged_at = now
        purged, _ = QueuedMail.objects.stale().delete()
        if purged:
            logger.warning("mails purged", extra={"count": purged})

    def _may_go_on(self) -> bool:
        self.seen_at = time.monotonic()
        return not self.stopping.is_set()


def work(*, once: bool) -> Worker:
    """Run a worker until it ends, gets stuck, or the process is told to stop. Return it.

    After SIGTERM or SIGINT it has GRACE to finish the mail that it is sending.
    """
    worker = Worker(once=once)
    with _signals_set(worker.stopping):
        worker.start()
        while worker.is_alive() and not worker.stopping.is_set() and not worker.is_stuck():
            worker.join(timeout=0.2)
        worker.stopping.set()
        worker.join(timeout=GRACE)
    return worker


@contextmanager
def _signals_set(event: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set the event."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    former = [signal.signal(number, lambda *_: event.set()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, former, strict=True):
            signal.signal(number, handler)
