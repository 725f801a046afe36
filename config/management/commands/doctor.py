import json
from dataclasses import asdict

from django.core.management.base import BaseCommand, CommandError

from config.doctor import examine_all
from config.doctor.findings import ERROR, OK, WARNING, Finding


class Command(BaseCommand):
    help = (
        "Examine everything that this site needs to run, and change nothing. Fails if it finds an "
        "error."
    )
    requires_system_checks = []  # `configuration` runs them

    def add_arguments(self, parser):
        parser.add_argument(
            "--json",
            action="store_true",
            dest="as_json",
            help='[{"check": name, "level": "ok", "warning" or "error", "message", "hint"}, ...]',
        )

    def handle(self, *, as_json, **options):
        findings = examine_all()
        if as_json:
            rows = [{"check": name, **asdict(found)} for name, found in findings.items()]
            self.stdout.write(json.dumps(rows))
        else:
            for name, found in findings.items():
                self.stdout.write(self._line(name, found))
        failed = [name for name, found in findings.items() if found.level == ERROR]
        if failed:
            raise CommandError(f"Not in order: {', '.join(failed)}.")

    def _line(self, name: str, found: Finding) -> str:
        style = {OK: self.style.SUCCESS, WARNING: self.style.WARNING, ERROR: self.style.ERROR}
        level = style[found.level](f"{found.level:7}")
        return f"{level}  {name}: {found.message} {found.hint}".rstrip()
