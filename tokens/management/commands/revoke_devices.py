import json

from django.core.management.base import BaseCommand, CommandError

from tokens import flows
from tokens.management.arguments import find_user
from tokens.management.progress import progress_bar
from tokens.management.selection import add_predicates, is_selective, select_devices
from tokens.management.tables import device_table
from tokens.models import IssuedToken, IssuedTokenQuerySet

SAMPLE = 10


class Command(BaseCommand):
    help = (
        "Revoke live devices, at once and for good. With --user they end as revoked by staff, "
        "otherwise as revoked in an incident."
    )

    def add_arguments(self, parser):
        add_predicates(parser)
        parser.add_argument("--all", action="store_true", help="every device of everybody")
        parser.add_argument("--note", default="", help="words that the people are shown")
        parser.add_argument(
            "--dry-run", action="store_true", help="count and show what would end, and end nothing"
        )
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help='{"matched": n, "revoked": n}'
        )

    def handle(self, **options):
        _check(options)
        devices = select_devices(**options).live()
        matched = devices.count()
        revoked = 0 if options["dry_run"] else _revoke(devices, matched, options)
        if options["as_json"]:
            self.stdout.write(json.dumps({"matched": matched, "revoked": revoked}))
        elif options["dry_run"]:
            self._show_sample(devices, matched)
        else:
            self.stdout.write(f"Revoked {_devices(revoked)}.")

    def _show_sample(self, devices: IssuedTokenQuerySet, matched: int) -> None:
        if matched:
            sample = devices.with_state().order_by("-created_at", "-pk")[:SAMPLE]
            self.stdout.write(device_table(sample))
        if matched > SAMPLE:
            self.stdout.write(f"... and {matched - SAMPLE} more.")
        self.stdout.write(f"Would revoke {_devices(matched)}. Nothing was changed.")


def _check(options: dict) -> None:
    if options["all"] and is_selective(options):
        raise CommandError("--all stands alone: leave it out to revoke only what you describe.")
    if not options["all"] and not is_selective(options):
        raise CommandError("Say which devices, by --user, --ip or the like, or --all.")
    if len(options["note"]) > flows.NOTE_LENGTH:
        raise CommandError(f"The note is longer than {flows.NOTE_LENGTH} characters.")


def _revoke(devices: IssuedTokenQuerySet, matched: int, options: dict) -> int:
    note = options["note"]
    if options["user"] is not None:
        return flows.revoke_for_user(find_user(options["user"]), devices, by=None, note=note)
    revoked = 0
    with progress_bar(matched, hidden=options["as_json"]) as bar:
        reason = IssuedToken.Reason.INCIDENT
        for _, ended in flows.revoke_in_batches(devices, reason=reason, note=note):
            revoked += ended
            bar.update(ended)
    return revoked


def _devices(count: int) -> str:
    return "1 live device" if count == 1 else f"{count} live devices"
