from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from accounts.models import QueuedMail
from accounts.worker import work


class Command(BaseCommand):
    help = (
        "Send the mails that are queued, until it is stopped. Several may run at the same time. A "
        "mail that cannot be sent is tried again for a day."
    )
    requires_migrations_checks = True

    def add_arguments(self, parser):
        parser.add_argument("--once", action="store_true", help="send what is due, and end")

    def handle(self, *, once, **options):
        worker = work(once=once)
        if isinstance(worker.error, DatabaseError):
            raise worker.error  # manage.py says it in a sentence
        if worker.error:
            name, first_line = type(worker.error).__name__, str(worker.error).partition("\n")[0]
            raise CommandError(f"{name}: {first_line}")
        if worker.is_stuck():
            raise CommandError("The mail server hangs. The mail is tried again later.")
        if worker.is_alive():
            self.stdout.write("Stopped. The mail server hangs, so its mail is tried again later.")
        elif once:
            figures = QueuedMail.objects.figures()
            left = f"{figures['waiting']} waiting, {figures['given_up']} given up"
            self.stdout.write(f"Done. Mails in the queue: {left}.")
        else:
            self.stdout.write("Stopped.")
