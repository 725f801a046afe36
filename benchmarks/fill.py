"""Fill the database of DATABASE_URL with the users and devices of a large site.

DATABASE_URL=postgres://... python -m benchmarks.fill --users 1000000 --devices 10000000
"""

import argparse
import sys
import time

from django.core.management import call_command
from django.db import connection
from tqdm import tqdm

from benchmarks.environment import set_up


def main() -> None:
    parser = argparse.ArgumentParser(description="Fill a database with users and devices.")
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--devices", type=int, default=10_000_000)
    options = parser.parse_args()
    set_up()
    fill_database(options.users, options.devices)


def fill_database(users: int, devices: int) -> None:
    from accounts.models import User
    from benchmarks import population

    if users < 1 or devices < 1:
        sys.exit("Both numbers must be at least 1.")
    call_command("migrate", verbosity=0)
    if User.objects.exists():
        sys.exit("There are users in this database already.")
    start = time.monotonic()
    with tqdm(total=users + devices, unit=" rows", unit_scale=True) as bar:
        population.fill(users=users, devices=devices, moved=bar.update)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # As autovacuum will sooner or later. Before it, counting reads the table too.
            cursor.execute("VACUUM ANALYZE")
    print(f"{users:,} users and {devices:,} devices in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
