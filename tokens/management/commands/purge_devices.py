import json

from django.core.management.base import BaseCommand
from django.template.defaultfilters import pluralize

from tokens import flows
from tokens.management.progress import add_up
from tokens.models import IssuedToken


class Command(BaseCommand):
    help = "Delete the devices that were revoked or that expired more than DEVICE_RETENTION ago."

    def add_arguments(self, parser):
        parser.add_argument(
            "--dry-run", action="store_true", help="count what would be deleted, and delete nothing"
        )
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help='{"matched": n, "purged": n}'
        )

    def handle(self, *, dry_run, as_json, **options):
        matched = IssuedToken.objects.past_retention().count()
        purged = 0
        if not dry_run:
            purged = add_up(flows.purge(IssuedToken.objects.all()), total=matched, hidden=as_json)
            flows.take_figures()
        if as_json:
            self.stdout.write(json.dumps({"matched": matched, "purged": purged}))
        elif dry_run:
            devices = f"{matched} device{pluralize(matched)} past retention"
            self.stdout.write(f"Would purge {devices}. Nothing was changed.")
        else:
            self.stdout.write(f"Purged {purged} device{pluralize(purged)} past retention.")
