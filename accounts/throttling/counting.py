"""Counting of attempts in the database, before each is tested.

So attempts at the same time are limited like attempts in a row. An attempt is counted in a
transaction of its own, so no refusal rolls it back. Within another transaction this raises
RuntimeError.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter
from typing import Any

from django.db import connections, router, transaction
from django.db.models import F, Q
from django.db.models.functions import Greatest

from accounts import compiled
from accounts.compiled import several, spread
from accounts.models import Throttle, ThrottleQuerySet
from accounts.throttling.limits import Limit, TooManyAttempts, limit_of
from accounts.throttling.subjects import Key

logger = logging.getLogger(__name__)

# How long an attempt counts as being tested, and how long the next one waits for it.
MAX_TEST_TIME = timedelta(seconds=10)
# Stale rows that each failed attempt deletes: more than it adds, so that the table stays small.
MAX_STALE_DELETED = 10

# Adds one attempt to each key that is not locked, and returns the rows of these keys. The ORM's
# upsert takes no expressions and no condition, so the ORM would need four statements.
COUNT = """
INSERT INTO accounts_throttle AS known
    (kind, subject, address, count, undecided, counted_at, expires_at)
VALUES {rows}
ON CONFLICT (subject, address, kind) DO UPDATE SET
    count = CASE WHEN {is_over} THEN 1 ELSE known.count + 1 END,
    undecided = CASE WHEN {is_over} THEN 1 ELSE known.undecided + 1 END,
    counted_at = excluded.counted_at,
    locked_until = NULL,
    expires_at = CASE WHEN {is_over} OR known.kind IN ({delayed})
        THEN excluded.expires_at ELSE known.expires_at END
WHERE known.locked_until IS NULL OR known.locked_until <= excluded.counted_at
RETURNING id, kind, subject, address, count, undecided
"""
# The database's time now, and its time after a number of seconds.
CLOCK = {
    "sqlite": (
        "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')",
        "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s || ' seconds')",
    ),
    "postgresql": ("statement_timestamp()", "statement_timestamp() + make_interval(secs => %s)"),
}


@dataclass(frozen=True, slots=True)
class Counted:
    """A row after one more attempt. Of its `count` attempts, `undecided` are being tested."""

    pk: int
    key: Key
    count: int
    undecided: int


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock on a key, for `wait` from now.

    With `is_being_tested` it may end sooner, because an earlier attempt is not decided yet. An
    attempt that crashed is never decided, so it counts as being tested for MAX_TEST_TIME only.
    """

    kind: str
    wait: timedelta
    is_being_tested: bool


class Attempt:
    """A counted attempt that is being tested. `wrong` is how many failed on its subject before."""

    def __init__(self, rows: list[Counted]) -> None:
        self.ids = [row.pk for row in rows]
        self.wrong = max(row.count - row.undecided if row.key.subject else 0 for row in rows)
        self.has_succeeded = False

    @transaction.atomic
    def succeed(self) -> None:
        """Forget the wrong attempts on the subject, and take this one off the network's count."""
        self.has_succeeded = True
        forget = compiled.delete(router.db_for_write(Throttle), _forgettable, len(self.ids))
        if forget.execute(**spread("id", self.ids)) < len(self.ids):
            # The network's row counts other attempts too, so it stays.
            self.rows().hold().withdraw()

    @transaction.atomic
    def fail(self) -> None:
        """Keep the attempt in the counts, now decided, and delete a few stale rows."""
        self.rows().hold().filter(undecided__gt=0).update(undecided=F("undecided") - 1)
        Throttle.objects.delete_stale(MAX_STALE_DELETED)

    @transaction.atomic
    def withdraw(self) -> None:
        """Take the count back, because nothing was tested."""
        self.rows().hold().withdraw()
        self.rows().filter(count=0).delete()

    def rows(self) -> ThrottleQuerySet:
        return Throttle.objects.filter(pk__in=self.ids)


def _forgettable(size: int) -> ThrottleQuerySet:
    """The rows that a success deletes: those of the subject, and a network's with one attempt."""
    rows = Throttle.objects.filter(Q(pk__in=several("id", size)))
    return rows.filter(Q(subject__gt=b"") | Q(count=1)).hold()


@contextmanager
def testing(*keys: Key) -> Iterator[Attempt]:
    """Count an attempt. At the end of the block it fails, unless the block let it succeed.

    An exception in the block takes the count back. Raise TooManyAttempts if a key is locked.
    """
    attempt = begin(*keys)
    try:
        yield attempt
    except BaseException:
        attempt.withdraw()
        raise
    if not attempt.has_succeeded:
        attempt.fail()


def begin(*keys: Key) -> Attempt:
    """Count one attempt on all the keys. If one is locked, count none and raise TooManyAttempts.

    A lock of an attempt that is still being tested may end soon, so wait for it. In this way many
    right passwords at the same time all pass. Give up after MAX_TEST_TIME, even if a lock keeps
    appearing between the look and the count.
    """
    give_up = time.monotonic() + MAX_TEST_TIME.total_seconds()
    pause = 0.02
    while True:
        locks = _locks_on(keys)
        attempt = None if locks else _count(keys)
        if attempt:
            return attempt
        if time.monotonic() > give_up or not all(lock.is_being_tested for lock in locks):
            first = locks[0] if locks else Lock(keys[0].kind, timedelta(), is_being_tested=True)
            raise TooManyAttempts(first.kind, first.wait)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)


def _locks_on(keys: Sequence[Key]) -> list[Lock]:
    """The locks on these keys, the longest wait first."""
    subjects, addresses = {key.subject for key in keys}, {key.address for key in keys}
    statement = compiled.select(
        router.db_for_write(Throttle), _locked_rows, len(subjects), len(addresses)
    )
    rows = statement.fetch(**spread("subject", subjects), **spread("address", addresses))
    return [
        Lock(kind, locked_until - now, undecided > 0 and now - counted_at < MAX_TEST_TIME)
        for kind, subject, address, undecided, counted_at, locked_until, now in rows
        if _key_of(kind, subject, address) in keys
    ]


def _locked_rows(subjects: int, addresses: int) -> Any:
    found = Throttle.objects.filter(
        subject__in=several("subject", subjects), address__in=several("address", addresses)
    )
    columns = ("kind", "subject", "address", "undecided", "counted_at", "locked_until", "now")
    return found.locked().order_by("-locked_until").values_list(*columns)


def _count(keys: Sequence[Key]) -> Attempt | None:
    """Count one attempt on every key, or return None if one was locked after `_locks_on()`.

    All code locks rows in one order, so that no two attempts wait for each other. Here it is the
    order of the keys, as in `hold()`.
    """
    ordered = sorted(set(keys), key=attrgetter("subject", "address", "kind"), reverse=True)
    limits = {key.kind: limit_of(key.kind) for key in ordered}
    with transaction.atomic(durable=True):
        rows = _add_one(ordered, limits)
        if len(rows) < len(ordered):
            transaction.set_rollback(True)
            return None
        for row in rows:
            if row.count >= limits[row.key.kind].attempts:
                _lock(row, limits[row.key.kind])
    return Attempt(rows)


def _add_one(keys: Sequence[Key], limits: dict[str, Limit]) -> list[Counted]:
    """Count one attempt on each key that is not locked; return those rows."""
    connection = connections[router.db_for_write(Throttle)]
    now, later = CLOCK[connection.vendor]
    statement = COUNT.format(
        rows=", ".join([f"(%s, %s, %s, 1, 1, {now}, {later})"] * len(keys)),
        is_over="known.count = 0 OR known.expires_at <= excluded.counted_at",
        delayed=", ".join(f"'{kind}'" for kind, limit in limits.items() if limit.delay) or "''",
    )
    parameters: list[Any] = []
    for key in keys:
        seconds = limits[key.kind].window.total_seconds()
        parameters += [key.kind, key.subject, key.address, seconds]
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [
            Counted(pk, _key_of(kind, subject, address), count, undecided)
            for pk, kind, subject, address, count, undecided in cursor.fetchall()
        ]


def _lock(row: Counted, limit: Limit) -> None:
    """Refuse more attempts until the delay ends. Without a delay, until the window ends."""
    ends = F("counted_at") + limit.delay_after(row.count) if limit.delay else F("expires_at")
    Throttle.objects.filter(pk=row.pk).update(
        locked_until=ends, expires_at=Greatest("expires_at", ends)
    )
    logger.warning("locked", extra={"kind": row.key.kind, "count": row.count})


def _key_of(kind: str, subject: Any, address: Any) -> Key:
    """The key of a row. The drivers give its bytes as different types."""
    return Key(kind, bytes(subject), bytes(address))
