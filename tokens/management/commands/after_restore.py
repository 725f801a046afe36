import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from accounts.restore import Change, Reading, Words, advance_keys, read, redo, words_of
from tokens.flows import restore
from tokens.management.progress import add_up

LISTED = 20  # places of lines that could not be read
UNKNOWN = (
    "The log cannot tell what was done by raw SQL, or what a shell logged to a terminal. "
    "It cannot tell whether there were other hosts with a log of their own."
)


class Command(BaseCommand):
    help = (
        "Run this after an older copy of the database was restored, before the site opens. It ends "
        "all devices. It also takes away again what the log says was taken since: from accounts "
        "and roles, changed passwords and changed email addresses. It may be run again."
    )
    requires_migrations_checks = True

    def add_arguments(self, parser):
        parser.add_argument(
            "logs",
            nargs="*",
            metavar="LOG",
            help="the log since the copy, in any order, also gzipped; - is standard input",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would change, and change nothing"
        )
        parser.add_argument("--json", action="store_true", dest="as_json")

    def handle(self, *, logs, dry_run, as_json, **options):
        reading, known = Reading(), restore.last_known()
        words = _read(logs, reading)
        done: dict[str, Any] = {"dry_run": dry_run, "log": _log(reading, known), "changes": []}
        mails = restore.mails_to_hold()
        done["mails"] = mails.count() if dry_run else restore.hold_mails()
        for change in redo(words, dry_run=dry_run):
            done["changes"].append(asdict(change))
            if not as_json:
                self.stdout.write(_told(change))
        done["devices"] = _end_devices(words, dry_run=dry_run, hidden=as_json)
        if as_json:
            self.stdout.write(json.dumps(done, default=str))
        else:
            self.stdout.write("\n".join(_summary(done, reading, known)))
        _refuse_silence(reading)


def _read(logs: list[str], reading: Reading) -> Words:
    try:
        return words_of(read(logs, reading), reading)
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}. Nothing was changed.") from None


def _end_devices(words: Words, *, dry_run: bool, hidden: bool) -> int:
    """End all devices, and finish. Return how many ended, or would."""
    devices = restore.devices_to_end()
    total = devices.count()
    if dry_run:
        return total
    advance_keys(words)
    ended = add_up(restore.end_devices(devices), total=total, hidden=hidden)
    restore.finish()
    return ended


def _log(reading: Reading, known: datetime | None) -> dict[str, Any]:
    return {
        "lines": reading.lines,
        "of_others": reading.others,
        "unreadable": reading.unreadable,
        "first": reading.first,
        "last": reading.last,
        "silences": reading.silences(),
        "database_knows_until": known,
    }


def _told(change: Change) -> str:
    """One line about an account or a role."""
    line = f"{change.who} {change.key} ({change.name}): {', '.join(change.taken)}"
    return f"{line}; by hand: {change.by_hand}" if change.by_hand else line


def _summary(done: dict[str, Any], reading: Reading, known: datetime | None) -> Iterator[str]:
    were = "would be" if done["dry_run"] else "were"
    yield (
        f"Accounts and roles that {were} changed: {len(done['changes'])}. "
        f"Devices that {were} ended: {done['devices']}. "
        f"Mails that {were} held: {done['mails']}."
    )
    yield from _reach(reading, known)
    if not User.objects.superusers().exists():
        yield "There is no superuser: run create_admin."
    if done["dry_run"]:
        yield "Nothing was changed."


def _reach(reading: Reading, known: datetime | None) -> Iterator[str]:
    """How far the log reaches, and what it cannot tell."""
    if reading.first is None or reading.last is None:
        yield (
            "No line of the log was given. What was taken from accounts and roles since the copy, "
            "and the passwords and email addresses that were changed, came back."
        )
        return
    yield f"The log reaches from {_shown(reading.first)} to {_shown(reading.last)}."
    if reading.others:
        yield f"Lines of other programs: {reading.others}."
    if known and reading.first > known:
        yield f"The database knows of nothing after {_shown(known)}: the time between is missing."
    for start, end in reading.silences():
        yield f"No line from {_shown(start)} to {_shown(end)}: was the site quiet, or is one lost?"
    yield UNKNOWN


def _shown(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _refuse_silence(reading: Reading) -> None:
    """Raise CommandError if lines could not be read, so that no script opens the site unseen."""
    unread = reading.unreadable
    if unread:
        more = f" and {len(unread) - LISTED} more" if len(unread) > LISTED else ""
        raise CommandError(
            f"{len(unread)} lines could not be read: {', '.join(unread[:LISTED])}{more}. Look at "
            "them, and do by hand what they say. All else was done as told above."
        )
