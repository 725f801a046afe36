"""What `authenticate()` costs beside Simple JWT's, which fetches the user and cannot revoke.

`make bench` runs it: both on one temporary database, interleaved, in one process. SQLite, or the
server of DATABASE_URL if that is PostgreSQL, with the connection as the settings have it. Read the
ratio and the counts; the milliseconds are of whatever machine this is.
"""

import cProfile
import json
import os
import platform
import pstats
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

USERS = 10_000
ROUNDS = 40
CALLS = 50  # of each, in a round
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"


@contextmanager
def database() -> Iterator[None]:
    """A configuration of this run alone, as in production, on a new database that is dropped."""
    import django

    from tokens.keys import generate_signing_key

    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DEBUG": "false",
            "SECRET_KEY": secrets.token_urlsafe(64),
            "JWT_SIGNING_KEYS": json.dumps({"keys": [generate_signing_key()]}),
            "SITE_URL": "https://example.org",
        }
        if not os.environ.get("DATABASE_URL", "").startswith("postgres"):
            os.environ["DATABASE_URL"] = f"sqlite:///{folder}/bench.sqlite3"
        django.setup()
        from django.db import connection

        name = connection.settings_dict["NAME"]
        connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
        try:
            yield
        finally:
            connection.creation.destroy_test_db(name, verbosity=0)


def contenders() -> dict[str, Callable[[], object]]:
    """Each name with a call that authenticates the same person's request."""
    from django.test import RequestFactory
    from rest_framework.request import Request
    from rest_framework_simplejwt.authentication import JWTAuthentication
    from rest_framework_simplejwt.tokens import AccessToken

    from accounts.models import User
    from tokens import flows
    from tokens.authentication import IssuedTokenAuthentication
    from tokens.client import Client

    users = [User(username=f"u{n}", email=f"u{n}@example.org") for n in range(USERS)]
    User.objects.bulk_create(users, batch_size=1000)
    user = User.objects.get(username=f"u{USERS // 2}")
    ours = flows.log_in(user, Client(ip_address="127.0.0.1")).access_token
    theirs = str(AccessToken.for_user(user))

    def call(authentication, token):
        headers = {"Authorization": f"Bearer {token}", "User-Agent": FIREFOX}
        request = Request(RequestFactory().get("/", headers=headers))
        # The first use confirms the generation; what is measured is every later one. By then the
        # server has prepared the query.
        for _ in range(10):
            assert authentication.authenticate(request)[0] == user
        return partial(authentication.authenticate, request)

    return {
        "Simple JWT": call(JWTAuthentication(), theirs),
        "Guestlist": call(IssuedTokenAuthentication(), ours),
    }


def measure(calls: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Milliseconds a call, one figure a round, the contenders taking turns."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(CALLS):
                call()
            found[name].append((time.perf_counter() - start) * 1000 / CALLS)
    return found


def count(call: Callable[[], object]) -> tuple[int, int]:
    """The Python function calls and the statements of one call."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        call()
    profile = cProfile.Profile()
    profile.runcall(call)
    total = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    return total, len(captured)


def main() -> None:
    with database():
        from django.db import connection

        calls = contenders()
        times = measure(calls)
        where = f"Python {platform.python_version()}, {connection.display_name}"
        print(f"{where}, {USERS} users, {ROUNDS} rounds\n")
        print(f"{'':12}{'statements':>12}{'calls':>8}{'median ms':>11}{'spread':>16}{'ratio':>8}")
        for name, found in times.items():
            calls_made, statements = count(calls[name])
            low, *_, high = statistics.quantiles(found, n=10)
            median = statistics.median(found)
            spread = f"{low:.2f} to {high:.2f}"
            # Round by round: what slows the machine slows both.
            rounds = zip(found, times["Simple JWT"], strict=True)
            ratio = statistics.median(ours / theirs for ours, theirs in rounds)
            print(
                f"{name:12}{statements:>12}{calls_made:>8}{median:>11.2f}{spread:>16}{ratio:>8.2f}"
            )


if __name__ == "__main__":
    main()
