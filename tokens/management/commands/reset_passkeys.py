from django.core.management.base import BaseCommand
from django.template.defaultfilters import pluralize

from accounts import passkeys
from accounts.management.commands.create_admin import FIRST_PASSKEY
from tokens import flows
from tokens.management.arguments import find_user


class Command(BaseCommand):
    help = (
        "Remove all passkeys and recovery codes of a person who has lost them, and end their "
        "devices. For a member of staff, print the link to add a new passkey."
    )

    def add_arguments(self, parser):
        parser.add_argument("user", help="username or verified email address")

    def handle(self, *, user, **options):
        person = find_user(user)
        removed, ended = flows.reset_passkeys(person, by=None)
        held = f"{removed} passkey{pluralize(removed)} of {person}"
        told = f"Removed {held}, and ended {ended} device{pluralize(ended)}."
        self.stdout.write(self.style.SUCCESS(told))
        if passkeys.is_needed(person):
            self.stdout.write(f"{FIRST_PASSKEY}\n{passkeys.make_link(person, by=None)}")
