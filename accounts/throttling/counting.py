"""Counting of attempts in the database, before each is tested.

So attempts at the same time are limited like attempts in a row. An attempt is counted in a
transaction of its own, so no refusal rolls it back. Within another transaction this raises
RuntimeError.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter
from typing import Any

from django.db import connections, router, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts import compiled
from accounts.compiled import several, spread
from accounts.durability import without_disk
from accounts.models import Throttle
from accounts.throttling.known import KNOWN_FOR, RENEWED_AFTER, mark
from accounts.throttling.limits import TooManyAttempts, limit_of
from accounts.throttling.statements import (
    Counted,
    add_one,
    decide,
    delete_empty,
    delete_forgotten,
    take_off,
)
from accounts.throttling.subjects import Key

logger = logging.getLogger(__name__)

# How long an attempt counts as being tested, and how long the next one waits for it.
MAX_TEST_TIME = timedelta(seconds=10)


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

    def succeed(self) -> None:
        """Do what `forget()` does, in a transaction of its own."""
        self.has_succeeded = True
        alias = router.db_for_write(Throttle)
        with without_disk(alias), transaction.atomic(using=alias):
            self.forget()

    def forget(self) -> None:
        """Forget the wrong attempts on the subject, and take this one off the network's count.

        Call this in a transaction, as its last statement: people of one network share its row.
        """
        if delete_forgotten(self.forgotten) < len(self.forgotten):
            # The network's row counts other attempts too, so it stays.
            take_off(self.ids)
        if self.marker:
            mark(self.marker)

    def fail(self) -> None:
        """Keep the attempt in the counts, now decided, and delete a few stale rows."""
        decide(self.ids)

    def withdraw(self) -> None:
        """Take the count back, because nothing was tested."""
        _take_back(self.ids)


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


@contextmanager
def deciding(attempt: Attempt | None) -> Iterator[None]:
    """A transaction in which this attempt succeeds too, last of all.

    If the transaction fails, the attempt succeeds without it: its password was right.
    """
    try:
        with transaction.atomic():
            yield
            if attempt:
                attempt.forget()
    except BaseException:
        if attempt:
            attempt.succeed()
        raise


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
    with _on_its_own():
        rows = add_one(limits)
    if len(rows) < len(ordered):
        _take_back([row.pk for row in rows])
        return None
    for row in rows:
        if row.count >= limits[row.key].attempts:
            logger.warning("locked", extra={"kind": row.key.kind, "count": row.count})
    return Attempt(rows, seen, marker)


def _on_its_own() -> AbstractContextManager[Any]:
    """Within a transaction raise RuntimeError, unless it is that of a test."""
    alias = router.db_for_write(Throttle)
    if connections[alias].in_atomic_block:
        return transaction.atomic(using=alias, durable=True)
    return nullcontext()


def _take_back(ids: Sequence[int]) -> None:
    if ids:
        take_off(ids)
        delete_empty(ids)


def _key_of(kind: str, subject: Any, address: Any) -> Key:
    """The key of a row. The drivers give its bytes as different types."""
    return Key(kind, bytes(subject), bytes(address))
