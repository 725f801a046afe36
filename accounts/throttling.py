"""How often somebody may try: counted in the database, each try before it is tested.

Tries that come at once are therefore bounded like tries in a row. A count is taken in a
transaction of its own, so no refusal rolls it back, and a caller that wraps it in another one
fails loudly. Names and addresses are kept as HMACs under SECRET_KEY.
"""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address, ip_network
from operator import attrgetter
from typing import Any

from django.conf import settings
from django.db import connections, router, transaction
from django.db.models import F, Q
from django.db.models.functions import Greatest
from django.utils.crypto import salted_hmac

from accounts import compiled
from accounts.compiled import several, spread
from accounts.models import Throttle, ThrottleQuerySet, User

logger = logging.getLogger(__name__)
Kind = Throttle.Kind

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
PATIENCE = timedelta(seconds=10)  # for tries that came first and are still being tested
STALE_AT_ONCE = 10  # more than one try leaves, so that the table cannot grow for ever

# What there was too much of, for people.
TOO_MANY = {
    Kind.PAIR: "sign-in attempts",
    Kind.ADDRESS: "sign-in attempts",
    Kind.ACCOUNT: "sign-in attempts",
    Kind.PASSWORD: "wrong passwords",
    Kind.SIGNUP: "sign-ups and new names from your network",
    Kind.RESET: "requests for a reset link",
    Kind.RESET_ADDRESS: "requests for a reset link",
    Kind.MAIL: "mails",
}

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


class TooManyAttempts(Exception):
    """Refused without being tested. `wait` is in seconds; the message is for people."""

    def __init__(self, kind: str, wait: timedelta) -> None:
        self.wait = max(1, math.ceil(wait.total_seconds()))
        super().__init__(f"Too many {TOO_MANY[Kind(kind)]}. Try again in {in_words(self.wait)}.")


@dataclass(frozen=True)
class Key:
    """What is counted: tries of a kind, on a subject, from a network. Empty means any."""

    kind: str
    subject: bytes = b""
    address: bytes = b""


@dataclass(frozen=True)
class Limit:
    """So many tries in a window that begins with the first, and then none until its end.

    With a `delay`, the count is forgotten only after a whole window without a try, and each try
    from the last allowed one on is followed by a delay, which doubles up to `longest`.
    """

    tries: int
    window: timedelta
    delay: timedelta | None = None
    longest: timedelta = HOUR

    def delay_after(self, count: int) -> timedelta:
        doublings = min(count - self.tries, 16)
        return min((self.delay or self.window) * 2**doublings, self.longest)


def limit_of(kind: str) -> Limit:
    """The limit of that kind of tries, from the settings."""
    window = settings.LOGIN_WINDOW
    waits = {"window": DAY, "delay": settings.LOGIN_DELAY, "longest": settings.LOGIN_MAX_DELAY}
    return {
        Kind.PAIR: Limit(settings.LOGIN_ATTEMPTS, window, delay=window, longest=window),
        Kind.ADDRESS: Limit(settings.LOGIN_ATTEMPTS_PER_ADDRESS, window),
        Kind.ACCOUNT: Limit(settings.LOGIN_ATTEMPTS_PER_ACCOUNT, **waits),
        Kind.PASSWORD: Limit(settings.LOGIN_ATTEMPTS, **waits),
        Kind.SIGNUP: Limit(settings.SIGNUPS_PER_HOUR, HOUR),
        Kind.RESET: Limit(settings.RESET_MAILS_PER_HOUR, HOUR),
        Kind.RESET_ADDRESS: Limit(settings.SIGNUPS_PER_HOUR, HOUR),
        Kind.MAIL: Limit(settings.MAILS_PER_HOUR, HOUR),
    }[Kind(kind)]


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
def sign_in(name: str, user: User | None, address: str) -> Iterator[Attempt]:
    """Count a try to sign in by `name`, which is the user's, or nobody's. Raise TooManyAttempts.

    Refusals are told by the name as typed and the network alone. Whoever is locked out by one
    name and goes on by the other is counted as the same account, and their try is blind: a
    refusal that could be seen would tell which address belongs to which username, and so whether
    there is such an account.
    """
    typed, network = subject_of_name(name), hash_network(address)
    account = subject_of_user(user) if user else hash_text("nobody", canonical(name))
    told = [Key(Kind.PAIR, typed, network), Key(Kind.ACCOUNT, typed)]
    if network:
        told.append(Key(Kind.ADDRESS, address=network))
    untold = [Key(Kind.PAIR, account, network), Key(Kind.ACCOUNT, account)]
    with _testing(_begin(told, untold)) as attempt:
        yield attempt


def check_password(user: User, password: str, *, device: object) -> bool:
    """Whether it is the user's, asked on a device that is signed in. Raise TooManyAttempts.

    The device has a count of its own: no lock on signing in reaches it, and whoever has stolen
    its token cannot guess for ever.
    """
    key = Key(Kind.PASSWORD, subject_of_device(device))
    with _testing(_begin([key])) as attempt:
        if user.check_password(password):
            attempt.succeed()
    if not attempt.has_succeeded:
        logger.info("password refused", extra={"user": user.pk, "device": str(device)})
    return attempt.has_succeeded


def count_signup(address: str) -> None:
    """Raise TooManyAttempts if the network has asked too often for a name: the answer tells
    whether somebody has it."""
    _count_address(Kind.SIGNUP, address)


def count_reset_request(address: str) -> None:
    """Raise TooManyAttempts if the network has asked for too many links."""
    _count_address(Kind.RESET_ADDRESS, address)


def count_reset_mail(user: User | None, email: str) -> None:
    """Raise TooManyAttempts if the user of that address, or nobody, was mailed too many links."""
    subject = subject_of_user(user) if user else hash_text("nobody", canonical(email))
    _begin([Key(Kind.RESET, subject)]).fail()


def may_mail(email: str) -> bool:
    """Whether one more mail may go to the address. One that nobody has verified may be that of
    somebody who never heard of this site, so mails to it are counted."""
    verified = User.objects.with_email(email).filter(email_verified_at__isnull=False)
    if verified.exists() or not email:
        return bool(email)
    try:
        _begin([Key(Kind.MAIL, subject_of_name(email))]).fail()
    except TooManyAttempts:
        return False
    return True


def lift(throttles: ThrottleQuerySet) -> int:
    """Forget these counts, and so end the locks. Return how many there were."""
    lifted, _ = throttles.hold().delete()
    return lifted


def of_user(user: User) -> ThrottleQuerySet:
    """What is counted on the account, by its id and by its names."""
    return Throttle.objects.filter(subject__in=_subjects(user))


def of_superusers() -> ThrottleQuerySet:
    """What is counted on the accounts of superusers and on their devices."""
    subjects: list[bytes] = []
    for user in User.objects.filter(is_superuser=True):
        subjects += _subjects(user)
        subjects += map(subject_of_device, user.devices.values_list("pk", flat=True))
    return Throttle.objects.filter(subject__in=subjects)


def search(term: str) -> ThrottleQuerySet:
    """What is counted on a username, an e-mail address, a device id or a network address."""
    found = Q(subject__in=[subject_of_name(term), subject_of_device(term.lower())])
    user = User.objects.with_login(term).first()
    throttles = Throttle.objects.filter(found)
    if user is not None:
        throttles |= of_user(user)
    network = hash_network(term)
    return throttles | Throttle.objects.filter(address=network) if network else throttles


def canonical(name: str) -> str:
    """A typed name as it is looked up: without regard to case and Unicode form."""
    return User.normalize_username(name.strip()).lower()


def subject_of_name(name: str) -> bytes:
    return hash_text("name", canonical(name))


def subject_of_user(user: User) -> bytes:
    return hash_text("account", str(user.pk))


def subject_of_device(device: object) -> bytes:
    return hash_text("device", str(device))


def hash_network(address: str) -> bytes:
    """The hash of the network that counts as one place (IPv6: its /64), b"" without an address."""
    try:
        found = ip_address(address.strip())
    except ValueError:
        return b""
    found = getattr(found, "ipv4_mapped", None) or found
    length = 64 if found.version == 6 else 32
    return hash_text("network", str(ip_network((int(found), length), strict=False)))


def hash_text(purpose: str, text: str) -> bytes:
    value = text.encode(errors="surrogatepass")
    return salted_hmac(f"accounts.throttling.{purpose}", value, algorithm="sha256").digest()


def log_too_many() -> None:
    """On a page. The API logs all its refusals in one place."""
    logger.info("request refused", extra={"status": 429, "code": "throttled"})


def in_words(seconds: int) -> str:
    """ "30 seconds", "1 minute", "11 minutes", rounded up."""
    if seconds < 60:
        return f"{seconds} second{'s' if seconds > 1 else ''}"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} minute{'s' if minutes > 1 else ''}"


def _subjects(user: User) -> list[bytes]:
    return [
        subject_of_user(user),
        subject_of_name(user.username),
        subject_of_name(user.email),
    ]


def _count_address(kind: str, address: str) -> None:
    network = hash_network(address)
    if network:
        _begin([Key(kind, address=network)]).fail()


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


def _key(kind: str, subject: Any, address: Any) -> Key:
    """The key of a row, whose bytes come as the database's driver has them."""
    return Key(kind, bytes(subject), bytes(address))
