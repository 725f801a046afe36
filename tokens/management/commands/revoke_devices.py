import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tokens import flows
from tokens.management.progress import progress_bar
from tokens.management.selection import add_predicates, read_criteria
from tokens.management.tables import device_table
from tokens.models import IssuedToken, IssuedTokenQuerySet

SAMPLE = 10
TITLES = {"os": "OS", "browser": "client", "kind": "kind", "location": "place"}


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
        criteria = read_criteria(options)
        _check(options, criteria)
        devices = IssuedToken.objects.matching(**criteria).live()
        summary = devices.summary()
        revoked = 0 if options["dry_run"] else _revoke(devices, summary, criteria, options)
        if options["as_json"]:
            self.stdout.write(json.dumps({"matched": summary["devices"], "revoked": revoked}))
        elif options["dry_run"]:
            self._show(devices, summary)
        else:
            self.stdout.write(f"Revoked {_devices(revoked)}.")

    def _show(self, devices: IssuedTokenQuerySet, summary: dict[str, Any]) -> None:
        matched = summary["devices"]
        if matched:
            sample = devices.with_state().order_by("-created_at", "-pk")[:SAMPLE]
            self.stdout.write(device_table(sample))
        if matched > SAMPLE:
            self.stdout.write(f"... and {matched - SAMPLE} more:")
            for title, groups in devices.breakdown().items():
                listed = ", ".join(f"{name or 'unknown'} {count}" for name, count in groups)
                self.stdout.write(f"  by {TITLES[title]}: {listed}")
        self.stdout.write(f"Would revoke {_devices(matched)}{_of_people(summary)}.")
        self.stdout.write("Nothing was changed.")


def _check(options: dict[str, Any], criteria: dict[str, Any]) -> None:
    if options["all"] and criteria:
        raise CommandError("--all stands alone: leave it out to revoke only what you describe.")
    if not options["all"] and not criteria:
        raise CommandError("Say which devices, by --user, --ip or the like, or --all.")
    if len(options["note"]) > flows.NOTE_LENGTH:
        raise CommandError(f"The note is longer than {flows.NOTE_LENGTH} characters.")


def _revoke(
    devices: IssuedTokenQuerySet,
    summary: dict[str, Any],
    criteria: dict[str, Any],
    options: dict[str, Any],
) -> int:
    """End the devices that were counted: whoever signs in again meanwhile stays."""
    note = options["note"]
    if "user" in criteria:
        return flows.revoke_for_user(criteria["user"], devices, by=None, note=note)
    if not summary["devices"]:
        return 0
    counted = devices.filter(created_at__lte=summary["newest"])
    revoked = 0
    with progress_bar(summary["devices"], hidden=options["as_json"]) as bar:
        tell = summary["devices"] <= flows.MAILED
        reason = IssuedToken.Reason.INCIDENT
        for _, ended in flows.revoke_in_batches(counted, reason=reason, note=note, tell=tell):
            revoked += ended
            bar.update(ended)
    return revoked


def _devices(count: int) -> str:
    return "1 live device" if count == 1 else f"{count} live devices"


def _of_people(summary: dict[str, Any]) -> str:
    if not summary["people"]:
        return ""
    return " of 1 person" if summary["people"] == 1 else f" of {summary['people']} people"
