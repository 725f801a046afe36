import json
from argparse import ArgumentTypeError
from dataclasses import asdict

from django.core.management.base import BaseCommand, CommandError

from config.doctor import examine_all, examine_front_door, measure_revocation
from config.doctor.findings import ERROR, OK, WARNING, Finding
from config.doctor.front_door import FrontDoor
from tokens.management.arguments import word


class Command(BaseCommand):
    help = (
        "Examine everything that this site needs to run, and change nothing (but see "
        "--revocation). Fails if it finds an error."
    )
    requires_system_checks = []  # `configuration` runs them

    def add_arguments(self, parser):
        parser.add_argument(
            "--json",
            action="store_true",
            dest="as_json",
            help='[{"check": name, "level": "ok", "warning" or "error", "message", "hint", '
            '"figures"}, ...]',
        )
        parser.add_argument(
            "--url",
            metavar="https://example.org",
            type=front_door,
            help="also ask the site at its address, over the network",
        )
        parser.add_argument(
            "--revocation",
            metavar="USERNAME",
            type=word,
            help="with --url: make a device for this user, use it on 16 connections, revoke it, "
            "and measure how soon it is refused. The device is ended in any case, and stays in "
            "the lists as ended",
        )

    def handle(self, *, as_json, url, revocation, **options):
        if revocation and not url:
            raise CommandError("--revocation needs --url.")
        findings = examine_all()
        if url:
            findings |= examine_front_door(url)
        if revocation:
            findings |= measure_revocation(url, revocation)
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


def front_door(url: str) -> FrontDoor:
    try:
        return FrontDoor(url)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
