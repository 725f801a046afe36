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
from django.db.models.functions import Greatest, Now

from accounts import compiled
from accounts.compiled import several, spread
from accounts.models import Throttle, ThrottleQuerySet
from accounts.throttling.known import KNOWN_FOR, RENEWED_AFTER, mark
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


@dataclass(frozen=True, slots=True)
class Seen:
    """What the table says before an attempt.

    `locks` are on its keys, `known_for` is how long the network stays known, and `accounts` are the
    wrong attempts on the account, by the primary key of the row that counts them.
    """

    locks: dict[Key, Lock]
    known_for: timedelta
    accounts: dict[int, int]


class Attempt:
    """A counted attempt that is being tested. `wrong` is how many failed on its subject before.

    A success makes the network of `marker` known. It forgets the wrong attempts on the account too,
    where this one is not counted among them.
    """

    def __init__(self, rows: list[Counted], seen: Seen, marker: Key | None) -> None:
        self.ids = [row.pk for row in rows]
        self.forgotten = [*self.ids, *(pk for pk in seen.accounts if pk not in self.ids)]
        self.count = max(row.count for row in rows)
        wrong = [row.count - row.undecided for row in rows if row.key.subject]
        self.wrong = max([0, *wrong, *seen.accounts.values()])
        self.marker = marker
        self.has_succeeded = False

    @transaction.atomic
    def succeed(self) -> None:
        """Forget the wrong attempts on the subject, and take this one off the network's count."""
        self.has_succeeded = True
        forget = compiled.delete(router.db_for_write(Throttle), _forgettable, len(self.forgotten))
        if forget.execute(**spread("id", self.forgotten)) < len(self.forgotten):
            # The network's row counts other attempts too, so it stays.
            self.rows().hold().withdraw()
        if self.marker:
            mark(self.marker)

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
def trial(*keys: Key, marker: Key | None = None, at_known: Sequence[Key] = ()) -> Iterator[Attempt]:
    """Count an attempt. At the end of the block it fails, unless the block let it succeed.

    An exception in the block takes the count back. Raise TooManyAttempts if a key is locked.
    Arguments as in `begin()`.
    """
    attempt = begin(*keys, marker=marker, at_known=at_known)
    try:
        yield attempt
    except BaseException:
        attempt.withdraw()
        raise
    if not attempt.has_succeeded:
        attempt.fail()


def begin(*keys: Key, marker: Key | None = None, at_known: Sequence[Key] = ()) -> Attempt:
    """Count one attempt on all the keys. If one is locked, count none and raise TooManyAttempts.

    Where `marker` makes the network known, the keys are those of `at_known`, unless the last of
    them is locked: after too many wrong passwords from there, the network counts as unknown.

    A lock of an attempt that is still being tested may end soon, so wait for it. In this way many
    right passwords at the same time all pass. Give up after MAX_TEST_TIME, even if a lock keeps
    appearing between the look and the count.
    """
    give_up = time.monotonic() + MAX_TEST_TIME.total_seconds()
    pause = 0.02
    while True:
        seen = _look({*keys, *at_known}, marker)
        is_known = bool(seen.known_for) and at_known[-1] not in seen.locks
        counted = at_known if is_known else keys
        locks = [lock for key, lock in seen.locks.items() if key in counted]
        is_new = seen.known_for < KNOWN_FOR - RENEWED_AFTER
        attempt = None if locks else _count(counted, seen, marker if is_new else None)
        if attempt:
            return attempt
        if time.monotonic() > give_up or not all(lock.is_being_tested for lock in locks):
            first = locks[0] if locks else Lock(keys[0].kind, timedelta(), is_being_tested=True)
            raise TooManyAttempts(first.kind, first.wait)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)


def _look(keys: set[Key], marker: Key | None) -> Seen:
    """The locks on these keys, the longest wait first, and what the marker says. One SELECT."""
    asked = keys | {marker} if marker else keys
    subjects, addresses = {key.subject for key in asked}, {key.address for key in asked}
    statement = compiled.select(
        router.db_for_write(Throttle), _rows_seen, len(subjects), len(addresses)
    )
    rows = statement.fetch(**spread("subject", subjects), **spread("address", addresses))
    locks, known_for, accounts = {}, timedelta(), {}
    for pk, *what, count, undecided, counted_at, locked_until, expires_at, now in rows:
        found = _key_of(*what)
        if found == marker:
            known_for = expires_at - now
        elif found in keys and found.kind == Throttle.Kind.ACCOUNT:
            accounts[pk] = count - undecided
        if found in keys and locked_until is not None and locked_until > now:
            is_being_tested = undecided > 0 and now - counted_at < MAX_TEST_TIME
            locks[found] = Lock(found.kind, locked_until - now, is_being_tested)
    return Seen(locks, known_for, accounts)


def _rows_seen(subjects: int, addresses: int) -> Any:
    """The rows that are locked, and those of accounts and markers that are still good."""
    kinds = (Throttle.Kind.KNOWN, Throttle.Kind.ACCOUNT)
    found = Throttle.objects.timed().filter(
        Q(locked_until__gt=Now()) | Q(kind__in=kinds, expires_at__gt=Now()),
        subject__in=several("subject", subjects),
        address__in=several("address", addresses),
    )
    counts = ("count", "undecided", "counted_at", "locked_until", "expires_at", "now")
    columns = ("pk", "kind", "subject", "address", *counts)
    return found.order_by(F("locked_until").desc(nulls_last=True)).values_list(*columns)


def _count(keys: Sequence[Key], seen: Seen, marker: Key | None) -> Attempt | None:
    """Count one attempt on every key, or return None if one was locked after `_look()`.

    All code locks rows in one order, so that no two attempts wait for each other. Here it is the
    order of the keys, as in `hold()`.
    """
    ordered = sorted(set(keys), key=attrgetter("subject", "address", "kind"), reverse=True)
    limits = {key: limit_of(key) for key in ordered}
    with transaction.atomic(durable=True):
        rows = _add_one(ordered, limits)
        if len(rows) < len(ordered):
            transaction.set_rollback(True)
            return None
        for row in rows:
            if row.count >= limits[row.key].attempts:
                _lock(row, limits[row.key])
    return Attempt(rows, seen, marker)


def _add_one(keys: Sequence[Key], limits: dict[Key, Limit]) -> list[Counted]:
    """Count one attempt on each key that is not locked; return those rows."""
    connection = connections[router.db_for_write(Throttle)]
    now, later = CLOCK[connection.vendor]
    statement = COUNT.format(
        rows=", ".join([f"(%s, %s, %s, 1, 1, {now}, {later})"] * len(keys)),
        is_over="known.count = 0 OR known.expires_at <= excluded.counted_at",
        delayed=", ".join({f"'{key.kind}'" for key in keys if limits[key].delay}) or "''",
    )
    parameters: list[Any] = []
    for key in keys:
        seconds = limits[key].window.total_seconds()
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
