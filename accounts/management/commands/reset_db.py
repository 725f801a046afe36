from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection


class Command(BaseCommand):
    help = "Drop every table of the database, with all data, and migrate again."

    def add_arguments(self, parser):
        parser.add_argument(
            "--yes-i-mean-it",
            action="store_true",
            help="do not ask first; this option is required when DEBUG is off",
        )

    def handle(self, *, yes_i_mean_it, **options):
        name = connection.settings_dict["NAME"]
        if not yes_i_mean_it:
            _ask(name)
        dropped = _drop_tables()
        call_command("migrate", verbosity=0, interactive=False)
        self.stdout.write(
            self.style.SUCCESS(
                f"Dropped {dropped} tables of {name} and migrated again. The built-in roles exist, "
                "and no users. Run create_admin or load_demo next."
            )
        )


def _ask(name: str) -> None:
    """Raise CommandError unless the person at the terminal types yes."""
    if not settings.DEBUG:
        raise CommandError(f"DEBUG is off. To drop all data of {name}, give --yes-i-mean-it.")
    try:
        answer = input(f"This drops all data of {name}. Type yes to go on: ")
    except (EOFError, KeyboardInterrupt):
        answer = ""
    if answer != "yes":
        raise CommandError("Nothing was dropped.")


def _drop_tables() -> int:
    """Drop all tables, also those of earlier migrations that no model uses any more."""
    tables = connection.introspection.table_names()
    with connection.schema_editor() as editor:
        for table in tables:
            editor.execute(editor.sql_delete_table % {"table": editor.quote_name(table)})
    return len(tables)
