"""Does the time of a refused sign-in tell a name that exists from one that does not?

    python -m benchmarks.login_timing

Sends wrong passwords through the whole stack, on a temporary SQLite database, with the hashes of
production. The two kinds of name take turns. Each attempt has its own name and network, so that no
limit is reached. Read the ratio; the milliseconds belong to the machine.
"""

import os
import secrets
import statistics
import tempfile
import time

from benchmarks.environment import set_up

ATTEMPTS = 200  # of each kind
KINDS = ("known", "unknown")


def prepare(folder: str) -> None:
    """An empty database in `folder`."""
    from django.core.management import call_command
    from django.test.utils import setup_test_environment

    os.environ["DATABASE_URL"] = f"sqlite:///{folder}/timing.sqlite3"
    set_up()
    setup_test_environment()
    call_command("migrate", verbosity=0)


def add_people() -> None:
    """A user for each attempt by a known name, all with the same password."""
    from django.contrib.auth.hashers import make_password

    from accounts.models import User

    password = make_password(secrets.token_urlsafe(16))
    User.objects.bulk_create(
        User(username=f"known{n}", email=f"known{n}@example.org", password=password)
        for n in range(ATTEMPTS + 1)
    )


def refuse(kind: str, number: int) -> float:
    """The milliseconds of one refused sign-in."""
    from django.test import Client

    body = {"username": f"{kind}{number}", "password": "not the password of anybody"}
    client = Client(REMOTE_ADDR=f"10.{KINDS.index(kind)}.{number // 250}.{number % 250 + 1}")
    start = time.perf_counter()
    answer = client.post("/api/v1/login", body, content_type="application/json")
    took = (time.perf_counter() - start) * 1000
    assert answer.status_code == 401, answer.content
    return took


def main() -> None:
    import logging

    with tempfile.TemporaryDirectory() as folder:
        prepare(folder)
        logging.disable(logging.WARNING)
        add_people()
        for kind in KINDS:
            refuse(kind, ATTEMPTS)  # what is only loaded once
        times: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for number in range(ATTEMPTS):
            for kind in KINDS[:: 1 if number % 2 else -1]:
                times[kind].append(refuse(kind, number))
    medians = {kind: statistics.median(found) for kind, found in times.items()}
    for kind, found in times.items():
        low, *_, high = statistics.quantiles(found, n=10)
        print(f"{kind:8} median {medians[kind]:.1f} ms, {low:.1f} to {high:.1f}")
    print(f"ratio {medians['known'] / medians['unknown']:.3f}, {ATTEMPTS} attempts of each")


if __name__ == "__main__":
    main()
