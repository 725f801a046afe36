import time

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import OperationalError
from psycopg.errors import DeadlockDetected, LockNotAvailable

ATTEMPTS, PAUSE = 30, 2  # seconds


class Command(migrate.Command):
    """Django's migrate, which lets requests pass when a table is in use, and then tries again.

    A migration that gave up its wait for a lock is undone, so it can be run again.
    """

    def handle(self, *args, **options):
        for _ in range(ATTEMPTS):
            try:
                return super().handle(*args, **options)
            except OperationalError as error:
                if not isinstance(error.__cause__, LockNotAvailable | DeadlockDetected):
                    raise
                self.stdout.write(f"\nA table is in use for long. Trying again in {PAUSE} seconds.")
                time.sleep(PAUSE)
        raise CommandError("A table is still in use: end the transaction that has it open.")
