import sys
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getpass

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from accounts import passkeys
from accounts.models import Role, User
from accounts.verification import end_other_claims

FIRST_PASSKEY = (
    "Staff need a passkey. Open this link within a day, sign in with the password, and add the "
    "first one:"
)


class Command(BaseCommand):
    help = (
        "Create a superuser with the role admin. You vouch for the email address, so it counts "
        "as verified."
    )
    requires_migrations_checks = True

    def add_arguments(self, parser):
        parser.add_argument("username", help="letters from A to Z, digits and . + - _")
        parser.add_argument("email", help="the address for password resets and alerts")
        parser.add_argument(
            "--password-stdin",
            action="store_true",
            help="read the password from the first line of standard input, and ask for nothing",
        )

    def handle(self, *, username, email, password_stdin, **options):
        user = User(username=username, email=email, is_staff=True, is_superuser=True)
        user.email_verified_at = timezone.now()
        with refusals_as_errors():
            user.full_clean(exclude=["password"])
        password = _read_password() if password_stdin else _ask_password()
        with refusals_as_errors():
            validate_password(password, user)
        user.set_password(password)
        with transaction.atomic():
            user.save()
            user.roles.add(Role.objects.get(name="admin"))
        end_other_claims(user)
        self.stdout.write(self.style.SUCCESS(f"Created the administrator {user} ({user.email})."))
        if passkeys.is_needed(user):
            link = passkeys.make_link(user, by=None)
            self.stdout.write(f"{FIRST_PASSKEY}\n{link}")


@contextmanager
def refusals_as_errors() -> Iterator[None]:
    """Turn a ValidationError from the block into a CommandError with its messages."""
    try:
        yield
    except ValidationError as error:
        fields = getattr(error, "message_dict", {NON_FIELD_ERRORS: error.messages})
        raise CommandError(" ".join(_sentences(fields))) from None


def _sentences(fields: dict[str, list[str]]) -> Iterator[str]:
    for field, messages in fields.items():
        prefix = "" if field == NON_FIELD_ERRORS else f"{field}: "
        yield from (f"{prefix}{message}" for message in messages)


def _read_password() -> str:
    """The first line of standard input, without its end and a byte order mark.

    Raise CommandError if there is none, or if it is not UTF-8.
    """
    try:
        line = sys.stdin.buffer.readline().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CommandError("The password on standard input is not in UTF-8.") from None
    if not line:
        raise CommandError("There is no password on standard input.")
    return line.removesuffix("\n").removesuffix("\r")


def _ask_password() -> str:
    """Return the password, typed twice without being shown. Raise CommandError without one."""
    if not sys.stdin.isatty():
        raise CommandError("There is no terminal to ask at. Use --password-stdin.")
    try:
        password = getpass("Password: ")
        repeated = getpass("The same password again: ")
    except (EOFError, KeyboardInterrupt):
        raise CommandError("No user was created.") from None
    if password != repeated:
        raise CommandError("The two passwords differ. No user was created.")
    return password
