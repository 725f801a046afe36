"""The statements that count attempts and decide them, each for itself.

They are SQL because of what the ORM lacks: its upsert takes no expressions and no condition, and it
changes locked rows within a transaction only. On their own they do not wait for the disk.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db import connections, router

from accounts.compiled import Statement, several, spread
from accounts.durability import without_disk
from accounts.models import Throttle
from accounts.throttling.limits import MAX_DOUBLINGS, Limit
from accounts.throttling.subjects import Key

# Stale rows that each failed attempt deletes: more than it adds, so that the table stays small.
MAX_STALE_DELETED = 10

# Adds one attempt to each key that is not locked, and returns the rows of these keys. The attempt
# that fills a limit sets the lock, so that none is counted between the two.
COUNT = """INSERT INTO accounts_throttle AS known
    (kind, subject, address, count, undecided, counted_at, locked_until, expires_at)
VALUES {rows}
ON CONFLICT (subject, address, kind) DO UPDATE SET
    count = {count},
    undecided = CASE WHEN {is_over} THEN 1 ELSE known.undecided + 1 END,
    counted_at = excluded.counted_at,
    locked_until = {lock},
    expires_at = {greatest}({ends}, COALESCE({lock}, {ends}))
WHERE known.locked_until IS NULL OR known.locked_until <= excluded.counted_at
RETURNING id, kind, subject, address, count, undecided{unwaited}"""
NEW_ROW = """('{kind}', %(subject{number})s, %(address{number})s, 1, 1, {now}, {lock},
    {greatest}({ends}, COALESCE({lock}, {ends})))"""
IS_OVER = "(known.count = 0 OR known.expires_at <= excluded.counted_at)"
COUNT_AFTER = f"(CASE WHEN {IS_OVER} THEN 1 ELSE known.count + 1 END)"
# When the lock ends of an attempt that fills the limit. The delay is that of `delay_after()`.
LOCK = "(CASE WHEN {count} >= {attempts} THEN {until} END)"
DELAY = "{least}({delay} * (1 << {least}({count} - {attempts}, {max_doublings})), {max_delay})"

# All code locks rows in this order, as `ThrottleQuerySet.hold()` does.
HELD = """SELECT id FROM accounts_throttle WHERE id IN ({ids}) AND ({condition})
    ORDER BY "subject" DESC, "address" DESC, "kind" DESC{for_update}"""
CHANGE = """UPDATE accounts_throttle SET {changes} WHERE id IN ({held}) AND undecided > 0
    RETURNING id{unwaited}"""
DELETE = "DELETE FROM accounts_throttle WHERE id IN ({held}) RETURNING id{unwaited}"
# A CTE, because PostgreSQL may run a plain subquery again for each row, and so delete all.
DELETE_STALE = """DELETE FROM accounts_throttle WHERE id IN (
    WITH stale AS MATERIALIZED (
        SELECT id FROM accounts_throttle WHERE expires_at < {now} LIMIT {size}{skip_locked})
    SELECT id FROM stale) RETURNING id{unwaited}"""

DIALECTS = {
    "sqlite": {
        "now": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')",
        "later": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', {time}, ({seconds}) || ' seconds')",
        "least": "min",
        "greatest": "max",
        "nothing": "x''",
        "for_update": "",
        "skip_locked": "",
    },
    "postgresql": {
        "now": "statement_timestamp()",
        "later": "({time} + make_interval(secs => {seconds}))",
        "least": "least",
        "greatest": "greatest",
        "nothing": "''::bytea",
        "for_update": " FOR UPDATE",
        "skip_locked": " FOR UPDATE SKIP LOCKED",
    },
}


@dataclass(slots=True)
class Counted:
    """A row after one more attempt. Of its `count` attempts, `undecided` are being tested."""

    pk: int
    key: Key
    count: int
    undecided: int


def add_one(limits: dict[Key, Limit]) -> list[Counted]:
    """Count one attempt on each key that is not locked. Lock those whose limit it fills."""
    limited = tuple([(key.kind, key.wide, limit) for key, limit in limits.items()])
    subjects = spread("subject", [key.subject for key in limits])
    rows = _run(_count, limited, **subjects, **spread("address", [key.address for key in limits]))
    return [
        Counted(pk, Key(kind, subject, address), count, undecided)
        for pk, kind, subject, address, count, undecided, *_ in rows
    ]


def decide(ids: Sequence[int]) -> None:
    """Take one attempt of each row as decided, and delete a few stale rows."""
    _run(_change, len(ids), "undecided = undecided - 1", **spread("id", ids))
    _run(_delete_stale)


def take_off(ids: Sequence[int]) -> None:
    """Take one attempt off each row that has an undecided one, and end its lock."""
    changes = "count = count - 1, undecided = undecided - 1, locked_until = NULL"
    _run(_change, len(ids), changes, **spread("id", ids))


def delete_empty(ids: Sequence[int]) -> None:
    """Delete the rows that count no attempt."""
    _run(_delete, len(ids), "count = 0", **spread("id", ids))


def delete_forgotten(ids: Sequence[int]) -> int:
    """Delete the rows of a subject, and those of a network with one attempt. Return how many."""
    return len(_run(_delete, len(ids), "subject > {nothing} OR count = 1", **spread("id", ids)))


def _run(build: Callable[..., Statement], *args: Any, **values: Any) -> list[list[Any]]:
    """Run the statement that `build` makes for the database of the counts."""
    alias = router.db_for_write(Throttle)
    with without_disk(alias) as unwaited:
        return build(alias, unwaited, *args).fetch(**values)


@lru_cache
def _count(alias: str, unwaited: str, limits: tuple[tuple[str, bool, Limit], ...]) -> Statement:
    delayed = ", ".join({f"'{kind}'" for kind, _, limit in limits if limit.delay}) or "''"
    ends = (
        f"(CASE WHEN {IS_OVER} OR known.kind IN ({delayed})"
        " THEN excluded.expires_at ELSE known.expires_at END)"
    )
    rows, locks = [], {}
    for number, (kind, is_wide, limit) in enumerate(limits):
        rows.append(_new_row(alias, number, kind, limit))
        # A wide network has the kind of the other networks, and a limit of its own.
        which = f"known.kind = '{kind}'" + f" AND known.address = %(address{number})s" * is_wide
        locks[which] = _lock(alias, limit, COUNT_AFTER, "excluded.counted_at", ends)
    cases = [f"WHEN {which} THEN {locks[which]}" for which in sorted(locks, key=len, reverse=True)]
    return _statement(
        alias,
        COUNT,
        unwaited=unwaited,
        rows=", ".join(rows),
        count=COUNT_AFTER,
        is_over=IS_OVER,
        lock=f"(CASE {' '.join(cases)} END)",
        ends=ends,
    )


def _new_row(alias: str, number: int, kind: str, limit: Limit) -> str:
    """The row of a key that was not counted before. Its first attempt may fill the limit."""
    now = _dialect(alias)["now"]
    ends = _later(alias, now, limit.window.total_seconds())
    lock = _lock(alias, limit, "1", now, ends)
    return NEW_ROW.format(**_dialect(alias), kind=kind, number=number, lock=lock, ends=ends)


def _lock(alias: str, limit: Limit, count: str, counted_at: str, ends: str) -> str:
    """When the lock ends that the attempt with this count sets, or NULL if it sets none."""
    until = ends
    if limit.delay:
        delay = DELAY.format(
            **_dialect(alias),
            count=count,
            attempts=limit.attempts,
            max_doublings=MAX_DOUBLINGS,
            delay=limit.delay.total_seconds(),
            max_delay=limit.max_delay.total_seconds(),
        )
        until = _later(alias, counted_at, delay)
    return LOCK.format(count=count, attempts=limit.attempts, until=until)


@lru_cache
def _change(alias: str, unwaited: str, size: int, changes: str) -> Statement:
    held = _held(alias, size, "TRUE")
    return _statement(alias, CHANGE, unwaited=unwaited, changes=changes, held=held)


@lru_cache
def _delete(alias: str, unwaited: str, size: int, condition: str) -> Statement:
    held = _held(alias, size, condition.format(**_dialect(alias)))
    return _statement(alias, DELETE, unwaited=unwaited, held=held)


@lru_cache
def _delete_stale(alias: str, unwaited: str) -> Statement:
    return _statement(alias, DELETE_STALE, unwaited=unwaited, size=MAX_STALE_DELETED)


def _statement(alias: str, template: str, **parts: Any) -> Statement:
    return Statement(alias=alias, sql=template.format(**_dialect(alias), **parts), parameters={})


def _dialect(alias: str) -> dict[str, str]:
    return DIALECTS[connections[alias].vendor]


def _later(alias: str, time: str, seconds: object) -> str:
    return _dialect(alias)["later"].format(time=time, seconds=seconds)


def _held(alias: str, size: int, condition: str) -> str:
    ids = ", ".join(f"%({parameter.name})s" for parameter in several("id", size))
    return HELD.format(**_dialect(alias), ids=ids, condition=condition)
