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
from accounts.throttling.subjects import Key, _key

logger = logging.getLogger(__name__)
Kind = Throttle.Kind
PATIENCE = timedelta(seconds=10)  # for tries that came first and are still being tested
STALE_AT_ONCE = 10  # more than one try leaves, so that the table cannot grow for ever

# One more try on each key, but for those that are locked: these are not returned. The ORM, whose
# upsert knows neither expressions nor a condition, takes four statements for it.
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

# The database's clock, and what it will show so many seconds later.
CLOCK = {
    "sqlite": (
        "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')",
        "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s || ' seconds')",
    ),
    "postgresql": ("statement_timestamp()", "statement_timestamp() + make_interval(secs => %s)"),
}


@dataclass(frozen=True, slots=True)
class Counted:
    """A row with one more try in its `count`, of which so many are `undecided`."""

    pk: int
    key: Key
    count: int
    undecided: int


@dataclass(frozen=True, slots=True)
class Lock:
    """What refuses the next try on a key for so long. `is_being_tested`: until a try is decided
    that came first; one that ended without a decision, as in a crash, holds nobody up for long."""

    kind: str
    wait: timedelta
    is_being_tested: bool


class Attempt:
    """A try that was counted and is being tested. `is_blind`: it must fail whatever it brings.
    `wrong`: how many on the subject failed before it."""

    def __init__(self, rows: list[Counted], *, is_blind: bool) -> None:
        self.ids = [row.pk for row in rows]
        self.is_blind = is_blind
        self.wrong = max(row.count - row.undecided if row.key.subject else 0 for row in rows)
        self.has_succeeded = False

    @transaction.atomic
    def succeed(self) -> None:
        """Forget the wrong tries on the subject, and that this one came from the network."""
        self.has_succeeded = True
        forget = compiled.delete(router.db_for_write(Throttle), _forgettable, len(self.ids))
        if forget.execute(**spread("id", self.ids)) < len(self.ids):
            self.rows().hold().withdraw()

    @transaction.atomic
    def fail(self) -> None:
        self.rows().hold().filter(undecided__gt=0).update(undecided=F("undecided") - 1)
        Throttle.objects.delete_stale(STALE_AT_ONCE)

    @transaction.atomic
    def withdraw(self) -> None:
        """Take the count back: nothing was tested."""
        self.rows().hold().withdraw()
        self.rows().filter(count=0).delete()

    def rows(self) -> ThrottleQuerySet:
        return Throttle.objects.filter(pk__in=self.ids)


def _forgettable(size: int) -> ThrottleQuerySet:
    """What a success leaves nothing of: tries on a subject, and a network's only one."""
    rows = Throttle.objects.filter(Q(pk__in=several("id", size)))
    return rows.filter(Q(subject__gt=b"") | Q(count=1)).hold()


@contextmanager
def _testing(attempt: Attempt) -> Iterator[Attempt]:
    """Decide the attempt: failed unless it succeeded, taken back if it could not be tested."""
    try:
        yield attempt
    except BaseException:
        attempt.withdraw()
        raise
    if not attempt.has_succeeded:
        attempt.fail()


def _begin(told: Sequence[Key], untold: Sequence[Key] = ()) -> Attempt:
    """Count one try. Raise TooManyAttempts if one of `told` is locked; none is counted then.

    Tries that are still being tested hold a lock only until they are decided, so those behind
    them wait a moment: many right passwords at once all pass. Nobody waits for ever, also if a
    lock was always there when the try was to be counted and gone when it was looked for.
    """
    give_up = time.monotonic() + PATIENCE.total_seconds()
    pause = 0.02
    while True:
        locked = _locked(told)
        attempt = None if locked else _count(told, untold)
        if attempt:
            return attempt
        if time.monotonic() > give_up or not all(lock.is_being_tested for lock in locked):
            first = locked[0] if locked else Lock(told[0].kind, timedelta(), is_being_tested=True)
            raise TooManyAttempts(first.kind, first.wait)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)


def _locked(keys: Sequence[Key]) -> list[Lock]:
    """The locks on these keys, the longest wait first."""
    subjects, addresses = {key.subject for key in keys}, {key.address for key in keys}
    statement = compiled.select(
        router.db_for_write(Throttle), _locked_rows, len(subjects), len(addresses)
    )
    rows = statement.fetch(**spread("subject", subjects), **spread("address", addresses))
    return [
        Lock(kind, locked_until - now, undecided > 0 and now - counted_at < PATIENCE)
        for kind, subject, address, undecided, counted_at, locked_until, now in rows
        if _key(kind, subject, address) in keys
    ]


def _locked_rows(subjects: int, addresses: int) -> Any:
    found = Throttle.objects.filter(
        subject__in=several("subject", subjects), address__in=several("address", addresses)
    )
    columns = ("kind", "subject", "address", "undecided", "counted_at", "locked_until", "now")
    return found.locked().order_by("-locked_until").values_list(*columns)


def _count(told: Sequence[Key], untold: Sequence[Key]) -> Attempt | None:
    """Count one try on every key that is not locked, or on none: None if one of `told` was locked
    meanwhile.

    Rows are locked in one order everywhere, so that no two tries wait for each other: here in that
    of the keys, which is the one of `hold()`.
    """
    keys = sorted({*told, *untold}, key=attrgetter("subject", "address", "kind"), reverse=True)
    limits = {key.kind: limit_of(key.kind) for key in keys}
    with transaction.atomic(durable=True):
        rows = _add_one(keys, limits)
        if not {row.key for row in rows}.issuperset(told):
            transaction.set_rollback(True)
            return None
        for row in rows:
            if row.count >= limits[row.key.kind].tries:
                _lock(row, limits[row.key.kind])
    return Attempt(rows, is_blind=len(rows) < len(keys))


def _add_one(keys: Sequence[Key], limits: dict[str, Limit]) -> list[Counted]:
    """Count one try on each key that is not locked."""
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
            Counted(pk, _key(kind, subject, address), count, undecided)
            for pk, kind, subject, address, count, undecided in cursor.fetchall()
        ]


def _lock(row: Counted, limit: Limit) -> None:
    ends = F("counted_at") + limit.delay_after(row.count) if limit.delay else F("expires_at")
    Throttle.objects.filter(pk=row.pk).update(
        locked_until=ends, expires_at=Greatest("expires_at", ends)
    )
    logger.warning("locked", extra={"kind": row.key.kind, "count": row.count})
