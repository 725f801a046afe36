"""Users and devices as a site of any size has them, made row by row and written in bulk.

The same numbers make the same rows, except for the moment that they start from. The rows come in
the order of their sign-ins, as a site would have inserted them.
"""

import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import IPv6Address
from itertools import islice
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.management.color import no_style
from django.db import connection, models, transaction
from django.db.models import Max
from django.utils import timezone

from accounts.models import Role, User
from tokens import demo
from tokens.models import IssuedToken
from tokens.user_agents import parse_user_agent

Row = dict[str, Any]

words = str.split

CHUNK = 10_000  # rows between two moves of the bar

# What to look for in a filled database.
ROOT, SUPPORT, COLLECTOR = "root", "support", "collector"
CROWDED_NETWORK = "203.0.113.0/24"

FIRST_NAMES = words(
    "ada ben carl dora emma finn gina hugo ines jan kira lena mia nils olga paul quinn rosa sven "
    "tina udo vera willi xenia yara zoe"
)
LAST_NAMES = words(
    "adler berger costa dietz evans fuchs garcia huber ivanov jensen klein lopez maier novak "
    "olsen peters quast rossi silva tanaka ungar vogel weber xu young ziegler"
)
PLACES = words(
    "Australia Brazil Canada France Germany India Italy Japan Kenya Mexico Poland Portugal Spain "
    "Switzerland"
)

# A user agent, the kind of its device, and how common it is.
AGENTS = [
    (demo.CHROME_WINDOWS, "browser", 18),
    (demo.EDGE_WINDOWS, "browser", 8),
    (demo.SAFARI_MAC, "browser", 7),
    (demo.CHROME_MAC, "browser", 5),
    (demo.FIREFOX_LINUX, "browser", 3),
    (demo.CHROME_CHROMEBOOK, "browser", 1),
    (demo.CHROME_ANDROID, "browser", 12),
    (demo.SAMSUNG_TABLET, "browser", 3),
    (demo.SAFARI_IPHONE, "browser", 10),
    (demo.IOS_APP, "api", 14),
    (demo.ANDROID_APP, "api", 12),
    (demo.OLD_APP, "api", 4),
    (demo.DART_APP, "api", 1),
    (demo.REQUESTS, "api", 1),
    (demo.CURL, "api", 1),
]

# A fifth of all devices was revoked, for these reasons. The last two are one in 10,000 each.
REVOKED = 0.2
REASONS = {
    "logout": 60,
    "replaced": 12,
    "password": 10,
    "user": 8,
    "limit": 6,
    "staff": 3,
    "deactivated": 1,
    "reuse": 0.05,
    "incident": 0.05,
}


def fill(*, users: int, devices: int, moved: Callable[[int], object] = lambda rows: None) -> None:
    """Add these numbers of users and devices, and nothing on an error. Call `moved` with the
    number of rows each time that some are written.

    Among them are a superuser, a user with the role `support`, a user with 10,000 devices and a
    network with 100,000 live ones. These two have a tenth of all devices where that is less.
    """
    with transaction.atomic():
        people = People(_add_staff(), users, timezone.now())
        _write(User, people.rows(), moved)
        with _without_indexes(IssuedToken):
            _write(IssuedToken, Devices(people, devices).rows(), moved)
        with connection.cursor() as cursor:
            for sql in connection.ops.sequence_reset_sql(no_style(), [User]):
                cursor.execute(sql)
            cursor.execute("ANALYZE")


class People:
    """Users with the keys after `last_id`. What a device must know of its user is computed from the
    key, so no user is looked up."""

    def __init__(self, last_id: int, count: int, now: datetime) -> None:
        self.ids = range(last_id + 1, last_id + 1 + count)
        self.now = now

    def rows(self) -> Iterator[Row]:
        defaults = _defaults(User) | {"password": make_password(None)}
        del defaults["id"]
        for id in self.ids:
            joined = self.password_changed_at(id)
            username, email = self.names(id)
            yield {
                **defaults,
                "id": id,
                "username": username,
                "email": email,
                "email_verified_at": joined,
                "date_joined": joined,
                "password_changed_at": joined,
                "last_login": self.now - timedelta(minutes=id * 7919 % 80_000),
                "is_active": id % 200 != 0,
            }

    def names(self, id: int) -> tuple[str, str]:
        """Username and email address."""
        if id == self.ids[0]:
            return COLLECTOR, f"{COLLECTOR}@example.org"
        first = FIRST_NAMES[id % len(FIRST_NAMES)]
        last = LAST_NAMES[id // len(FIRST_NAMES) % len(LAST_NAMES)]
        return f"{first}.{last}{id}", f"{last}.{first}{id}@example.org"

    def password_changed_at(self, id: int) -> datetime:
        return self.now - timedelta(days=60, minutes=id % 1_000_000)


class Devices:
    """Devices of these people, the oldest sign-in first."""

    def __init__(self, people: People, count: int) -> None:
        self.people, self.count, self.now = people, count, people.now
        self.random = random.Random(count)
        self.spread = settings.DEVICE_LIFETIME + settings.DEVICE_RETENTION
        self.collected = max(1, count // min(10_000, max(1, count // 10)))
        self.crowded = max(1, count // 2 // min(100_000, max(1, count // 10)))
        self.agents = [(_agent(text), kind) for text, kind, _ in AGENTS]
        self.agent_weights = [weight for _, _, weight in AGENTS]
        self.networks = [self._network() for _ in range(3000)]

    def rows(self) -> Iterator[Row]:
        defaults = _defaults(IssuedToken)
        for number in range(self.count):
            yield defaults | self._row(number)

    def _row(self, number: int) -> Row:
        random = self.random
        user_id = self.people.ids[0]
        if number % self.collected:
            user_id = random.choice(self.people.ids)
        in_crowd = number >= self.count // 2 and number % self.crowded == 1
        ((agent, kind),) = random.choices(self.agents, self.agent_weights)
        address, place = self._address()
        if in_crowd:
            address, place = f"203.0.113.{random.randrange(256)}", "Germany"
        last_address = address if in_crowd or random.random() < 0.85 else self._address()[0]
        id = uuid.UUID(bytes=random.randbytes(16), version=4)
        created_at = self.now - self.spread * (1 - number / self.count) ** 1.5
        times = self._times(created_at, always_live=in_crowd)
        generation = 1
        if kind == "api":
            generation += (times["last_seen_at"] - created_at) // timedelta(hours=8)
        epoch = self.people.password_changed_at(user_id)
        return {
            "id": id,
            "user_id": user_id,
            "kind": kind,
            "hash": sha256(id.bytes).digest(),
            "generation": generation,
            "confirmed": random.random() < 0.9,
            "password_epoch": epoch if random.random() < 0.995 else epoch - timedelta(days=90),
            "name": "Work" if random.random() < 0.1 else "",
            **agent,
            "ip_address": address,
            "last_ip": last_address,
            "location": place,
            **times,
        }

    def _times(self, created_at: datetime, *, always_live: bool) -> Row:
        """The times of its use, and how it ended or will end."""
        random, now = self.random, self.now
        expires_at = created_at + settings.DEVICE_LIFETIME
        lately = max(created_at, now - settings.DEVICE_IDLE_TIMEOUT)
        end: Row = {}
        if not always_live and random.random() < REVOKED:
            last_seen_at = self._between(created_at, min(expires_at, now))
            end = self._revocation(last_seen_at)
        elif expires_at <= now:
            last_seen_at = self._between(expires_at - settings.DEVICE_IDLE_TIMEOUT, expires_at)
        elif lately > created_at and not always_live and random.random() < 0.2:
            last_seen_at = self._between(created_at, lately)
        else:
            last_seen_at = self._between(lately, now)
        return {
            "created_at": created_at,
            "authenticated_at": created_at,
            "rotated_at": last_seen_at,
            "last_seen_at": last_seen_at,
            "idle_at": min(last_seen_at + settings.DEVICE_IDLE_TIMEOUT, expires_at),
            "expires_at": expires_at,
            **end,
        }

    def _revocation(self, time: datetime) -> Row:
        (reason,) = self.random.choices([*REASONS], [*REASONS.values()])
        end = {"revoked_at": time, "revoked_reason": reason}
        if reason == "reuse":
            end |= {"alarm": "reuse", "alarm_at": time, "alarm_ip": self._address()[0]}
        return end

    def _between(self, start: datetime, end: datetime) -> datetime:
        return start + (end - start) * self.random.random()

    def _address(self) -> tuple[str, str]:
        """An address and its place."""
        prefix, place = self.random.choice(self.networks)
        if isinstance(prefix, int):
            return str(IPv6Address(prefix + self.random.randrange(1, 2**16))), place
        return f"{prefix}.{self.random.randrange(256)}", place

    def _network(self) -> tuple[str | int, str]:
        """A /24 in one of 200 IPv4 networks of 65,536 addresses. In one of seven cases a /64."""
        random = self.random
        place = random.choice(PLACES)
        if random.random() < 1 / 7:
            return (0x2A02 << 112) + (random.randrange(2**32) << 64), place
        block = random.randrange(200)
        return f"{20 + block % 50}.{block}.{random.randrange(256)}", place


def _add_staff() -> int:
    """Add the superuser and the support, without a password; return the last key of a user."""
    for username in (ROOT, SUPPORT):
        user, _ = User.objects.get_or_create(
            username=username,
            email=f"{username}@example.org",
            is_staff=True,
            is_superuser=username == ROOT,
            defaults={"password": make_password(None)},
        )
        user.roles.set(Role.objects.filter(name=username))
    return User.objects.aggregate(last=Max("pk"))["last"]


def _agent(user_agent: str) -> Row:
    """The columns of a device that come from the user agent."""
    agent = parse_user_agent(user_agent)
    return {
        "browser": agent.browser,
        "os": agent.os,
        "device_type": agent.device_type,
        "user_agent": user_agent,
        "rotated_user_agent": user_agent,
    }


def _defaults(model: type[models.Model]) -> Row:
    return {field.attname: field.get_default() for field in model._meta.concrete_fields}


def _write(model: type[models.Model], rows: Iterator[Row], moved: Callable[[int], object]) -> None:
    fields = model._meta.concrete_fields
    columns = ", ".join(f'"{field.column}"' for field in fields)
    write = _copy if connection.vendor == "postgresql" else _insert
    while chunk := [[row[field.attname] for field in fields] for row in islice(rows, CHUNK)]:
        write(model, columns, chunk)
        moved(len(chunk))


def _copy(model: type[models.Model], columns: str, rows: list[list[Any]]) -> None:
    sql = f"COPY {model._meta.db_table} ({columns}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(sql) as copy:
        for row in rows:
            copy.write_row(row)


def _insert(model: type[models.Model], columns: str, rows: list[list[Any]]) -> None:
    places = ", ".join(["?"] * len(rows[0]))
    connection.connection.executemany(
        f"INSERT INTO {model._meta.db_table} ({columns}) VALUES ({places})",
        [[_as_sqlite_has_it(value) for value in row] for row in rows],
    )


def _as_sqlite_has_it(value: Any) -> Any:
    """The value as Django stores it there. Asking each field would take most of the time."""
    if isinstance(value, datetime):
        return str(value.replace(tzinfo=None))
    return value.hex if isinstance(value, uuid.UUID) else value


@contextmanager
def _without_indexes(model: type[models.Model]) -> Iterator[None]:
    """Drop the table's indexes, and on PostgreSQL its constraints, for the block. Making them at
    the end takes a quarter of the time."""
    with connection.cursor() as cursor:
        find = _find_indexes if connection.vendor == "postgresql" else _find_indexes_of_sqlite
        taken = find(cursor, model._meta.db_table)
        for drop, _ in taken:
            cursor.execute(drop)
        yield
        for _, create in reversed(taken):
            cursor.execute(create)


def _find_indexes_of_sqlite(cursor: Any, table: str) -> list[tuple[str, str]]:
    """The statement that drops each and the one that makes it again. Those of constraints stay."""
    cursor.execute("PRAGMA cache_size = -2000000")
    cursor.execute(
        "SELECT 'DROP INDEX \"' || name || '\"', sql FROM sqlite_master"
        " WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = %s",
        [table],
    )
    return cursor.fetchall()


def _find_indexes(cursor: Any, table: str) -> list[tuple[str, str]]:
    """For each index and constraint the statement that drops it and the one that makes it again."""
    cursor.execute("SET LOCAL maintenance_work_mem = '512MB'")
    cursor.execute(
        "SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname),"
        " format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', conrelid::regclass, conname,"
        " pg_get_constraintdef(oid)) FROM pg_constraint WHERE conrelid = %s::regclass",
        [table],
    )
    constraints = cursor.fetchall()
    cursor.execute(
        "SELECT format('DROP INDEX %%s', indexrelid::regclass), pg_get_indexdef(indexrelid)"
        " FROM pg_index WHERE indrelid = %s::regclass AND NOT EXISTS"
        " (SELECT FROM pg_constraint WHERE conindid = indexrelid)",
        [table],
    )
    return [*constraints, *cursor.fetchall()]
