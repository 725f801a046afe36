import json

from django.core.management.base import BaseCommand
from django.template.defaultfilters import pluralize

from tokens import flows
from tokens.management.progress import add_up
from tokens.models import IssuedToken


class Command(BaseCommand):
    help = (
        "Delete the devices that were revoked or that expired more than DEVICE_RETENTION ago. "
        "Forget the exact addresses and clients of those that ended more than FORGET_AFTER ago."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "--dry-run", action="store_true", help="count what would change, and change nothing"
        )
        parser.add_argument(
            "--json",
            action="store_true",
            dest="as_json",
            help='{"matched": n, "purged": n, "to_forget": n, "forgotten": n}',
        )

    def handle(self, *, dry_run, as_json, **options):
        devices = IssuedToken.objects.all()
        old = devices.past_retention()
        counts = {
            "matched": old.count(),
            "purged": 0,
            "to_forget": devices.to_forget().exclude(pk__in=old.values("pk")).count(),
            "forgotten": 0,
        }
        if not dry_run:
            for done, todo, act in (
                ("purged", "matched", flows.purge),
                ("forgotten", "to_forget", flows.forget),
            ):
                counts[done] = add_up(act(devices), total=counts[todo], hidden=as_json)
            flows.take_figures()
        self.stdout.write(json.dumps(counts) if as_json else _in_words(counts, dry_run))


def _in_words(counts: dict[str, int], dry_run: bool) -> str:
    if dry_run:
        purged, forgotten = _devices(counts["matched"]), _devices(counts["to_forget"])
        return (
            f"Would purge {purged} past retention, and forget the exact addresses of {forgotten}. "
            "Nothing was changed."
        )
    purged, forgotten = _devices(counts["purged"]), _devices(counts["forgotten"])
    return f"Purged {purged} past retention. Forgot the exact addresses of {forgotten}."


def _devices(number: int) -> str:
    return f"{number} device{pluralize(number)}"
