import json
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import pluralize

from accounts.models import User
from tokens import flows
from tokens.flows import incident
from tokens.management.progress import add_up
from tokens.management.selection import add_criteria, read_criteria
from tokens.management.tables import device_table
from tokens.models import NOTE_LENGTH, IssuedToken, IssuedTokenQuerySet

SAMPLE_SIZE = 10  # devices that a dry run shows
TITLES = {"os": "OS", "browser": "client", "kind": "kind", "location": "place"}


class Command(BaseCommand):
    help = (
        "Revoke live devices, at once and for good. Their reason is staff with --user, and "
        "incident without it."
    )

    def add_arguments(self, parser):
        add_criteria(parser)
        parser.add_argument("--all", action="store_true", help="every device of everybody")
        parser.add_argument("--note", default="", help="words that are shown to the people")
        parser.add_argument(
            "--dry-run", action="store_true", help="count and show what would end, and end nothing"
        )
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help='{"matched": n, "revoked": n}'
        )

    def handle(self, *, note, dry_run, as_json, **options):
        criteria = read_criteria(options)
        _check(criteria, everybody=options["all"], note=note)
        devices = IssuedToken.objects.matching(**criteria).live()
        found = incident.find(devices)
        revoked = 0
        if not dry_run:
            ends = _revoke(devices, found, note, criteria.get("user"))
            revoked = add_up(ends, total=found.devices, hidden=as_json)
        if as_json:
            self.stdout.write(json.dumps({"matched": found.devices, "revoked": revoked}))
        elif dry_run:
            self._show(devices, found)
        else:
            self.stdout.write(f"Revoked {revoked} live device{pluralize(revoked)}.")

    def _show(self, devices: IssuedTokenQuerySet, found: incident.Found) -> None:
        matched = found.devices
        if matched:
            sample = devices.with_state().order_by("-created_at", "-pk")[:SAMPLE_SIZE]
            self.stdout.write(device_table(sample))
        if matched > SAMPLE_SIZE:
            self.stdout.write(f"... and {matched - SAMPLE_SIZE} more:")
            for title, groups in devices.breakdown().items():
                listed = ", ".join(f"{name or 'unknown'} {count}" for name, count in groups)
                self.stdout.write(f"  by {TITLES[title]}: {listed}")
        owners = f" of {found.people} {pluralize(found.people, 'person,people')}" if matched else ""
        self.stdout.write(f"Would revoke {matched} live device{pluralize(matched)}{owners}.")
        self.stdout.write("Nothing was changed.")


def _check(criteria: dict[str, Any], *, everybody: bool, note: str) -> None:
    if everybody and criteria:
        raise CommandError("--all stands alone: leave it out to revoke only what you describe.")
    if not everybody and not criteria:
        raise CommandError("Say which devices, by --user, --ip or the like, or --all.")
    if len(note) > NOTE_LENGTH:
        raise CommandError(f"The note is longer than {NOTE_LENGTH} characters.")


def _revoke(
    devices: IssuedTokenQuerySet, found: incident.Found, note: str, user: User | None
) -> Iterator[int]:
    """Revoke the devices, and yield how many each step ended."""
    if user is not None:
        yield flows.revoke_for_user(user, devices, by=None, note=note)
    elif found.devices:
        for _, ended in incident.end(devices, found, note=note):
            yield ended
