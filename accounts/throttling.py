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
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils.crypto import salted_hmac

from accounts.models import Throttle, ThrottleQuerySet, User

logger = logging.getLogger(__name__)
Kind = Throttle.Kind

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
PATIENCE = timedelta(seconds=10)  # for tries that came first and are still being tested
STALE_AT_ONCE = 10  # more than one try adds, so that the table cannot grow for ever

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


class TooManyAttempts(Exception):
    """Refused without being tested. `wait` is in seconds; the message is for people."""

    def __init__(self, kind: str, wait: timedelta) -> None:
        self.wait = max(1, math.ceil(wait.total_seconds()))
        super().__init__(f"Too many {TOO_MANY[Kind(kind)]}. Try again in {in_words(self.wait)}.")


@dataclass(frozen=True, order=True)
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


class Attempt:
    """A try that was counted and is being tested. `is_blind`: it must fail whatever it brings.
    `wrong`: how many on the subject failed before it."""

    def __init__(self, rows: list[Throttle], *, is_blind: bool = False) -> None:
        self.rows = Throttle.objects.filter(pk__in=[row.pk for row in rows])
        self.is_blind = is_blind
        self.wrong = max(row.count - row.undecided if row.subject else 0 for row in rows)
        self.has_succeeded = False

    @transaction.atomic
    def succeed(self) -> None:
        """Forget the wrong tries on the subject, and that this one came from the network."""
        self.has_succeeded = True
        held = self.rows.hold()
        held.exclude(subject=b"").delete()
        held.filter(subject=b"").withdraw()

    @transaction.atomic
    def fail(self) -> None:
        self.rows.hold().filter(undecided__gt=0).update(undecided=F("undecided") - 1)

    @transaction.atomic
    def withdraw(self) -> None:
        """Take the count back: nothing was tested."""
        self.rows.hold().withdraw()


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
    key = Key(Kind.PASSWORD, hash_text("device", str(device)))
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


@transaction.atomic
def lift(throttles: ThrottleQuerySet) -> int:
    """Forget these counts, and so end the locks. Return how many there were."""
    lifted, _ = throttles.hold().delete()
    return lifted


def of_user(user: User) -> ThrottleQuerySet:
    """What is counted on the account, by its id and by its names."""
    names = [subject_of_name(user.username), subject_of_name(user.email)]
    return Throttle.objects.filter(subject__in=[subject_of_user(user), *names])


def search(term: str) -> ThrottleQuerySet:
    """What is counted on a username, an e-mail address, a device id or a network address."""
    found = Q(subject__in=[subject_of_name(term), hash_text("device", term.lower())])
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
    them wait a moment: many right passwords at once all pass.
    """
    give_up = time.monotonic() + PATIENCE.total_seconds()
    pause = 0.02
    while True:
        locked = _locked(told)
        if not locked:
            attempt = _count(told, untold)
            if attempt:
                return attempt
        elif time.monotonic() > give_up or not all(_is_being_tested(row) for row in locked):
            raise TooManyAttempts(locked[0].kind, locked[0].wait)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)


def _locked(keys: Sequence[Key]) -> list[Throttle]:
    return list(_rows(keys).locked().order_by("-locked_until"))


def _is_being_tested(row: Throttle) -> bool:
    """A try that ended without being decided, as in a crash, holds nobody up for long."""
    return row.undecided > 0 and row.now - row.counted_at < PATIENCE


def _count(told: Sequence[Key], untold: Sequence[Key]) -> Attempt | None:
    """Count one try on every key, or on none: None if one of `told` was locked meanwhile.

    Rows are locked in one order everywhere, so that no two tries wait for each other.
    """
    keys = sorted({*told, *untold})
    with transaction.atomic(durable=True):
        blank = [Throttle(kind=key.kind, subject=key.subject, address=key.address) for key in keys]
        Throttle.objects.bulk_create(blank, ignore_conflicts=True)
        rows = {
            Key(row.kind, bytes(row.subject), bytes(row.address)): row
            for row in _rows(keys).timed().select_for_update().order_by("pk")
        }
        if len(rows) < len(keys) or any(rows[key].is_locked() for key in told):
            transaction.set_rollback(True)
            return None
        counted = [row for row in rows.values() if not row.is_locked()]
        for row in counted:
            _add(row, limit_of(row.kind))
        Throttle.objects.bulk_update(
            counted, ["count", "undecided", "counted_at", "locked_until", "expires_at"]
        )
        Throttle.objects.delete_stale(STALE_AT_ONCE)
    return Attempt(counted, is_blind=len(counted) < len(rows))


def _add(row: Throttle, limit: Limit) -> None:
    now: datetime = row.now
    if row.count == 0 or row.expires_at <= now:
        row.count = row.undecided = 0
        row.expires_at = now + limit.window
    row.count += 1
    row.undecided += 1
    row.counted_at = now
    row.locked_until = None
    if limit.delay:
        row.expires_at = now + limit.window
    if row.count >= limit.tries:
        ends = now + limit.delay_after(row.count)
        row.locked_until = ends if limit.delay else row.expires_at
        row.expires_at = max(row.expires_at, row.locked_until)
        logger.warning("locked", extra={"kind": row.kind, "count": row.count})


def _rows(keys: Sequence[Key]) -> ThrottleQuerySet:
    wanted = Q(pk__in=[])
    for key in keys:
        wanted |= Q(kind=key.kind, subject=key.subject, address=key.address)
    return Throttle.objects.filter(wanted)
