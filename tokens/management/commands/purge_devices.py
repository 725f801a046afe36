import json

from django.core.management.base import BaseCommand

from tokens import flows
from tokens.management.progress import progress_bar
from tokens.models import IssuedToken


class Command(BaseCommand):
    help = "Delete the devices that were revoked or expired longer than DEVICE_RETENTION ago."

    def add_arguments(self, parser):
        parser.add_argument(
            "--dry-run", action="store_true", help="count what would go, and delete nothing"
        )
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help='{"matched": n, "purged": n}'
        )

    def handle(self, *, dry_run, as_json, **options):
        matched = IssuedToken.objects.past_retention().count()
        purged = 0 if dry_run else _purge(matched, hidden=as_json)
        if as_json:
            self.stdout.write(json.dumps({"matched": matched, "purged": purged}))
        elif dry_run:
            self.stdout.write(f"Would purge {_devices(matched)}. Nothing was changed.")
        else:
            self.stdout.write(f"Purged {_devices(purged)}.")


def _purge(matched: int, *, hidden: bool) -> int:
    purged = 0
    with progress_bar(matched, hidden=hidden) as bar:
        for count in flows.purge(IssuedToken.objects.all()):
            purged += count
            bar.update(count)
    return purged


def _devices(count: int) -> str:
    what = "device" if count == 1 else "devices"
    return f"{count} {what} past retention"
